import type { U64 } from '../base/u64.ts';
import type { PagingMode } from '../kvm/rules.ts';
import { kernelWords, SPTE_EDITIONS } from '../kvm/spte-editions.ts';
import { pageSize } from '../kvm/spte-mapping.ts';
import {
  type ByGuestPat,
  eptByGuestPat,
  hostPatType,
  type LeafCause,
  leafCauses,
  nptByGuestPat,
} from '../kvm/spte-meaning.ts';
import type { PrintedSpte } from '../kvm/spte-printed.ts';
import type { LeafEntry, SpteQuestion, SpteReading, SpteReadings } from '../kvm/spte-reading.ts';

/** Where an SPTE comes from, when it was a line of a trace. */
export interface SpteSource extends PrintedSpte {
  readonly event: string | null;
  readonly field: string;
  readonly level: number | null;
  readonly asId: number | null;
}

/** One SPTE, what was asked of it, and every reading that fits. */
export interface SpteAnswer extends SpteReadings {
  readonly text: string;
  readonly how: string | null;
  readonly origin: SpteSource | null;
  readonly value: U64;
  readonly question: SpteQuestion;
}

export const PAGING_WORDS: Readonly<Record<PagingMode, string>> = {
  ept: 'EPT',
  npt: 'NPT',
  shadow: 'shadow paging',
};

function listed(words: readonly string[], last = 'or'): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}

export function unique(words: readonly string[]): readonly string[] {
  return [...new Set(words)];
}

/** Some of them: the editions overlap where no kernel between was read. */
const UNREAD: Readonly<Record<string, string>> = {
  'A-5.4': '; 5.2 and 5.3 were not read',
  'B-6.11': '; 6.9 and 6.10 were not read',
};

export function editionWords({ edition }: SpteReading): string {
  const { layout, kernels, id } = edition;
  return `layout ${layout}, ${kernels}${UNREAD[id] ?? ''}`;
}

function typeWords({ memtype, ipat, patIndex }: LeafEntry): string {
  if (patIndex !== null) return `PAT index ${patIndex} (${hostPatType(patIndex)})`;
  const type = memtype === null ? 'a reserved memory type' : memtype;
  return `${type}, guest PAT ${ipat ? 'ignored' : 'honoured'}`;
}

export function levelWords(levels: readonly number[]): string {
  return levels.length > 2 ? `${levels[0]} to ${levels.at(-1)}` : listed(levels.map(String));
}

/** What the entry is, in a line. */
export function readingWords(reading: SpteReading): string {
  const { kind, leaf, mmio, table, levels } = reading;
  if (leaf !== null) {
    const tracked = leaf.saved === null ? '' : ', accesses tracked';
    const foreign = reading.isForeign ? ', by no rule of these kernels' : '';
    const size = listed(unique(levels.map(pageSize)));
    return `leaf, ${size}, ${typeWords(leaf)}, frame ${leaf.pfn.toString(16)}${tracked}${foreign}`;
  }
  if (table !== null)
    return `entry of a table, level ${levelWords(levels)}, to frame ${table.toString(16)}`;
  if (mmio !== null) {
    const access =
      mmio.access === null ? '' : `, ${mmio.access.write ? 'read and write' : 'read only'}`;
    const tdx = mmio.tdx ? ' of a TDX guest' : '';
    return `MMIO${tdx}, gfn ${mmio.gfn.toString(16)}, generation ${mmio.generation.toString(16)}${access}`;
  }
  if (kind === 'empty') return 'empty: nothing is mapped';
  return kind === 'frozen' ? 'frozen: another CPU is changing it' : 'no known value';
}

/** "WB: WB, WC: WC, ..." as one line of pairs; one word when the guest has no say. */
export function byPatWords(pairs: ByGuestPat): string {
  const types = unique(pairs.map(([, type]) => type));
  if (types.length === 1) return `${types[0]}, whatever the guest PAT says`;
  return pairs.map(([pat, type]) => `${pat} gives ${type}`).join(', ');
}

export function accessOf({ paging, leaf }: SpteReading): ByGuestPat | null {
  if (leaf === null) return null;
  if (leaf.memtype !== null && leaf.ipat !== null) return eptByGuestPat(leaf.memtype, leaf.ipat);
  return paging === 'npt' && leaf.patIndex !== null ? nptByGuestPat(leaf.patIndex) : null;
}

export function causesOf(
  { leaf, edition }: SpteReading,
  { kernel }: SpteQuestion,
): readonly LeafCause[] | null {
  if (leaf === null || leaf.memtype === null || leaf.ipat === null) return null;
  return leafCauses(leaf.memtype, leaf.ipat, edition, kernel);
}

