import { must } from '../base/assert.ts';
import { type U64, u64Byte, u64ToNumber } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { fixedIndex, MTRR_ENABLE, MTRR_FIXED_ENABLE } from '../x86/mtrr.ts';
import { type MtrrType, mtrrType, TYPE_CODE } from '../x86/types.ts';

/** How KVM evaluated guest MTRRs: 2.6.29 to 4.1, 4.2 and 4.3, 4.4 to 6.10. From 6.11 on it does not. */
export type GuestMtrrVersion = 'v1' | 'v2-4.2' | 'v2';

/** The MTRRs that a guest wrote, as KVM stores them. */
export interface GuestMtrrState {
  readonly defType: number;
  /** Eleven MSRs: 250H, 258H, 259H, 268H..26FH. */
  readonly fixed: readonly U64[];
  /** PHYSBASEn, PHYSMASKn; written in this order, base before mask. */
  readonly variable: readonly { readonly base: U64; readonly mask: U64 }[];
  /** Guest MAXPHYADDR (4.2 and 4.3 used the host's). */
  readonly maxphyaddr: number;
  /** Guest CPUID.01H:EDX.MTRR; looked at by 4.4 to 6.10, with E=0 only. */
  readonly cpuidMtrr: boolean;
}

export const GUEST_MTRR_RULES = {
  v1: rule({
    id: 'kvm/guest-mtrr-v1',
    room: 'kvm',
    title: 'Guest MTRRs in 2.6.29 to 4.1 (get_mtrr_type, kvm_get_guest_memory_type)',
    text:
      'E=0 and FE=0: WB, where the manual says UC. Below 1 MiB the fixed range decides, whether or not ' +
      'FE is set. E=0 otherwise: the default type. Variable ranges match bitwise; any UC gives UC, WT ' +
      'with WB gives WT, other mixes give UC. No match gives the default type.',
    sources: ['kvm/get_mtrr_type', 'kvm/64d4d5217571'],
  }),
  'v2-4.2': rule({
    id: 'kvm/guest-mtrr-v2-4.2',
    room: 'kvm',
    title: 'Guest MTRRs in 4.2 and 4.3 (mtrr.c)',
    text:
      'As in 4.4, except: E=0 is always UC; and the search for a fixed segment compares the wrong way, so ' +
      'only addresses 0, 80000H and C0000H find theirs, C1000H to FFFFFH fall through to the variable ' +
      'ranges, and the rest below C0000H is read outside the array (undefined).',
    sources: ['kvm/mtrr.c'],
  }),
  v2: rule({
    id: 'kvm/guest-mtrr-v2',
    room: 'kvm',
    title: 'Guest MTRRs in 4.4 to 6.10 (mtrr.c)',
    text:
      'E=0: UC, or WB when guest CPUID has no MTRR. A fixed range decides alone. Variable ranges are taken ' +
      'as contiguous spans and visited by descending PHYSBASE value; the fold looks at the type of the ' +
      'later range only: same keeps, UC returns UC, WT with WB gives WT, anything else returns WB. A UC ' +
      'range whose base is higher than that of the WB range around it is visited first and is lost: WB ' +
      'where the manual says UC.',
    sources: ['kvm/mtrr.c'],
  }),
} as const;

rule({
  id: 'kvm/mtrr-range-consistency',
  room: 'kvm',
  title: 'Huge pages limited by guest MTRRs (kvm_mtrr_check_gfn_range_consistency, 4.2 to 6.10)',
  text:
    'A page may be huge when every item found over it is equal and, where a gap was seen, equal to the ' +
    'default type. The gap test assumes ascending order while the list descends, so two adjacent ranges ' +
    'of one type count as a gap.',
  sources: ['kvm/range-consistency'],
});

export interface GuestMtrrAnswer {
  /** Null: 4.2 and 4.3 read outside their array here, so the result is undefined. */
  readonly type: MtrrType | null;
  readonly by: 'disabled' | 'fixed' | 'variable' | 'default' | 'out-of-bounds';
  /** The types KVM looked at, in its own order. */
  readonly items: readonly MtrrType[];
}

export interface GuestMtrrs {
  readonly lookup: (gfn: number) => GuestMtrrAnswer;
  /** `lookup(gfn).type`. */
  readonly typeOf: (gfn: number) => MtrrType | null;
  /**
   * kvm_mtrr_check_gfn_range_consistency over `npages` pages. Null where this version has no such check
   * or reads uninitialised memory.
   */
  readonly consistent: (gfn: number, npages: number) => boolean | null;
}

const PAGE = 4096;
const ONE_MIB = 0x100000;
const MASK_VALID = 1 << 11;

interface Msrs {
  readonly enabled: boolean;
  readonly fixedEnabled: boolean;
  readonly defType: MtrrType;
  /** Of one of the 88 fixed ranges; decoded where it is asked for, which is rare. */
  readonly fixedType: (index: number) => MtrrType;
}

