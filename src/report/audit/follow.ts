import type { AuditCount, AuditResult, AuditVm } from '../../audit/audit.ts';
import type { AuditFinding } from '../../audit/findings.ts';
import { auditFindings } from '../../audit/findings.ts';
import { patState } from '../../audit/infer.ts';
import { leafName } from './document.ts';

/** A number of a recording that goes on, or a word. */
export interface FollowRow {
  readonly key: string;
  /** "VM 4321", or what concerns all. */
  readonly of: string;
  readonly what: string;
  readonly value: number | string;
}

const SIZES = ['', '4 KiB', '2 MiB', '1 GiB', '512 GiB'];
const PAGING = { ept: 'EPT', npt: 'NPT', shadow: 'shadow paging', pages: 'NPT or shadow paging' };

function countName(count: AuditCount): string {
  return `${leafName(count)}, ${SIZES[count.level] ?? `level ${count.level}`}`;
}

function heard(vm: AuditVm): readonly (readonly [string, number | string])[] {
  const pat = patState(vm);
  const { cd } = vm.state.guest;
  return [
    ...(pat === null ? [] : [['guest PAT', pat.ignored ? 'ignored' : 'honoured'] as const]),
    ...(cd === null ? [] : [['CR0.CD', cd ? 'set' : 'clear'] as const]),
  ];
}

function rowsOfVm(vm: AuditVm): readonly FollowRow[] {
  const of = vm.id === null ? 'VM ?' : `VM ${vm.id}`;
  const { removals, zapAll, mmioMarked } = vm.state;
  const rows: readonly (readonly [string, number | string])[] = [
    ...vm.counts.map((count) => [countName(count), count.installs] as const),
    ...heard(vm),
    ['regions', vm.regions.length],
    ['emulated MMIO', mmioMarked],
    ['taken away', removals],
    ['all zapped', zapAll.times],
  ];
  return rows
    .filter(([, value]) => value !== 0)
    .map(([what, value]) => ({ key: `${of} ${what}`, of, what, value }));
}

/** One row for each code and VM. */
function rowsOfFindings(findings: readonly AuditFinding[]): readonly FollowRow[] {
  const rows = new Map<string, FollowRow & { readonly value: number }>();
  for (const { code, severity, title, vm, count } of findings) {
    const of = vm === null ? 'all' : `VM ${vm}`;
    const key = `${of} ${code}`;
    const value = (rows.get(key)?.value ?? 0) + count;
    rows.set(key, { key, of, what: `${severity} ${code}: ${title}`, value });
  }
  return [...rows.values()];
}

/** What can be said at this moment, a row each; always in the same order. */
export function followRows(result: AuditResult): readonly FollowRow[] {
  const { paging, events, lost, gapCount, unreadableCount } = result;
  const all: readonly (readonly [string, number | string])[] = [
    ['events', events],
    ['paging', paging === null ? 0 : PAGING[paging]],
    ['times events were lost', gapCount],
    ['events lost', lost],
    ['events that could not be read', unreadableCount],
  ];
  return [
    ...all
      .filter(([, value]) => value !== 0)
      .map(([what, value]) => ({ key: what, of: 'all', what, value })),
    ...result.vms.flatMap(rowsOfVm),
    ...rowsOfFindings(auditFindings(result)),
  ];
}

/** "title: 12 (+3)"; of what is seen for the first time only the number, and of a finding without one the title. */
export function rowWords({ what, value }: FollowRow, before?: FollowRow['value']): string {
  if (value === 0) return what;
  if (typeof value === 'string' || typeof before !== 'number' || value === before)
    return `${what}: ${value}`;
  const more = value - before;
  return `${what}: ${value} (${more < 0 ? '' : '+'}${more})`;
}

/** Summaries of a recording that goes on. Keeps what it said last. */
export class Follow {
  #before: ReadonlyMap<string, FollowRow> = new Map();

  /**
   * A line for each row that is new, has changed or is gone, with the seconds since the begin.
   *
   * @param always a line also when there is none of these
   */
  changes(result: AuditResult, seconds: number, always = false): readonly string[] {
    const at = `${seconds.toFixed(1)} s`;
    const rows = followRows(result);
    const before = this.#keep(rows);
    const changed = rows
      .filter(({ key, value }) => before.get(key)?.value !== value)
      .map((row) => `${at}  ${row.of}  ${rowWords(row, before.get(row.key)?.value)}`);
    const gone = [...before.values()]
      .filter(({ key }) => !this.#before.has(key))
      .map((row) => `${at}  ${row.of}  no longer: ${row.what}`);
    const all = [...changed, ...gone];
    return all.length === 0 && always ? [`${at}  all  nothing has changed`] : all;
  }

  /** All rows, for a screen of so many columns and lines. */
  screen(
    result: AuditResult,
    seconds: number,
    { columns, rows: height }: { readonly columns: number; readonly rows: number },
  ): readonly string[] {
    const rows = followRows(result);
    const before = this.#keep(rows);
    const lines = [`recording for ${seconds.toFixed(0)} s; Ctrl-C ends it`];
    let of = 'all';
    for (const row of rows) {
      if (row.of !== of) lines.push(row.of);
      of = row.of;
      lines.push((of === 'all' ? '' : '  ') + rowWords(row, before.get(row.key)?.value));
    }
    // The cursor stands below the last line.
    const room = Math.max(2, height - 1);
    const shown =
      lines.length <= room
        ? lines
        : [...lines.slice(0, room - 1), `... and ${lines.length - room + 1} lines more`];
    return shown.map((line) => line.slice(0, columns));
  }

  /** @returns what was kept before */
  #keep(rows: readonly FollowRow[]): ReadonlyMap<string, FollowRow> {
    const before = this.#before;
    this.#before = new Map(rows.map((row) => [row.key, row]));
    return before;
  }
}
