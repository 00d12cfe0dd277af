import { type U64, u64FromBytes, u64ToNumber } from '../../base/u64.ts';
import { decodePageFlags } from '../../linux/text/kpageflags.ts';
import { type Fact, known, refused, unknown } from '../fact.ts';
import type { KernelFacts } from '../host-facts.ts';
import { type BytesReading, NOT_READ, type Readings } from '../reading.ts';
import type { Mapping } from './regions.ts';
import type { PageSample } from './vm-facts.ts';

/** Bytes of one entry in /proc/PID/pagemap and /proc/kpageflags. */
const ENTRY = 8;
/** Entries read at once. */
export const PROBE_BYTES = 64 * ENTRY;
/** Places of a mapping that are tried until one holds a present page. */
const PROBES = 8;
const PAGE = 4096;

/** Kinds whose pages pagemap shows; PFNMAP mappings it hides. */
const VISIBLE: ReadonlySet<string> = new Set([
  'memfd',
  'shm',
  'hugetlb',
  'anonymous',
  'file',
  'guest_memfd',
]);

export function isSampled(mapping: Mapping): boolean {
  return VISIBLE.has(mapping.kind);
}

/** Offsets in /proc/PID/pagemap to look at, spread over the mapping. */
export function probeOffsets(mapping: Mapping): readonly number[] {
  const first = Math.floor(u64ToNumber(mapping.vma.start) / PAGE);
  const pages = Math.floor(mapping.size / PAGE);
  const step = Math.max(64, Math.floor(pages / PROBES));
  const count = Math.min(PROBES, Math.ceil(pages / step));
  return Array.from({ length: count }, (_, i) => (first + i * step) * ENTRY);
}

function entries(hex: string): readonly U64[] {
  const numbers = (hex.match(/[0-9a-f]{2}/g) ?? []).map((pair) => Number.parseInt(pair, 16));
  return Array.from({ length: Math.floor(numbers.length / ENTRY) }, (_, i) =>
    u64FromBytes(numbers.slice(i * ENTRY, (i + 1) * ENTRY)),
  );
}

const PRESENT = 2 ** 31;
const SWAPPED = 2 ** 30;
const PFN_HI = 2 ** 23;

/**
 * The first page frame in a piece of pagemap. `null`: no page is there yet; 0: the kernel does not show
 * frames to this reader. Bits: Documentation/admin-guide/mm/pagemap.rst.
 */
export function firstFrame(reading: BytesReading): number | null {
  if (!reading.ok) return null;
  for (const { hi, lo } of entries(reading.hex)) {
    const present = Math.floor(hi / PRESENT) % 2 === 1 && Math.floor(hi / SWAPPED) % 2 === 0;
    if (present) return (hi % PFN_HI) * 2 ** 32 + lo;
  }
  return null;
}

/** A piece of pagemap of one page that is present, with its frame. */
export function frameHex(frame: number): string {
  const digits = frame.toString(16).padStart(14, '0');
  const bytes = [...(digits.match(/../g) ?? [])].reverse();
  return `${bytes.join('')}80`;
}

export function pagemapPath(pid: number): string {
  return `/proc/${pid}/pagemap`;
}

export const KPAGEFLAGS = '/proc/kpageflags';

const AS_ROOT = 'run doctor as root (CAP_SYS_ADMIN shows page frames)';

/** Pieces of pagemap that lie in the mapping, by their offset: who captured may have tried other places. */
function probesOf(readings: Readings, path: string, mapping: Mapping): readonly BytesReading[] {
  const first = Math.floor(u64ToNumber(mapping.vma.start) / PAGE) * ENTRY;
  const end = first + Math.floor(mapping.size / PAGE) * ENTRY;
  return readings
    .pieces(path)
    .filter(({ offset }) => offset >= first && offset < end)
    .map(({ reading }) => reading);
}

/** What /proc/kpageflags says of one page of a mapping. */
export function sampleOf(
  readings: Readings,
  pid: number,
  mapping: Mapping,
  kernel: KernelFacts | null,
): Fact<PageSample> {
  if (!isSampled(mapping)) {
    const why = 'pagemap shows no page frames of such a mapping (VM_PFNMAP)';
    return unknown(
      why,
      'a trace of kvm_mmu_spte_requested while the guest uses it: doctor --trace FILE',
    );
  }
  const path = pagemapPath(pid);
  const probes = probesOf(readings, path, mapping);
  const first = probes[0] ?? NOT_READ;
  if (!first.ok) return refused(path, first, { denied: AS_ROOT });
  const frame = probes.map(firstFrame).find((f) => f !== null) ?? null;
  if (frame === null) {
    return unknown('no page of it that was tried is in memory', 'let the guest touch its memory');
  }
  if (frame === 0) return unknown(`${path} hides page frames from this user`, AS_ROOT);
  const reading = readings.bytes(KPAGEFLAGS, frame * ENTRY, ENTRY);
  if (!reading.ok) return refused(KPAGEFLAGS, reading, { denied: AS_ROOT });
  const [flags] = entries(reading.hex);
  if (flags === undefined) return unknown(`${KPAGEFLAGS} ends before the page`, 'run doctor again');
  if (kernel === null)
    return unknown('the kernel version is needed to read page flags', 'uname -r');
  const { memtype, possible, reserved, noPage } = decodePageFlags(flags, kernel.version);
  if (noPage) return unknown(`${KPAGEFLAGS}: no struct page`, 'run doctor again: the page moved');
  return known({ memtype, possible, reserved }, `${path} and ${KPAGEFLAGS}, one page`);
}
