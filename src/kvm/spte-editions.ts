import { type U64, u64 } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import type { SpteLayout } from './spte.ts';

/** Bits `high` to `low` of an entry. */
export type BitRange = readonly [high: number, low: number];

/** How kernels of one span write their SPTEs: a layout of software bits, and the values that map nothing. */
export interface SpteEdition {
  readonly id: 'A-5.3' | 'A-5.4' | 'B-5.13' | 'B-6.11' | 'C-7.2';
  readonly layout: SpteLayout;
  /** In words. */
  readonly kernels: string;
  /** First kernel that may have it; null: the oldest. */
  readonly from: KernelVersion | null;
  /** First kernel that certainly does not; null: the newest read still has it. */
  readonly before: KernelVersion | null;
  /** SPTE_MMU_PRESENT_MASK, bit 11. */
  readonly hasPresentBit: boolean;
  /** How accesses are tracked. One bit: set means that the hardware does not. */
  readonly tracking: BitRange;
  /** Where access tracking keeps R, X and XU. XU: null where the layout has none. */
  readonly saved: { readonly r: number; readonly x: number; readonly xu: number | null };
  /** Host-writable and MMU-writable. */
  readonly writable: {
    readonly ept: readonly [number, number];
    readonly npt: readonly [number, number];
  };
  /** Where an MMIO SPTE keeps its generation: low and high part. */
  readonly generation: { readonly low: BitRange; readonly high: BitRange };
  /** Bit 63 is set in every EPT entry but an MMIO one. */
  readonly suppressVe: boolean;
  readonly empty: U64;
  /** REMOVED_SPTE, later FROZEN_SPTE: null where there was none. */
  readonly frozen: U64 | null;
}

const v = parseKernelVersion;
const ZERO = u64(0, 0);
const BIT_63 = u64(0x8000_0000, 0);

const A = {
  layout: 'A',
  hasPresentBit: false,
  writable: { ept: [10, 11], npt: [10, 11] },
  suppressVe: false,
  empty: ZERO,
} as const;

const B = {
  layout: 'B',
  hasPresentBit: true,
  tracking: [53, 52],
  saved: { r: 54, x: 56, xu: null },
  writable: { ept: [57, 58], npt: [9, 10] },
  generation: { low: [10, 3], high: [62, 52] },
} as const;

/** Oldest first. Source: kvm/spte-layout. */
export const SPTE_EDITIONS: readonly SpteEdition[] = [
  {
    ...A,
    id: 'A-5.3',
    kernels: 'to 5.3',
    from: null,
    before: v('5.4-rc1'),
    tracking: [62, 62],
    saved: { r: 52, x: 54, xu: null },
    generation: { low: [11, 3], high: [61, 52] },
    frozen: null,
  },
  {
    ...A,
    id: 'A-5.4',
    kernels: '5.4 to 5.12',
    from: v('5.2-rc1'),
    before: v('5.13-rc1'),
    tracking: [53, 52],
    saved: { r: 54, x: 56, xu: null },
    generation: { low: [11, 3], high: [62, 54] },
    frozen: u64(0x0800_0000, 0),
  },
  {
    ...B,
    id: 'B-5.13',
    kernels: '5.13 to 6.8',
    from: v('5.13-rc1'),
    before: v('6.11-rc1'),
    suppressVe: false,
    empty: ZERO,
    frozen: u64(0, 0x5a0),
  },
  {
    ...B,
    id: 'B-6.11',
    kernels: '6.11 to 7.1',
    from: v('6.9-rc1'),
    before: v('7.2-rc1'),
    suppressVe: true,
    empty: BIT_63,
    frozen: u64(0x8000_0000, 0x5a0),
  },
  {
    id: 'C-7.2',
    layout: 'C',
    kernels: '7.2 and later',
    from: v('7.2-rc1'),
    before: null,
    hasPresentBit: true,
    tracking: [61, 60],
    saved: { r: 52, x: 54, xu: 62 },
    writable: { ept: [53, 55], npt: [9, 10] },
    generation: { low: [9, 3], high: [62, 52] },
    suppressVe: true,
    empty: BIT_63,
    frozen: u64(0x8000_0000, 0x1a0),
  },
];

/** Kernels of several editions, neighbours together: "5.13 and later", "to 5.12". */
export function kernelWords(editions: readonly SpteEdition[]): string {
  const runs: (readonly [first: SpteEdition, last: SpteEdition])[] = [];
  let before = -2;
  for (const [i, edition] of SPTE_EDITIONS.entries()) {
    if (!editions.includes(edition)) continue;
    const run = i === before + 1 ? runs.pop() : undefined;
    runs.push([run?.[0] ?? edition, edition]);
    before = i;
  }
  const words = runs.map(([first, last]) => {
    const [from, to] = [first.kernels.split(' ')[0], last.kernels.split(' ').at(-1)];
    if (first.from === null) return last.before === null ? 'all kernels' : `to ${to}`;
    return last.before === null ? `${from} and later` : `${from} to ${to}`;
  });
  return words.join(', ');
}

