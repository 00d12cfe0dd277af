import { type EventFormat, parseEventFormat } from './format.ts';
import type { Problems } from './problems.ts';
import { type PageLayout, parsePageHeader } from './ring.ts';
import { type Cursor, Damaged } from './source.ts';

/** A description of an event, a page or a list is some kilobytes; what claims more is damage. */
const TEXT_MAX = 1 << 20;
const COUNT_MAX = 1 << 16;
/** A line for each of at most 4 Mi threads. */
const CMDLINES_MAX = 1 << 27;

function description(cursor: Cursor): string {
  const { offset } = cursor;
  const size = cursor.u64();
  if (size > TEXT_MAX) throw new Damaged(offset, `a description claims to have ${size} bytes`);
  return cursor.text(size);
}

function count(cursor: Cursor, what: string): number {
  const { offset } = cursor;
  const number = cursor.u32();
  if (number > COUNT_MAX) throw new Damaged(offset, `there are said to be ${number} ${what}`);
  return number;
}

/** "header_page" and "header_event": the layout of the ring buffer. Null: it cannot be read. */
export function readHeaderInfo(cursor: Cursor): PageLayout | null {
  const start = cursor.offset;
  if (cursor.zeroEnded(32) !== 'header_page')
    throw new Damaged(start, 'no header_page stands here');
  const page = description(cursor);
  const second = cursor.offset;
  if (cursor.zeroEnded(32) !== 'header_event')
    throw new Damaged(second, 'no header_event stands here');
  description(cursor);
  return parsePageHeader(page, cursor.little);
}

function oneFormat(cursor: Cursor, system: string, problems: Problems): EventFormat | null {
  const { offset } = cursor;
  const text = description(cursor);
  const format = parseEventFormat(text, system);
  if (format === null)
    problems.add(offset, `a description of an event of ${system} cannot be read`);
  return format;
}

/** "saved_cmdlines" of tracefs: names of threads. */
export function readCmdlines(cursor: Cursor): string {
  const { offset } = cursor;
  const size = cursor.u64();
  if (size > CMDLINES_MAX)
    throw new Damaged(offset, `names of threads claim to have ${size} bytes`);
  return cursor.text(size);
}

/** The events of ftrace itself. */
export function readFtraceFormats(cursor: Cursor, problems: Problems): readonly EventFormat[] {
  const formats: EventFormat[] = [];
  for (let left = count(cursor, 'events'); left > 0; left -= 1) {
    const format = oneFormat(cursor, 'ftrace', problems);
    if (format !== null) formats.push(format);
  }
  return formats;
}

/** The events of every other system. What is there before a damage is kept. */
export function readEventFormats(cursor: Cursor, problems: Problems): readonly EventFormat[] {
  const formats: EventFormat[] = [];
  try {
    for (let systems = count(cursor, 'event systems'); systems > 0; systems -= 1) {
      const system = cursor.zeroEnded();
      for (let left = count(cursor, `events of ${system}`); left > 0; left -= 1) {
        const format = oneFormat(cursor, system, problems);
        if (format !== null) formats.push(format);
      }
    }
  } catch (error) {
    if (!(error instanceof Damaged) || formats.length === 0) throw error;
    problems.add(error.offset, `${error.message}: the descriptions that follow are not read`);
  }
  return formats;
}
