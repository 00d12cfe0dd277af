import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { StoreKind } from '../entries.ts';
import {
  all,
  any,
  choose,
  constant,
  type Expression,
  equal,
  less,
  not,
  plus,
  type Statement,
  set,
  when,
  YES,
} from '../language/expression.ts';
import { cellName } from '../plan.ts';
import { type CombiningLine, type Core, type Hardware, MODIFIED } from '../state.ts';
import {
  busWrite,
  cacheOf,
  isPresent,
  memoryOf,
  takeFromOthers,
  writeBackAndDrop,
} from './cache.ts';
import { isBusy } from './draining.ts';

const EVICT_WC = rule({
  id: 'machine/evict-wc',
  room: 'cpu',
  title: 'A write-combining buffer is written out',
  text:
    'At any time, in any order. A buffer that is full goes out as one burst; a partly filled one cell by cell, ' +
    'in any order. The caches are checked as for its type; the buffer itself is never snooped.',
  sources: ['sdm/wc-buffering', 'sdm/alias', 'apm/wc-buffers', 'amd/wc-events'],
});

const EVICT_NT = rule({
  id: 'machine/evict-nt',
  room: 'cpu',
  title: 'Non-temporal stores are written out',
  text:
    'As a WC buffer, but the memory is cacheable and stays coherent: every cached copy is written back and ' +
    'dropped first. Where ntInPlace is on, a line of the own cache may be modified instead.',
  sources: ['sdm/nt', 'sdm/wc-buffering'],
});

function bufferOf(core: Core, line: number): CombiningLine {
  return must(core.combining[line], `${core.name}: nothing is combined there`);
}

/** Whether a store of this kind finds a buffer: one that has the line already, or a free one. */
export function hasRoom(hw: Hardware, core: Core, kind: StoreKind, line: number): Expression {
  const { combiningBuffers = 4 } = hw.plan.config;
  const buffer = bufferOf(core, line);
  const used = core.combining.flatMap((b) => (b === null ? [] : [isBusy(b)]));
  const sum = used.reduce((n, busy) => plus(n, choose(busy, YES, constant(0))), constant(0));
  return all(
    any(not(isBusy(buffer)), equal(buffer.kind, buffer.kinds.indexOf(kind))),
    used.length <= combiningBuffers ? YES : any(isBusy(buffer), less(sum, combiningBuffers)),
  );
}

/** Puts a store into the buffer of its line. */
export function combine(
  core: Core,
  kind: StoreKind,
  line: number,
  cell: number,
  value: number,
): readonly Statement[] {
  const buffer = bufferOf(core, line);
  const { holds, value: held } = must(buffer.cells[cell], 'no such cell');
  return [...set(buffer.kind, buffer.kinds.indexOf(kind)), ...set(holds, 1), ...set(held, value)];
}

/** A pending store of the core to a cell, for a load that may be served by it. */
export function combined(
  core: Core,
  line: number,
  cell: number,
): { readonly when: Expression; readonly value: Expression } {
  const pending = core.combining[line]?.cells[cell];
  if (pending === undefined) return { when: constant(0), value: constant(0) };
  return { when: equal(pending.holds, 1), value: pending.value };
}

function clear(buffer: CombiningLine, cells: readonly number[]): readonly Statement[] {
  const gone = cells.flatMap((c) => {
    const { holds, value } = must(buffer.cells[c], 'no such cell');
    return [...set(holds, 0), ...set(value, 0)];
  });
  return [...gone, ...when(not(isBusy(buffer)), set(buffer.kind, 0))];
}

function writeOut(
  hw: Hardware,
  core: Core,
  line: number,
  kind: StoreKind,
  cells: readonly number[],
  guard: Expression,
): void {
  const buffer = bufferOf(core, line);
  const value = (c: number): Expression => must(buffer.cells[c], 'no such cell').value;
  const writes = cells.flatMap((c) => set(must(memoryOf(hw, line)[c], 'no such cell'), value(c)));
  const command = {
    rule: kind === 'NT' ? EVICT_NT : EVICT_WC,
    agent: core.name,
    instruction: null,
    guard: [guard, equal(buffer.kind, buffer.kinds.indexOf(kind))],
  };
  const what = cells.map((c) => cellName(hw.plan, line, c)).join(' ');
  const shown = cells.flatMap((c) => [' ', { before: value(c) }]);
  hw.builder.command({
    ...command,
    text: [`${what} goes from the write-combining buffer to memory:`, ...shown],
    effect: [
      ...(kind === 'NT'
        ? [...hw.cores.flatMap((c) => writeBackAndDrop(hw, c, line)), ...writes]
        : busWrite(hw, core, line, kind, writes)),
      ...clear(buffer, cells),
    ],
  });
  const cache = cacheOf(core, line);
  if (kind !== 'NT' || !hw.plan.switches.ntInPlace || cache === null) return;
  hw.builder.command({
    ...command,
    text: [`${what} goes from the write-combining buffer to the cache:`, ...shown],
    guard: [...command.guard, isPresent(core, line)],
    effect: [
      ...takeFromOthers(hw, core, line),
      ...set(cache.state, MODIFIED),
      ...cells.flatMap((c) => set(must(cache.values[c], 'no such cell'), value(c))),
      ...clear(buffer, cells),
    ],
  });
}

/** Evictions of the write-combining buffers of a core. */
export function combiningRules(hw: Hardware, core: Core): void {
  core.combining.forEach((buffer, line) => {
    if (buffer === null) return;
    const full = all(...buffer.cells.map((c) => equal(c.holds, 1)));
    for (const kind of buffer.kinds) {
      writeOut(hw, core, line, kind, [...buffer.cells.keys()], full);
      if (buffer.cells.length === 1) continue;
      buffer.cells.forEach((c, cell) => {
        writeOut(hw, core, line, kind, [cell], all(equal(c.holds, 1), not(full)));
      });
    }
  });
}