/**
 * The editions that a kernel may have: two where none was read between them (5.2 and 5.3, 6.9 and 6.10), and
 * the later ones too for a kernel that takes KVM from later versions.
 */
export function editionsOf(version: KernelVersion): readonly SpteEdition[] {
  const own = SPTE_EDITIONS.filter(
    ({ from, before }) =>
      (from === null || compareVersions(from, version) <= 0) &&
      (before === null || compareVersions(version, before) < 0),
  );
  if (version.trust !== 'backports') return own;
  const first = own[0];
  return first === undefined ? own : SPTE_EDITIONS.slice(SPTE_EDITIONS.indexOf(first));
}

rule({
  id: 'kvm/spte-special',
  room: 'kvm',
  title: 'SPTEs that map nothing: empty, frozen, MMIO',
  text:
    'Empty: no mapping. Frozen (REMOVED_SPTE, later FROZEN_SPTE): a CPU changes the entry, others keep away; ' +
    'TDP MMU only. MMIO: no memslot has the page; the entry faults at every access and KVM emulates it. It ' +
    'keeps the gfn in the address bits and the generation of the memslots beside them, split in two. EPT: ' +
    'bits 2:0 are 110b, an EPT misconfiguration; in a TDX guest 000b with bit 63 clear, so that the guest ' +
    'gets #VE. NPT and shadow paging: present with bit 51, which is reserved below 52 physical address bits; ' +
    'with memory encryption on, from the first reserved bit up to 51; W and U are kept. Hosts with the ' +
    'L1TF bug set the five highest bits that their cache addresses and move what the gfn has there up by ' +
    'five.',
  table: [
    'kernels      empty   frozen         generation   MMIO is told by',
    'to 5.3       0       -              61:52, 11:3  bit 62',
    '5.4 to 5.12  0       bit 59 (5.12)  62:54, 11:3  bits 53:52 = 3',
    '5.13 to 6.8  0       5a0            62:52, 10:3  110b, or bit 51 and P',
    '6.11 to 7.1  bit 63  bit 63 | 5a0   62:52, 10:3  110b, or bit 51 and P',
    '7.2, 7.3     bit 63  bit 63 | 1a0   62:52, 9:3   110b, or bit 51 and P',
  ].join('\n'),
  sources: [
    'kvm/spte.h',
    'kvm/make_mmio_spte',
    'kvm/svm_adjust_mmio_mask',
    'kvm/tdx-mmio',
    'linux/override_cache_bits',
    'lab/ept-traces',
  ],
});

rule({
  id: 'kvm/spte-tracking',
  room: 'kvm',
  title: 'How an SPTE tracks accesses and writes',
  text:
    'A/D type 0: the CPU sets A and D. 1: KVM does without (no such CPU bits, or a nested guest turned ' +
    'them off): to see the next access it takes R and X away and saves them in high bits. 2: D is not ' +
    'enough (PML with a nested guest), writes are tracked by write protection. Host-writable: the mapping ' +
    'of the VMM allows writes. MMU-writable: KVM does not guard a page table of the guest in that page. ' +
    'Both set and W clear: writes are tracked, the next write sets W.',
  table: [
    'host  MMU  W',
    '1     1    1    writable',
    '1     1    0    writes are tracked: dirty log, or access tracking',
    '1     0    0    KVM guards it: a page table that is shadowed',
    '0     0    0    read-only in the VMM, or in the memslot',
  ].join('\n'),
  sources: ['kvm/spte.h', 'kvm/make_spte'],
});

rule({
  id: 'kvm/spte-encryption',
  room: 'kvm',
  title: 'Encryption bits in an SPTE',
  text:
    'On AMD with memory encryption on, KVM sets the encryption bit in tables and in leaves that are not host ' +
    'MMIO. It is one of the address bits, 47 or 51 as far as known: CPUID 8000001F EBX[5:0] names it. An ' +
    'SPTE does not tell it from an address bit. On Intel, KVM puts no key number into an SPTE.',
  sources: ['kvm/svm_adjust_mmio_mask', 'kvm/vmx_setup_me_spte_mask', 'qemu/cbitpos'],
});

rule({
  id: 'kvm/spte-printed',
  room: 'kvm',
  title: 'The permissions that kvm_mmu_set_spte prints',
  text:
    'w is bit 1. x is bit 2 of an EPT entry, else not NX. u is bit 2 of NPT and shadow paging; of EPT it is ' +
    'bit 0 up to 7.1 and bit 10, user X, from 7.2 on. r is printed wherever a bit is set in every present ' +
    'entry of the paging mode: it does not mean bit 0.',
  sources: ['kvm/mmutrace.h', 'kvm/make_mmio_spte', 'lab/ept-traces'],
});
