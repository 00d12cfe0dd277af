import type { KvmRules } from '../src/kvm/rules.ts';

/** What the oracle knows of a mapping: of one 4K page, though it may be part of a huge one. */
export interface Mapped {
  readonly level: 1 | 2;
  /** "WB ipat", "UC", ...; of NPT always "". */
  readonly type: string;
  readonly writable: boolean;
  readonly pfn: number;
}

/** The machine of the random runs; everything that types and zaps look at. */
export interface World {
  readonly kernel: string;
  readonly rules: KvmRules;
  readonly isEpt: boolean;
  readonly selfSnoop: boolean;
  noncoherent: boolean;
  cd: boolean;
  quirkCd: boolean;
  quirkPat: boolean;
  /** One variable MTRR of type UC over these gfns in a default of WB; null: MTRRs are off. */
  mtrr: { readonly start: number; readonly end: number } | null;
}

/** Major and minor version; a release candidate of 6.11 stands alone. */
function era(kernel: string): number {
  if (kernel.startsWith('6.11-rc')) return 6.105;
  if (kernel === '6.12.100') return 6.16;
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  return major + minor / 100;
}

/** What a page gets, written down again from the table of the history, not from the decision lists. */
export function typeOf(world: World, gfn: number, isMmio: boolean): string {
  if (!world.isEpt) return '';
  const version = era(world.kernel);
  if (isMmio) return 'UC';
  const { noncoherent, cd, quirkCd, quirkPat, selfSnoop, mtrr } = world;
  if (version >= 6.16) return !noncoherent && quirkPat ? 'WB ipat' : 'WB';
  if (version >= 6.11) return noncoherent ? 'WB' : 'WB ipat';
  if (version === 6.105) return !selfSnoop && !noncoherent ? 'WB ipat' : 'WB';
  if (!noncoherent) return 'WB ipat';
  if (cd && quirkCd) return version >= 6.07 ? 'WB' : 'WB ipat';
  if (cd) return 'UC ipat';
  if (mtrr === null) return 'UC';
  return gfn >= mtrr.start && gfn < mtrr.end ? 'UC' : 'WB';
}

/** Whether a 2M block may be one page, by the MTRRs of the guest. */
export function mayBeHuge(world: World, block: number): boolean {
  const version = era(world.kernel);
  const asks = version < 6 || (version < 6.105 && world.isEpt && world.noncoherent);
  const { mtrr } = world;
  if (!asks || mtrr === null || mtrr.end <= block || mtrr.start >= block + 512) return true;
  // One UC range in a WB default: the block is of one type where the range covers it whole.
  return mtrr.start <= block && mtrr.end >= block + 512;
}

/** Whether everything is zapped when non-coherent DMA comes or goes. */
export function zapsOnToggle({ kernel, isEpt, selfSnoop, quirkPat }: World): boolean {
  const version = era(kernel);
  if (version >= 6.16) return quirkPat;
  if (version === 6.105) return isEpt && !selfSnoop;
  return version >= 6.07 && isEpt;
}

/** Whether the guest's MTRR writes zap what they are about. */
export function zapsOnMtrr({ kernel, isEpt, noncoherent }: World): boolean {
  const version = era(kernel);
  return version < 6.105 && noncoherent && (version < 6.07 || isEpt);
}

/** Whether everything is zapped when the guest toggles CR0.CD. */
export function zapsOnCd(world: World): boolean {
  return zapsOnMtrr(world) && !world.quirkCd;
}
