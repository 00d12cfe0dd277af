import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { PagingInstruction } from '../config.ts';
import {
  all,
  type Expression,
  equal,
  lookup,
  NO,
  not,
  type Place,
  set,
  YES,
} from '../language/expression.ts';
import { type PlannedView, viewOf } from '../plan.ts';
import type { Core, Hardware } from '../state.ts';
import type { AccessType } from '../types.ts';
import { isCacheable } from '../types.ts';
import { advance, atInstruction } from './control.ts';
import { isDrained, serialize } from './draining.ts';

const REFILL = rule({
  id: 'machine/tlb-refill',
  room: 'cpu',
  title: 'A TLB entry is read anew',
  text:
    'An entry may be replaced at any time by what the page tables say now; until then the old type stays in ' +
    'use. A view that is absent from the page tables is not cached, one that was there stays until flushed.',
  sources: ['sdm/tlb-types'],
});

const REMAP = rule({
  id: 'machine/remap',
  room: 'cpu',
  title: 'A page-table entry is written',
  text: 'The page tables change at once, for all cores; what TLBs hold does not.',
  sources: ['sdm/tlb-types', 'sdm/alias'],
});

const INVLPG = rule({
  id: 'machine/invlpg',
  room: 'cpu',
  title: 'INVLPG',
  text:
    'Serializing; the next use of the view has the type that the page tables say. On every core it is done by ' +
    'interrupts, which serialize.',
  sources: ['sdm/tlb-types', 'sdm/serializing'],
});

/** What the TLB of a core holds for a view: an index into its types. */
function entryOf(core: Core, view: PlannedView): Place {
  return must(core.tlb.get(view.key), `${core.name}: no TLB entry for ${view.key}`);
}

/** Whether the TLB holds a type of that sort. */
export function holdsType(
  core: Core,
  view: PlannedView,
  wanted: (type: AccessType) => boolean,
): Expression {
  const of = view.types.map((t) => (t !== 'absent' && wanted(t) ? 1 : 0));
  if (view.types.length === 1) return of[0] === 1 ? YES : NO;
  return lookup(of, entryOf(core, view));
}

/** The types that an access through a view can have now, each with its condition; none while it faults. */
export function typesNow(
  hw: Hardware,
  core: Core,
  view: PlannedView,
): readonly { readonly type: AccessType; readonly when: Expression }[] {
  const disabled = equal(core.cacheDisable, 1);
  return view.types.flatMap((type) => {
    if (type === 'absent') return [];
    const held = holdsType(core, view, (t) => t === type);
    if (!hw.plan.switches.amdCD || !isCacheable(type)) return [{ type, when: held }];
    return [
      { type, when: all(held, not(disabled)) },
      { type: 'CD' as const, when: all(held, disabled) },
    ].filter(({ when }) => when !== NO);
  });
}

/** Whether neither TLB nor page tables have the view: an access waits for somebody who maps it. */
export function isFaulting(hw: Hardware, core: Core, view: PlannedView): Expression {
  const absent = view.types.indexOf('absent');
  if (absent < 0) return NO;
  if (view.types.length === 1) return YES;
  const table = must(hw.pageTable.get(view.key), 'no page-table entry');
  return all(equal(entryOf(core, view), absent), equal(table, absent));
}

/** Refills of all views whose type can change. */
export function tlbRules(hw: Hardware, core: Core): void {
  for (const view of hw.plan.views) {
    const entry = core.tlb.get(view.key);
    if (entry === undefined) continue;
    const table = must(hw.pageTable.get(view.key), 'no page-table entry');
    view.types.forEach((type, index) => {
      if (type === 'absent') return;
      hw.builder.command({
        rule: REFILL,
        agent: core.name,
        instruction: null,
        text: [`the TLB takes ${view.key} as ${type}`],
        guard: [equal(table, index), not(equal(entry, index))],
        effect: set(entry, index),
      });
    });
  }
}

/** REMAP and INVLPG. */
export function pagingInstruction(hw: Hardware, core: Core, k: number, i: PagingInstruction): void {
  const view = viewOf(hw.plan, core.name, i.view);
  const table = hw.pageTable.get(view.key);
  const command = { agent: core.name, instruction: k };
  if (i.op === 'remap') {
    const index = view.types.indexOf(i.type);
    hw.builder.command({
      ...command,
      rule: REMAP,
      text: [`the page tables say ${i.type} for ${i.view}`],
      guard: [atInstruction(core, k)],
      effect: [...(table === undefined ? [] : set(table, index)), ...advance(core, k)],
    });
    return;
  }
  const cores = i.op === 'invlpg' ? [core] : hw.cores;
  hw.builder.command({
    ...command,
    rule: INVLPG,
    text: [`${i.op} ${i.view}`],
    guard: [atInstruction(core, k), ...cores.map(isDrained)],
    effect: [
      ...cores.flatMap((c) => {
        const entry = c.tlb.get(view.key);
        return [
          ...serialize(c),
          ...(table === undefined || entry === undefined ? [] : set(entry, table)),
        ];
      }),
      ...advance(core, k),
    ],
  });
}
