import { u64FromNumber } from '../../base/u64.ts';
import {
  buildMtrrMap,
  type LinuxMtrrMap,
  type MtrrHint,
  mtrrHint,
  mtrrTypeLookup,
} from '../../linux/mtrr-lookup.ts';
import type { MtrrRange } from '../../linux/text/mtrr.ts';
import { compareVersions, parseKernelVersion } from '../../linux/version.ts';
import { MTRR_ENABLE } from '../../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, TYPE_CODE } from '../../x86/types.ts';
import { ifKnown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';

/** The MTRRs of this machine as its kernel uses them: one map for each default type that is possible. */
export interface OwnMtrrs {
  readonly maps: readonly LinuxMtrrMap[];
  /** The kernel replaced them in software, as in a TDX or SEV-SNP guest. */
  readonly isOverridden: boolean;
  /**
   * What KVM up to 6.10 takes where they are off: WB for a guest whose CPUID has no MTRRs, else UC
   * (`mtrr_disabled_type`).
   */
  readonly whenOff: readonly MtrrType[];
}

const FOUR_GIB = 2 ** 32;
/** Larger than any address in the list; the size of a range is what counts. */
const PHYS_BITS = 52;

function variable({ base, size, type }: MtrrRange) {
  const mask = u64FromNumber(2 ** PHYS_BITS - size);
  const { hi, lo } = u64FromNumber(base);
  return {
    base: { hi, lo: (lo | TYPE_CODE[type]) >>> 0 },
    mask: { hi: mask.hi, lo: (mask.lo | MTRR_ENABLE) >>> 0 },
  };
}

/** The fixed ranges are in no file: below 1 MiB the map says nothing. */
function mapOf(ranges: readonly MtrrRange[], defaultType: MtrrType | null): LinuxMtrrMap {
  const defType = defaultType === null ? 0 : MTRR_ENABLE | TYPE_CODE[defaultType];
  return buildMtrrMap({
    defType,
    fixed: null,
    variable: ranges.map(variable),
    physBits: PHYS_BITS,
  });
}

/** The end of RAM below 4 GiB; null where it is not known. */
function topOfLowRam(facts: HostFacts): number | null {
  const ram = (ifKnown(facts.iomem)?.entries ?? []).filter(
    (e) => e.name === 'System RAM' && e.endInclusive < FOUR_GIB,
  );
  return ram.length === 0 ? null : ram.reduce((top, e) => Math.max(top, e.endInclusive + 1), 0);
}

/**
 * `guest_force_mtrr_state()`: WB everywhere; kernels of 2025 and later make the hole below 4 GiB UC.
 * Which of the two a kernel does is not taken from its version.
 */
function overridden(facts: HostFacts): OwnMtrrs {
  const all = mapOf([], 'WB');
  const top = topOfLowRam(facts);
  const rest = { isOverridden: true, whenOff: ['WB'] } as const;
  if (top === null) return { maps: [all], ...rest };
  const hole = { start: top, end: FOUR_GIB, type: 'UC' } as const;
  return { maps: [all, { ...all, ranges: [hole] }], ...rest };
}

/** The kernel has no MTRRs at all: CPUID without them, or firmware that left them off. */
export function areMtrrsOff(facts: HostFacts): boolean {
  const { mtrrDefault, isReadOnly } = facts.firmware;
  if (isReadOnly) return false;
  if (mtrrDefault.known) return mtrrDefault.value === null;
  return ifKnown(facts.cpu)?.mtrr === false;
}

/**
 * On, with no variable range and a default that is not WB: nobody set them up. Linux calls it "CPU MTRRs all
 * blank - virtualized system" and trims no RAM. Source: mtrr_trim_uncached_memory().
 */
export function areMtrrsBlank({ firmware, isGuest }: HostFacts): boolean {
  const type = ifKnown(firmware.mtrrDefault);
  const isEmpty = ifKnown(firmware.mtrrs)?.length === 0 && firmware.oddMtrrs.length === 0;
  return ifKnown(isGuest) === true && isEmpty && type !== null && type !== 'WB';
}

/** Null where the variable ranges are not known, or odd. */
export function ownMtrrs(facts: HostFacts): OwnMtrrs | null {
  const { mtrrs, mtrrDefault, oddMtrrs, isReadOnly } = facts.firmware;
  const isConfidential = ifKnown(facts.confidential) !== null;
  if (isReadOnly && isConfidential) return overridden(facts);
  const flag = ifKnown(facts.cpu)?.mtrr ?? null;
  const whenOff: readonly MtrrType[] = flag === null ? ['UC', 'WB'] : [flag ? 'UC' : 'WB'];
  const rest = { isOverridden: false, whenOff };
  if (areMtrrsOff(facts)) return { maps: [mapOf([], null)], ...rest };
  if (!mtrrs.known || oddMtrrs.length > 0) return null;
  const defaults: readonly MtrrType[] =
    mtrrDefault.known && mtrrDefault.value !== null ? [mtrrDefault.value] : MTRR_TYPES;
  return { maps: defaults.map((type) => mapOf(mtrrs.value, type)), ...rest };
}

/** What the kernel may learn of [start, end) when a WB mapping is asked for; null: nothing is known. */
export function hintsFor(
  own: OwnMtrrs | null,
  start: number,
  end: number,
): readonly MtrrHint[] | null {
  if (own === null) return null;
  return [...new Set(own.maps.map((map) => mtrrHint(map, start, end)))];
}

/** The MTRR types of [start, end) that KVM up to 6.10 may see there. */
export function typesFor(own: OwnMtrrs | null, start: number, end: number): readonly MtrrType[] {
  if (own === null) return MTRR_TYPES;
  const found = new Set(
    own.maps.flatMap((map) => (map.enabled ? [mtrrTypeLookup(map, start, end).type] : own.whenOff)),
  );
  return MTRR_TYPES.filter((type) => found.has(type));
}

const LEFT_ALONE = [
  ['6.1.8', '6.1.33'],
  ['6.2-rc4', '6.2'],
] as const;

/** Kernels that leave a WB request alone when the MTRRs are off. Source: 90b926e68f50; its revert f9f57da2c2d1 is in 6.2. */
export function leavesWbAlone(facts: HostFacts): boolean {
  const kernel = ifKnown(facts.kernel);
  const version = kernel?.stable?.version ?? kernel?.version;
  if (version === undefined) return false;
  return LEFT_ALONE.some(
    ([from, to]) =>
      compareVersions(parseKernelVersion(from), version) <= 0 &&
      compareVersions(version, parseKernelVersion(to)) < 0,
  );
}

/** First kernel that writes the PAT of a TDX guest, which may not set CR0.CD: ffc92cf3db62. */
const TDX_PAT = '6.9-rc1';

/** A TDX guest whose kernel takes the PAT as the firmware left it. */
export function keepsFirmwarePat(facts: HostFacts): boolean {
  return ifKnown(facts.confidential) === 'tdx' && isBefore(facts, TDX_PAT);
}

/** The kernel's version, as it names itself, is before this one. */
export function isBefore(facts: HostFacts, version: string): boolean {
  const kernel = ifKnown(facts.kernel);
  return kernel !== null && compareVersions(kernel.version, parseKernelVersion(version)) < 0;
}
