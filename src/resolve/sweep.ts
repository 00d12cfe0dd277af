import { must } from '../base/assert.ts';
import { type Choice, everyChoice } from '../base/choice.ts';
import { type FactKey, type FactValues, factDefinition } from '../facts/facts.ts';
import { decide, type EptChoice, eptLeaf, eptTypeOf, type VmxInputs } from '../kvm/decision.ts';
import type { PfnInputs } from '../kvm/mmio.ts';
import { PROPOSALS, proposalRules } from '../kvm/policies.ts';
import type { KvmRules } from '../kvm/rules.ts';
import {
  decodedByHost,
  decodedByReset,
  type GuestPatChoice,
  type NptLeafChoice,
  nestedTypeOf,
} from '../kvm/svm.ts';
import { ALL_KERNEL_RULES } from '../kvm/timeline.ts';
import { eptLeafBits } from '../x86/ept.ts';
import { EFFECTIVE_CODE, effectiveTypeOf, eptCode, NATIVE, nptCode } from '../x86/fast.ts';
import {
  EFFECTIVE_TYPES,
  type EffectiveType,
  type PatType,
  TYPE_CODE,
  type Vendor,
} from '../x86/types.ts';

/**
 * The space of everything that KVM's memory-type rules can look at, 18 inputs, and the 4 ways in which
 * a guest address can reach memory:
 *
 *     the page          pfn-valid 2, zero-page 2, page-reserved 2, compound 3, host-pat 2,
 *                       host-memtype 6, e820-ram 2, host-mtrr 5               2,880
 *     the VM            noncoherent-dma, assigned-device, slot-noncoherent, both quirks, cr0-cd,
 *                       self-snoop: 2 each                                      128
 *     the guest         guest-mtrr 5, guest (its PAT type) 6, guest-layout 2     60
 *                                                                    22,118,400 points
 *     ways              EPT, NPT, shadow on Intel, shadow on AMD     88,473,600 points
 *
 * No set of rules looks at all of it. A table has one tuple for each combination of the inputs that
 * its rules do ask for, and every tuple stands for the same number of points: all values of the rest.
 */
export const SWEEP_INPUTS = [
  'pfn-valid',
  'zero-page',
  'page-reserved',
  'compound',
  'host-pat',
  'host-memtype',
  'e820-ram',
  'host-mtrr',
  'noncoherent-dma',
  'assigned-device',
  'slot-noncoherent',
  'quirk-ignore-guest-pat',
  'quirk-cd-nw-cleared',
  'cr0-cd',
  'self-snoop',
  'guest-mtrr',
  'guest',
  'guest-layout',
] as const satisfies readonly (FactKey | 'compound')[];

export type SweepInput = (typeof SWEEP_INPUTS)[number];

/**
 * Whether the page is a tail of a compound page, and then PageReserved of the head. Rules of 2.6.30 to
 * 3.12 look at it; it is no fact of the command line, which takes every page for a page of its own.
 */
const COMPOUND = ['no', 'tail of a plain head', 'tail of a reserved head'] as const;

type SweepValues = Pick<FactValues, Exclude<SweepInput, 'compound'>> & {
  compound: (typeof COMPOUND)[number];
};

/** The value of an input at one point of the space. */
export type ReadInput = <K extends SweepInput>(key: K) => SweepValues[K];

type Values = { readonly [K in SweepInput]: readonly SweepValues[K][] };

/** The values of every input, in the order in which they are counted. */
export const SWEEP_VALUES: Values = Object.fromEntries(
  SWEEP_INPUTS.map((key) => [
    key,
    key === 'compound' ? COMPOUND : must(factDefinition(key).values, `${key}: an open set`),
  ]),
) as unknown as Values;

/** Shadow paging combines with the host MTRR by the table of the vendor. */
export const SWEEP_WAYS = ['ept', 'npt', 'shadow-intel', 'shadow-amd'] as const;
export type SweepWay = (typeof SWEEP_WAYS)[number];

/** Points of the space for one set of rules, all ways together. */
export const SWEEP_POINTS: number = SWEEP_WAYS.length * tuplesOver(SWEEP_INPUTS);

// ---- one point --------------------------------------------------------------------------------

function isMmio(rules: KvmRules, read: ReadInput): boolean {
  const reserved = (): boolean => read('page-reserved');
  const tail = (): boolean => read('compound') !== 'no';
  const inputs: PfnInputs = {
    pfn_valid: () => read('pfn-valid'),
    is_zero_pfn: () => read('zero-page'),
    page_tail: tail,
    head_reserved: () => (tail() ? read('compound') === 'tail of a reserved head' : reserved()),
    page_reserved: reserved,
    pat_enabled: () => read('host-pat'),
    host_memtype: () => read('host-memtype'),
    e820_ram: () => read('e820-ram'),
    host_mtrr_not_wb: () => read('host-mtrr') !== 'WB',
  };
  return decide(rules.mmio.kvm_is_mmio_pfn, inputs).decision.returns;
}

