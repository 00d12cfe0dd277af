import type { Paging } from '../../facts/facts.ts';
import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import type { HostFacts } from '../host-facts.ts';
import { type TracedPage, tracedIpat } from './trace-facts.ts';

/** What the host has at a frame. `RAM without a page`: the firmware lists it as RAM, Linux does not use it. */
export const HOST_WORDS = [
  'WB',
  'WC',
  'UC-',
  'WT',
  'reserved',
  'device',
  'RAM without a page',
  'no page',
  'not known',
] as const;
export type HostWord = (typeof HOST_WORDS)[number];

/** Guest pages with one type on the host and one in KVM's entry. */
export interface JoinRow {
  readonly host: HostWord;
  /** "WB+IPAT", "WB", "UC"; "no type" of NPT; "no entry" where the trace has only the request. */
  readonly installed: string;
  readonly pages: number;
  /** The first few. */
  readonly examples: readonly { readonly gfn: number; readonly pfn: number }[];
}

/** What a trace shows of one VM. */
export interface TraceDiagnosis {
  /** Null: of threads that belong to no VM that runs here. */
  readonly vm: number | null;
  readonly rows: readonly JoinRow[];
  readonly ipat: 'set' | 'clear' | null;
}

const EXAMPLES = 3;
const STALE = 'the page frames are still what they were: no thread of the trace runs a VM here now';

/** Whether the firmware lists RAM there; null: not known, or it is reserved for whatever it is. */
function isFirmwareRam(pfn: number, facts: HostFacts): boolean | null {
  const map = ifKnown(facts.firmware.memmap);
  if (map === null) return null;
  const address = pfn * 4096;
  const entry = map.find((e) => e.start <= address && address <= e.endInclusive);
  if (entry === undefined) return false;
  return entry.type === 'reserved' || entry.type === 'other' ? null : true;
}

/** A0000-BFFFF, which the kernel counts as reserved memory and does not track. */
const VGA_FIRST = 0xa0;
const VGA_END = 0xc0;

function hostWord({ frame, pfn }: TracedPage, facts: HostFacts): HostWord {
  if (pfn >= VGA_FIRST && pfn < VGA_END) return 'device';
  if (frame === null) return 'not known';
  if (frame.noPage) {
    const isRam = isFirmwareRam(pfn, facts);
    return isRam === null ? 'no page' : isRam ? 'RAM without a page' : 'device';
  }
  if (frame.memtype === null) return 'not known';
  return frame.reserved && frame.memtype === 'WB' ? 'reserved' : frame.memtype;
}

function installedWord({ leaf }: TracedPage, paging: Paging | null): string {
  if (leaf === null) return 'no entry';
  if (leaf.ipat === null) return paging === 'shadow' && leaf.patIndex === 0 ? 'WB' : 'no type';
  return `${leaf.memtype ?? 'reserved type'}${leaf.ipat ? '+IPAT' : ''}`;
}

function rowsOf(pages: readonly TracedPage[], facts: HostFacts): readonly JoinRow[] {
  const paging = ifKnown(facts.kvm.paging);
  const groups = new Map<string, TracedPage[]>();
  for (const page of pages) {
    const key = JSON.stringify([hostWord(page, facts), installedWord(page, paging)]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [page]);
    else group.push(page);
  }
  const rows = [...groups].map(([key, group]): JoinRow => {
    const [host, installed] = JSON.parse(key) as [HostWord, string];
    const examples = group.slice(0, EXAMPLES).map(({ gfn, pfn }) => ({ gfn, pfn }));
    return { host, installed, pages: group.length, examples };
  });
  const rank = (row: JoinRow): number => HOST_WORDS.indexOf(row.host);
  return rows.sort((a, b) => rank(a) - rank(b) || (a.installed < b.installed ? -1 : 1));
}

/** Traces by VM: those that run here by PID, then what belongs to none of them. */
export function traceDiagnoses(facts: HostFacts): readonly TraceDiagnosis[] {
  const { trace } = facts;
  if (trace === null) return [];
  const owners = [...new Set(trace.pages.map((page) => page.vm))];
  owners.sort((a, b) => (a ?? Number.POSITIVE_INFINITY) - (b ?? Number.POSITIVE_INFINITY));
  return owners.map((vm) => {
    const pages = trace.pages.filter((page) => page.vm === vm);
    return { vm, rows: rowsOf(pages, facts), ipat: tracedIpat(facts, vm) };
  });
}

// ---- findings ---------------------------------------------------------------------------------

function exampleWords(rows: readonly JoinRow[]): string {
  const shown = rows.flatMap(({ host, installed, examples }) =>
    examples.map(
      ({ gfn, pfn }) =>
        `gfn 0x${gfn.toString(16)} is pfn 0x${pfn.toString(16)}, ${host} on the host, and KVM maps it ${installed}`,
    ),
  );
  return shown.slice(0, EXAMPLES).join('; ');
}

function countOf(rows: readonly JoinRow[]): number {
  return rows.reduce((sum, row) => sum + row.pages, 0);
}

function pageWords(rows: readonly JoinRow[], all: readonly JoinRow[]): string {
  return `${countOf(rows)} of ${countOf(all)} pages that the trace has: ${exampleWords(rows)}.`;
}

const CACHEABLE = /^(?:WB|WT|WP)/;

/**
 * What the trace of one VM shows to be wrong.
 *
 * @param fix how this VM would be helped where KVM ignores the guest PAT; null: the general advice
 */
export function traceFindings(
  d: TraceDiagnosis,
  paging: Paging | null,
  fix: string | null,
): readonly DoctorFinding[] {
  const place = d.vm === null ? 'the trace' : `VM ${d.vm}`;
  const when = d.vm === null ? STALE : '';
  const isForced = ({ host, installed }: JoinRow): boolean =>
    ['WC', 'UC-', 'WT'].includes(host) &&
    (installed === 'WB+IPAT' || (paging === 'shadow' && installed === 'WB'));
  const forced = d.rows.filter(isForced);
  const uncached = d.rows.filter((r) => r.host === 'WB' && r.installed.startsWith('UC'));
  const cached = d.rows.filter(
    (r) => r.host === 'device' && paging === 'ept' && CACHEABLE.test(r.installed),
  );
  const agents = ['guest CPU', 'host'];
  const found: DoctorFinding[] = [];
  if (forced.length > 0) {
    const more = { when, agents, ...(fix === null ? {} : { fix }) };
    found.push(finding('tracedWriteBack', place, pageWords(forced, d.rows), more));
  }
  if (d.ipat !== null) {
    const text = `IPAT is ${d.ipat} in the last entries of RAM: the guest PAT is ${d.ipat === 'set' ? 'ignored' : 'honoured'}.`;
    found.push(finding('tracedIpat', place, text, { when, agents: ['KVM'] }));
  }
  if (uncached.length > 0) {
    found.push(
      finding('tracedUncachedRam', place, pageWords(uncached, d.rows), { when, agents: ['KVM'] }),
    );
  }
  if (cached.length > 0) {
    found.push(finding('tracedCachedDevice', place, pageWords(cached, d.rows), { when, agents }));
  }
  return found;
}
