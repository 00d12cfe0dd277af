import type { Parsed } from '../../base/diagnostic.ts';
import type { PatType } from '../../x86/types.ts';
import {
  exclusiveRange,
  type Fields,
  type Form,
  type Format,
  PAT_WORDS,
  Problems,
  readLines,
  readRow,
  reportEmpty,
} from './common.ts';

/** One reservation of the kernel's memtype tracker. Duplicates and nesting are normal. */
export interface MemtypeEntry {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly type: PatType;
  readonly line: number;
}

/**
 * debugfs x86/pat_memtype_list. RAM is not in it since about 2.6.29 (its types stand in page flags),
 * nor are pages inserted one by one (vfio BARs since 6.12): absence does not mean that nothing maps
 * the address.
 */
export interface MemtypeList {
  /** In the order of the file. */
  readonly entries: readonly MemtypeEntry[];
  /** The text has its first line and no gap. Without that, absence says even less. */
  readonly complete: boolean;
}

const FORMAT: Format = {
  name: 'pat_memtype_list',
  shape: 'PAT: [mem 0x00000000fed00000-0x00000000fed01000] uncached-minus',
  refusals: {
    'No such file or directory':
      'PAT is off ("nopat", or no PAT in the CPU), or debugfs is not mounted, or the kernel was built ' +
      'without CONFIG_DEBUG_FS: look for "x86/PAT" in dmesg',
    'Permission denied': 'only root reads debugfs: capture it again as root',
    'Operation not permitted': 'kernel lockdown hides debugfs, even from root',
  },
};

const HEADER = 'PAT memtype list:';
const BRACKETED = /^PAT: \[mem 0x(?<start>\w+)-0x(?<end>\w+)\] (?<type>.+)$/d;
/** Up to 5.5. */
const TYPE_FIRST = /^(?<type>[\w-]+) @ 0x(?<start>\w+)-0x(?<end>\w+)$/d;
/** What people and grep put where they left lines out. */
const ELISION = /^(?:[.\s\u2026]+|\[\.\.\.\]|--)$/;

function readType(f: Fields): PatType {
  if (f.text('type') === 'broken') {
    const help = 'the kernel holds a type number that it does not know: report it to the kernel';
    f.fail('type', 'the kernel calls this entry "broken"', help);
    return 'UC';
  }
  return f.word('type', PAT_WORDS);
}

function readEntry(f: Fields): MemtypeEntry {
  return { ...exclusiveRange(f), type: readType(f), line: f.line.number };
}

const FORMS: readonly Form<MemtypeEntry>[] = [
  { pattern: BRACKETED, read: readEntry },
  { pattern: TYPE_FIRST, read: readEntry },
];

/** Both wordings: arch/x86/mm/pat/memtype.c, `memtype_seq_show`. Fragments without header are fine. */
export function parseMemtypeList(text: string, file: string): Parsed<MemtypeList> {
  const problems = new Problems(file, FORMAT);
  const entries: MemtypeEntry[] = [];
  const lines = readLines(text, problems);
  let complete = lines[0]?.text === HEADER;
  for (const line of lines) {
    if (line.text === HEADER) continue;
    if (ELISION.test(line.text)) {
      problems.warning(line, 'lines were left out here', 'capture the whole file');
      complete = false;
      continue;
    }
    const entry = readRow(line, FORMS, problems);
    if (entry === null) complete = false;
    else entries.push(entry);
  }
  if (lines.length === 0 && problems.list.length === 0) {
    reportEmpty(problems, `even an empty list has the line "${HEADER}": capture it again as root`);
  }
  return { value: { entries, complete }, problems: problems.list };
}
