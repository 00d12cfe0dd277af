import { must } from '../base/assert.ts';
import type { CoreInstruction } from '../machine/config.ts';
import { equality, HANDLERS } from './execute.ts';
import { refuseAt } from './lex.ts';
import {
  type Emitted,
  emit,
  numberIn,
  type Run,
  read,
  refuse,
  type Shared,
  viewOf,
  write,
} from './run.ts';
import { type Spin, spinAt } from './spin.ts';
import { agree, type Content, type Contents, join } from './symbolic.ts';
import type { Instruction, Span, Thread } from './test.ts';

/** A thread as the machine executes it. */
export interface CompiledThread {
  readonly emitted: readonly Emitted[];
  /** What its registers hold at the end, over all paths. */
  readonly final: Contents;
}

/** A register that nothing writes: 0 for ever, so that a branch on it always goes. */
const ALWAYS = 'always';

const COMPARED: Readonly<Record<string, (left: number, right: number) => boolean>> = {
  jle: (l, r) => l <= r,
  jlt: (l, r) => l < r,
  jge: (l, r) => l >= r,
  jgt: (l, r) => l > r,
  js: (l, r) => l - r < 0,
  jns: (l, r) => l - r >= 0,
};

class Walk {
  readonly run: Run;
  private readonly thread: Thread;
  /** What back jumps bring to a label, from the walk before. */
  private readonly entries: Map<string, Contents>;
  /** What jumps forward bring to a label that is still to come. */
  private readonly pending = new Map<string, Contents>();
  private readonly seen = new Map<
    string,
    { readonly index: number; readonly contents: Contents }
  >();
  private readonly ends: Contents[] = [];
  private reachable = true;
  /** Whether a back jump brought something new: the walk has to be done again. */
  again = false;

  constructor(run: Run, thread: Thread, entries: Map<string, Contents>) {
    this.run = run;
    this.thread = thread;
    this.entries = entries;
  }

  private arrive(label: string, at: Span): void {
    if (this.seen.has(label))
      refuseAt(this.run.test.source, at, `the label ${label} is there twice`);
    const fallthrough = this.reachable ? [this.run.contents] : [];
    const jumped = [this.pending.get(label), this.entries.get(label)].filter(
      (c) => c !== undefined,
    );
    const [first, ...rest] = [...fallthrough, ...jumped];
    this.reachable = first !== undefined;
    if (first !== undefined) this.run.contents = rest.reduce(join, first);
    this.pending.delete(label);
    this.seen.set(label, { index: this.run.emitted.length, contents: this.run.contents });
  }

  private jump(i: Instruction, label: string): void {
    const { run } = this;
    run.jumps.push({ from: run.emitted.length - 1, label, at: i.at });
    const before = this.seen.get(label);
    if (before === undefined) {
      const other = this.pending.get(label);
      this.pending.set(label, other === undefined ? run.contents : join(other, run.contents));
      return;
    }
    const body = run.emitted.slice(before.index);
    if (body.some((e) => e.instruction.op === 'lock-add')) {
      refuse(run, i, 'a loop around a locked addition has no bound');
    }
    const joined = join(before.contents, run.contents);
    if (agree(joined, before.contents)) return;
    this.entries.set(label, joined);
    this.again = true;
  }

  private branch(i: Instruction, register: string, value: number): void {
    emit(this.run, i.at, { op: 'branch', register, value, to: 0 });
  }

  private always(i: Instruction, label: string): void {
    this.branch(i, ALWAYS, 0);
    this.jump(i, label);
  }

  /** A jump that goes where two contents are equal, or (`negated`) where they are not. */
  private conditional(i: Instruction, label: string, negated: boolean): void {
    const found = equality(this.run, i);
    if (found.kind === 'known') {
      if (found.equal !== negated) {
        this.always(i, label);
        this.reachable = false;
      }
      return;
    }
    this.branch(i, found.register, found.value);
    if (!negated) {
      this.jump(i, label);
      return;
    }
    const last = this.run.emitted.length - 1;
    this.run.emitted[last] = {
      instruction: { op: 'branch', register: found.register, value: found.value, to: last + 2 },
      at: i.at,
    };
    this.always(i, label);
  }

