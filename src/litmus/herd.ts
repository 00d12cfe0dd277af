import type { Diagnostic, Parsed } from '../base/diagnostic.ts';
import { effectiveType } from './effective.ts';
import { FORMS, HERD_LOCKABLE } from './instructions.ts';
import { problemAt, warningAt } from './lex.ts';
import { printFinal, printHead, printInit, printProgram, printSwitches } from './print.ts';
import { registerOf, registerPart } from './registers.ts';
import { isText } from './setup.ts';
import { printView } from './setup-words.ts';
import type {
  Instruction,
  LitmusTest,
  Location,
  ProgramLine,
  Proposition,
  Register,
  Span,
  Thread,
  ViewSetup,
} from './test.ts';

const NONE: Span = { start: 0, end: 0 };

/** What of a test herd7 has no words for: errors; and what it reads but takes otherwise: warnings. */
class Report {
  readonly problems: Diagnostic[] = [];
  private readonly test: LitmusTest;

  constructor(test: LitmusTest) {
    this.test = test;
  }

  impossible(at: Span, message: string, why: string): void {
    this.problems.push(problemAt(this.test.source, at, message, why));
  }

  note(at: Span, message: string, help?: string): void {
    this.problems.push(warningAt(this.test.source, at, message, help));
  }
}

function keyAt(test: LitmusTest, key: string): Span {
  const same = (other: string): boolean => other.toLowerCase() === key.toLowerCase();
  return test.header.find((line) => same(line.key))?.keyAt ?? NONE;
}

function checkSetup(test: LitmusTest, report: Report): void {
  const { setup } = test;
  for (const { at } of setup.aliases) {
    report.impossible(at, 'a second name of a cell', 'each location of herd7 is memory of its own');
  }
  for (const { at } of setup.lines) {
    report.impossible(at, 'several cells of a line', 'herd7 has no cache lines');
  }
  for (const { at, name } of setup.devices) {
    report.impossible(at, `the device ${name}`, 'all threads of herd7 are cores');
  }
  for (const { at } of setup.cached) {
    report.impossible(at, 'contents of a cache', 'herd7 has no caches');
  }
  for (const { at } of setup.flags) {
    report.impossible(at, 'a flag outside memory', 'herd7 has memory only');
  }
  if (setup.cacheDisable.length > 0) {
    report.impossible(keyAt(test, 'CD'), 'CR0.CD=1', 'herd7 has no caches to turn off');
  }
  const switches = printSwitches(setup.switches);
  for (const line of switches) {
    report.note(NONE, `${line} is not said`, 'what herd7 allows is in its model, a .cat file');
  }
  if (setup.expect.length > 0) {
    report.note(keyAt(test, 'Expect'), 'what is expected is not said', 'it holds for our machine');
  }
}

const TYPES_OF_HERD = ['UC', 'WC', 'WT', 'WB'];

/** A view as a word of `MT`; null where it cannot be one. */
function typeWord(test: LitmusTest, { view, type, at }: ViewSetup, report: Report): string | null {
  const name = printView(view);
  if (view.proc !== null) {
    report.impossible(at, `a type of one core: ${name}`, 'herd7 gives a location one type');
    return null;
  }
  let effective = typeof type === 'string' ? type : effectiveType(test.setup.vendor, type);
  if (typeof effective !== 'string') {
    report.impossible(at, effective.message, effective.help);
    return null;
  }
  if (typeof type !== 'string') {
    report.note(at, `${name} is written as ${effective}`, 'the parts together; herd7 has no parts');
  }
  if (effective === 'UCM') {
    report.note(at, `${name} is written as UC`, 'they differ in the presence of an alias only');
    effective = 'UC';
  }
  if (!TYPES_OF_HERD.includes(effective)) {
    report.impossible(at, `the type ${effective}`, `herd7 has ${TYPES_OF_HERD.join(' ')}`);
    return null;
  }
  return `${name}:${effective}`;
}

function hasForm({ mnemonic }: Instruction): boolean {
  return FORMS.some((form) => form.herd && form.mnemonic === mnemonic);
}

/** An instruction that herd7 reads, with the same meaning; null where there is none. */
function forHerd(i: Instruction, report: Report): Instruction | null {
  if (i.locked && i.mnemonic === 'or') {
    report.note(i.at, 'lock or of 0 is written as lock add', 'herd7 has no locked or');
    return { ...i, mnemonic: 'add' };
  }
  if (!hasForm(i)) {
    report.impossible(i.at, `${i.mnemonic} is not in herd7`, 'lib/X86_64Parser.mly of 7.57');
    return null;
  }
  if (i.locked && !HERD_LOCKABLE.includes(i.mnemonic)) {
    report.impossible(i.at, `lock ${i.mnemonic} is not in herd7`, 'herd/X86_64Sem.ml of 7.57');
    return null;
  }
  if (i.mnemonic === 'movntdqa' || (i.mnemonic === 'mov' && isFromXmm(i))) {
    report.note(i.at, 'herd7 reads this and does not execute it', 'litmus7 does');
  }
  return i;
}