function decode(state: GuestMtrrState): Msrs {
  return {
    enabled: (state.defType & MTRR_ENABLE) !== 0,
    fixedEnabled: (state.defType & MTRR_FIXED_ENABLE) !== 0,
    defType: mtrrType(state.defType & 0xff),
    fixedType: (i) => mtrrType(u64Byte(must(state.fixed[i >> 3], 'eleven fixed MSRs'), i & 7)),
  };
}

/** The guest's MTRRs as the named KVM evaluated them. A lookup throws InternalError on a reserved type. */
export function compileGuestMtrrs(version: GuestMtrrVersion, state: GuestMtrrState): GuestMtrrs {
  return version === 'v1' ? compileV1(state) : compileV2(version, state);
}

// ---- 2.6.29 to 4.1 ----------------------------------------------------------------------------

/** One variable range folded into what was found so far; UC ends the search. */
function foldV1(found: MtrrType, next: MtrrType): MtrrType {
  if (found === next) return found;
  const pair = new Set([found, next]);
  return pair.has('WB') && pair.has('WT') ? 'WT' : 'UC';
}

function compileV1(state: GuestMtrrState): GuestMtrrs {
  const msrs = decode(state);
  const ranges = state.variable.filter((r) => (r.mask.lo & MASK_VALID) !== 0);
  const matches = (r: (typeof ranges)[number], hi: number, lo: number): boolean =>
    (((hi ^ r.base.hi) & r.mask.hi) | ((lo ^ r.base.lo) & r.mask.lo & 0xfffff000)) === 0;
  const lookup = (gfn: number): GuestMtrrAnswer => {
    const address = gfn * PAGE;
    if (!msrs.enabled && !msrs.fixedEnabled) return { type: 'WB', by: 'disabled', items: [] };
    if (address < ONE_MIB) {
      const type = msrs.fixedType(fixedIndex(address));
      return { type, by: 'fixed', items: [type] };
    }
    if (!msrs.enabled) return { type: msrs.defType, by: 'default', items: [] };
    const hi = Math.floor(address / 2 ** 32);
    const lo = (address % 2 ** 32) >>> 0;
    const items = ranges.filter((r) => matches(r, hi, lo)).map((r) => mtrrType(r.base.lo & 0xff));
    if (items.length === 0) return { type: msrs.defType, by: 'default', items };
    return { type: items.includes('UC') ? 'UC' : items.reduce(foldV1), by: 'variable', items };
  };
  return { lookup, typeOf: (gfn) => lookup(gfn).type, consistent: () => null };
}

// ---- 4.2 to 6.10 ------------------------------------------------------------------------------

interface Span {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly type: MtrrType;
}

/**
 * The valid variable ranges as KVM's list has them: descending by the raw PHYSBASE value, type bits
 * included; of equal ones the one enabled later first.
 */
function spansInListOrder(state: GuestMtrrState): readonly Span[] {
  const implemented = 2 ** (state.maxphyaddr - 32) - 1;
  return state.variable
    .map((r, i) => ({ ...r, i }))
    .filter((r) => (r.mask.lo & MASK_VALID) !== 0)
    .sort((a, b) => b.base.hi - a.base.hi || b.base.lo - a.base.lo || b.i - a.i)
    .map((r) => spanOfRange(r, implemented));
}

function spanOfRange(
  { base, mask }: GuestMtrrState['variable'][number],
  implemented: number,
): Span {
  const last = u64ToNumber({
    hi: (base.hi | (~mask.hi & implemented)) >>> 0,
    lo: ((base.lo & 0xfffff000) | ~(mask.lo & 0xfffff000)) >>> 0,
  });
  return {
    start: u64ToNumber({ hi: base.hi, lo: (base.lo & 0xfffff000) >>> 0 }),
    end: last + 1,
    type: mtrrType(base.lo & 0xff),
  };
}

const FIXED_SPANS: readonly { readonly start: number; readonly end: number }[] = Array.from(
  { length: 88 },
  (_, i) => {
    const size = i < 8 ? 0x10000 : i < 24 ? 0x4000 : 0x1000;
    const start = i < 8 ? i * size : i < 24 ? 0x80000 + (i - 8) * size : 0xc0000 + (i - 24) * size;
    return { start, end: start + size };
  },
);

/** Items KVM visits over [start, end), and whether it believes that part of it is not covered. */
interface Walk {
  readonly items: readonly MtrrType[];
  readonly partial: boolean;
  readonly from: 'fixed' | 'variable';
}

function walkVariable(spans: readonly Span[], start: number, end: number): Omit<Walk, 'from'> {
  let max = start;
  let partial = false;
  const items: MtrrType[] = [];
  for (const span of spans) {
    if (span.start >= end || span.end <= start) continue;
    partial ||= max < span.start;
    max = Math.max(max, span.end);
    items.push(span.type);
  }
  return { items, partial: partial || max < end };
}

