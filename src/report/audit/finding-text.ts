import { printable } from '../../base/diagnostic.ts';
import { labelled, wrap } from '../wrap.ts';
import { type Excerpt, momentWords, type ShownFinding, type TraceSource } from './document.ts';

const CUT = '...';
const EVENT = /[a-z_]\w*: /g;

/** Where to begin a line that is too long: at its event when the mark fits behind it, else at the mark. */
function startOf({ text, column, length }: Excerpt, width: number): number {
  if (text.length <= width) return 0;
  const room = width - 2 * CUT.length;
  const names = [...text.matchAll(EVENT)].map((found) => found.index);
  const begin = names.find((at) => at < column && column - 1 + length - at <= room);
  return begin ?? Math.max(0, column - 1 - Math.floor(room / 4));
}

/** A line of the trace, cut to fit, and a caret below what is meant. */
export function excerptLines(excerpt: Excerpt, label: string, width: number): readonly string[] {
  const room = width - label.length;
  const { text, column, length } = excerpt;
  const start = startOf(excerpt, room);
  const lead = start > 0 ? CUT : '';
  const full = lead + text.slice(start);
  const shown = full.length > room ? full.slice(0, room - CUT.length) + CUT : full;
  const caret = lead.length + column - 1 - start;
  const marks = Math.max(1, Math.min(length, shown.length - caret));
  const margin = `${' '.repeat(label.trimEnd().length - 1)}| `;
  return [label + printable(shown), margin + ' '.repeat(caret) + '^'.repeat(marks)];
}

/** A finding: what to do first, then where, with the line of the trace. */
export function findingLines(
  f: ShownFinding,
  unit: TraceSource['unit'],
  width: number,
): readonly string[] {
  const where = f.at === null ? [] : [momentWords(f.at, unit)];
  const vm = f.vm === null ? [] : [`VM ${f.vm}`];
  const place = [...vm, ...where].join(', ');
  const number = f.at === null ? '' : unit === 'line' ? String(f.at.place) : 'event';
  return [
    ...wrap(`${f.severity} ${f.code}: ${f.title}`, width, '  '),
    ...labelled('  fix    ', f.fix, width),
    ...labelled('  what   ', f.text, width),
    ...(place === '' ? [] : labelled('  where  ', place, width)),
    ...(f.excerpt === null ? [] : excerptLines(f.excerpt, `${number.padStart(8)} | `, width)),
  ];
}
