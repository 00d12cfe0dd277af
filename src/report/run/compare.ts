import type { Run } from '../../scenario/run.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { labelled, table, wrap } from '../wrap.ts';
import { storeCost } from './words.ts';

const WIDTH = 80;

/** Runs of one program, one for each kernel or policy, in the same order for every program. */
export type ProgramRuns = readonly Run[];

function subjectOf({ question }: Run): string {
  const [rules] = [...question.rules.values()];
  return rules === undefined ? '' : question.subject(rules);
}

function seenWords(run: Run): string {
  if (run.result === 'refused') return 'refused';
  return run.holds === null ? `${run.result}?` : run.result;
}

function row(name: string, runs: ProgramRuns, cell: (run: Run) => string): readonly string[] {
  return [name, ...runs.map(cell)];
}

/** As many columns side by side as fit, and the others below them under the same names of rows. */
function tables(rows: readonly (readonly string[])[]): readonly string[] {
  const columns = (rows[0]?.length ?? 1) - 1;
  const part = (from: number, count: number): readonly string[] =>
    table(
      rows.map(([name = '', ...cells]) => [name, ...cells.slice(from, from + count)]),
      WIDTH,
    );
  const inParts = (count: number): readonly (readonly string[])[] =>
    Array.from({ length: Math.ceil(columns / count) }, (_, i) => part(i * count, count));
  for (let count = columns; count > 1; count--) {
    const parts = inParts(count);
    if (parts.flat().every((line) => line.length <= WIDTH))
      return parts.flatMap((lines, i) => (i === 0 ? lines : ['', ...lines]));
  }
  return inParts(1).flatMap((lines, i) => (i === 0 ? lines : ['', ...lines]));
}

/** Programs below, kernels and policies across: what each ends with. */
export function compareRunsText(all: readonly ProgramRuns[], { title }: Scenario): string {
  const [first = []] = all;
  const store = (run: Run): string => {
    const [type] = run.types;
    if (type === undefined) return '-';
    return storeCost(run, type, 'Sapphire Rapids')?.toFixed(1) ?? 'not measured';
  };
  const rows = [
    ['', ...first.map(subjectOf)],
    row('guest maps', first, (r) => r.stage.mapping?.granted ?? '-'),
    row('KVM installs', first, (r) => r.stage.leaf ?? '-'),
    row('guest gets', first, (r) => r.types.join(', ') || '-'),
    row('ns a store', first, store),
    ...all.map((runs) => {
      const [{ program }] = runs as readonly [Run];
      return row(`${program.name} ${program.title}`, runs, seenWords);
    }),
  ];
  const legend =
    'ok: holds on every schedule. slow: holds, and stores go out one by one. x: some schedule violates it, or the type does. ' +
    'n/a: none does, and the guest kernel granted another type than the program is about. refused: there is no run. The rows above the programs are those of the first program; a store on Sapphire Rapids.';
  const notes = [...new Set(all.flat().flatMap((r) => r.question.notes))];
  return [
    ...wrap(title, WIDTH),
    ...notes.flatMap((note) => labelled('note: ', note, WIDTH)),
    '',
    ...tables(rows),
    '',
    ...wrap(legend, WIDTH),
    '',
  ].join('\n');
}
