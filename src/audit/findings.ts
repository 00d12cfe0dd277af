import { u64ToHex } from '../base/u64.ts';
import { kernelWords } from '../kvm/spte-editions.ts';
import type { Severity, VerdictCode } from '../resolve/verdict.ts';
import { NO_NAME } from '../trace/event-names.ts';
import type { AuditCount, AuditRegion, AuditResult, AuditVm } from './audit.ts';
import { type EditionSet, editionsIn } from './editions.ts';
import type { JoinRow } from './host-pages.ts';
import { isPossible, patState } from './infer.ts';
import { AUDIT_FINDINGS, type AuditFindingName } from './kinds.ts';
import type { Prediction, Standing } from './predict.ts';
import type { Moment } from './vm-map.ts';
import type { VmId } from './vms.ts';

/** Something that is wrong, or worth knowing, in a trace. */
export interface AuditFinding {
  readonly code: VerdictCode;
  readonly severity: Severity;
  readonly title: string;
  /** Null: of the whole trace, or of its one VM. */
  readonly vm: VmId;
  /** How many events or pages show it. */
  readonly count: number;
  /** The first event that shows it; null: none does. */
  readonly at: Moment | null;
  /** What to mark in the text of this event, as the kernel prints it; null: the whole. */
  readonly mark: string | null;
  readonly text: string;
  readonly agents: readonly string[];
  readonly fix: string;
}

interface Said {
  readonly vm?: VmId;
  readonly count: number;
  readonly at: Moment | null;
  readonly mark?: string | null;
  readonly text: string;
  readonly agents?: readonly string[];
}

