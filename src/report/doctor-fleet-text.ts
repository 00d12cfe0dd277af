import { printable } from '../base/diagnostic.ts';
import { eraWord, type FleetRow, type FleetSummary, rowCodes } from '../doctor/fleet/fleet.ts';
import { count } from './doctor-words.ts';
import { labelled, table, wrap } from './wrap.ts';

const WIDTH = 80;
const FILE_COLUMNS = 32;

/** "12 E9, 3 not known" */
function countWords(counts: Readonly<Record<string, number>>): string {
  const words = Object.entries(counts).map(([name, n]) => `${n} ${name}`);
  return words.length === 0 ? '-' : words.join(', ');
}

/** One line: file, verdict, KVM's rules, paging, codes. The columns after a long file name move. */
export function fleetRowText(row: FleetRow): string {
  const file = row.file.padEnd(FILE_COLUMNS);
  if (row.verdict === 'error') return `${printable(`${file} error         ${row.error}`)}\n`;
  const era = row.eras === null ? '?' : row.eras.length === 0 ? '-' : eraWord(row);
  const codes = rowCodes(row).join(' ');
  const cells = [
    row.verdict.padEnd(13),
    era.padEnd(7),
    (row.paging === 'none' ? '-' : (row.paging ?? '?')).padEnd(6),
    codes === '' ? '-' : codes,
  ];
  return `${printable(`${file} ${cells.join(' ')}`)}\n`;
}

function codeTable({ codes }: FleetSummary): readonly string[] {
  if (codes.length === 0) return [];
  const rows = codes.map((c) => [
    c.code,
    c.severity,
    String(c.certain),
    String(c.possible),
    c.title,
  ]);
  return ['', ...table([['code', 'severity', 'hosts', 'possible', ''], ...rows], WIDTH)];
}

/** What many hosts come to. */
export function fleetSummaryText(s: FleetSummary): string {
  const { problem, undetermined, ok, error } = s.verdicts;
  const head =
    `${count(s.files, 'file')}: ${problem} with problems, ${undetermined} undetermined, ` +
    `${ok} with nothing wrong, ${error} that could not be read.`;
  const lines = [
    '',
    ...wrap(head, WIDTH),
    ...codeTable(s),
    '',
    ...labelled('KVM rules  ', countWords(s.eras), WIDTH),
    ...labelled('paging     ', countWords(s.paging), WIDTH),
    ...labelled('VMs        ', String(s.vms), WIDTH),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}
