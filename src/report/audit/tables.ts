import type { AuditRegion, AuditVm } from '../../audit/audit.ts';
import type { VmId } from '../../audit/vms.ts';
import type { AuditReport } from './document.ts';
import { regionJson } from './json.ts';

/** Columns of a region as a row, for CSV and Parquet. */
export const REGION_COLUMNS = [
  'file',
  'vm',
  'as_id',
  'gfn_start',
  'gfn_end',
  'pages',
  'paging',
  'memtype',
  'ipat',
  'pat_index',
  'level',
  'writable',
  'sure',
  'since_place',
  'since_time',
  'until_place',
  'until_time',
  'changes',
  'before_memtype',
  'before_ipat',
] as const;

export type RegionColumn = (typeof REGION_COLUMNS)[number];
export type Cell = string | number | boolean | null;
export type RegionRow = Readonly<Record<RegionColumn, Cell>>;

function regionRow(region: AuditRegion, vm: VmId, { source, result }: AuditReport): RegionRow {
  const { gfnStart, gfnEnd, since, until, before } = region;
  return {
    file: source.file,
    vm,
    as_id: region.asId,
    gfn_start: gfnStart,
    gfn_end: gfnEnd,
    pages: gfnEnd - gfnStart,
    paging: result.paging,
    memtype: region.memtype,
    ipat: region.ipat,
    pat_index: region.patIndex,
    level: region.level,
    writable: region.writable,
    sure: region.sure,
    since_place: since.place,
    since_time: since.time,
    until_place: until.place,
    until_time: until.time,
    changes: region.changes,
    before_memtype: before?.memtype ?? null,
    before_ipat: before?.ipat ?? null,
  };
}

/** The regions of all VMs of a trace, as rows. */
export function* regionRows(report: AuditReport): Generator<RegionRow> {
  for (const vm of report.result.vms)
    for (const region of vm.regions) yield regionRow(region, vm.id, report);
}

// ---- CSV --------------------------------------------------------------------------------------

/** RFC 4180: lines end with CRLF, and what has a comma, a quote or a line end stands in quotes. */
function csvLine(cells: readonly Cell[]): string {
  const words = cells.map((cell) => {
    const text = cell === null ? '' : String(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${words.join(',')}\r\n`;
}

export function csvHead(): string {
  return csvLine(REGION_COLUMNS);
}

/** A line for each region. */
export function* csvLines(report: AuditReport): Generator<string> {
  for (const row of regionRows(report)) yield csvLine(REGION_COLUMNS.map((name) => row[name]));
}

// ---- JSONL ------------------------------------------------------------------------------------

function* ofVm(vm: AuditVm, { source, result }: AuditReport): Generator<string> {
  for (const region of vm.regions) {
    const more = { file: source.file, paging: result.paging };
    yield `${JSON.stringify({ ...more, ...regionJson(region, vm.id) })}\n`;
  }
}

/** A region on each line: see `regionSchema`. */
export function* jsonLines(report: AuditReport): Generator<string> {
  for (const vm of report.result.vms) yield* ofVm(vm, report);
}
