import type { AuditRegion, AuditResult, AuditVm } from '../../audit/audit.ts';
import type { Written } from '../../audit/guest-state.ts';
import type { ToldBy } from '../../audit/vms.ts';
import { u64ToHex } from '../../base/u64.ts';
import { count } from '../doctor-words.ts';
import { labelled, table, wrap } from '../wrap.ts';
import { LEVEL_WORDS, leafName, mixedVms, momentWords, type TraceSource } from './document.ts';

/** Regions that are shown; the other formats have all of them. */
const REGIONS_SHOWN = 24;

const TOLD: Readonly<Record<ToldBy, string>> = {
  given: '',
  tgid: '',
  names: ', told from others by the names of threads',
  one: ', taken for one: the trace has no processes (option record-tgid)',
};

/** "1 leaf entry installed" */
export function installedWords(sptes: number): string {
  return `${count(sptes, 'leaf entry', 'leaf entries')} installed`;
}

function pagesOf(regions: readonly AuditRegion[]): number {
  return regions.reduce((sum, { gfnStart, gfnEnd }) => sum + gfnEnd - gfnStart, 0);
}

/** Types with what was installed of them, and what is mapped at the end. */
function countRows(vm: AuditVm): readonly (readonly string[])[] {
  return vm.counts.map((row) => {
    const same = vm.regions.filter(
      (r) =>
        r.level === row.level &&
        r.memtype === row.memtype &&
        r.ipat === row.ipat &&
        r.patIndex === row.patIndex,
    );
    return [
      `  ${leafName(row)}`,
      LEVEL_WORDS[row.level] ?? String(row.level),
      String(row.installs),
      String(pagesOf(same)),
    ];
  });
}

function hex(value: number): string {
  return value.toString(16);
}

type TypeOf = Pick<AuditRegion, 'memtype' | 'ipat'>;

function isSameType(a: TypeOf, b: TypeOf): boolean {
  return a.memtype === b.memtype && a.ipat === b.ipat;
}

function typeName({ memtype, ipat }: TypeOf): string {
  return leafName({ memtype, ipat, patIndex: null });
}

function regionRow(region: AuditRegion, unit: TraceSource['unit']): readonly string[] {
  const { gfnStart, gfnEnd, level, writable, sure, since, changes, before, asId } = region;
  const notes = [
    ...(writable ? [] : ['not writable']),
    ...(asId === 1 ? ['SMM'] : []),
    ...(sure ? [] : ['not sure']),
    ...(changes > 0 ? [`changed${changes > 1 ? ` ${changes} times` : ''}`] : []),
    ...(before === null || isSameType(before, region) ? [] : [`was ${typeName(before)}`]),
  ];
  const place = unit === 'line' ? String(since.place) : `0x${hex(since.place)}`;
  return [
    `  ${hex(gfnStart)}-${hex(gfnEnd - 1)}`,
    String(gfnEnd - gfnStart),
    leafName(region),
    LEVEL_WORDS[level] ?? String(level),
    place,
    notes.join(', '),
  ];
}

function regionLines(vm: AuditVm, unit: TraceSource['unit'], width: number): readonly string[] {
  if (vm.regions.length === 0) return ['  nothing is mapped at the end of the trace'];
  const shown = vm.regions.slice(0, REGIONS_SHOWN);
  const rest = vm.regions.length - shown.length;
  return [
    '',
    ...table(
      [
        ['  gfn (hex)', 'pages', 'type', 'level', `since ${unit}`, ''],
        ...shown.map((region) => regionRow(region, unit)),
      ],
      width,
    ),
    ...(rest > 0 ? [`  and ${count(rest, 'more region')}: --format csv, json or svg has all`] : []),
  ];
}

function registerLine(name: string, w: Written, unit: TraceSource['unit']): string {
  const times = w.times > 1 ? `, written ${w.times} times` : '';
  return `  ${name} = ${u64ToHex(w.value)} (${momentWords(w, unit)}${times})`;
}

function guestLines(
  { state }: AuditVm,
  unit: TraceSource['unit'],
  width: number,
): readonly string[] {
  const { pat, cr0, mtrrs, cd } = state.guest;
  const lines = [
    ...(pat === null ? [] : [registerLine('PAT (277)', pat, unit)]),
    ...(cr0 === null ? [] : [registerLine(`CR0 (CD ${cd === true ? 1 : 0})`, cr0, unit)]),
    ...mtrrs.map(([msr, written]) => registerLine(`MTRR ${hex(msr)}`, written, unit)),
  ];
  return lines.length === 0
    ? []
    : [
        '',
        '  written by the guest',
        ...lines.flatMap((line) => wrap(line.trim(), width - 2, '  ').map((l) => `  ${l}`)),
      ];
}

function sideLines({ state }: AuditVm, width: number): readonly string[] {
  const parts = [
    ...(state.removals > 0 ? [`${count(state.removals, 'entry', 'entries')} taken away`] : []),
    ...(state.tornDown > 0 ? [`${state.tornDown} of tables no longer in use`] : []),
    ...(state.zapAll.times > 0 ? [`all zapped ${count(state.zapAll.times, 'time')}`] : []),
    ...(state.mmioMarked > 0 ? [`${count(state.mmioMarked, 'page')} marked as emulated MMIO`] : []),
    ...(state.mmioFaults > 0 ? [count(state.mmioFaults, 'MMIO fault')] : []),
  ];
  return parts.length === 0 ? [] : labelled('  also: ', parts.join(', '), width);
}

function hostLines({ join }: AuditVm, width: number): readonly string[] {
  if (join.length === 0) return [];
  const rows = table(
    [
      ['  frame on the host', 'installed', 'entries', 'e.g. gfn/pfn'],
      ...join.map((row) => [
        `  ${row.host.memtype ?? ''} ${row.host.kind}`.replace(/^ {3}/, '  '),
        leafName(row),
        String(row.installs),
        `${hex(row.first.gfn)}/${hex(row.first.pfn)}`,
      ]),
    ],
    width,
  );
  return ['', ...rows];
}

/** One VM: what was installed, what the host has there, what is mapped at the end, what its guest wrote. */
export function vmLines(
  vm: AuditVm,
  { told, least }: Pick<AuditResult, 'told' | 'least'>,
  unit: TraceSource['unit'],
  width: number,
): readonly string[] {
  const { id, events, sptes, threads } = vm;
  const unknown = told === 'one' ? 'One VM' : 'Of no VM that is known';
  const name = id === null ? unknown : `VM ${id}`;
  const title = `${name}: ${count(events, 'event')} of ${count(threads, 'thread')}, ${installedWords(sptes)}${told === 'one' && least > 1 ? `; ${mixedVms(least)}` : TOLD[told]}`;
  return [
    ...labelled('', title, width),
    ...(vm.counts.length === 0
      ? []
      : table([['  type', 'level', 'installed', 'pages at the end'], ...countRows(vm)], width)),
    ...hostLines(vm, width),
    ...regionLines(vm, unit, width),
    ...guestLines(vm, unit, width),
    ...sideLines(vm, width),
  ];
}
