import { InputError } from '../base/diagnostic.ts';
import { compileLitmus } from '../litmus/compile.ts';
import { printView } from '../litmus/setup-words.ts';
import type { Instruction, LitmusTest, ProgramLine, ViewName } from '../litmus/test.ts';
import type { PageType } from '../machine/config.ts';
import { makeMachine } from '../machine/machine.ts';
import type { Switches } from '../machine/switches.ts';
import { ends } from './cause.ts';
import type { Tables } from './check.ts';

/** One change of a test. */
export interface Change {
  /** `sfence in P0 after movl $1,(x)`; `x as UC`. */
  readonly text: string;
  /** Changes of one place: of two that help there the weaker one is enough. */
  readonly place: string;
  readonly apply: (test: LitmusTest) => LitmusTest;
}

/** Changes that together leave no execution that ends as asked. */
export type Repair = readonly Change[];

// The weaker one first.
const FENCES = ['sfence', 'lfence', 'mfence'] as const;
const FLUSHES = ['clflushopt', 'clflush'] as const;
const TYPES: readonly PageType[] = ['WB', 'WT', 'WC', 'UC'];

function inserted(proc: number, after: number, added: ProgramLine): Change['apply'] {
  return (test) => ({
    ...test,
    threads: test.threads.map((thread) =>
      thread.proc === proc
        ? { ...thread, lines: thread.lines.toSpliced(after + 1, 0, added) }
        : thread,
    ),
  });
}

function sourceOf(test: LitmusTest, { at }: Instruction): string {
  return test.source.text.slice(at.start, at.end).trim();
}

/** Names of cells that a thread has. */
function namesFor(test: LitmusTest, proc: number): readonly string[] {
  const { views } = compileLitmus(test).config;
  const own = views.filter((v) => v.core === undefined || v.core === `P${proc}`);
  return [...new Set(own.map((v) => v.name))];
}

/** An instruction between two of a core. */
function insertions(test: LitmusTest): readonly Change[] {
  const cores = test.threads.filter((t) => test.setup.devices.every((d) => d.proc !== t.proc));
  return cores.flatMap(({ proc, lines }) => {
    const names = namesFor(test, proc);
    return lines.slice(0, -1).flatMap((line, after): readonly Change[] => {
      const { instruction } = line;
      if (instruction === null) return [];
      const where = `in P${proc} after ${sourceOf(test, instruction)}`;
      const change = (mnemonic: string, name: string | null): Change => {
        const operands = name === null ? [] : [{ kind: 'symbol', name } as const];
        const added = { mnemonic, bits: null, locked: false, operands, at: instruction.at };
        return {
          text: `${mnemonic}${name === null ? '' : ` (${name})`} ${where}`,
          place: `${name ?? ''} ${where} ${after}`,
          apply: inserted(proc, after, { labels: [], instruction: added, at: line.at }),
        };
      };
      return [
        ...FENCES.map((fence) => change(fence, null)),
        ...names.flatMap((name) => FLUSHES.map((flush) => change(flush, name))),
      ];
    });
  });
}

function retyped(test: LitmusTest, view: ViewName, type: PageType): LitmusTest {
  const { setup } = test;
  const others = setup.views.filter((v) => v.view.proc !== view.proc || v.view.name !== view.name);
  const at = { start: 0, end: 0 };
  return { ...test, setup: { ...setup, views: [...others, { view, type, at }] } };
}

/** Another type for one name. */
function retypings(test: LitmusTest): readonly Change[] {
  return compileLitmus(test).config.views.flatMap(({ name, core, type: before }) => {
    const view = { proc: core === undefined ? null : Number(core.slice(1)), name };
    return TYPES.filter((type) => type !== before).map(
      (type): Change => ({
        text: `${printView(view)} as ${type}`,
        place: `type ${type} of ${printView(view)}`,
        apply: (changed) => retyped(changed, view, type),
      }),
    );
  });
}

/** A device that snoops. */
function snooping({ setup }: LitmusTest): readonly Change[] {
  return setup.devices
    .filter((d) => !d.snoop)
    .map(
      ({ name, proc }): Change => ({
        text: `${name} snoops`,
        place: `device ${name}`,
        apply: (test) => ({
          ...test,
          setup: {
            ...test.setup,
            devices: test.setup.devices.map((d) => (d.proc === proc ? { ...d, snoop: true } : d)),
          },
        }),
      }),
    );
}

/** What the search for repairs goes by. */
export interface RepairOptions {
  readonly switches: Partial<Switches>;
  readonly tables: Tables;
  /** Whether the executions to get rid of satisfy the proposition. */
  readonly wanted: boolean;
  readonly maxStates: number;
}

/** What was found. */
export interface Repairs {
  readonly repairs: readonly Repair[];
  /** Changes whose search was cut: nobody knows of them. */
  readonly undecided: number;
}

/** Whether executions remain, and none as asked. A change that the machine cannot execute helps nothing. */
function outcomeOf(
  test: LitmusTest,
  repair: Repair,
  options: RepairOptions,
): 'helps' | 'fails' | 'cut' {
  try {
    const changed = repair.reduce((t, change) => change.apply(t), test);
    const compiled = compileLitmus(changed, options.switches);
    const machine = makeMachine(compiled.config);
    const { tables, wanted, maxStates } = options;
    const end = ends(compiled, machine, machine.successors, tables, wanted, maxStates);
    if (end === 'cut') return 'cut';
    return end === 'without' ? 'helps' : 'fails';
  } catch (error) {
    if (error instanceof InputError) return 'fails';
    throw error;
  }
}

/** Without those that are stronger than another one in the same place. */
function weakest(changes: readonly Change[]): readonly Change[] {
  return changes.filter((c, i) => changes.findIndex((other) => other.place === c.place) === i);
}

/**
 * The smallest changes after which no execution ends as asked: one fence or flush, or two where none is enough alone;
 * one other type, or a device that snoops.
 */
export function repairsOf(test: LitmusTest, options: RepairOptions): Repairs {
  const added = insertions(test);
  let undecided = 0;
  const helps = (repair: Repair): boolean => {
    const outcome = outcomeOf(test, repair, options);
    if (outcome === 'cut') undecided += 1;
    return outcome === 'helps';
  };
  const alone = (changes: readonly Change[]): readonly Repair[] =>
    weakest(changes.filter((c) => helps([c]))).map((change) => [change]);
  const instructions = alone(added);
  const others = alone([...snooping(test), ...retypings(test)]);
  if (instructions.length > 0) return { repairs: [...instructions, ...others], undecided };
  const found: Repair[] = [];
  for (const [i, a] of added.entries()) {
    for (const b of added.slice(i + 1)) {
      if (a.place === b.place) continue;
      if (found.some(([x, y]) => x?.place === a.place && y?.place === b.place)) continue;
      // The later one first: the place of the other is still where it was.
      if (helps([b, a])) found.push([a, b]);
    }
  }
  return { repairs: [...found, ...others], undecided };
}
