import type { Parsed } from '../../base/diagnostic.ts';
import {
  type Fields,
  type Form,
  type Format,
  inclusiveRange,
  Problems,
  readLines,
  readRow,
  reportEmpty,
} from './common.ts';
import { E820_WORDS_HELP, type E820Entry, type E820Type, e820TypeOf } from './e820.ts';

/** The map as the firmware gave it, unless a kexec'ed kernel or its loader changed it. */
export interface FirmwareMemmap {
  /** In the order of the file. */
  readonly entries: readonly E820Entry[];
}

const FORMAT: Format = {
  name: '/sys/firmware/memmap',
  shape: '0x100000-0xbfffffff System RAM',
  refusals: {
    'No such file or directory':
      'the kernel was built without CONFIG_FIRMWARE_MEMMAP: take the BIOS-e820 lines of dmesg instead',
  },
};

const ENTRY = /^0x(?<start>\w+)-0x(?<end>\w+) (?<type>.+)$/d;

function readType(f: Fields): E820Type {
  const type = e820TypeOf(f.text('type'));
  if (type === null) f.fail('type', 'unknown kind of memory', E820_WORDS_HELP);
  return type ?? 'other';
}

function readEntry(f: Fields): E820Entry {
  return { ...inclusiveRange(f), type: readType(f), name: f.text('type'), line: f.line.number };
}

const FORMS: readonly Form<E820Entry>[] = [{ pattern: ENTRY, read: readEntry }];

/**
 * /sys/firmware/memmap with one line per directory, as our capture writes it: the files `start`, `end`
 * (inclusive) and `type`. drivers/firmware/memmap.c.
 */
export function parseFirmwareMemmap(text: string, file: string): Parsed<FirmwareMemmap> {
  const problems = new Problems(file, FORMAT);
  const entries: E820Entry[] = [];
  for (const line of readLines(text, problems)) {
    const entry = readRow(line, FORMS, problems);
    if (entry !== null) entries.push(entry);
  }
  if (entries.length === 0 && problems.list.length === 0) {
    reportEmpty(problems, 'every PC has some: capture it again, or take the e820 lines of dmesg');
  }
  return { value: { entries }, problems: problems.list };
}