export function causeWords({ eras, when, why }: LeafCause): string {
  return `${eras.join(', ')}: ${when === null ? 'otherwise' : `if ${when}`}: ${why}`;
}

const WRITES: Readonly<Record<LeafEntry['write'], string>> = {
  writable: 'Writes go through.',
  'writes tracked': 'Writes are tracked: the next one exits to KVM, which sets W.',
  'guarded by KVM': 'KVM guards the page against writes: a page table that is shadowed.',
  'read-only in the VMM':
    'Read-only in the VMM or the memslot: KVM emulates writes, or they exit to the VMM.',
};

/** What the access of a guest is, and how its memory type came about. */
export function meaningWords(reading: SpteReading, question: SpteQuestion): readonly string[] {
  const { leaf, paging } = reading;
  if (leaf === null) return [];
  const pairs = accessOf(reading);
  const causes = causesOf(reading, question);
  const words: string[] = [];
  if (pairs !== null) words.push(`Access by guest PAT type: ${byPatWords(pairs)}.`);
  if (leaf.patIndex !== null)
    words.push(
      `PAT, PCD and PWT are index ${leaf.patIndex} into the PAT of the host: ${hostPatType(leaf.patIndex)} in that of Linux.`,
    );
  if (paging === 'npt') words.push('The host MTRR, taken as WB here, counts too.');
  if (paging === 'shadow')
    words.push(
      `The guest PAT is not in the entry: the access is ${hostPatType(leaf.patIndex ?? 0)}, with the host MTRR on top.`,
    );
  if (causes !== null && causes.length === 0)
    words.push('No rule of these kernels writes this type with this IPAT: a modified kernel.');
  if (
    causes !== null &&
    leaf.memtype !== null &&
    !['WB', 'UC'].includes(leaf.memtype) &&
    causes.length > 0
  )
    words.push('Only the MTRRs of the guest make this type, or a modified kernel.');
  words.push(WRITES[leaf.write]);
  if (leaf.saved !== null)
    words.push(`Accesses are tracked: the next one exits to KVM, which gives back ${leaf.saved}.`);
  return words;
}

/** What would decide between the readings that fit. */
export function apartWords(readings: readonly SpteReading[]): readonly string[] {
  const pagings = unique(readings.map(({ paging }) => PAGING_WORDS[paging]));
  const editions = SPTE_EDITIONS.filter((e) => readings.some(({ edition }) => edition === e));
  const kinds = unique(readings.map(({ kind }) => kind));
  const [first] = readings;
  const words: string[] = [];
  if (pagings.length > 1) {
    const asks = pagings.includes('EPT')
      ? '/sys/module/kvm_intel/parameters/ept, /sys/module/kvm_amd/parameters/npt'
      : '/sys/module/kvm_amd/parameters/npt; on Intel it is shadow paging';
    words.push(`--paging: ${listed(pagings)} fit. See ${asks}.`);
  }
  if (editions.length > 1)
    words.push(
      `--kernel: of ${kernelWords(editions)}; layouts ${listed(unique(editions.map((e) => e.layout)), 'and')} fit. See uname -r.`,
    );
  if (first !== undefined && first.levels.length > 1 && first.levels.length < 5)
    words.push(
      `--level: it may stand at level ${levelWords(first.levels)}. The line of the trace says it.`,
    );
  if (kinds.length > 1) words.push(`What it is depends on it, too: ${listed(kinds)}.`);
  return words;
}

/** How it was asked: what of it was known. */
export function originWords({ origin, how }: SpteAnswer): string | null {
  if (origin === null) return how === null ? null : `read as ${how}`;
  const { event, field, gfn, level, asId } = origin;
  const parts = [
    event === null ? field : `${field} of ${event}`,
    gfn === null ? null : `gfn ${gfn.toString(16)}`,
    level === null ? null : `level ${level}`,
    asId === null ? null : asId === 1 ? 'address space 1 (SMM)' : `address space ${asId}`,
  ];
  return parts.filter((p) => p !== null).join(', ');
}

/** Rules that say where all of this is from. */
export function rulesOf(
  { kind, leaf, paging }: SpteReading,
  { origin }: SpteAnswer,
): readonly string[] {
  const combine = { ept: 'x86/ept-combine', npt: 'x86/npt-combine', shadow: 'kvm/shadow-leaf' }[
    paging
  ];
  const isMapping = kind === 'leaf' || kind === 'table';
  return [
    'kvm/spte-layout',
    ...(isMapping ? ['kvm/spte-tracking', 'kvm/spte-encryption'] : ['kvm/spte-special']),
    ...(origin?.letters == null ? [] : ['kvm/spte-printed']),
    ...(leaf === null ? [] : [combine]),
  ];
}
