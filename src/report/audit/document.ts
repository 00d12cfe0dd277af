import type { AuditResult } from '../../audit/audit.ts';
import type { AuditFinding } from '../../audit/findings.ts';
import type { Inference } from '../../audit/infer.ts';
import type { Prediction } from '../../audit/predict.ts';
import type { Moment } from '../../audit/vm-map.ts';

/** The file that a trace was read from. */
export interface TraceSource {
  /** "-": standard input. */
  readonly file: string;
  /** "text", "trace.dat 7". */
  readonly form: string;
  /** What the places of events are: numbers of lines, from 1, or offsets. */
  readonly unit: 'line' | 'offset';
  readonly bytes: number;
  /** Null: it has none. */
  readonly lines: number | null;
  /** What it says of the system that it was recorded on. */
  readonly about: readonly string[];
  /** By what is wrong with them: how many lines or records. */
  readonly damaged: readonly Damage[];
}

/** Lines or records that could not be read as they should. */
export interface Damage {
  /** In words, for any number but one: "lines with bytes that no text has". */
  readonly what: string;
  /** All that is said of a single one: "1 line with bytes that no text has", "the file is cut". */
  readonly one: string;
  readonly count: number;
  /** Events may be missing for it. */
  readonly isLoss: boolean;
  /** The first ones. */
  readonly first: readonly {
    readonly place: number;
    readonly column: number;
    readonly text: string;
  }[];
}

/** A line of the trace, or an event as a line, and what to look at in it. */
export interface Excerpt {
  readonly text: string;
  /** From 1. */
  readonly column: number;
  readonly length: number;
}

/** "2 lines longer than any event"; of what there is once, as it says itself. */
export function damageWords({ what, one, count }: Damage): string {
  return count === 1 ? one : `${count} ${what}`;
}

/** VMs that cannot be told apart, and what to do. */
export function mixedVms(least: number): string {
  return (
    `${least} VMs at least, by the names of threads, are taken for one: ` +
    'record processes (option record-tgid); of a file, not of a pipe, names may be enough'
  );
}

export interface ShownFinding extends AuditFinding {
  /** Null: there is no such line, or it was not kept. */
  readonly excerpt: Excerpt | null;
}

/** All that is said of one trace. */
export interface AuditReport {
  readonly source: TraceSource;
  readonly result: AuditResult;
  readonly findings: readonly ShownFinding[];
  readonly inferences: readonly Inference[];
  /** Null: no facts were given. */
  readonly prediction: Prediction | null;
}

const EVENT = /(?:^|[\s:])((?:kvm|mark_mmio|handle_mmio|tracing_mark|bprint|print)\w*):/;

/** Where a mark stands in the text of an event, not as the begin of a longer number; -1: it does not. */
export function markIn(text: string, mark: string): number {
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1))
    if (!/\w/.test(text[at + mark.length] ?? '')) return at;
  return -1;
}

/** What `mark` is in a line; its event where nothing is to be marked, or is not there. */
export function excerptOf(text: string, mark: string | null): Excerpt {
  const at = mark === null ? -1 : markIn(text, mark);
  if (at >= 0 && mark !== null) return { text, column: at + 1, length: mark.length };
  const name = EVENT.exec(text)?.[1];
  if (name === undefined) return { text, column: 1, length: Math.max(1, text.length) };
  return { text, column: text.indexOf(name) + 1, length: name.length };
}

/** "line 371, 16.420133 s", "offset 4f20". */
export function momentWords({ place, time }: Moment, unit: TraceSource['unit']): string {
  const where = unit === 'line' ? `line ${place}` : `offset 0x${place.toString(16)}`;
  return time === null ? where : `${where}, ${time.toFixed(6)} s`;
}

/** "WB+IPAT", "UC", "PAT index 0"; "not told" where it may be of EPT or of a page table. */
export function leafName(leaf: {
  readonly memtype: string | null;
  readonly ipat: boolean | null;
  readonly patIndex: number | null;
}): string {
  if (leaf.patIndex !== null) return `PAT index ${leaf.patIndex}`;
  if (leaf.ipat === null) return 'not told';
  return `${leaf.memtype ?? 'reserved'}${leaf.ipat === true ? '+IPAT' : ''}`;
}

export const LEVEL_WORDS: readonly string[] = ['', '4K', '2M', '1G'];