/** Before 2.6.29 VMX ran the guest with the host's PAT. */
function livePat(rules: KvmRules, read: ReadInput): PatType {
  const type = read('guest');
  return rules.vmxLoadsGuestPat ? type : decodedByHost(type, read('guest-layout'));
}

function underEpt(rules: KvmRules, read: ReadInput): number {
  const inputs: VmxInputs = {
    is_mmio: () => isMmio(rules, read),
    noncoherent_dma: () => read('noncoherent-dma'),
    cr0_cd: () => read('cr0-cd'),
    quirk_cd_nw_cleared: () => read('quirk-cd-nw-cleared') === 'on',
    // KVM refuses to disable it on a CPU without self-snoop.
    quirk_ignore_guest_pat: () => read('quirk-ignore-guest-pat') === 'on' || !read('self-snoop'),
    self_snoop: () => read('self-snoop'),
    guest_mtrr: () => read('guest-mtrr'),
    host_memtype: () => eptTypeOf(read('host-memtype')),
    host_mtrr: () => read('host-mtrr'),
    slot_noncoherent: () => read('slot-noncoherent'),
  };
  const { decision } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  return eptCode(eptLeafBits(leaf), TYPE_CODE[leaf.ipat ? 'WB' : livePat(rules, read)]);
}

/** CR0.CD of an AMD guest reaches the hardware only without the quirk. */
function liveCd(rules: KvmRules, read: ReadInput): boolean {
  return rules.hasCdQuirk && read('cr0-cd') && read('quirk-cd-nw-cleared') === 'off';
}

function nestedType(choice: NptLeafChoice, read: ReadInput): PatType {
  if (choice === 'PA0') return 'WB';
  if (choice === 'host_memtype') return read('host-memtype');
  return nestedTypeOf(read('guest-mtrr'));
}

/** The guest's type as the hardware decodes it. */
function decodedType(gPat: GuestPatChoice, read: ReadInput): PatType {
  if (gPat === 'all-wb') return 'WB';
  const type = read('guest');
  if (gPat === 'guest' || read('guest-layout') === 'reset') return type;
  return decodedByReset(type);
}

function underNpt(rules: KvmRules, read: ReadInput): number {
  const inputs = {
    is_mmio: () => isMmio(rules, read),
    assigned_device: () => read('assigned-device'),
  };
  const host = nestedType(decide(rules.svm.npt_leaf, inputs).decision.returns, read);
  const guest = decodedType(decide(rules.svm.g_pat, inputs).decision.returns, read);
  if (liveCd(rules, read)) return EFFECTIVE_CODE.CD;
  return nptCode(TYPE_CODE[guest], TYPE_CODE[host], TYPE_CODE[read('host-mtrr')]);
}

function underShadow(vendor: Vendor, rules: KvmRules, read: ReadInput): number {
  const host = rules.shadowLeaf === 'PA0' ? 'WB' : read('host-memtype');
  if (vendor === 'amd' && liveCd(rules, read)) return EFFECTIVE_CODE.CD;
  const mtrr = TYPE_CODE[read('host-mtrr')];
  return must(NATIVE[vendor][(mtrr << 3) | TYPE_CODE[host]], 'MTRR x PAT');
}

const WAYS: Readonly<Record<SweepWay, (rules: KvmRules, read: ReadInput) => number>> = {
  ept: underEpt,
  npt: underNpt,
  'shadow-intel': (rules, read) => underShadow('intel', rules, read),
  'shadow-amd': (rules, read) => underShadow('amd', rules, read),
};

// ---- a table over all points ------------------------------------------------------------------

/** What one set of rules gives in one way, for every combination of what it looks at. */
export interface TypeTable {
  /** The inputs that are asked for anywhere, in the order of SWEEP_INPUTS. */
  readonly inputs: readonly SweepInput[];
  /** An effective code for each tuple; the first input is the most significant digit. */
  readonly codes: Uint8Array;
}

/** One run through the rules: the inputs asked for, with the digits answered, and where it led. */
interface Path {
  readonly digits: ReadonlyMap<SweepInput, number>;
  readonly code: number;
}

/** A reader that answers by choice, always the same for one input; `digits` collects the answers. */
function choosing(choice: Choice, digits: Map<SweepInput, number>): ReadInput {
  return (key) => {
    const values = SWEEP_VALUES[key];
    let digit = digits.get(key);
    if (digit === undefined) {
      digit = choice.pick(values.length);
      digits.set(key, digit);
    }
    return values[digit] as SweepValues[typeof key];
  };
}

/** Number of tuples over some inputs. */
function tuplesOver(inputs: readonly SweepInput[]): number {
  return inputs.reduce((n, key) => n * SWEEP_VALUES[key].length, 1);
}

/** Writes the code of a path to every tuple that agrees with it. */
function fill({ inputs, codes }: TypeTable, { digits, code }: Path): void {
  const wheels = inputs.map((key) => ({
    size: SWEEP_VALUES[key].length,
    digit: digits.get(key) ?? null,
  }));
  const turn = (wheel: number, at: number): void => {
    const here = wheels[wheel];
    if (here === undefined) codes[at] = code;
    else if (here.digit !== null) turn(wheel + 1, at * here.size + here.digit);
    else for (let d = 0; d < here.size; d++) turn(wheel + 1, at * here.size + d);
  };
  turn(0, 0);
}

