import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { FlushInstruction, WbinvdInstruction } from '../config.ts';
import { type FlushEntry, flushEntry } from '../entries.ts';
import {
  all,
  type Expression,
  equal,
  not,
  type Statement,
  set,
  YES,
} from '../language/expression.ts';
import { viewOf } from '../plan.ts';
import { type Core, FLUSHES, type Hardware } from '../state.ts';
import { drop, writeBackAndDrop, writeBackAndKeep } from './cache.ts';
import { advance, atInstruction } from './control.ts';
import { flushesAreDone, isBusy, isDrained, serialize } from './draining.ts';
import { hasSlot, push } from './store-buffer.ts';
import { typesNow } from './tlb.ts';

const FLUSH = rule({
  id: 'machine/flush',
  room: 'cpu',
  title: 'CLFLUSH, CLFLUSHOPT and CLWB enter the store buffer',
  text:
    'As stores do: older stores to the line are performed before them. Through a view that the MTRRs make ' +
    'uncacheable they look into no cache where flushAnyType is off (AMD), through a WC one where flushThroughWC is.',
  sources: ['sdm/clflush', 'sdm/clflushopt', 'sdm/clwb', 'apm/clflush'],
});

const CLFLUSH = rule({
  id: 'machine/clflush',
  room: 'cpu',
  title: 'CLFLUSH is performed',
  text:
    'In the order of stores. Every core writes the line back and drops it. Older CLFLUSHOPT and CLWB are waited ' +
    'for where clflushWaits is on.',
  sources: ['sdm/clflush'],
});

const PENDING = rule({
  id: 'machine/clflushopt-pending',
  room: 'cpu',
  title: 'CLFLUSHOPT or CLWB is under way',
  text: 'It leaves the store buffer; SFENCE, MFENCE, locked and serializing instructions wait for its end.',
  sources: ['sdm/clflushopt', 'sdm/clwb'],
});

const PERFORM = rule({
  id: 'machine/clflushopt',
  room: 'cpu',
  title: 'CLFLUSHOPT or CLWB is performed',
  text:
    'At any time once it is under way, in any order. Every core writes the line back; it is dropped by ' +
    'CLFLUSHOPT, kept clean by CLWB.',
  sources: ['sdm/clflushopt', 'sdm/clwb'],
});

const UNORDERED = rule({
  id: 'machine/clflush-unordered',
  room: 'cpu',
  title: 'CLFLUSH without an order',
  text:
    'Only where clflushUnordered is on. It is under way at once, past older stores that are still in the store buffer, ' +
    'and performed at any time; MFENCE alone waits for its end. Own stores to the line that are being combined go ' +
    'out before it.',
  sources: ['apm/clflush-order', 'sdm/clflush-before'],
});

const WBINVD = rule({
  id: 'machine/wbinvd',
  room: 'cpu',
  title: 'WBINVD and INVD',
  text:
    'Serializing. WBINVD writes back and drops every line of the own cache, INVD drops them without. The private ' +
    'caches of other cores are not touched: for them each has to execute it, as wbinvd_on_all_cpus() does by ' +
    'interrupts, which serialize.',
  sources: ['sdm/wbinvd', 'linux/wbinvd-on-all-cpus'],
});

/** Flushes of a line. */
export function flushInstruction(hw: Hardware, core: Core, k: number, i: FlushInstruction): void {
  const view = viewOf(hw.plan, core.name, i.view);
  const unordered = i.op === 'clflush' && hw.plan.switches.clflushUnordered;
  for (const { type, when: typed } of typesNow(hw, core, view)) {
    const entry = flushEntry(hw.plan, i.op, view, type);
    if (unordered) {
      const { clflush } = must(core.flushes[view.line], 'no flush can be under way');
      hw.builder.command({
        rule: UNORDERED,
        agent: core.name,
        instruction: k,
        text: [`${i.op} ${i.view} is under way`],
        guard: [atInstruction(core, k), typed],
        effect: [...(entry.checks ? set(clflush, 1) : []), ...advance(core, k)],
      });
      continue;
    }
    hw.builder.command({
      rule: FLUSH,
      agent: core.name,
      instruction: k,
      text: [`${i.op} ${i.view} enters the store buffer`],
      guard: [atInstruction(core, k), typed, hasSlot(core)],
      effect: [...push(core, entry), ...advance(core, k)],
    });
  }
}

/** A flush as the oldest entry of the store buffer. */
export function drainFlush(
  hw: Hardware,
  core: Core,
  e: FlushEntry,
): {
  readonly rule: typeof CLFLUSH;
  readonly text: string;
  readonly guard: readonly Expression[];
  readonly effect: readonly Statement[];
} {
  const combined = not(isBusy(core.combining[e.line]));
  const pending = core.flushes[e.line] ?? null;
  if (e.what === 'clflush')
    return {
      rule: CLFLUSH,
      text: `${e.text} is performed`,
      guard: [combined, ...(hw.plan.switches.clflushWaits ? [flushesAreDone(core)] : [])],
      effect: e.checks ? hw.cores.flatMap((c) => writeBackAndDrop(hw, c, e.line)) : [],
    };
  return {
    rule: PENDING,
    text: `${e.text} is under way`,
    guard: [combined],
    effect: e.checks && pending !== null ? set(pending[e.what], 1) : [],
  };
}

/** Pending flushes of a core. */
export function flushRules(hw: Hardware, core: Core): void {
  hw.plan.lines.forEach(({ name }, line) => {
    const pending = core.flushes[line] ?? null;
    if (pending === null) return;
    for (const op of FLUSHES)
      hw.builder.command({
        rule: op === 'clflush' ? UNORDERED : PERFORM,
        agent: core.name,
        instruction: null,
        text: [`${op} of ${name} is performed`],
        guard: [equal(pending[op], 1), op === 'clflush' ? not(isBusy(core.combining[line])) : YES],
        effect: [
          ...hw.cores.flatMap((c) =>
            op === 'clwb' ? writeBackAndKeep(hw, c, line) : writeBackAndDrop(hw, c, line),
          ),
          ...set(pending[op], 0),
        ],
      });
  });
}

/** WBINVD, on one core or all, and INVD. */
export function wbinvdInstruction(hw: Hardware, core: Core, k: number, i: WbinvdInstruction): void {
  const cores = i.op === 'wbinvd-all' ? hw.cores : [core];
  hw.builder.command({
    rule: WBINVD,
    agent: core.name,
    instruction: k,
    text: [i.op],
    guard: [atInstruction(core, k), all(...cores.map(isDrained))],
    effect: [
      ...cores.flatMap((c) => [
        ...serialize(c),
        ...hw.plan.lines.flatMap((_, line) =>
          i.op === 'invd' ? drop(c, line) : writeBackAndDrop(hw, c, line),
        ),
      ]),
      ...advance(core, k),
    ],
  });
}