type FixedSegment = 'found' | 'none' | 'out-of-bounds';

/** Which fixed segment the search finds, per version; 4.2 and 4.3 compare the wrong way. */
function fixedSegment(version: GuestMtrrVersion, start: number): FixedSegment {
  if (start >= ONE_MIB) return 'none';
  if (version === 'v2' || start === 0 || start === 0x80000 || start === 0xc0000) return 'found';
  return start > 0xc0000 ? 'none' : 'out-of-bounds';
}

function walk(
  msrs: Msrs,
  spans: readonly Span[],
  start: number,
  end: number,
  fixed: boolean,
): Walk {
  if (!fixed) return { ...walkVariable(spans, start, end), from: 'variable' };
  const items: MtrrType[] = [];
  for (let i = fixedIndex(start); i < FIXED_SPANS.length; i++) {
    items.push(msrs.fixedType(i));
    if (must(FIXED_SPANS[i], 'fixed span').end >= end)
      return { items, partial: false, from: 'fixed' };
  }
  const rest = walkVariable(spans, start, end);
  return { items: [...items, ...rest.items], partial: rest.partial, from: 'fixed' };
}

/** The fold of 4.2 to 6.10. Only the later type is compared with UC. */
function foldV2(items: readonly MtrrType[]): MtrrType | null {
  let type: MtrrType | null = null;
  for (const next of items) {
    if (type === null || type === next) type = next;
    else if (next === 'UC') return 'UC';
    else if ((type === 'WT' || type === 'WB') && (next === 'WT' || next === 'WB')) type = 'WT';
    else return 'WB';
  }
  return type;
}

function compileV2(version: GuestMtrrVersion, state: GuestMtrrState): GuestMtrrs {
  const msrs = decode(state);
  const spans = spansInListOrder(state);
  const disabled: MtrrType = version === 'v2' && !state.cpuidMtrr ? 'WB' : 'UC';
  const segment = (start: number): FixedSegment =>
    msrs.fixedEnabled ? fixedSegment(version, start) : 'none';
  const lookup = (gfn: number): GuestMtrrAnswer => {
    const start = gfn * PAGE;
    if (!msrs.enabled) return { type: disabled, by: 'disabled', items: [] };
    const found = segment(start);
    if (found === 'out-of-bounds') return { type: null, by: 'out-of-bounds', items: [] };
    const { items, from } = walk(msrs, spans, start, start + PAGE, found === 'found');
    const type = foldV2(items);
    if (type === null) return { type: msrs.defType, by: 'default', items };
    return { type, by: from, items };
  };
  const consistent = (gfn: number, npages: number): boolean | null => {
    const start = gfn * PAGE;
    if (!msrs.enabled) return true;
    const found = segment(start);
    if (version === 'v2-4.2' && msrs.fixedEnabled && start < ONE_MIB) return null;
    const { items, partial } = walk(msrs, spans, start, start + npages * PAGE, found === 'found');
    const [first] = items;
    if (items.some((type) => type !== first)) return false;
    return !partial || first === undefined || first === msrs.defType;
  };
  return { lookup, typeOf: (gfn) => lookup(gfn).type, consistent };
}

// ---- what a write zaps ------------------------------------------------------------------------

const MSR_DEF_TYPE = 0x2ff;
const MSR_PHYSBASE0 = 0x200;

/** In the order of `GuestMtrrState.fixed`. */
const FIXED_MSRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/**
 * The guest-physical bytes of update_mtrr() in 4.2 to 6.10: what it zaps, where it zaps, after the guest
 * wrote an MTRR. Null: none. Of a variable pair it is the range as it is now, so that what the range
 * covered before keeps its type until MTRRs are switched off and on (a write of DEF_TYPE: everything).
 *
 * @param msr 200H to 20FH, 250H, 258H, 259H, 268H to 26FH or 2FFH
 */
export function rangeOfMtrrWrite(
  msr: number,
  after: GuestMtrrState,
): { readonly start: number; readonly end: number } | null {
  if (msr === MSR_DEF_TYPE) return { start: 0, end: 2 ** 52 };
  if ((after.defType & MTRR_ENABLE) === 0) return null;
  const fixed = FIXED_MSRS.indexOf(msr);
  if (fixed >= 0) {
    if ((after.defType & MTRR_FIXED_ENABLE) === 0) return null;
    const [first, last] = [FIXED_SPANS[8 * fixed], FIXED_SPANS[8 * fixed + 7]];
    return { start: must(first, 'fixed span').start, end: must(last, 'fixed span').end };
  }
  const range = must(after.variable[(msr - MSR_PHYSBASE0) >> 1], 'an MTRR');
  const { start, end } = spanOfRange(range, 2 ** (after.maxphyaddr - 32) - 1);
  return { start, end };
}

/** The numeric code of a guest-MTRR answer, as the kernel's functions return it. */
export function guestMtrrCode(type: MtrrType): number {
  return TYPE_CODE[type];
}