/**
 * The table of one set of rules in one way. Every path through the decision lists is taken once; the
 * tuples that agree with it are those it decides, so that the paths cover the table without overlap.
 */
export function typeTable(rules: KvmRules, way: SweepWay): TypeTable {
  const paths: Path[] = [];
  const asked = new Set<SweepInput>();
  everyChoice((choice) => {
    const digits = new Map<SweepInput, number>();
    paths.push({ digits, code: WAYS[way](rules, choosing(choice, digits)) });
    for (const key of digits.keys()) asked.add(key);
  });
  const inputs = SWEEP_INPUTS.filter((key) => asked.has(key));
  const table = { inputs, codes: new Uint8Array(tuplesOver(inputs)) };
  for (const path of paths) fill(table, path);
  return table;
}

/** The effective type of a table at one point of the space. */
export function typeAt({ inputs, codes }: TypeTable, read: ReadInput): EffectiveType {
  const at = inputs.reduce((n, key) => {
    const values: readonly unknown[] = SWEEP_VALUES[key];
    return n * values.length + values.indexOf(read(key));
  }, 0);
  return typeOf(must(codes[at], 'a tuple of the table'));
}

/** No MTRR is undefined here and no code reserved, so that every code is a type. */
function typeOf(code: number): EffectiveType {
  return must(effectiveTypeOf(code), `effective code ${code}`);
}

// ---- all tables -------------------------------------------------------------------------------

/** One behaviour: everything that the sets of rules with it can give. */
export interface SweepRow {
  /** The sets of rules that look at the same inputs and answer alike everywhere, oldest first. */
  readonly rules: readonly KvmRules[];
  readonly tables: Readonly<Record<SweepWay, TypeTable>>;
  /** Of all four tables. */
  readonly tuples: number;
  /** How many of the tuples end with each type. */
  readonly types: Readonly<Record<EffectiveType, number>>;
}

function histogram(tables: readonly TypeTable[]): Record<EffectiveType, number> {
  const byCode = new Float64Array(256);
  for (const { codes } of tables) {
    for (const code of codes) byCode[code] = (byCode[code] as number) + 1;
  }
  const counted = EFFECTIVE_TYPES.map((type) => [type, byCode[EFFECTIVE_CODE[type]]] as const);
  return Object.fromEntries(counted) as Record<EffectiveType, number>;
}

/** What the tables of a set of rules are made from: sets that share it share their tables. */
function makings(rules: KvmRules): readonly unknown[] {
  const { vmx, svm, mmio, shadowLeaf, hasCdQuirk, vmxLoadsGuestPat } = rules;
  const lists = [vmx.vmx_get_mt_mask, svm.npt_leaf, svm.g_pat, mmio.kvm_is_mmio_pfn];
  return [...lists, shadowLeaf, hasCdQuirk, vmxLoadsGuestPat];
}

function sameItems(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

type Tables = SweepRow['tables'];

function sameTables(a: Tables, b: Tables): boolean {
  return SWEEP_WAYS.every(
    (way) => sameItems(a[way].inputs, b[way].inputs) && sameItems(a[way].codes, b[way].codes),
  );
}

function tablesOf(rules: KvmRules): Tables {
  return Object.fromEntries(SWEEP_WAYS.map((way) => [way, typeTable(rules, way)])) as Tables;
}

/** Items in groups of equals, in the order of their first members. */
function grouped<T>(items: readonly T[], same: (a: T, b: T) => boolean): readonly T[][] {
  const groups: T[][] = [];
  for (const item of items) {
    const group = groups.find(([first]) => first !== undefined && same(first, item));
    if (group === undefined) groups.push([item]);
    else group.push(item);
  }
  return groups;
}

/**
 * Every behaviour that KVM ever had or was proposed to have, over the whole space: kernels oldest
 * first, then the proposals, each on the kernel it was posted against. 26 behaviours, 350,665 tuples,
 * which stand for 26 x 88,473,600 points.
 */
export function sweep(): readonly SweepRow[] {
  const all = [...ALL_KERNEL_RULES, ...PROPOSALS.map(proposalRules)];
  const made = grouped(all, (a, b) => sameItems(makings(a), makings(b))).map((rules) => ({
    rules,
    tables: tablesOf(must(rules[0], 'a group has a member')),
  }));
  return grouped(made, (a, b) => sameTables(a.tables, b.tables)).map((alike) => {
    const { tables } = must(alike[0], 'a group has a member');
    const list = SWEEP_WAYS.map((way) => tables[way]);
    return {
      rules: alike.flatMap(({ rules }) => rules),
      tables,
      tuples: list.reduce((n, { codes }) => n + codes.length, 0),
      types: histogram(list),
    };
  });
}
