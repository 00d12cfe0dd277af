import type { Parsed } from '../../base/diagnostic.ts';
import type { U64 } from '../../base/u64.ts';
import {
  type Fields,
  type Form,
  type Format,
  type Line,
  Problems,
  readLines,
  readRow,
} from './common.ts';

/** One mapping. Addresses are 64 bits: with five-level tables, and for vsyscall, 53 are not enough. */
export interface Vma {
  readonly start: U64;
  /** Exclusive. */
  readonly end: U64;
  /** Four letters: r w x, and s(hared) or p(rivate). */
  readonly perms: string;
  /** Bytes; for /dev/mem and PCI resources the physical address. */
  readonly offset: U64;
  /** Major and minor number as printed, in hexadecimal. */
  readonly dev: string;
  /** Decimal digits: 64 bits. */
  readonly inode: string;
  /** Null for anonymous memory. Without " (deleted)". */
  readonly path: string | null;
  readonly deleted: boolean;
  /** The two-letter flags of smaps; null when the text is maps. "??" is a flag the kernel cannot name. */
  readonly vmFlags: readonly string[] | null;
  /** Bytes of it that are in memory, by smaps; null when the text is maps. */
  readonly resident: number | null;
  readonly line: number;
}

export interface Vmas {
  /** In the order of the file, which is that of the addresses. */
  readonly vmas: readonly Vma[];
}

const FORMAT: Format = {
  name: '/proc/PID/maps or smaps',
  shape: '7f13e0000000-7f13e0100000 rw-s 20400000 00:09 3   /dev/mem',
  refusals: {
    'No such file or directory': 'the process is gone, or this /proc hides it (hidepid)',
    'Permission denied': 'needs the same user and ptrace rights: capture it again as root',
  },
};

const MAPPING =
  /^(?<start>\w+)-(?<end>\w+) (?<perms>\S{4}) (?<offset>\w+) (?<dev>\w+:\w+) (?<inode>\w+)(?: +(?<path>.+))?$/d;
const PERMS = /^[r-][w-][x-][sp]$/;
const DEV = /^[0-9a-f]{2,}:[0-9a-f]{2,}$/;
const INODE = /^\d{1,20}$/;
const DELETED = ' (deleted)';

function checkForm(f: Fields, group: string, form: RegExp, what: string): string {
  const text = f.text(group);
  if (!form.test(text)) f.fail(group, `no ${what}`, `such a line looks like this: ${FORMAT.shape}`);
  return text;
}

/** The kernel escapes line feeds, and nothing else: a backslash stands for itself. */
function unescapePath(path: string): string {
  return path.replaceAll('\\012', '\n');
}

function isBelow(a: U64, b: U64): boolean {
  return a.hi < b.hi || (a.hi === b.hi && a.lo < b.lo);
}

/** With the blanks at the end: they may belong to the name. */
function readPath(f: Fields): string {
  const { source, text, offset } = f.line;
  const path = f.text('path');
  return path === '' ? '' : path + source.slice(offset + text.length);
}

function readMapping(f: Fields): Vma {
  const [start, end] = [f.u64('start'), f.u64('end')];
  if (!f.failed && !isBelow(start, end)) {
    f.fail('end', 'the mapping ends before it begins', 'the line is damaged: capture it again');
  }
  const path = readPath(f);
  const deleted = path.endsWith(DELETED);
  const name = unescapePath(deleted ? path.slice(0, -DELETED.length) : path);
  return {
    start,
    end,
    perms: checkForm(f, 'perms', PERMS, 'permissions'),
    offset: f.u64('offset'),
    dev: checkForm(f, 'dev', DEV, 'device number'),
    inode: checkForm(f, 'inode', INODE, 'inode number'),
    path: path === '' ? null : name,
    deleted,
    vmFlags: null,
    resident: null,
    line: f.line.number,
  };
}

const FORMS: readonly Form<Vma>[] = [{ pattern: MAPPING, read: readMapping }];

const VM_FLAGS = /^VmFlags:(?: \S\S)*$/;
/** "Rss: 4 kB", "THPeligible: 0" and their like. */
const DETAIL = /^[A-Z]\w*: +\d+(?: kB)?$/;

const RSS = /^Rss: +(\d{1,13}) kB$/;

/** What stands above a detail line of smaps: nothing yet, a mapping of the value, or a line in error. */
type Above = 'nothing' | 'mapping' | 'error';

function addFlags(line: Line, above: Above, vmas: Vma[], problems: Problems): void {
  const owner = vmas.at(-1);
  if (above === 'mapping' && owner?.vmFlags === null) {
    vmas[vmas.length - 1] = { ...owner, vmFlags: line.text.split(' ').slice(1) };
    return;
  }
  const help = 'the line of the mapping is missing or damaged: capture the file again';
  problems.error(line, 'it is not known to which mapping these flags belong', help);
}

/** @returns false when the line is no detail line. */
function readDetail(line: Line, above: Above, vmas: Vma[], problems: Problems): boolean {
  if (VM_FLAGS.test(line.text)) {
    addFlags(line, above, vmas, problems);
    return true;
  }
  if (!DETAIL.test(line.text)) return false;
  const resident = RSS.exec(line.text)?.[1];
  const owner = vmas.at(-1);
  if (above === 'mapping' && owner !== undefined && resident !== undefined) {
    vmas[vmas.length - 1] = { ...owner, resident: Number(resident) * 1024 };
  }
  if (above === 'nothing') {
    problems.error(
      line,
      'this line belongs to no mapping',
      'the beginning is missing: capture it again',
    );
  }
  return true;
}

/**
 * /proc/PID/maps and smaps: fs/proc/task_mmu.c, `show_map_vma` and `show_smap_vma_flags`. Of the
 * sizes that smaps adds only Rss is kept.
 */
export function parseMaps(text: string, file: string): Parsed<Vmas> {
  const problems = new Problems(file, FORMAT);
  const vmas: Vma[] = [];
  let above: Above = 'nothing';
  for (const line of readLines(text, problems)) {
    if (readDetail(line, above, vmas, problems)) continue;
    const vma = readRow(line, FORMS, problems);
    if (vma !== null) vmas.push(vma);
    above = vma === null ? 'error' : 'mapping';
  }
  return { value: { vmas }, problems: problems.list };
}
