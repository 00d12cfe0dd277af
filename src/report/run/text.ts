import type { MachineEvent, StageEvent } from '../../scenario/happening.ts';
import type { Run } from '../../scenario/run.ts';
import type { Program, Scenario } from '../../scenario/scenario.ts';
import { effectiveOf } from '../../scenario/stage/effective.ts';
import { labelled, table, wrap } from '../wrap.ts';
import { type Beside, hingeWords, reconciled, shownEvents } from './beside.ts';
import {
  bulkWords,
  castOf,
  copiesWords,
  costHead,
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

/** A program without conditions holds whatever happens. */
function requiresNothing({ never, sometimes, granted, effective }: Program): boolean {
  return never.length + sometimes.length === 0 && granted === null && effective === null;
}

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
    ...(requiresNothing(program)
      ? wrap('note: the program says nothing of what must or must not be', WIDTH - 2).map(
          (l) => `  ${l}`,
        )
      : []),
    ...question.notes.flatMap((note) => labelled('  note: ', note, WIDTH)),
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
const READ_WIDTH = 19;
/** Of all that stands between who acts and the copies. */
const MIDDLE = WHAT_WIDTH + READ_WIDTH + 6;

function machineLines(event: MachineEvent, n: number, named: boolean): readonly string[] {
  const type = event.type === null ? '' : effectiveOf(event.type);
  const isAccess = event.type !== null || event.value !== null;
  const [what = '', ...more] = wrap(event.what, isAccess ? WHAT_WIDTH : MIDDLE, '  ');
  const middle = isAccess
    ? [what.padEnd(WHAT_WIDTH), type.padEnd(4), readWords(event).padEnd(READ_WIDTH)].join(' ')
    : what.padEnd(MIDDLE);
  const lead = `${String(n).padStart(3)} ${event.who.padEnd(6)}`;
  const [first = '', ...rest] = labelled(`${lead}${middle} `, copiesWords(event, named), WIDTH);
  const below = more.map((words) => ' '.repeat(lead.length) + words);
  // What is left of both stands side by side below.
  const lines = Array.from({ length: Math.max(rest.length, below.length) }, (_, i) => {
    const words = (below[i] ?? '').padEnd(lead.length + middle.length + 1);
    return words + (rest[i] ?? '').trimStart();
  });
  return [first, ...lines].map((l) => l.trimEnd());
}

function program(run: Run): readonly string[] {
  const lines = run.program.memory.blob.length + run.program.memory.ram.length;
  const shown = shownEvents(run);
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
  const isGpu = (words: string): boolean => words.startsWith('gpu ');
  const who = all.every(isGpu) ? 'THE GPU' : all.some(isGpu) ? 'THE AGENTS' : 'THE CPUS';
  return ['', `WHAT ${who} SAW`, ...all.flatMap((s) => labelled('  ', s, WIDTH))];
}

function verdict(run: Run, { resolution, hinges }: Beside): readonly string[] {
  const contested = hingeWords(run, hinges).flatMap((w) => ['', ...wrap(w, WIDTH)]);
  if (resolution === null) return contested;
  const types = resolution.types.join(' or ');
  const words = resolution.verdicts.map(
    (v) => `${v.severity} ${v.code}${v.certain ? '' : ' (perhaps)'}: ${v.title}`,
  );
  return [
    '',
    `VERDICT of memtype explain on these facts: ${types}`,
    ...(words.length === 0 ? ['  nothing wrong'] : words.flatMap((w) => labelled('  ', w, WIDTH))),
    ...reconciled(run, resolution).flatMap((w) => labelled('  ', w, WIDTH)),
    ...contested,
  ];
}

function assumed({ stage }: Run): readonly string[] {
  if (stage.assumed.length === 0) return [];
  const words = stage.assumed.map(({ key, value }) => `${key} ${value}`).join(', ');
  return [
    '',
    'ASSUMED, because nothing was said (--format json says why)',
    ...labelled('  ', words, WIDTH),
  ];
}

function costs(run: Run): readonly string[] {
  if (run.types.length === 0) return [];
  return [
    '',
    ...wrap(`COST of the guest's accesses: ${costHead(run)}`, WIDTH),
    ...table(costRows(run)).map((l) => `  ${l}`),
    ...bulkWords(run).flatMap((w) => labelled('  ', w, WIDTH)),
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
      'Copies of the line, a digit a byte: mem memory, cpu0 and gpu their caches, cpu0.wc a write-combining buffer of CPU 0; * it has to be written back. Stores wait in a store buffer until the hardware moves them on.',
      WIDTH - 2,
    ).map((l) => `  ${l}`),
  ];
}

/** A run as text, 80 columns. */
export function runText(run: Run, scenario: Scenario, beside: Beside): string {
  return [
    ...heading(run, scenario),
    ...stage(run),
    ...program(run),
    ...seen(run),
    ...verdict(run, beside),
    ...assumed(run),
    ...costs(run),
    ...legend(run),
    '',
  ].join('\n');
}
