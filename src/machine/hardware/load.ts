import { must } from '../../base/assert.ts';
import { type Rule, rule } from '../../cite/rule.ts';
import type { LoadInstruction, PollInstruction } from '../config.ts';
import {
  all,
  any,
  type Expression,
  equal,
  NO,
  not,
  type Statement,
  set,
  when,
  YES,
} from '../language/expression.ts';
import { type PlannedView, viewOf } from '../plan.ts';
import type { Core, Hardware } from '../state.ts';
import { type AccessType, isCacheable, isStrong } from '../types.ts';
import {
  busRead,
  cacheOf,
  copy,
  fill,
  isModified,
  isPresent,
  memoryOf,
  othersThan,
  valueAmong,
  writeBackAndKeep,
} from './cache.ts';
import { combined } from './combining.ts';
import { advance, atInstruction, registerOf } from './control.ts';
import { flushesAreDone, isBusy, isQuietForStrong, nothingCombined } from './draining.ts';
import { forwarded, nothingBuffered, nothingBufferedIn, onlyPassedByLoad } from './store-buffer.ts';
import { typesNow } from './tlb.ts';

const FORWARD = rule({
  id: 'machine/load-forward',
  room: 'cpu',
  title: 'A load is served by an own store on its way',
  text:
    'The youngest own store to the cell, if it is of a cacheable type; by physical address, whatever name it ' +
    'was stored under. One that is WC, non-temporal or UC makes the load wait, unless fwdNT is on.',
  sources: ['sdm/store-buffer', 'sdm/ordering', 'paper/x86-tso', 'hw/litmus7'],
});

const HIT = rule({
  id: 'machine/load-hit',
  room: 'cpu',
  title: 'A load hits the cache',
  text:
    'WB, WT and WP. What memory holds is not asked, nor whether the copy is stale. An own store to the line that ' +
    'is being combined goes out first.',
  sources: ['sdm/types', 'sdm/no-fill'],
});

const MISS = rule({
  id: 'machine/load-fill',
  room: 'cpu',
  title: 'A load misses the cache',
  text:
    'WB, WT and WP. A modified copy elsewhere is written back and stays as a clean one; the line is filled. With ' +
    'CR0.CD=1 (no-fill mode) it is read and not filled.',
  sources: ['sdm/types', 'sdm/t11-5', 'sdm/no-fill'],
});

const WC_LOAD = rule({
  id: 'machine/load-wc',
  room: 'cpu',
  title: 'A WC load',
  text:
    'From the bus, checking caches as its type says. Own stores to the same place go out first, other ones stay ' +
    'where they are.',
  sources: ['sdm/types', 'sdm/alias', 'amd/wc-events'],
});

const UC_LOAD = rule({
  id: 'machine/load-uc',
  room: 'cpu',
  title: 'A UC or CD load',
  text:
    'After every own store has left store buffer and write-combining buffers, never speculatively, from the bus; ' +
    'with ucLoadsPass not after stores of cacheable types to other lines. ' +
    'UC by the page tables checks every cache, UC by the MTRR need check none, CD drops every copy.',
  sources: ['sdm/types', 'sdm/t11-7', 'apm/types', 'apm/cd', 'apm/wc-buffers'],
});

const STREAM_HIT = rule({
  id: 'machine/movntdqa-hit',
  room: 'cpu',
  title: 'MOVNTDQA is served by a streaming-load buffer',
  text:
    'On WC memory, from a line that an earlier one fetched: nobody snoops the buffer. An own store to the line empties ' +
    'it, unless streamOutlivesStore is on.',
  sources: ['sdm/streaming-load', 'sdm/movntdqa'],
});

const STREAM_FETCH = rule({
  id: 'machine/movntdqa-fetch',
  room: 'cpu',
  title: 'MOVNTDQA fetches a line into a streaming-load buffer',
  text:
    'On WC memory, as a WC load, but copies of the line in the own cache are written back and dropped whatever ' +
    'the switches say. While an own store to the line is on its way the line is read and not held. On other types ' +
    'it is a plain load.',
  sources: ['sdm/movntdqa', 'sdm/streaming-load'],
});

/** One way in which a load can be served. */
interface Path {
  readonly rule: Rule;
  readonly from: string;
  readonly when: Expression;
  /** Asked before anything happens. */
  readonly value: Expression;
  readonly effect: readonly Statement[];
  /** Whether the effect would change anything. */
  readonly changes: Expression;
}

/** Whether no store of the core to this place is on its way. */
function isOut(core: Core, { line, cell }: PlannedView): Expression {
  return all(nothingBuffered(core, line, cell), not(isBusy(core.combining[line])));
}

