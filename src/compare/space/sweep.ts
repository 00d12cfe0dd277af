import { must } from '../../base/assert.ts';
import { everyChoice } from '../../base/choice.ts';
import { PROPOSALS, proposalRules } from '../../kvm/policies.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { ALL_KERNEL_RULES } from '../../kvm/timeline.ts';
import { EFFECTIVE_CODE, effectiveTypeOf } from '../../x86/fast.ts';
import { EFFECTIVE_TYPES, type EffectiveType } from '../../x86/types.ts';
import { accessAt } from './access.ts';
import {
  choosing,
  type ReadInput,
  SWEEP_INPUTS,
  SWEEP_VALUES,
  SWEEP_WAYS,
  type SweepInput,
  type SweepWay,
  tuplesOver,
} from './space.ts';

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
    paths.push({ digits, code: accessAt(rules, way, choosing(choice, digits)).code });
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
  const { vmx, svm, mmio, shadow, hasCdQuirk, vmxLoadsGuestPat } = rules;
  const lists = [vmx.vmx_get_mt_mask, svm.npt_leaf, svm.g_pat, mmio.kvm_is_mmio_pfn];
  return [...lists, shadow.shadow_leaf, hasCdQuirk, vmxLoadsGuestPat];
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
 * first, then the proposals, each on the kernel it was posted against. 28 behaviours, 1,803,619 tuples,
 * which stand for 28 x 1,061,683,200 points.
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