function isFromXmm({ operands }: Instruction): boolean {
  const [first] = operands;
  return first?.kind === 'register' && first.register.bits === 128;
}

const SPARE = ['rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

function registersIn(thread: Thread, test: LitmusTest): ReadonlySet<string> {
  const named = thread.lines.flatMap(({ instruction }) =>
    (instruction?.operands ?? []).flatMap((o) => {
      if (o.kind === 'register') return [o.register.base];
      if (o.kind !== 'indirect') return [];
      return [o.base.base, ...(o.index === undefined ? [] : [o.index.base])];
    }),
  );
  const initial = test.init.flatMap(({ location }) =>
    location.kind === 'register' && location.proc === thread.proc ? [location.register.base] : [],
  );
  return new Set([...named, ...initial]);
}

interface Rewritten {
  readonly thread: Thread;
  /** What polls wait for: herd7 keeps the executions that read it. */
  readonly waits: readonly Proposition[];
}

/** `poll $1,(x)` as a load into a spare register and a condition on it: what is loaded earlier does not matter. */
function pollAsLoad(
  i: Instruction,
  proc: number,
  spare: Register,
): { readonly load: Instruction; readonly wait: Proposition } {
  const [wanted, memory] = i.operands;
  const value = wanted?.kind === 'immediate' ? wanted.value : 0;
  // Cells are `int` where nothing is said: litmus7 lets the processor read as much as the instruction says.
  const bits = i.bits ?? 32;
  const register = registerPart(spare, bits);
  const operands = memory === undefined ? [] : [memory, { kind: 'register' as const, register }];
  const left: Location = { kind: 'register', proc, register: spare, at: i.at };
  return {
    load: { ...i, mnemonic: 'mov', bits, operands },
    wait: { kind: 'equals', left, right: value, at: i.at },
  };
}

function rewriteThread(test: LitmusTest, thread: Thread, report: Report): Rewritten {
  const used = new Set(registersIn(thread, test));
  const labels = thread.lines.some((line) => line.labels.length > 0);
  const waits: Proposition[] = [];
  const lines = thread.lines.map((line): ProgramLine => {
    const { instruction } = line;
    if (instruction === null) return line;
    if (instruction.mnemonic !== 'poll') {
      return { ...line, instruction: forHerd(instruction, report) };
    }
    const spare = registerOf(SPARE.find((name) => !used.has(name)) ?? '');
    if (labels || spare === null) {
      const why = labels ? 'it can only wait where there are no labels' : 'no register is left';
      report.impossible(instruction.at, 'poll is not in herd7', why);
      return { ...line, instruction: null };
    }
    used.add(spare.base);
    const { load, wait } = pollAsLoad(instruction, thread.proc, spare);
    waits.push(wait);
    report.note(instruction.at, 'poll is written as a load and a filter', 'herd7 has no poll');
    return { ...line, instruction: load };
  });
  return { thread: { ...thread, lines }, waits };
}

function memoryIn(p: Proposition): readonly Location[] {
  switch (p.kind) {
    case 'constant':
      return [];
    case 'equals':
      return p.left.kind === 'memory' ? [p.left] : [];
    case 'same':
      return [p.left, p.right].filter((l) => l.kind === 'memory');
    case 'not':
      return memoryIn(p.of);
    case 'and':
    case 'or':
      return p.of.flatMap(memoryIn);
    case 'implies':
      return [...memoryIn(p.left), ...memoryIn(p.right)];
  }
}

function checkFinal(test: LitmusTest, report: Report): void {
  const asked = [
    ...test.locations.filter((l) => l.kind === 'memory'),
    ...memoryIn(test.condition.proposition),
    ...(test.filter === null ? [] : memoryIn(test.filter)),
  ];
  for (const { at } of asked) {
    report.impossible(at, 'memory apart from caches', 'herd7 has no caches: ask for [x]');
  }
}

/**
 * A test in what herd7 7.57 reads, with the meaning that it has here. Null beside the errors that say what has no
 * words there; warnings say what is written otherwise, or not at all.
 */
export function printForHerd(test: LitmusTest): Parsed<string | null> {
  const report = new Report(test);
  checkSetup(test, report);
  checkFinal(test, report);
  const types = test.setup.views.map((view) => typeWord(test, view, report));
  const rewritten = test.threads.map((thread) => rewriteThread(test, thread, report));
  const { problems } = report;
  if (problems.some((p) => p.severity === 'error')) return { value: null, problems };
  const waits = rewritten.flatMap((r) => r.waits);
  const conditions = [...(test.filter === null ? [] : [test.filter]), ...waits];
  const [first] = conditions;
  const filter: Proposition | null =
    first === undefined || conditions.length === 1
      ? (first ?? null)
      : { kind: 'and', of: conditions };
  const text = [
    ...printHead({ ...test, header: test.header.filter((line) => !isText(line.key)) }),
    ...(types.length === 0 ? [] : [`MT=${types.filter((t) => t !== null).join(' ')}`]),
    ...printInit(test.init),
    ...printProgram(rewritten.map((r) => r.thread)),
    ...printFinal({ ...test, filter }),
    '',
  ].join('\n');
  return { value: text, problems };
}
