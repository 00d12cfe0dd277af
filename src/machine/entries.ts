import type { CoreConfig, CoreInstruction, Operand } from './config.ts';
import { constant, type Expression, equal, type Place } from './language/expression.ts';
import { accessTypes, mayCache, type Plan, type PlannedView, viewOf } from './plan.ts';
import { type AccessType, isStrong } from './types.ts';

/** What becomes of a buffered store: as its type says, or non-temporal. */
export type StoreKind = AccessType | 'NT';

/** What can stand in a store buffer. */
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
      /** Whether the caches are looked into: not on AMD through a view that the MTRRs make uncacheable. */
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

/** How a step or a buffered store is written: `x=1`, `nt x=1`. */
export function storeText(op: 'store' | 'nt-store', view: string, value: number): string {
  return `${op === 'store' ? '' : 'nt '}${view}=${value}`;
}

/** What an instruction may put into the store buffer. */
export function entriesOf(plan: Plan, core: CoreConfig, i: CoreInstruction): readonly Entry[] {
  if (i.op === 'sfence') return [{ what: 'sfence', text: 'sfence' }];
  if (i.op === 'clflush' || i.op === 'clflushopt' || i.op === 'clwb') {
    const view = viewOf(plan, core.core, i.view);
    const checks = [...effectiveTypes(plan, core, view)].map(
      (type) => plan.switches.flushAnyType || type !== 'UCM',
    );
    return [...new Set(checks)].map((c) => ({
      what: i.op,
      line: view.line,
      checks: c,
      text: `${i.op} ${i.view}`,
    }));
  }
  if (i.op !== 'store' && i.op !== 'nt-store') return [];
  const { line, cell, ...view } = viewOf(plan, core.core, i.view);
  const values =
    typeof i.value === 'number' ? [i.value] : Array.from({ length: plan.values }, (_, v) => v);
  return [...effectiveTypes(plan, core, { line, cell, ...view })].flatMap((type) => {
    const kind = storeKind(plan, type, i.op === 'nt-store');
    if (kind === null) return [];
    return values.map((value) => ({
      what: 'store' as const,
      kind,
      line,
      cell,
      value,
      text: storeText(i.op, i.view, value),
    }));
  });
}

/** Entries are the same when the hardware cannot tell them apart: their text is not compared. */
export function sameEntry(a: Entry, b: Entry): boolean {
  if (a.what === 'sfence' || b.what === 'sfence') return a.what === b.what;
  if (a.what === 'store' || b.what === 'store')
    return (
      a.what === 'store' &&
      b.what === 'store' &&
      a.kind === b.kind &&
      a.line === b.line &&
      a.cell === b.cell &&
      a.value === b.value
    );
  return a.what === b.what && a.line === b.line && a.checks === b.checks;
}
