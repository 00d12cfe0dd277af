import type { Parsed } from '../../base/diagnostic.ts';
import {
  type Fields,
  type Form,
  type Format,
  inclusiveRange,
  type Line,
  Problems,
  readLines,
  readRow,
  reportEmpty,
} from './common.ts';

/** One resource. Children follow their parent and lie inside it. */
export interface IomemEntry {
  readonly start: number;
  readonly endInclusive: number;
  readonly name: string;
  /** 0 for a resource at the top. */
  readonly depth: number;
  readonly line: number;
}

export interface Iomem {
  /** In the order of the file: a tree, parents first. */
  readonly entries: readonly IomemEntry[];
  /** Every address was printed as 0, as for a reader without CAP_SYS_ADMIN: only the names are true. */
  readonly hidden: boolean;
}

const FORMAT: Format = {
  name: '/proc/iomem',
  shape: '00100000-bfffffff : System RAM',
  refusals: { 'Permission denied': 'capture it again as root' },
};

const RESOURCE = /^(?<start>\w+)-(?<end>\w+) : (?<name>.+)$/d;

function readResource(f: Fields): IomemEntry {
  const depth = Math.floor(f.line.offset / 2);
  return { ...inclusiveRange(f), name: f.text('name'), depth, line: f.line.number };
}

const FORMS: readonly Form<IomemEntry>[] = [{ pattern: RESOURCE, read: readResource }];

interface Row {
  readonly line: Line;
  readonly entry: IomemEntry;
}

/** Warns about resources that do not lie inside the one they are indented under. */
function checkNesting(rows: readonly Row[], problems: Problems): void {
  const path: IomemEntry[] = [];
  for (const { line, entry } of rows) {
    while (path.length > 0 && (path.at(-1)?.depth ?? 0) >= entry.depth) path.pop();
    const parent = path.at(-1);
    const missing = entry.depth - (parent?.depth ?? -1) !== 1 || line.offset % 2 !== 0;
    const outside =
      parent !== undefined &&
      (entry.start < parent.start || entry.endInclusive > parent.endInclusive);
    if (missing || outside) {
      const help = 'lines are missing, or the indentation was changed: capture the whole file';
      problems.warning(line, 'this resource does not fit under the one above it', help);
    }
    path.push(entry);
  }
}

/** The whole tree, flat and parents first; a fragment is fine, with warnings. kernel/resource.c, `r_show`. */
export function parseIomem(text: string, file: string): Parsed<Iomem> {
  const problems = new Problems(file, FORMAT);
  const rows = readLines(text, problems).flatMap((line) => {
    const entry = readRow(line, FORMS, problems);
    return entry === null ? [] : [{ line, entry }];
  });
  const entries = rows.map((row) => row.entry);
  const [first] = rows;
  const hidden = first !== undefined && entries.every((e) => e.start === 0 && e.endInclusive === 0);
  if (first === undefined) {
    if (problems.list.length === 0)
      reportEmpty(problems, 'every kernel lists some: capture it again');
  } else if (hidden) {
    const help = 'read /proc/iomem as root; other users get the names only';
    problems.warning(first.line, 'every address is hidden', help);
  } else {
    checkNesting(rows, problems);
  }
  return { value: { entries, hidden }, problems: problems.list };
}
