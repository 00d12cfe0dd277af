import { type U64, u64 } from '../../base/u64.ts';
import { type LayoutRange, rangeMsrs } from '../../facts/layout.ts';
import type { GuestMtrrState } from '../../kvm/guest-mtrr.ts';
import { MTRR_ENABLE, MTRR_FIXED_ENABLE } from '../../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, TYPE_CODE } from '../../x86/types.ts';

/** Guest MTRRs, and the addresses at which they are looked at. */
export interface Layout {
  readonly enabled: boolean;
  readonly fixedEnabled: boolean;
  readonly defaultType: MtrrType;
  /** Fixed ranges below 640 KiB, up to 768 KiB and up to 1 MiB. */
  readonly fixed: readonly [low: MtrrType, hole: MtrrType, high: MtrrType];
  /** In register order. */
  readonly ranges: readonly LayoutRange[];
  /** The ranges as registers. */
  readonly variable: GuestMtrrState['variable'];
  /** Guest CPUID has MTRRs. */
  readonly cpuidMtrr: boolean;
  /** One in each piece of memory that no range divides. */
  readonly addresses: readonly number[];
}

export const PHYS_BITS = 46;

const KIB = 2 ** 10;
const GIB = 2 ** 30;
export const ONE_MIB = 2 ** 20;

const BYTES: Readonly<Record<MtrrType, U64>> = Object.fromEntries(
  MTRR_TYPES.map((type) => {
    const half = Math.imul(TYPE_CODE[type], 0x01010101);
    return [type, u64(half, half)];
  }),
) as Record<MtrrType, U64>;

/** The layout as MSRs. */
export function stateOf(layout: Layout): GuestMtrrState {
  const [low, hole, high] = layout.fixed.map((type) => BYTES[type]) as [U64, U64, U64];
  return {
    defType:
      (layout.enabled ? MTRR_ENABLE : 0) |
      (layout.fixedEnabled ? MTRR_FIXED_ENABLE : 0) |
      TYPE_CODE[layout.defaultType],
    fixed: [low, low, hole, high, high, high, high, high, high, high, high],
    variable: layout.variable,
    maxphyaddr: PHYS_BITS,
    cpuidMtrr: layout.cpuidMtrr,
  };
}

/** With the most common first, so that the first example of anything is the most common. */
const TYPES: readonly MtrrType[] = ['WB', 'UC', 'WC', 'WT', 'WP'];

const USUAL_DEFAULTS: readonly MtrrType[] = ['WB', 'UC'];

function range(type: MtrrType, from: number, to: number): LayoutRange {
  return { type, base: from * GIB, size: (to - from) * GIB };
}

function of(...ranges: readonly LayoutRange[]): Pick<Layout, 'ranges' | 'variable'> {
  return { ranges, variable: ranges.map((r) => rangeMsrs(r, PHYS_BITS)) };
}

const ON = {
  enabled: true,
  fixedEnabled: false,
  fixed: ['UC', 'UC', 'UC'],
  cpuidMtrr: true,
} as const;

/** Ranges of two types, and an address in each piece: of one alone, of both, of the other, of none. */
const RELATIONS: readonly {
  readonly a: readonly [from: number, to: number];
  readonly b: readonly [from: number, to: number];
  readonly at: readonly number[];
}[] = [
  // Apart, and side by side.
  { a: [4, 5], b: [6, 7], at: [4, 6, 8] },
  { a: [4, 5], b: [5, 6], at: [4, 5, 8] },
  // The second in the first: at its low end, in the middle, at its high end.
  { a: [4, 8], b: [4, 5], at: [4, 6, 8] },
  { a: [4, 8], b: [5, 6], at: [4, 5, 8] },
  { a: [4, 8], b: [7, 8], at: [4, 7, 8] },
  // The same memory twice.
  { a: [4, 8], b: [4, 8], at: [4, 8] },
];

function pairs(): readonly Layout[] {
  return RELATIONS.flatMap(({ a, b, at }) => {
    const addresses = at.map((gib) => gib * GIB);
    return TYPES.flatMap((x) =>
      TYPES.flatMap((y) => {
        const [first, second] = [range(x, ...a), range(y, ...b)];
        return [of(first, second), of(second, first)].flatMap((ranges) =>
          USUAL_DEFAULTS.map(
            (defaultType): Layout => ({ ...ON, ...ranges, defaultType, addresses }),
          ),
        );
      }),
    );
  });
}

function upToOne(): readonly Layout[] {
  const one = [4 * GIB];
  const both = [4 * GIB, 8 * GIB];
  return TYPES.flatMap((defaultType) => [
    { ...ON, ...of(), defaultType, addresses: one },
    ...TYPES.map((type) => ({ ...ON, ...of(range(type, 4, 8)), defaultType, addresses: both })),
  ]);
}

/** Both ends of each kind of fixed range, and what is beside them. */
const BELOW_ONE_MIB: readonly number[] = [0, 64, 512, 640, 768, 772, 1020].map((kib) => kib * KIB);

function belowOneMib(): readonly Layout[] {
  const covering = [of(), ...TYPES.map((type) => of(range(type, 0, 1)))];
  return TYPES.flatMap((defaultType) =>
    [false, true].flatMap((fixedEnabled) =>
      TYPES.flatMap((type) => {
        const fixed = [type, type, type] as const;
        const rest = { ...ON, fixedEnabled, defaultType, fixed, addresses: BELOW_ONE_MIB };
        return covering.map((ranges): Layout => ({ ...rest, ...ranges }));
      }),
    ),
  );
}

