import { cite } from '../../cite/sources.ts';
import { type Copy, printCopies } from '../../explore/copies.ts';
import { printPath } from '../../explore/path.ts';
import type { Moment, TracedStep } from '../../explore/trace.ts';
import { labelled, wrap } from '../wrap.ts';
import { agentsOf, type Told } from './told.ts';

const WIDTH = 80;
/** `  12 ` */
const NUMBER = 5;
const NARROWEST = 18;

/** Lines of memory whose copies a step changed, each as text. */
export function changedLines(before: Moment, after: Moment): readonly string[] {
  return Object.entries(after.copies).flatMap(([line, copies]: [string, readonly Copy[]]) => {
    const now = printCopies(copies);
    return now === printCopies(before.copies[line] ?? []) ? [] : [`${line}: ${now}`];
  });
}

function cell(lines: readonly string[], row: number, width: number): string {
  return (lines[row] ?? '').padEnd(width);
}

/** The step in the lane of its agent; without room for lanes, behind its name. */
function laneRows(agents: readonly string[], { step }: TracedStep): readonly string[] {
  const width = Math.floor((WIDTH - NUMBER) / agents.length);
  if (width < NARROWEST) {
    return labelled(`${step.agent} `.padEnd(8), step.text, WIDTH - NUMBER);
  }
  const words = wrap(step.text, width - 2);
  return words.map((_, row) =>
    agents
      .map((agent) => cell(agent === step.agent ? words : row === 0 ? ['.'] : [], row, width))
      .join('')
      .trimEnd(),
  );
}

function headRow(agents: readonly string[]): readonly string[] {
  const width = Math.floor((WIDTH - NUMBER) / agents.length);
  if (width < NARROWEST) return [];
  return [
    ' '.repeat(NUMBER) +
      agents
        .map((agent) => agent.padEnd(width))
        .join('')
        .trimEnd(),
  ];
}

function indented(text: string): readonly string[] {
  return wrap(text, WIDTH - NUMBER - 4, '    ').map((line) => `${' '.repeat(NUMBER)}  ${line}`);
}

const HOW = { late: 'because it may be late', happens: 'because it may happen' };

function whyLines({ causes, repairs: { repairs, undecided } }: NonNullable<Told['why']>): string[] {
  const said = [
    ...causes.map(
      ({ rule, how }) =>
        `${HOW[how]}: ${rule.title} (${rule.id}). ${rule.sources.map(cite).join('; ')}`,
    ),
    ...repairs.map((changes) => `forbidden by: ${changes.map((c) => c.text).join(', and ')}`),
    ...(repairs.length === 0 ? ['forbidden by: no change that was tried'] : []),
    ...(undecided === 0 ? [] : [`not known of ${undecided} changes: their searches were cut`]),
  ];
  return said.flatMap((line) => wrap(line, WIDTH, '  '));
}

/** An execution as lanes, a column an agent, with the copies of each line where they change. Fits 80 columns. */
export function traceText(told: Told): string {
  const { trace, title } = told;
  const agents = agentsOf(told);
  const rows = trace.steps.flatMap((step, i) => {
    const before = i === 0 ? trace.initial : (trace.steps[i - 1] ?? trace.initial);
    const number = String(i + 1).padStart(NUMBER - 2);
    return [
      ...laneRows(agents, step).map(
        (row, k) => `${k === 0 ? `${number}  ` : ' '.repeat(NUMBER)}${row}`,
      ),
      ...changedLines(before, step).flatMap(indented),
    ];
  });
  const first = Object.entries(trace.initial.copies).flatMap(([line, copies]) =>
    indented(`${line}: ${printCopies(copies)}`),
  );
  return [
    ...wrap(title, WIDTH, '  '),
    `path ${printPath(trace.path)}`,
    '',
    ...headRow(agents),
    ...first,
    ...rows,
    '',
    ...told.values,
    ...(told.why === null ? [] : whyLines(told.why)),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}