function cachePaths(hw: Hardware, core: Core, view: PlannedView): readonly Path[] {
  const { line, cell } = view;
  const buffer = forwarded(hw, core, line, cell);
  const cache = cacheOf(core, line);
  const present = isPresent(core, line);
  const missing = all(isOut(core, view), not(present));
  const disabled = cache === null ? YES : equal(core.cacheDisable, 1);
  const others = othersThan(hw, core);
  const nothing = { effect: [], changes: NO };
  const pending = combined(core, line, cell);
  return [
    { rule: FORWARD, from: 'its store buffer', ...buffer, ...nothing },
    {
      rule: FORWARD,
      from: 'its write-combining buffer',
      when: hw.plan.switches.fwdNT ? all(nothingBuffered(core, line, cell), pending.when) : NO,
      value: pending.value,
      ...nothing,
    },
    {
      rule: HIT,
      from: 'its cache',
      when: all(isOut(core, view), present),
      value: cache?.values[cell] ?? NO,
      ...nothing,
    },
    {
      rule: MISS,
      from: 'memory, filling its cache',
      when: all(missing, not(disabled)),
      value: valueAmong(hw, others, line, cell),
      effect: fill(hw, core, line),
      changes: YES,
    },
    {
      rule: MISS,
      from: 'memory',
      when: all(missing, disabled),
      value: valueAmong(hw, others, line, cell),
      effect: others.flatMap((c) => writeBackAndKeep(hw, c, line)),
      changes: any(...others.map((c) => isModified(c, line))),
    },
  ];
}

/** When a UC load is performed: behind every own store, or behind those that ucLoadsPass does not let it pass. */
function mayLoadStrongly(hw: Hardware, core: Core, line: number): Expression {
  const quiet = isQuietForStrong(hw, core);
  if (!hw.plan.switches.ucLoadsPass) return quiet;
  const flushed = hw.plan.switches.ucDrainsFlush ? flushesAreDone(core) : YES;
  return any(quiet, all(onlyPassedByLoad(core, line), nothingCombined(core), flushed));
}

function busPath(hw: Hardware, core: Core, view: PlannedView, type: AccessType): readonly Path[] {
  const read = busRead(hw, core, view.line, view.cell, type);
  if (isStrong(type))
    return [{ rule: UC_LOAD, from: 'memory', when: mayLoadStrongly(hw, core, view.line), ...read }];
  return [{ rule: WC_LOAD, from: 'memory', when: isOut(core, view), ...read }];
}

function streamPaths(
  hw: Hardware,
  core: Core,
  view: PlannedView,
  type: AccessType,
): readonly Path[] {
  const { line, cell } = view;
  const stream = must(core.streams[line], 'no streaming-load buffer');
  // As UC by the page tables: the own cache is checked in any case.
  const read = busRead(hw, core, line, cell, type === 'WC' ? 'UC' : type);
  const held = [...set(stream.holds, 1), ...copy(stream.values, memoryOf(hw, line))];
  const keeps = hw.plan.switches.streamOutlivesStore ? YES : nothingBufferedIn(core, line);
  return [
    {
      rule: STREAM_HIT,
      from: 'its streaming-load buffer',
      when: equal(stream.holds, 1),
      value: must(stream.values[cell], 'no such cell'),
      effect: [],
      changes: NO,
    },
    {
      rule: STREAM_FETCH,
      from: 'memory, filling a streaming-load buffer',
      when: isOut(core, view),
      value: read.value,
      effect: [...read.effect, ...when(keeps, held)],
      changes: YES,
    },
  ];
}

function pathsOf(hw: Hardware, core: Core, view: PlannedView, streams: boolean): readonly Path[] {
  return typesNow(hw, core, view).flatMap(({ type, when: typed }) => {
    const paths = isCacheable(type)
      ? cachePaths(hw, core, view)
      : streams && !isStrong(type)
        ? streamPaths(hw, core, view, type)
        : busPath(hw, core, view, type);
    return paths.map((p) => ({ ...p, when: all(typed, p.when) }));
  });
}

/** LOAD, MOVNTDQA and POLL. */
export function loadInstruction(
  hw: Hardware,
  core: Core,
  k: number,
  i: LoadInstruction | PollInstruction,
): void {
  const view = viewOf(hw.plan, core.name, i.view);
  const here = atInstruction(core, k);
  for (const { rule: by, from, when: served, value, effect, changes } of pathsOf(
    hw,
    core,
    view,
    i.op === 'movntdqa',
  )) {
    const command = { rule: by, agent: core.name, instruction: k };
    if (i.op !== 'poll') {
      const register = registerOf(core, i.to);
      const name = i.op === 'load' ? i.view : `nt ${i.view}`;
      hw.builder.command({
        ...command,
        text: [`${i.to}:=${name} reads `, { after: register }, ` from ${from}`],
        guard: [here, served],
        effect: [...set(register, value), ...effect, ...advance(core, k)],
      });
      continue;
    }
    const seen = equal(value, i.value);
    hw.builder.command({
      ...command,
      text: [`wait ${i.view}=${i.value} ends: read from ${from}`],
      guard: [here, served, seen],
      effect: [...effect, ...advance(core, k)],
    });
    hw.builder.command({
      ...command,
      text: [`wait ${i.view}=${i.value} reads `, { before: value }, ` from ${from}`],
      guard: [here, served, not(seen), changes],
      effect,
    });
  }
}