const OFF_ADDRESSES: readonly number[] = [0, 772 * KIB, 4 * GIB, 8 * GIB];

function switchedOff(): readonly Layout[] {
  const ranges = of(range('WC', 4, 8));
  return [true, false].flatMap((cpuidMtrr) =>
    TYPES.flatMap((defaultType) =>
      [false, true].flatMap((fixedEnabled) =>
        TYPES.map(
          (type): Layout => ({
            ...ranges,
            enabled: false,
            fixedEnabled,
            defaultType,
            fixed: [type, type, type],
            cpuidMtrr,
            addresses: OFF_ADDRESSES,
          }),
        ),
      ),
    ),
  );
}

const PC_FIXED = ['WB', 'UC', 'WP'] as const;
const PC_ADDRESSES: readonly number[] = [0, 640 * KIB, 772 * KIB, ONE_MIB, 2 * GIB, 3 * GIB];

/** Layouts that firmware and systems are known to write; source: the rule platform/firmware, and PCs. */
function classics(): readonly Layout[] {
  const pc = { ...ON, fixedEnabled: true, fixed: PC_FIXED };
  const addresses = [...PC_ADDRESSES, 3.25 * GIB, 4 * GIB, 8 * GIB];
  const wbUnderUc = [range('WB', 0, 4), range('UC', 3, 4)];
  const aperture: LayoutRange = { type: 'WC', base: 3.25 * GIB, size: GIB / 4 };
  return [
    // SeaBIOS; crosvm, which leaves the fixed ranges off; OVMF with a 64-bit aperture.
    { ...pc, defaultType: 'WB', ...of(range('UC', 3, 4)), addresses },
    { ...ON, defaultType: 'WB', ...of(range('UC', 3, 4)), addresses },
    {
      ...pc,
      defaultType: 'WB',
      ...of(range('UC', 2, 4), range('UC', 8, 16)),
      addresses,
    },
    // No variable range at all: libkrun, Firecracker, cloud-hypervisor.
    { ...ON, defaultType: 'WB', ...of(), addresses },
    // A PC of the default type UC: RAM as one WB range with a UC hole, or as sizes that add up.
    { ...pc, defaultType: 'UC', ...of(...wbUnderUc), addresses },
    { ...pc, defaultType: 'UC', ...of(...wbUnderUc.toReversed()), addresses },
    {
      ...pc,
      defaultType: 'UC',
      ...of(range('WB', 0, 2), range('WB', 2, 3), range('WB', 4, 8)),
      addresses,
    },
    // And a driver that wants its aperture WC by MTRR.
    { ...pc, defaultType: 'UC', ...of(...wbUnderUc, aperture), addresses },
    {
      ...pc,
      defaultType: 'UC',
      ...of(range('WB', 0, 2), range('WB', 2, 3), aperture),
      addresses,
    },
    { ...pc, defaultType: 'WB', ...of(range('UC', 3, 4), aperture), addresses },
  ];
}

/** All layouts of the family. */
export function layouts(): readonly Layout[] {
  return [...classics(), ...upToOne(), ...pairs(), ...belowOneMib(), ...switchedOff()];
}

/** The bound, in words. */
export const LAYOUTS_IN_WORDS =
  'up to one variable range of 5 types over 5 default types; two ranges of 5 types each over WB and UC, ' +
  'apart, side by side, nested (at the low end, in the middle, at the high end) and equal, in both ' +
  'register orders; FE on and off with fixed ranges of one type, bare and under a variable range; E=0, ' +
  'with and without MTRRs in guest CPUID; 10 layouts of firmware and PCs with up to 3 ranges. Ranges are ' +
  'powers of two, aligned';

function amount(bytes: number): string {
  if (bytes === 0) return '0';
  if (bytes % GIB === 0) return `${bytes / GIB}G`;
  return bytes % ONE_MIB === 0 ? `${bytes / ONE_MIB}M` : `${bytes / KIB}K`;
}

/**
 * Whether `explain` can be asked: it takes E=1, one type for all fixed ranges, UC ones while FE=0, and a
 * guest CPUID with MTRRs.
 */
export function isAskable({ enabled, fixedEnabled, fixed, cpuidMtrr }: Layout): boolean {
  const [low, hole, high] = fixed;
  const oneType = low === hole && hole === high && (fixedEnabled || low === 'UC');
  return enabled && cpuidMtrr && oneType;
}

/** The layout and one of its addresses as `explain` takes them, or in MSRs where it does not. */
export function layoutWords(layout: Layout, address: number): string {
  const { ranges, defaultType, fixed, fixedEnabled, enabled, cpuidMtrr } = layout;
  const list = ranges
    .map((r) => `${r.type} ${amount(r.base)}-${amount(r.base + r.size)}`)
    .join(', ');
  if (isAskable(layout)) {
    return [
      ...(list === '' ? [] : [`--guest-mtrr-ranges "${list}"`]),
      `--guest-mtrr-default ${defaultType}`,
      ...(fixedEnabled ? [`--guest-mtrr-fixed ${fixed[0]}`] : []),
      `--gpa ${amount(address)}`,
    ].join(' ');
  }
  const bits = `E=${enabled ? 1 : 0} FE=${fixedEnabled ? 1 : 0} default ${defaultType}`;
  const types = [...new Set(fixed)].join(', ');
  const cpuid = cpuidMtrr ? '' : ', no MTRRs in guest CPUID';
  return `${bits}, fixed ${types}, ranges "${list}"${cpuid}, gpa ${amount(address)}`;
}