function finding(name: AuditFindingName, said: Said): AuditFinding {
  const { code, severity, title, fix } = AUDIT_FINDINGS[name];
  const { vm = null, count, at, mark = null, text, agents = ['KVM'] } = said;
  return { code, severity, title, vm, count, at, mark, text, agents, fix };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function printed(spte: { readonly hi: number; readonly lo: number }): string {
  return u64ToHex(spte).slice(2);
}

function leafWords(leaf: Pick<AuditCount, 'memtype' | 'ipat' | 'patIndex'>): string {
  if (leaf.patIndex !== null)
    return leaf.patIndex === 0 ? 'PAT index 0' : `PAT index ${leaf.patIndex}`;
  if (leaf.ipat === null) return 'a type that is not told';
  return `${leaf.memtype ?? 'a reserved type'}${leaf.ipat === true ? '+IPAT' : ''}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function entries(count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`;
}

// ---- with the host ----------------------------------------------------------------------------

const CACHEABLE: ReadonlySet<string | null> = new Set(['WB', 'WT', 'WP']);

function isForced(row: JoinRow, isShadow: boolean): boolean {
  const isOther = ['WC', 'UC-', 'WT'].includes(row.host.memtype ?? '');
  const isWb = row.memtype === 'WB' && row.ipat === true;
  return row.host.kind === 'ram' && isOther && (isWb || (isShadow && row.patIndex === 0));
}

function isUncachedRam({ host, memtype }: JoinRow): boolean {
  return host.kind === 'ram' && host.memtype === 'WB' && memtype === 'UC';
}

function isCachedDevice({ host, memtype }: JoinRow): boolean {
  return host.kind === 'device' && CACHEABLE.has(memtype);
}

/** One finding of all rows that show it. */
function joined(
  name: AuditFindingName,
  vm: AuditVm,
  rows: readonly JoinRow[],
  agents: readonly string[],
): readonly AuditFinding[] {
  const [first] = [...rows].sort((a, b) => a.first.place - b.first.place);
  if (first === undefined) return [];
  const { place, time, gfn, pfn, spte } = first.first;
  const count = rows.reduce((sum, row) => sum + row.installs, 0);
  const host =
    first.host.memtype === null ? first.host.kind : `${first.host.memtype} (${first.host.kind})`;
  const text =
    `${entries(count)}; the first maps gfn ${hex(gfn)} to frame ${hex(pfn)}, ${host} on the host, ` +
    `as ${leafWords(first)}.`;
  return [
    finding(name, { vm: vm.id, count, at: { place, time }, mark: printed(spte), text, agents }),
  ];
}

function mixedHuge(vm: AuditVm): readonly AuditFinding[] {
  const rows = vm.join.filter((row) => row.firstMixed !== null);
  const first = rows[0]?.firstMixed;
  if (first == null) return [];
  const count = rows.reduce((sum, row) => sum + row.mixed, 0);
  const text = `${plural(count, 'huge page')}; the first maps gfn ${hex(first.gfn)} at level ${first.level} to frames from ${hex(first.pfn)}, which are not alike.`;
  const at = { place: first.place, time: first.time };
  return [finding('mixedHugePage', { vm: vm.id, count, at, mark: printed(first.spte), text })];
}

function withHost(vm: AuditVm, paging: AuditResult['paging']): readonly AuditFinding[] {
  const device = ['guest CPU', 'host', 'device'];
  return [
    ...joined(
      'forcedWriteBack',
      vm,
      vm.join.filter((row) => isForced(row, paging === 'shadow')),
      device,
    ),
    ...joined('uncachedRam', vm, vm.join.filter(isUncachedRam), ['guest CPU']),
    ...joined('cachedDevice', vm, vm.join.filter(isCachedDevice), ['guest CPU', 'device']),
    ...mixedHuge(vm),
  ];
}

// ---- by themselves ----------------------------------------------------------------------------

function impossible(vm: AuditVm, editions: EditionSet): readonly AuditFinding[] {
  return vm.counts
    .filter((count) => !isPossible(count, editions))
    .map((count) => {
      const text = `${entries(count.installs)} at level ${count.level} with ${leafWords(count)}; the first maps gfn ${hex(count.firstGfn)}.`;
      const mark = printed(count.firstSpte);
      return finding('impossibleType', {
        vm: vm.id,
        count: count.installs,
        at: count.first,
        mark,
        text,
      });
    });
}

function pagesOf(regions: readonly AuditRegion[]): number {
  return regions.reduce((sum, { gfnStart, gfnEnd }) => sum + gfnEnd - gfnStart, 0);
}

/** The page of a region that was installed first. */
function firstPage(
  { state }: AuditVm,
  { gfnStart, gfnEnd, level, asId, since }: AuditRegion,
): number {
  const map = state.map(asId);
  for (let gfn = gfnStart; gfn < gfnEnd; gfn += 512 ** (level - 1))
    if (map.since(level, gfn)?.place === since.place) return gfn;
  return gfnStart;
}

/** RAM with and without IPAT at the same time. */
function stale(vm: AuditVm): readonly AuditFinding[] {
  const present = vm.regions.filter((region) => region.asId === 0 && region.sure);
  const forced = present.filter(({ memtype, ipat }) => memtype === 'WB' && ipat === true);
  const free = present.filter(({ memtype, ipat }) => memtype !== 'UC' && ipat === false);
  const lastForced = forced.reduce((last, r) => Math.max(last, r.until.place), -1);
  const lastFree = free.reduce((last, r) => Math.max(last, r.until.place), -1);
  if (lastForced < 0 || lastFree < 0) return [];
  const [older, newer] = lastForced < lastFree ? [forced, free] : [free, forced];
  const first = [...newer].sort((a, b) => a.since.place - b.since.place)[0];
  const old = older[0];
  if (first === undefined || old === undefined) return [];
  const gfn = firstPage(vm, first);
  const text =
    `${plural(pagesOf(older), 'page')} of RAM still ${leafWords(old)}, ${plural(pagesOf(newer), 'page')} ` +
    `${leafWords(first)}, the first of them gfn ${hex(gfn)}; no zap lies between.`;
  const mark = `gfn ${gfn.toString(16)}`;
  const agents = ['guest CPU', 'device'];
  return [
    finding('staleEntries', {
      vm: vm.id,
      count: pagesOf(older),
      at: first.since,
      mark,
      text,
      agents,
    }),
  ];
}

function emulated({ id, emulated: found }: AuditVm): readonly AuditFinding[] {
  if (found === null) return [];
  const text = `${plural(found.count, 'store')}; the first to gfn ${hex(found.gfn)}.`;
  return [finding('emulatedWrites', { vm: id, count: found.count, at: found.first, text })];
}

function contradicted({ id, state }: AuditVm): readonly AuditFinding[] {
  const found = state.contradictions;
  if (found === null) return [];
  const text = `${entries(found.count)} said to have been empty, though the trace has ${found.count === 1 ? 'it' : 'them'} filled.`;
  return [
    finding('contradiction', {
      vm: id,
      count: found.count,
      at: found.first,
      mark: 'old_spte',
      text,
    }),
  ];
}

function patOf(vm: AuditVm): readonly AuditFinding[] {
  const pat = patState(vm);
  if (pat?.ignored !== true) return [];
  const { pat: written } = vm.state.guest;
  const guest =
    written === null ? '' : ` The guest wrote its PAT ${plural(written.times, 'time')}.`;
  const text = `The last entry of WB has IPAT.${guest}`;
  return [finding('patIgnored', { vm: vm.id, count: 1, at: pat.by, text })];
}

// ---- the trace --------------------------------------------------------------------------------

function ofTrace(result: AuditResult): readonly AuditFinding[] {
  const found: AuditFinding[] = [];
  const [gap] = result.gaps;
  if (gap !== undefined) {
    const events = result.lost > 0 ? plural(result.lost, 'event') : 'events';
    const text = `${events} lost at ${plural(result.gapCount, 'place')}; what was mapped before is not sure.`;
    found.push(
      finding('lostEvents', { count: result.gapCount, at: gap, text, agents: ['the trace'] }),
    );
  }
  const [unreadable] = result.unreadable;
  if (unreadable !== undefined) {
    const count = result.unreadableCount;
    const name = unreadable.name === NO_NAME ? 'printed without its name' : `a ${unreadable.name}`;
    const text = `${plural(count, 'event')}; the first is ${name}.`;
    found.push(finding('unreadableEvents', { count, at: unreadable, text, agents: ['the trace'] }));
  }
  if (result.backwards !== null) {
    const { times, first } = result.backwards;
    const text = `${plural(times, 'time')}: on one CPU, or by more than 10 ms between several.`;
    found.push(finding('wrongClock', { count: times, at: first, text, agents: ['the trace'] }));
  }
  found.push(...twoHosts(result.votes));
  for (const { text, at } of result.refuted) {
    const agents = ['what was said'];
    found.push(finding('wrongHost', { count: 1, at, text: `${sentence(text)}.`, agents }));
  }
  if (result.sptes === 0) found.push(nothing(result));
  return found;
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function twoHosts({
  isMixed,
  pages,
  ept,
  evidence,
}: AuditResult['votes']): readonly AuditFinding[] {
  const agents = ['the trace'];
  if (isMixed) {
    const at = (pages?.place ?? 0) > (ept?.place ?? 0) ? pages : ept;
    const text =
      'Some are of EPT, some of page tables; where an entry does not tell, it has no type here.';
    return [finding('twoHosts', { count: 1, at, text, agents })];
  }
  if (!evidence.isMixed) return [];
  const kernels = kernelWords(editionsIn(evidence.set));
  const text = `Their software bits are of several kernels out of ${kernels}.`;
  return [finding('twoHosts', { count: 1, at: evidence.proofs.at(-1) ?? null, text, agents })];
}

const NAMES_SHOWN = 5;

function nothing({ events, unreadableCount, others, vms }: AuditResult): AuditFinding {
  const names = [...others.keys()].slice(0, NAMES_SHOWN).join(', ');
  const rest = names === '' ? '' : ` It has ${names}.`;
  const own =
    unreadableCount === events ? '' : ' among the others is no kvm_mmu_set_spte of a page.';
  const read =
    unreadableCount === 0
      ? `${plural(events, 'event')}, and no kvm_mmu_set_spte of a page.`
      : `${plural(events, 'event')}; ${unreadableCount} could not be read;${own}`.replace(
          /;$/,
          '.',
        );
  const text = read + rest;
  const gone = vms.reduce((sum, vm) => sum + vm.state.removals, 0);
  const more = gone === 0 ? '' : ` ${entries(gone)} ${gone === 1 ? 'was' : 'were'} taken away.`;
  return finding('noEntries', { count: 0, at: null, text: text + more, agents: ['the trace'] });
}

function ofPrediction(prediction: Prediction): readonly AuditFinding[] {
  const found: AuditFinding[] = [];
  const reasonless = prediction.mismatches;
  const groups = new Map<string, number>();
  for (const miss of reasonless) {
    const key = `${miss.slot} ${miss.installed}`;
    if (groups.has(key)) continue;
    groups.set(key, 1);
    const row = prediction.rows.find((r) => r.slot === miss.slot && r.installed === miss.installed);
    const count = row?.mismatches ?? 1;
    const why =
      miss.reasons.length === 0 ? 'nothing that is known explains it' : miss.reasons.join('; ');
    const text = `${entries(count)} of ${miss.slot} with ${miss.installed}, where the facts give ${miss.expected.join(' or ')}: ${why}.`;
    const at = { place: miss.place, time: miss.time };
    found.push(finding('notPredicted', { count, at, mark: printed(miss.spte), text }));
  }
  for (const { fact, entries: count, first } of prediction.unknown) {
    const what = fact === 'memslot' ? 'no memslot holds them' : `${fact} is not said`;
    const text = `${entries(count)}, the first of gfn ${hex(first.gfn)}: ${what}.`;
    found.push(finding('factsMissing', { count, at: first, text, agents: ['the facts'] }));
  }
  return found;
}

const SLOTS_SHOWN = 3;

function slotWords(slots: readonly string[]): string {
  const rest = slots.length - SLOTS_SHOWN;
  if (rest <= 0) return slots.join(', ');
  return `${slots.slice(0, SLOTS_SHOWN).join(', ')} and ${plural(rest, 'more memslot')}`;
}

function installedWords(group: readonly Standing[]): string {
  const pages = new Map<string, number>();
  for (const s of group) pages.set(s.installed, (pages.get(s.installed) ?? 0) + s.pages);
  const types = [...pages].sort(([, n], [, m]) => m - n);
  return types.map(([type, n]) => (types.length > 1 ? `${type} (${n})` : type)).join(', ');
}

/** Installed under facts that no longer hold: one finding for each VM, and for what its pages would be now. */
function ofStanding(standing: readonly Standing[]): readonly AuditFinding[] {
  const groups = new Map<string, Standing[]>();
  for (const one of standing) {
    const key = `${one.vm} ${one.expected.join(' ')}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((group) => {
    const [oldest] = group.toSorted((a, b) => a.first.place - b.first.place);
    if (oldest === undefined) return [];
    const { vm, expected, first } = oldest;
    const pages = group.reduce((sum, s) => sum + s.pages, 0);
    const slots = [...new Set(group.map(({ slot }) => slot))];
    const text =
      `${plural(pages, 'page')} of ${slotWords(slots)} still mapped ${installedWords(group)}, the first of them gfn ` +
      `${hex(first.gfn)}; by the facts as they are at the end it would be ${expected.join(' or ')}.`;
    const mark = `gfn ${first.gfn.toString(16)}`;
    const at = { place: first.place, time: first.time };
    const agents = ['guest CPU', 'device'];
    return [finding('staleEntries', { vm, count: pages, at, mark, text, agents })];
  });
}

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** All findings, the gravest first. */
export function auditFindings(
  result: AuditResult,
  prediction: Prediction | null = null,
  standing: readonly Standing[] = [],
): readonly AuditFinding[] {
  const ofVms = result.vms.flatMap((vm) => [
    ...withHost(vm, result.paging),
    ...(result.votes.isMixed ? [] : impossible(vm, result.votes.evidence.set)),
    // Of several VMs that are taken for one nothing can be said by what differs.
    // Where the facts say which entries are stale they know better.
    ...((result.told === 'one' && result.least > 1) || standing.some((s) => s.vm === vm.id)
      ? []
      : stale(vm)),
    ...emulated(vm),
    ...contradicted(vm),
    ...patOf(vm),
  ]);
  const all = [
    ...ofVms,
    ...(prediction === null ? [] : ofPrediction(prediction)),
    ...ofStanding(standing),
    ...ofTrace(result),
  ];
  return all.sort(
    (a, b) =>
      RANK[a.severity] - RANK[b.severity] ||
      (a.code < b.code ? -1 : a.code > b.code ? 1 : (a.at?.place ?? 0) - (b.at?.place ?? 0)),
  );
}
