import type { InputError } from '../../base/diagnostic.ts';
import { type Run, verdictOf } from '../../explore/check.ts';
import { complainTo, type Io } from '../io.ts';

/** How a campaign goes: says on stderr what is wrong, and knows the exit code. */
export class Tally {
  readonly #io: Io;
  #tests = 0;
  #runs = 0;
  #states = 0;
  #failed = 0;
  #cut = 0;
  #broken = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  run(file: string, run: Run): void {
    const verdict = verdictOf(run);
    const { setting, compiled, result, search } = run;
    this.#runs += 1;
    this.#states += search.states;
    if (verdict === 'pass') return;
    const { name } = compiled.test;
    if (verdict === 'cut') {
      this.#cut += 1;
      this.#io.error(`${file}: ${name}: cut after ${search.states} states (${search.cut})\n`);
      return;
    }
    const claim = setting.expected ?? compiled.test.condition.quantifier;
    this.#failed += 1;
    this.#io.error(`${file}: ${name} is ${result.word}, expected is ${claim}\n`);
  }

  /** @param isExpected whether the blocks are those of the file beside the test, if there is one */
  test(file: string, isExpected: boolean): void {
    this.#tests += 1;
    if (isExpected) return;
    this.fail(`${file}: the result is not that of ${file}.expected`);
  }

  fail(message: string): void {
    this.#failed += 1;
    this.#io.error(`${message}\n`);
  }

  broken(error: InputError): void {
    this.#broken += 1;
    complainTo(this.#io, error.diagnostics);
  }

  /** The exit code of the contract. */
  end(): number {
    const words = [
      `${this.#tests} tests, ${this.#runs} runs, ${this.#states} states: ${this.#failed} failed`,
      ...(this.#cut === 0 ? [] : [`${this.#cut} not finished`]),
      ...(this.#broken === 0 ? [] : [`${this.#broken} not read`]),
    ];
    if (this.#tests + this.#broken > 1) this.#io.error(`${words.join(', ')}\n`);
    if (this.#broken > 0) return 2;
    if (this.#failed > 0) return 1;
    return this.#cut > 0 ? 3 : 0;
  }
}
