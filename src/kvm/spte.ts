import type { U64 } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { eptLeafOf } from '../x86/ept.ts';
import type { MtrrType } from '../x86/types.ts';
import { mmioGfn } from './spte-gfn.ts';

/**
 * Where KVM keeps its software bits in an SPTE. A: up to 5.12. B: 5.13 to 7.1. C: 7.2 and 7.3. The types,
 * IPAT and the address stand at the same place in all of them. Source: kvm/spte-layout.
 */
export type SpteLayout = 'A' | 'B' | 'C';

/** What the hardware reads: EPT entries, or page-table entries (NPT, and shadow paging on both vendors). */
export type SpteFlavour = 'ept' | 'npt';

/** Bits of software, and of the accessed and dirty flags. */
export interface SpteFlags {
  readonly accessed: boolean;
  readonly dirty: boolean;
  /** Bit 63 in an EPT entry: suppress #VE. */
  readonly suppressVe: boolean;
  /** SPTE_MMU_PRESENT_MASK; null in layout A, which has none. */
  readonly mmuPresent: boolean | null;
  /** The mapping of the VMM is writable. */
  readonly hostWritable: boolean;
  /** KVM may make it writable. */
  readonly mmuWritable: boolean;
  /** 0: hardware tracks accesses; see kvm/spte-layout. */
  readonly adType: number;
}

export interface SpteLeaf extends SpteFlags {
  readonly kind: 'leaf';
  /** First page frame. With SME or SEV the encryption bit is part of it. */
  readonly pfn: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** EPT bits 5:3; null on NPT, and for a reserved value. */
  readonly memtype: MtrrType | null;
  /** EPT bit 6; null on NPT. */
  readonly ipat: boolean | null;
  /** PAT, PCD and PWT as an index into the host's PAT; null on EPT. KVM leaves it at 0. */
  readonly patIndex: number | null;
}

export interface SpteTable extends SpteFlags {
  readonly kind: 'table';
  readonly pfn: number;
}

/** `mmio`: no memory, or a device that KVM emulates. `frozen`: being changed by another CPU. */
export type Spte =
  | SpteLeaf
  | SpteTable
  | { readonly kind: 'empty' }
  | { readonly kind: 'frozen' }
  | { readonly kind: 'mmio'; readonly gfn: number };

rule({
  id: 'kvm/spte-layout',
  room: 'kvm',
  title: 'Where an SPTE keeps what',
  text:
    'The hardware bits stand at the same place in every version; the software bits were moved twice. An EPT ' +
    'leaf has the type in bits 5:3 and IPAT in bit 6. A leaf of NPT or shadow paging has PWT, PCD and PAT, ' +
    'which KVM leaves at 0. Layouts: A up to 5.12, B 5.13 to 7.1, C 7.2 and 7.3. In C every X of an EPT ' +
    'entry is two bits, for kernel and user code of the guest (mode-based execute control).',
  table: [
    '                          A         B                    C',
    'MMU-present               -         11                   11',
    'host-, MMU-writable, EPT  10, 11    57, 58               53, 55',
    'the same, NPT and shadow  10, 11    9, 10                9, 10',
    'A/D type                  53:52     53:52                61:60',
    'saved R, X (EPT)          54, 56    54, 56               52, 54, user X 62',
    'user X (EPT)              -         -                    10',
    'bit 63 of EPT             -         from 6.11: no #VE    no #VE',
    'Up to 5.3: A/D type is bit 62 alone, saved R and X are 52 and 54.',
  ].join('\n'),
  sources: ['kvm/spte.h', 'kvm/make_spte', 'lab/ept-traces'],
});

const FIRST_B = parseKernelVersion('5.13-rc1');
const FIRST_C = parseKernelVersion('7.2-rc1');

/** The layouts that a kernel may have: several when it takes KVM from later versions. */
export function spteLayouts(version: KernelVersion): readonly SpteLayout[] {
  const own =
    compareVersions(version, FIRST_B) < 0 ? 0 : compareVersions(version, FIRST_C) < 0 ? 1 : 2;
  const all = ['A', 'B', 'C'] as const;
  return version.trust === 'backports' ? all.slice(own) : all.slice(own, own + 1);
}

function bit({ hi, lo }: U64, index: number): boolean {
  return ((index < 32 ? lo >>> index : hi >>> (index - 32)) & 1) === 1;
}

/** Bits 51:12 as a frame number, less the bits below the size of a page of that level. */
function frame({ hi, lo }: U64, level: number): number {
  const pfn = (hi % 2 ** 20) * 2 ** 20 + Math.floor(lo / 4096);
  const pages = 2 ** (9 * (level - 1));
  return pfn - (pfn % pages);
}

