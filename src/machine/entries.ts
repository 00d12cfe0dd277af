import type { CoreConfig, CoreInstruction, FlushInstruction, Operand } from './config.ts';
import { constant, type Expression, equal, type Place } from './language/expression.ts';
import { accessTypes, cellName, mayCache, type Plan, type PlannedView, viewOf } from './plan.ts';
import { type AccessType, isStrong } from './types.ts';

/** What becomes of a buffered store: as its type says, or non-temporal. */
export type StoreKind = AccessType | 'NT';

/** What can stand in a store buffer. `text` names it by physical line, and says all of it: `X[1]=2 (WC)`. */
export type Entry =
  | {
      readonly what: 'store';
      readonly kind: StoreKind;
      readonly line: number;
      readonly cell: number;
      readonly value: number;
      readonly text: string;
    }
  | { readonly what: 'sfence'; readonly text: string }
  | {
      readonly what: 'clflush' | 'clflushopt' | 'clwb';
      readonly line: number;
      /** Whether the caches are looked into: on AMD not through a view that the MTRRs make UC or WC. */
      readonly checks: boolean;
      readonly text: string;
    };

/** The constants that an operand can be, each with the condition under which it is that one. */
export function operandValues(
  plan: Plan,
  registers: ReadonlyMap<string, Place>,
  operand: Operand,
): readonly { readonly value: number; readonly when: Expression }[] {
  if (typeof operand === 'number') return [{ value: operand, when: constant(1) }];
  const register = registers.get(operand.register) ?? constant(0);
  return Array.from({ length: plan.values }, (_, value) => ({
    value,
    when: equal(register, value),
  })).filter(({ when }) => when.kind !== 'constant' || when.value !== 0);
}

/** Types that accesses of a core through a view can have, CR0.CD of AMD included. */
export function effectiveTypes(plan: Plan, core: CoreConfig, view: PlannedView): Set<AccessType> {
  const types = new Set(accessTypes(view));
  const disables =
    core.cacheDisable || core.program.some((i) => i.op === 'set-cd' && i.value === 1);
  if (plan.switches.amdCD && disables && mayCache(view)) types.add('CD');
  return types;
}

/** How a store goes on its way; null when it is performed at once. NT is a hint that UC and WP override. */
export function storeKind(plan: Plan, type: AccessType, nonTemporal: boolean): StoreKind | null {
  if (isStrong(type)) return plan.switches.ucPosted ? type : null;
  return nonTemporal && (type === 'WB' || type === 'WT') ? 'NT' : type;
}

/** A store as an entry of the store buffer. */
export function storeEntry(
  plan: Plan,
  kind: StoreKind,
  { line, cell }: Pick<PlannedView, 'line' | 'cell'>,
  value: number,
): Entry {
  const how = kind === 'WB' ? '' : ` (${kind})`;
  return {
    what: 'store',
    kind,
    line,
    cell,
    value,
    text: `${cellName(plan, line, cell)}=${value}${how}`,
  };
}

/** A flush as an entry of the store buffer. */
export type FlushEntry = Extract<Entry, { checks: boolean }>;

/** A flush, through a view of this type, as an entry of the store buffer. */
export function flushEntry(
  plan: Plan,
  what: FlushInstruction['op'],
  { line }: Pick<PlannedView, 'line'>,
  type: AccessType,
): FlushEntry {
  const { flushAnyType, flushThroughWC } = plan.switches;
  const checks = type === 'UCM' ? flushAnyType : type === 'WC' ? flushThroughWC : true;
  const how = checks ? '' : ' (no cache checked)';
  return { what, line, checks, text: `${what} ${plan.lines[line]?.name}${how}` };
}

/** What an instruction may put into the store buffer. */
export function entriesOf(plan: Plan, core: CoreConfig, i: CoreInstruction): readonly Entry[] {
  if (i.op === 'sfence') return [SFENCE_ENTRY];
  if (i.op === 'clflush' && plan.switches.clflushUnordered) return [];
  if (i.op === 'clflush' || i.op === 'clflushopt' || i.op === 'clwb') {
    const view = viewOf(plan, core.core, i.view);
    return [...effectiveTypes(plan, core, view)].map((t) => flushEntry(plan, i.op, view, t));
  }
  if (i.op !== 'store' && i.op !== 'nt-store') return [];
  const view = viewOf(plan, core.core, i.view);
  const values =
    typeof i.value === 'number' ? [i.value] : Array.from({ length: plan.values }, (_, v) => v);
  return [...effectiveTypes(plan, core, view)].flatMap((type) => {
    const kind = storeKind(plan, type, i.op === 'nt-store');
    return kind === null ? [] : values.map((value) => storeEntry(plan, kind, view, value));
  });
}

export const SFENCE_ENTRY: Entry = { what: 'sfence', text: 'sfence' };
