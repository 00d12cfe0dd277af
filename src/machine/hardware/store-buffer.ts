import { must } from '../../base/assert.ts';
import { type Rule, rule } from '../../cite/rule.ts';
import type { Entry, StoreKind } from '../entries.ts';
import {
  all,
  any,
  choose,
  constant,
  type Expression,
  equal,
  isNever,
  isOneOf,
  lookup,
  not,
  type Place,
  type Statement,
  set,
  when,
} from '../language/expression.ts';
import { CLEAN, type Core, type Hardware, MODIFIED } from '../state.ts';
import { type AccessType, isCacheable, isStrong } from '../types.ts';
import {
  busWrite,
  cacheOf,
  copy,
  isPresent,
  memoryOf,
  othersThan,
  takeFromOthers,
  writeBackAndDrop,
} from './cache.ts';
import { combine, hasRoom } from './combining.ts';
import { flushesAreDone, isBusy, nothingCombined } from './draining.ts';
import { drainFlush } from './flush.ts';

const DRAIN = {
  WB: rule({
    id: 'machine/drain-wb',
    room: 'cpu',
    title: 'A WB store leaves the store buffer',
    text:
      'Oldest first. Other cores write the line back and drop it; it is read if it is absent, and modified. ' +
      'With CR0.CD=1 (no-fill mode) a line that is present is modified, one that is absent is written in memory, and ' +
      'where cdUpdatesShared is on one that others have too in both. ' +
      'A store to a line that the core is still combining waits.',
    sources: ['sdm/store-buffer', 'sdm/types', 'sdm/t11-5', 'paper/x86-tso'],
  }),
  WT: rule({
    id: 'machine/drain-wt',
    room: 'cpu',
    title: 'A WT store leaves the store buffer',
    text:
      'Oldest first. Other cores write the line back and drop it; memory is written, and the own copy if there ' +
      'is one: a miss does not fill.',
    sources: ['sdm/store-buffer', 'sdm/types', 'apm/types'],
  }),
  WP: rule({
    id: 'machine/drain-wp',
    room: 'cpu',
    title: 'A WP store leaves the store buffer',
    text: 'Oldest first. Every copy, the own one too, is given up; memory is written.',
    sources: ['sdm/store-buffer', 'sdm/types', 'apm/types'],
  }),
} as const;

const DRAIN_COMBINING = rule({
  id: 'machine/drain-wc',
  room: 'cpu',
  title: 'A WC or non-temporal store leaves the store buffer',
  text:
    'Oldest first, for a write-combining buffer of its line, where a later store replaces an earlier one of ' +
    'the same cell. Where ntPassesOlder is on it may pass older stores to other lines, but no fence and no flush.',
  sources: ['sdm/wc-buffering', 'sdm/nt', 'apm/wc-buffers', 'hw/litmus7'],
});

const DRAIN_UC = rule({
  id: 'machine/drain-uc',
  room: 'cpu',
  title: 'A posted UC store is performed',
  text: 'Only where ucPosted is on: as the oldest store, when nothing is being combined.',
  sources: ['sdm/types', 'sdm/ordering'],
});

const DRAIN_SFENCE = rule({
  id: 'machine/drain-sfence',
  room: 'cpu',
  title: 'SFENCE is passed',
  text:
    'Younger stores and flushes pass when every older one is globally visible: write-combining buffers and ' +
    'pending flushes are empty. Loads never wait for it.',
  sources: ['sdm/ordering', 'sdm/clflushopt', 'hw/litmus7'],
});

// ---- entries ------------------------------------------------------------------------------------

/** The number under which an entry stands in a slot. */
function codeOf(core: Core, entry: Entry): number {
  return core.entries.findIndex((e) => e.text === entry.text) + 1;
}

function codesOf(core: Core, wanted: (e: Entry) => boolean): readonly number[] {
  return core.entries.flatMap((e, i) => (wanted(e) ? [i + 1] : []));
}

