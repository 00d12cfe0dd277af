import type { Resolution } from '../../resolve/resolution.ts';
import type { MachineEvent, StageEvent } from '../../scenario/happening.ts';
import type { Run } from '../../scenario/run.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { effectiveOf } from '../../scenario/stage/effective.ts';
import { labelled, table, wrap } from '../wrap.ts';
import {
  COST_HEAD,
  castOf,
  copiesWords,
  copyCostWords,
  costRows,
  readWords,
  resultWords,
  searchWords,
  sightings,
  violationWords,
} from './words.ts';

const WIDTH = 80;
/** The blob goes, after the program. */
const LAST_STEP = 10;

function heading(run: Run, { title }: Scenario): readonly string[] {
  const { program, question } = run;
  const name = [program.title, program.about].filter((t) => t !== '').join(': ');
  const facts = ['cpu', 'paging', 'vmm', 'backing', 'device'] as const;
  const said = facts.flatMap((key) => question.facts[key]?.map(String) ?? []);
  const subject = [...question.rules.values()].map((r) => question.subject(r))[0] ?? '';
  return [
    ...wrap(title, WIDTH),
    ...labelled(`${program.name}  `, name, WIDTH),
    ...labelled('on  ', [subject, ...said].join(', '), WIDTH),
    '',
    ...labelled(`${resultWords(run)}  `, searchWords(run), WIDTH),
    ...run.violations.flatMap((v) => labelled('  ', violationWords(v), WIDTH)),
  ];
}

function stageLines(event: StageEvent, mark: string): readonly string[] {
  return labelled(`${mark.padStart(3)} ${event.who.padEnd(6)}`, event.what, WIDTH);
}

function stage(run: Run): readonly string[] {
  const before = run.events.filter(
    (e) => e.kind === 'stage' && e.step !== null && e.step < LAST_STEP,
  );
  const lines = before.flatMap((e) => (e.kind === 'stage' ? stageLines(e, `${e.step ?? ''}`) : []));
  return ['', 'THE STAGE (number of the step)', ...lines];
}

const WHAT_WIDTH = 21;
const READ_WIDTH = 17;
/** Of all that stands between who acts and the copies. */
const MIDDLE = WHAT_WIDTH + READ_WIDTH + 6;

function machineLines(event: MachineEvent, n: number, named: boolean): readonly string[] {
  const type = event.type === null ? '' : effectiveOf(event.type);
  const isAccess = event.type !== null || event.value !== null;
  const middle = isAccess
    ? [event.what.padEnd(WHAT_WIDTH), type.padEnd(4), readWords(event).padEnd(READ_WIDTH)].join(' ')
    : event.what.padEnd(MIDDLE);
  const lead = `${String(n).padStart(3)} ${event.who.padEnd(6)}`;
  return labelled(`${lead}${middle} `, copiesWords(event, named), WIDTH).map((l) => l.trimEnd());
}

function program(run: Run): readonly string[] {
  const lines = run.program.memory.blob.length + run.program.memory.ram.length;
  const shown = run.events.filter(
    (e) => e.kind === 'machine' || e.step === null || e.step === LAST_STEP,
  );
  if (run.searched === null) return [];
  const which = run.seed === 0 ? 'the shortest schedule' : `a schedule picked by seed ${run.seed}`;
  const wrong = run.violations.some((v) => v.kind === 'never' || v.kind === 'stuck');
  const head = `    ${'who'.padEnd(6)}${'what'.padEnd(WHAT_WIDTH)} type ${'read'.padEnd(READ_WIDTH)} copies afterwards`;
  return [
    '',
    `THE RUN (${which}${wrong ? ' that violates' : ''})`,
    head,
    ...shown.flatMap((e, i) =>
      e.kind === 'machine' ? machineLines(e, i + 1, lines > 1) : stageLines(e, String(i + 1)),
    ),
  ];
}

function seen(run: Run): readonly string[] {
  const all = sightings(run);
  if (all.length === 0) return [];
  const who = run.program.parts.some((p) => p.agent === 'gpu') ? 'THE GPU' : 'THE CPUS';
  return ['', `WHAT ${who} SAW`, ...all.flatMap((s) => labelled('  ', s, WIDTH))];
}

/** Verdicts of wrong data. */
const WRONG_DATA = ['MT101', 'MT102', 'MT103', 'MT401', 'MT240', 'MT241'];

/** The resolver knows the facts, not what a program does on them. */
function besides({ violations }: Run, { verdicts }: Resolution): readonly string[] {
  const said = verdicts.some((v) => WRONG_DATA.includes(v.code));
  if (said || violations.length === 0) return [];
  return ['  It is about the types at the first touch: what fails here is in the program.'];
}

function verdict(run: Run, resolution: Resolution): readonly string[] {
  const types = resolution.types.join(' or ');
  const findings = resolution.verdicts.filter((v) => v.severity !== 'info');
  const words = findings.map(
    (v) => `${v.severity} ${v.code}${v.certain ? '' : ' (perhaps)'}: ${v.title}`,
  );
  return [
    '',
    `VERDICT of memtype explain on these facts: ${types}`,
    ...(words.length === 0 ? ['  nothing wrong'] : words.flatMap((w) => labelled('  ', w, WIDTH))),
    ...besides(run, resolution),
  ];
}

function costs(run: Run): readonly string[] {
  if (run.types.length === 0) return [];
  return [
    '',
    "COST of the guest's accesses: ns a store, on RAM (memtype rule x86/cost)",
    ...table([[...COST_HEAD], ...costRows(run.types)]).map((l) => `  ${l}`),
    ...copyCostWords(run.types).flatMap((w) => labelled('  ', w, WIDTH)),
  ];
}

function legend(run: Run): readonly string[] {
  const cast = castOf(run.events).flatMap(([who, what]) =>
    labelled(`  ${who.padEnd(6)}`, what, WIDTH),
  );
  return [
    '',
    'LEGEND',
    ...cast,
    ...wrap(
      'Copies of the line, a digit a byte: mem memory, cpu0 and gpu their caches, wc a write-combining buffer; * it has to be written back. Stores wait in a store buffer until the hardware moves them on.',
      WIDTH - 2,
    ).map((l) => `  ${l}`),
  ];
}

/** A run as text, 80 columns. @param resolution what the resolver says of the same facts; null: it could not */
export function runText(run: Run, scenario: Scenario, resolution: Resolution | null): string {
  return [
    ...heading(run, scenario),
    ...stage(run),
    ...program(run),
    ...seen(run),
    ...(resolution === null ? [] : verdict(run, resolution)),
    ...costs(run),
    ...legend(run),
    '',
  ].join('\n');
}