const AD_TYPE_SHIFT = { A: 20, B: 20, C: 28 } as const;
/** Bit numbers of host-writable and MMU-writable. */
const WRITABLE: Readonly<
  Record<SpteFlavour, Readonly<Record<SpteLayout, readonly [number, number]>>>
> = {
  ept: { A: [10, 11], B: [57, 58], C: [53, 55] },
  npt: { A: [10, 11], B: [9, 10], C: [9, 10] },
};

function flagsOf(spte: U64, flavour: SpteFlavour, layout: SpteLayout): SpteFlags {
  const [host, mmu] = WRITABLE[flavour][layout];
  const isEpt = flavour === 'ept';
  return {
    accessed: bit(spte, isEpt ? 8 : 5),
    dirty: bit(spte, isEpt ? 9 : 6),
    suppressVe: isEpt && bit(spte, 63),
    mmuPresent: layout === 'A' ? null : bit(spte, 11),
    hostWritable: bit(spte, host),
    mmuWritable: bit(spte, mmu),
    adType: (spte.hi >>> AD_TYPE_SHIFT[layout]) & 3,
  };
}

/** REMOVED_SPTE, later FROZEN_SPTE: bit 59 (5.12), 5a0 (B), with bit 63 from 6.11 on, 1a0 with bit 63 (C). */
function isFrozen({ hi, lo }: U64): boolean {
  if (lo === 0) return hi === 0x0800_0000;
  if (lo === 0x5a0) return hi === 0 || hi === 0x8000_0000;
  return lo === 0x1a0 && hi === 0x8000_0000;
}

/** In layout A, bits 53:52 of a special entry: an MMIO one. */
const SPECIAL = 3;

function isMmio(spte: U64, flavour: SpteFlavour, layout: SpteLayout): boolean {
  if (layout === 'A' && ((spte.hi >>> AD_TYPE_SHIFT.A) & 3) === SPECIAL) return true;
  // EPT misconfiguration: writable, not readable. NPT: the reserved bit 51, present; up to 5.3 bit 62, as an
  // encryption bit may be 51.
  if (flavour === 'ept') return (spte.lo & 7) === 6 && (layout === 'A' || !bit(spte, 11));
  if (layout === 'A') return bit(spte, 62) && bit(spte, 0);
  return bit(spte, 51) && bit(spte, 0) && !bit(spte, 11);
}

function isPresent(spte: U64, flavour: SpteFlavour, layout: SpteLayout): boolean {
  if (layout !== 'A') return bit(spte, 11);
  // Access tracking takes the permissions of an EPT entry away and keeps the address.
  return flavour === 'npt' ? bit(spte, 0) : (spte.lo & 7) !== 0 || frame(spte, 1) !== 0;
}

function permissions(
  spte: U64,
  isEpt: boolean,
): Pick<SpteLeaf, 'readable' | 'writable' | 'executable'> {
  return {
    readable: bit(spte, 0),
    writable: bit(spte, 1),
    executable: isEpt ? bit(spte, 2) : !bit(spte, 63),
  };
}

function patIndexOf({ lo }: U64, level: number): number {
  const pat = (lo >>> (level === 1 ? 7 : 12)) & 1;
  return ((lo >>> 3) & 3) | (pat << 2);
}

/**
 * An SPTE of a trace.
 *
 * @param level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB, above: always a table
 */
export function decodeSpte(
  spte: U64,
  flavour: SpteFlavour,
  layout: SpteLayout,
  level: number,
): Spte {
  if (spte.lo === 0 && (spte.hi === 0 || spte.hi === 0x8000_0000)) return { kind: 'empty' };
  if (isFrozen(spte)) return { kind: 'frozen' };
  if (isMmio(spte, flavour, layout))
    return { kind: 'mmio', gfn: mmioGfn(spte, flavour === 'ept').gfn };
  if (!isPresent(spte, flavour, layout)) return { kind: 'empty' };
  const flags = flagsOf(spte, flavour, layout);
  const isEpt = flavour === 'ept';
  const isLeaf = level === 1 || (level <= 3 && bit(spte, 7));
  if (!isLeaf) return { kind: 'table', ...flags, pfn: frame(spte, 1) };
  const type = isEpt ? eptLeafOf(spte.lo) : null;
  return {
    kind: 'leaf',
    ...flags,
    ...permissions(spte, isEpt),
    pfn: frame(spte, level),
    memtype: type?.memtype ?? null,
    ipat: isEpt ? bit(spte, 6) : null,
    patIndex: isEpt ? null : patIndexOf(spte, level),
  };
}