export function hasSlot(core: Core): Expression {
  return equal(must(core.slots.at(-1), 'no store buffer'), 0);
}

/** Appends an entry; there must be room. */
export function push(core: Core, entry: Entry): readonly Statement[] {
  const code = codeOf(core, entry);
  const last = set(must(core.slots.at(-1), 'no store buffer'), code);
  return core.slots
    .slice(0, -1)
    .reduceRight<readonly Statement[]>(
      (later, slot) => when(equal(slot, 0), set(slot, code), later),
      last,
    );
}

function removeSlot(core: Core, slot: number): readonly Statement[] {
  return core.slots.flatMap((place, s) =>
    s < slot ? [] : set(place, core.slots[s + 1] ?? constant(0)),
  );
}

/** The youngest store to a cell that is still in the store buffer, as its code; 0 when there is none. */
function youngestStore(core: Core, line: number, cell: number): Expression {
  const codes = codesOf(core, (e) => e.what === 'store' && e.line === line && e.cell === cell);
  return core.slots.reduce<Expression>(
    (older, slot) => choose(isOneOf(slot, codes, core.entries.length + 1), slot, older),
    constant(0),
  );
}

/** Whether no store to a cell is in the store buffer. */
export function nothingBuffered(core: Core, line: number, cell: number): Expression {
  return equal(youngestStore(core, line, cell), 0);
}

/** Whether no store to any cell of a line is in the store buffer. */
export function nothingBufferedIn(core: Core, line: number): Expression {
  const stores = codesOf(core, (e) => e.what === 'store' && e.line === line);
  return not(any(...core.slots.map((slot) => isOneOf(slot, stores, core.entries.length + 1))));
}

/** Whether no flush is in the store buffer. */
export function noFlushBuffered(core: Core): Expression {
  const flushes = codesOf(core, (e) => e.what !== 'store' && e.what !== 'sfence');
  return not(any(...core.slots.map((slot) => isOneOf(slot, flushes, core.entries.length + 1))));
}

/** Whether all that is in the store buffer are stores of cacheable types to lines other than this. */
export function onlyPassedByLoad(core: Core, line: number): Expression {
  const passed = codesOf(
    core,
    (e) => e.what === 'store' && e.line !== line && e.kind !== 'NT' && isCacheable(e.kind),
  );
  return all(...core.slots.map((slot) => isOneOf(slot, [0, ...passed], core.entries.length + 1)));
}

/** Forwarding of own stores to a load: the condition, and the value. */
export function forwarded(
  hw: Hardware,
  core: Core,
  line: number,
  cell: number,
): { readonly when: Expression; readonly value: Expression } {
  const youngest = youngestStore(core, line, cell);
  const forwards = (kind: StoreKind): boolean =>
    kind === 'NT' || kind === 'WC' || kind === 'WC+' ? hw.plan.switches.fwdNT : isCacheable(kind);
  const codes = codesOf(
    core,
    (e) => e.what === 'store' && e.line === line && e.cell === cell && forwards(e.kind),
  );
  const values = core.entries.map((e) => (e.what === 'store' ? e.value : 0));
  return {
    when: isOneOf(youngest, codes, core.entries.length + 1),
    value: lookup([0, ...values], youngest),
  };
}

// ---- what leaves --------------------------------------------------------------------------------

