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
import {
  type CombiningBuffer,
  type CombiningLine,
  type Core,
  type Hardware,
  MODIFIED,
} from '../state.ts';
import {
  busWrite,
  cacheOf,
  isPresent,
  memoryOf,
  takeFromOthers,
  writeBackAndDrop,
} from './cache.ts';
import { holdsAny } from './draining.ts';

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
  sources: ['sdm/nt', 'sdm/wc-buffering', 'intel/optimization-nt'],
});

const CLOSE = rule({
  id: 'machine/close-wc',
  room: 'cpu',
  title: 'A write-combining buffer is closed before it is written out',
  text:
    'Only where wcReopens is on. Later stores to the line go to another buffer, which is written out after the ' +
    'first: they do not replace what is on its way.',
  sources: ['sdm/wc-buffering', 'paper/pex86'],
});

function lineOf(core: Core, line: number): CombiningLine {
  return must(core.combining[line], `${core.name}: nothing is combined there`);
}

/** How many write-combining buffers of a core are in use. */
function used(core: Core): Expression {
  const buffers = core.combining.flatMap((l) => (l === null ? [] : [l.filling, l.leaving]));
  return buffers.reduce<Expression>(
    (n, b) => plus(n, choose(holdsAny(b), YES, constant(0))),
    constant(0),
  );
}

/** Whether a store of this kind finds a buffer: one that has the line already, or a free one. */
export function hasRoom(hw: Hardware, core: Core, kind: StoreKind, line: number): Expression {
  const { combiningBuffers = 4 } = hw.plan.config;
  const { kinds, filling } = lineOf(core, line);
  const free = less(used(core), combiningBuffers);
  return choose(holdsAny(filling), equal(filling.kind, kinds.indexOf(kind)), free);
}

/** Puts a store into the buffer of its line. */
export function combine(
  core: Core,
  kind: StoreKind,
  line: number,
  cell: number,
  value: number,
): readonly Statement[] {
  const { kinds, filling } = lineOf(core, line);
  const { holds, value: held } = must(filling.cells[cell], 'no such cell');
  return [...set(filling.kind, kinds.indexOf(kind)), ...set(holds, 1), ...set(held, value)];
}

/** The youngest pending store of the core to a cell, for a load that may be served by it. */
export function combined(
  core: Core,
  line: number,
  cell: number,
): { readonly when: Expression; readonly value: Expression } {
  const { filling, leaving } = core.combining[line] ?? {};
  const [young, old] = [filling?.cells[cell], leaving?.cells[cell]];
  if (young === undefined) return { when: constant(0), value: constant(0) };
  const inYoung = equal(young.holds, 1);
  if (old === undefined) return { when: inYoung, value: young.value };
  return {
    when: any(inYoung, equal(old.holds, 1)),
    value: choose(inYoung, young.value, old.value),
  };
}

function clear(buffer: CombiningBuffer, cells: readonly number[]): readonly Statement[] {
  const gone = cells.flatMap((c) => {
    const { holds, value } = must(buffer.cells[c], 'no such cell');
    return [...set(holds, 0), ...set(value, 0)];
  });
  return [...gone, ...when(not(holdsAny(buffer)), set(buffer.kind, 0))];
}

/** What goes out of a buffer together, and the condition for it. */
interface Burst {
  readonly buffer: CombiningBuffer;
  readonly kind: StoreKind;
  readonly cells: readonly number[];
  readonly guard: readonly Expression[];
}

function writeOut(hw: Hardware, core: Core, line: number, burst: Burst): void {
  const { buffer, kind, cells, guard } = burst;
  const value = (c: number): Expression => must(buffer.cells[c], 'no such cell').value;
  const writes = cells.flatMap((c) => set(must(memoryOf(hw, line)[c], 'no such cell'), value(c)));
  const command = {
    rule: kind === 'NT' ? EVICT_NT : EVICT_WC,
    agent: core.name,
    instruction: null,
    guard,
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
    guard: [...guard, isPresent(core, line)],
    effect: [
      ...takeFromOthers(hw, core, line),
      ...set(cache.state, MODIFIED),
      ...cells.flatMap((c) => set(must(cache.values[c], 'no such cell'), value(c))),
      ...clear(buffer, cells),
    ],
  });
}

function evict(
  hw: Hardware,
  core: Core,
  line: number,
  buffer: CombiningBuffer,
  ready: Expression,
): void {
  const full = all(...buffer.cells.map((c) => equal(c.holds, 1)));
  for (const [index, kind] of lineOf(core, line).kinds.entries()) {
    const guard = [equal(buffer.kind, index), ready];
    const cells = [...buffer.cells.keys()];
    writeOut(hw, core, line, { buffer, kind, cells, guard: [full, ...guard] });
    if (cells.length === 1) continue;
    for (const [cell, c] of buffer.cells.entries())
      writeOut(hw, core, line, {
        buffer,
        kind,
        cells: [cell],
        guard: [equal(c.holds, 1), not(full), ...guard],
      });
  }
}

/** Evictions of the write-combining buffers of a core. */
export function combiningRules(hw: Hardware, core: Core): void {
  core.combining.forEach((buffers, line) => {
    if (buffers === null) return;
    const { filling, leaving } = buffers;
    const alone = not(holdsAny(leaving));
    evict(hw, core, line, filling, alone);
    if (leaving === null) return;
    evict(hw, core, line, leaving, YES);
    const moved = filling.cells.flatMap((c, cell) => {
      const to = must(leaving.cells[cell], 'no such cell');
      return [...set(to.holds, c.holds), ...set(to.value, c.value)];
    });
    hw.builder.command({
      rule: CLOSE,
      agent: core.name,
      instruction: null,
      text: [`the write-combining buffer of ${hw.plan.lines[line]?.name} is closed`],
      guard: [holdsAny(filling), alone],
      effect: [
        ...set(leaving.kind, filling.kind),
        ...moved,
        ...clear(filling, [...filling.cells.keys()]),
      ],
    });
  });
}