  /** Jumps by order, which are decided while compiling. */
  private ordered(i: Instruction, label: string): void {
    const { run } = this;
    const { flags } = run.contents;
    if (flags === null) refuse(run, i, 'the flags are not known here');
    const left = numberIn(run, i, flags.left);
    const right = numberIn(run, i, flags.right);
    if (must(COMPARED[i.mnemonic], 'a jump')(left, right)) {
      this.always(i, label);
      this.reachable = false;
    }
  }

  private execute(i: Instruction): void {
    const { run } = this;
    const [target] = i.operands;
    const label = target?.kind === 'word' ? target.word : '';
    switch (i.mnemonic) {
      case 'jmp':
        this.always(i, label);
        this.reachable = false;
        break;
      case 'je':
      case 'jne':
        this.conditional(i, label, i.mnemonic === 'jne');
        break;
      case 'ret':
        this.ends.push(run.contents);
        this.always(i, '');
        this.reachable = false;
        break;
      default:
        if (i.mnemonic in COMPARED) this.ordered(i, label);
        else must(HANDLERS[i.mnemonic], `no handler of ${i.mnemonic}`)(run, i);
    }
  }

  private spin(i: Instruction, spin: Spin): void {
    const { run } = this;
    const value = numberIn(run, i, read(run, i, spin.value));
    const view = viewOf(run, i, spin.memory);
    run.accesses.push({ bits: i.bits ?? 64, at: i.at });
    emit(run, i.at, { op: 'poll', view, value: run.encode(value) });
    const content: Content = { kind: 'value', value, untouched: false };
    if (spin.register !== null) write(run, i, spin.register, content);
    run.contents = { ...run.contents, flags: { left: content, right: content } };
  }

  walk(): Contents {
    const { lines } = this.thread;
    for (let n = 0; n < lines.length; n++) {
      const line = must(lines[n], 'a line');
      for (const label of line.labels) this.arrive(label, line.at);
      if (!this.reachable || line.instruction === null) continue;
      const spin = spinAt(lines, n);
      if (spin === null) {
        this.execute(line.instruction);
      } else {
        this.spin(line.instruction, spin);
        n += spin.length - 1;
      }
    }
    if (this.reachable) this.ends.push(this.run.contents);
    this.link();
    const [first, ...rest] = this.ends;
    return rest.reduce(join, first ?? this.run.contents);
  }

  /** Gives jumps the index that their label has. */
  private link(): void {
    const { emitted, jumps, test } = this.run;
    for (const { from, label, at } of jumps) {
      const found = label === '' ? { index: emitted.length } : this.seen.get(label);
      const instruction = must(emitted[from], 'a jump').instruction;
      if (found === undefined) {
        refuseAt(test.source, at, `no label "${label}" in P${this.thread.proc}`);
      }
      if (instruction.op === 'branch') {
        const linked: CoreInstruction = { ...instruction, to: found.index };
        emitted[from] = { instruction: linked, at };
      }
    }
  }
}

function initialContents(shared: Shared, proc: number): Contents {
  const registers = new Map<string, Content>();
  for (const { location, values } of shared.test.init) {
    if (location.kind !== 'register' || location.proc !== proc) continue;
    const [value = 0] = values;
    registers.set(location.register.base, { kind: 'value', value, untouched: true });
  }
  return { registers, flags: null };
}

/** A thread as the machine executes it. @throws Refused at an instruction that it cannot execute */
export function compileThread(shared: Shared, thread: Thread): CompiledThread {
  const { proc, lines } = thread;
  const entries = new Map<string, Contents>();
  const { devices } = shared.test.setup;
  for (;;) {
    const run: Run = {
      ...shared,
      proc,
      isDevice: devices.some((d) => d.proc === proc),
      hasLabels: lines.some((l) => l.labels.length > 0),
      parts: new Map(shared.places.parts),
      emitted: [],
      jumps: [],
      contents: initialContents(shared, proc),
    };
    const walk = new Walk(run, thread, entries);
    const final = walk.walk();
    if (!walk.again) return { emitted: run.emitted, final };
  }
}