/** A store of a cacheable type, performed: the line is this core's alone while it happens. */
export function performStore(
  hw: Hardware,
  core: Core,
  type: AccessType,
  line: number,
  cell: number,
  value: Expression | number,
): readonly Statement[] {
  const memory = set(must(memoryOf(hw, line)[cell], 'no such cell'), value);
  const cache = cacheOf(core, line);
  const others = takeFromOthers(hw, core, line);
  if (cache === null) return [...others, ...memory];
  const own = set(must(cache.values[cell], 'no such cell'), value);
  const present = isPresent(core, line);
  if (type === 'WT') return [...others, ...memory, ...when(present, own)];
  if (type === 'WP') return [...others, ...writeBackAndDrop(hw, core, line), ...memory];
  const modify = [...set(cache.state, MODIFIED), ...own];
  const allocate = [
    ...set(cache.state, CLEAN),
    ...copy(cache.values, memoryOf(hw, line)),
    ...modify,
  ];
  const disabled = equal(core.cacheDisable, 1);
  const alone = [...others, ...when(present, modify, when(disabled, memory, allocate))];
  if (!hw.plan.switches.cdUpdatesShared) return alone;
  const shared = any(...othersThan(hw, core).map((c) => isPresent(c, line)));
  return when(all(disabled, present, shared), [...others, ...memory, ...own], alone);
}

interface Drain {
  readonly rule: Rule;
  readonly text: string;
  readonly guard: readonly Expression[];
  readonly effect: readonly Statement[];
}

function destination(core: Core, kind: StoreKind, line: number): string {
  if (kind !== 'WB' || cacheOf(core, line) === null) return 'goes to memory';
  return isNever(core.cacheDisable) ? 'goes to the cache' : 'is performed';
}

function drainStore(hw: Hardware, core: Core, e: Extract<Entry, { what: 'store' }>): Drain {
  const { kind, line, cell, value, text } = e;
  if (kind === 'NT' || kind === 'WC' || kind === 'WC+')
    return {
      rule: DRAIN_COMBINING,
      text: `${text} goes to a write-combining buffer`,
      guard: [hasRoom(hw, core, kind, line)],
      effect: combine(core, kind, line, cell, value),
    };
  if (isStrong(kind))
    return {
      rule: DRAIN_UC,
      text: `${text} is performed`,
      guard: [nothingCombined(core)],
      effect: busWrite(hw, core, line, kind, set(must(memoryOf(hw, line)[cell], 'no cell'), value)),
    };
  return {
    rule: kind === 'WT' ? DRAIN.WT : kind === 'WP' ? DRAIN.WP : DRAIN.WB,
    text: `${text} ${destination(core, kind, line)}`,
    guard: [not(isBusy(core.combining[line]))],
    effect: performStore(hw, core, kind, line, cell, value),
  };
}

function drainOf(hw: Hardware, core: Core, e: Entry): Drain {
  if (e.what === 'store') return drainStore(hw, core, e);
  if (e.what !== 'sfence') return drainFlush(hw, core, e);
  return {
    rule: DRAIN_SFENCE,
    text: 'sfence is passed',
    guard: [nothingCombined(core), flushesAreDone(core)],
    effect: [],
  };
}

/** Stores that a WC or NT store to `line` may pass. */
function passable(core: Core, line: number): readonly number[] {
  return codesOf(
    core,
    (e) => e.what === 'store' && e.line !== line && (e.kind === 'NT' || !isStrong(e.kind)),
  );
}

/** What leaves the store buffer of a core. */
export function storeBufferRules(hw: Hardware, core: Core): void {
  const slots: readonly Place[] = hw.plan.switches.ntPassesOlder
    ? core.slots
    : core.slots.slice(0, 1);
  slots.forEach((slot, s) => {
    for (const e of core.entries) {
      const { rule: by, text, guard, effect } = drainOf(hw, core, e);
      if (s > 0 && by !== DRAIN_COMBINING) continue;
      const older = e.what === 'store' && s > 0 ? passable(core, e.line) : [];
      hw.builder.command({
        rule: by,
        agent: core.name,
        instruction: null,
        text: [text],
        guard: [
          equal(slot, codeOf(core, e)),
          all(...core.slots.slice(0, s).map((o) => isOneOf(o, older, core.entries.length + 1))),
          ...guard,
        ],
        effect: [...removeSlot(core, s), ...effect],
      });
    }
  });
}
