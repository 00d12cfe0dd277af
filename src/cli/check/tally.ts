import { type InputError, renderDiagnostic } from '../../base/diagnostic.ts';
import { type CampaignRun, exitCodeOf, type Trouble } from '../../explore/campaign.ts';
import { type Run, verdictOf } from '../../explore/check.ts';
import { complainTo, type Io } from '../io.ts';
import type { Item } from './output.ts';

/** How a campaign goes: says on stderr what is wrong, and knows the exit code. */
export class Tally {
  readonly #io: Io;
  readonly #runs: CampaignRun[] = [];
  readonly troubles: Trouble[] = [];
  #tests = 0;
  #states = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  run({ item, file }: Item, run: Run): void {
    const verdict = verdictOf(run);
    const { setting, compiled, result, search } = run;
    this.#runs.push({ item, verdict });
    this.#states += search.states;
    const { name } = compiled.test;
    if (verdict === 'cut') {
      this.#io.error(`${file}: ${name}: cut after ${search.states} states (${search.cut})\n`);
    } else if (verdict === 'fail') {
      const claim = setting.expected ?? compiled.test.condition.quantifier;
      this.#io.error(`${file}: ${name} is ${result.word}, expected is ${claim}\n`);
    }
  }

  /** @param isExpected whether the blocks are those of the file beside the test, if there is one */
  test({ item, file }: Item, isExpected: boolean): void {
    this.#tests += 1;
    if (isExpected) return;
    const message = `the result is not that of ${file}.expected`;
    this.troubles.push({ item, file, kind: 'blocks', message });
    this.#io.error(`${file}: ${message}\n`);
  }

  /** What is in a log and forbidden by the machine. */
  refuted({ item, file }: Item, state: string): void {
    const message = `a log has a state that is forbidden here: ${state}`;
    this.troubles.push({ item, file, kind: 'log', message });
  }

  broken({ item, file }: Item, error: InputError): void {
    const message = error.diagnostics.map(renderDiagnostic).join('\n');
    this.#tests += 1;
    this.troubles.push({ item, file, kind: 'unreadable', message });
    complainTo(this.#io, error.diagnostics);
  }

  /** The exit code of the contract. */
  end(): number {
    const count = (verdict: string): number =>
      this.#runs.filter((r) => r.verdict === verdict).length;
    const broken = this.troubles.filter((t) => t.kind === 'unreadable').length;
    const blocks = this.troubles.length - broken;
    const words = [
      `${this.#tests} tests, ${this.#runs.length} runs, ${this.#states} states: ` +
        `${count('fail') + blocks} failed`,
      ...(count('cut') === 0 ? [] : [`${count('cut')} not finished`]),
      ...(broken === 0 ? [] : [`${broken} not read`]),
    ];
    if (this.#tests > 1) this.#io.error(`${words.join(', ')}\n`);
    return exitCodeOf({ runs: this.#runs, troubles: this.troubles });
  }
}
