import { cite } from '../cite/sources.ts';
import type { SideBranch, Stretch, Timeline } from '../compare/history/timeline.ts';
import type { TextOptions } from './explain-text.ts';
import { detailWords, factWords, headline, partWords, typeCell } from './timeline-words.ts';
import { labelled, wrap } from './wrap.ts';

type Row = Stretch | SideBranch;

function causeLines(row: Row, width: number): readonly string[] {
  const by = 'eras' in row && row.unsettled ? '    perhaps by ' : '    by ';
  return row.causes.flatMap((cause) => {
    const parts = partWords(cause);
    return [
      ...labelled(by, cite(cause.source), width),
      ...(parts === '' ? [] : labelled('       ', parts, width)),
    ];
  });
}

/** No column is so wide that the last has no room. */
const MOST_TYPE = 14;

/** A line or more for each row, and below it the commits that began it; what is the same is said once. */
function rowsLines(rows: readonly Row[], width: number): readonly string[] {
  const kernels = Math.max(0, ...rows.map((row) => row.kernels.length));
  const types = Math.max(4, ...rows.map(({ answer }) => typeCell(answer).length));
  const whole = rows.map((row) => [detailWords(row), ...causeLines(row, width)].join('\n'));
  return rows.flatMap((row, i) => {
    const cell = typeCell(row.answer).padEnd(Math.min(types, MOST_TYPE));
    const label = `${row.kernels.padEnd(kernels)}  ${cell}  `;
    const detail = whole[i] === whole[i - 1] ? 'the same' : detailWords(row);
    const causes = whole[i] === whole[i + 1] ? [] : causeLines(row, width);
    return [...labelled(label, detail, width), ...causes];
  });
}

/** How one answer moved, as text: the verdict, the stretches with what began them, what stands beside. */
export function timelineText(t: Timeline, { width }: TextOptions): string {
  const list = (title: string, rows: readonly string[]): readonly string[] =>
    rows.length === 0 ? [] : ['', title, ...rows];
  const lines = [
    ...wrap(headline(t), width),
    ...labelled('  of ', factWords(t), width),
    '',
    ...rowsLines(t.stretches, width),
    ...list('Beside mainline:', t.branches.length === 0 ? [] : rowsLines(t.branches, width)),
    ...list(
      'What the codes say:',
      t.verdicts.flatMap(({ code, title }) => labelled(`  ${code}  `, title, width)),
    ),
    ...(t.unknown.length === 0
      ? []
      : ['', ...labelled('To decide, say: ', t.unknown.join(', '), width)]),
    ...list(
      'Taken as given, because nothing was said:',
      t.assumptions.flatMap((a) => labelled(`  ${a.fact} ${a.value}: `, a.why, width)),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
