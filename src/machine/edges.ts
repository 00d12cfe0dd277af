import { must } from '../base/assert.ts';
import { refuse } from '../base/diagnostic.ts';
import type { PageType } from './config.ts';
import { clflushesAreDone, isDrained } from './hardware/draining.ts';
import { isFaulting } from './hardware/tlb.ts';
import { all, choose, type Expression, equal, type Place } from './language/expression.ts';
import { evaluate } from './language/interpret.ts';
import { bitsOf, type Layout, setBits } from './language/layout.ts';
import type { CoreState, DeviceState, Fault, StateView } from './machine.ts';
import { accessedView, type PlannedView, viewOf } from './plan.ts';
import {
  type CombiningBuffer,
  type Core,
  type Device,
  FLUSHES,
  type Hardware,
  MODIFIED,
} from './state.ts';

/** A question to a state. */
export type Ask = (e: Expression) => number;

export function asker(layout: Layout, state: Int32Array, at: number): Ask {
  return (e) => evaluate(layout, e, state, at);
}

function askAll(ask: Ask, places: readonly Place[]): readonly number[] {
  return places.map(ask);
}

/** A record by line, of the lines that have something. */
function byLine<V>(hw: Hardware, of: (line: number) => V | null): Readonly<Record<string, V>> {
  return Object.fromEntries(
    hw.plan.lines.flatMap(({ name }, line) => {
      const value = of(line);
      return value === null ? [] : [[name, value] as const];
    }),
  );
}

function byName(ask: Ask, places: ReadonlyMap<string, Place>): Readonly<Record<string, number>> {
  return Object.fromEntries([...places].map(([name, place]) => [name, ask(place)]));
}

function typeAt(ask: Ask, view: PlannedView, place: Place): PageType {
  return must(view.types[ask(place)], `${view.key}: no such type`);
}

function readBuffer(
  buffer: CombiningBuffer | null | undefined,
  ask: Ask,
): readonly (number | null)[] | null {
  const held = (buffer?.cells ?? []).map((c) => (ask(c.holds) === 0 ? null : ask(c.value)));
  return held.every((v) => v === null) ? null : held;
}

function readCore(hw: Hardware, core: Core, ask: Ask): CoreState {
  const pc = ask(core.pc);
  return {
    pc,
    done: pc === core.config.program.length,
    registers: byName(ask, core.registers),
    storeBuffer: core.slots.flatMap((slot) => core.entries[ask(slot) - 1]?.text ?? []),
    combining: byLine(hw, (line) => readBuffer(core.combining[line]?.filling, ask)),
    leaving: byLine(hw, (line) => readBuffer(core.combining[line]?.leaving, ask)),
    pendingFlushes: byLine(hw, (line) => {
      const f = core.flushes[line] ?? null;
      const ops = FLUSHES.filter((op) => f !== null && ask(f[op]) === 1);
      return ops.length === 0 ? null : ops;
    }),
    streaming: byLine(hw, (line) => {
      const s = core.streams[line] ?? null;
      return s === null || ask(s.holds) === 0 ? null : askAll(ask, s.values);
    }),
    cache: byLine(hw, (line) => {
      const cache = core.caches[line] ?? null;
      const state = cache === null ? 0 : ask(cache.state);
      if (cache === null || state === 0) return null;
      return {
        state: state === MODIFIED ? ('modified' as const) : ('clean' as const),
        values: askAll(ask, cache.values),
      };
    }),
    tlb: Object.fromEntries(
      hw.plan.views.flatMap((view) => {
        const entry = core.tlb.get(view.key);
        return entry === undefined ? [] : [[view.key, typeAt(ask, view, entry)]];
      }),
    ),
    cacheDisable: ask(core.cacheDisable) === 1,
  };
}

function readDevice(hw: Hardware, device: Device, ask: Ask): DeviceState {
  const pc = ask(device.pc);
  return {
    pc,
    done: pc === device.config.program.length,
    registers: byName(ask, device.registers),
    cache: byLine(hw, (line) => {
      const cells = device.caches[line] ?? [];
      const held = cells.map((c) => {
        const state = ask(c.state);
        return state === 0 ? null : { value: ask(c.value), dirty: state === MODIFIED };
      });
      return held.every((c) => c === null) ? null : held;
    }),
  };
}

/** A cell in the modified copy of its line where there is one, else in memory. */
export function coherentExpression(hw: Hardware, line: number, cell: number): Expression {
  const memory = must(hw.memory[line]?.[cell], 'no such cell');
  return hw.cores.reduceRight<Expression>((elsewhere, { caches }) => {
    const cache = caches[line] ?? null;
    if (cache === null) return elsewhere;
    return choose(
      equal(cache.state, MODIFIED),
      must(cache.values[cell], 'no such cell'),
      elsewhere,
    );
  }, memory);
}

/** A state as an object. */
export function readState(hw: Hardware, ask: Ask): StateView {
  const memory = hw.memory.map((cells) => askAll(ask, cells));
  const coherent = memory.map((cells, line) =>
    cells.map((_, cell) => ask(coherentExpression(hw, line, cell))),
  );
  return {
    memory: byLine(hw, (line) => must(memory[line], 'no such line')),
    coherent: byLine(hw, (line) => must(coherent[line], 'no such line')),
    cores: Object.fromEntries(hw.cores.map((c) => [c.name, readCore(hw, c, ask)])),
    devices: Object.fromEntries(hw.devices.map((d) => [d.name, readDevice(hw, d, ask)])),
    flags: byName(ask, hw.flags),
    pageTable: Object.fromEntries(
      hw.plan.views.map((view) => {
        const table = hw.pageTable.get(view.key);
        return [
          view.key,
          table === undefined ? must(view.types[0], 'no type') : typeAt(ask, view, table),
        ];
      }),
    ),
  };
}

export function drainedExpression(hw: Hardware, name: string): Expression {
  const core = coreOf(hw, name);
  return all(isDrained(core), clflushesAreDone(core));
}

/** Programs done, and nothing under way in any core. */
export function finalExpression(hw: Hardware): Expression {
  return all(
    ...[...hw.cores, ...hw.devices].map((a) => equal(a.pc, a.config.program.length)),
    ...hw.cores.flatMap((c) => [isDrained(c), clflushesAreDone(c)]),
  );
}

/** Registers of each agent, in the order of the configuration. */
export function outcomeOf(
  hw: Hardware,
  ask: Ask,
): Readonly<Record<string, Readonly<Record<string, number>>>> {
  return Object.fromEntries(
    hw.plan.config.agents.map((a) => {
      const name = 'core' in a ? a.core : a.device;
      const agent = must(
        [...hw.cores, ...hw.devices].find((x) => x.name === name),
        'no such agent',
      );
      return [name, byName(ask, agent.registers)];
    }),
  );
}

export function faultsOf(hw: Hardware, ask: Ask): readonly Fault[] {
  return hw.cores.flatMap((core) => {
    const k = ask(core.pc);
    const i = core.config.program[k];
    const name = i === undefined ? null : accessedView(i);
    if (i === undefined || name === null) return [];
    const view = viewOf(hw.plan, core.name, name);
    if (ask(isFaulting(hw, core, view)) === 0) return [];
    const stores =
      i.op === 'store' || i.op === 'nt-store' || i.op === 'xchg' || i.op === 'lock-add';
    return [
      {
        agent: core.name,
        view: view.key,
        access: stores ? 'store' : 'load',
        instruction: k,
      } as const,
    ];
  });
}

function coreOf(hw: Hardware, name: string): Core {
  return hw.cores.find((c) => c.name === name) ?? refuse(`no core is called ${name}`);
}

function put(layout: Layout, state: Int32Array, at: number, place: Place, value: number): void {
  if (place.kind === 'variable') setBits(state, at, bitsOf(layout, place.variable), value);
}

/** Writes a page-table entry in place. @throws InputError */
export function pokeView(
  hw: Hardware,
  layout: Layout,
  state: Int32Array,
  at: number,
  key: string,
  type: PageType,
): void {
  const view = hw.plan.views.find((v) => v.key === key);
  if (view === undefined) refuse(`no view is called ${key}`);
  const index = view.types.indexOf(type);
  if (index < 0)
    refuse(`view ${key} cannot become ${type}`, `it has mayBecome: ${view.types.join(' ')}`);
  const table = hw.pageTable.get(key);
  if (table !== undefined) put(layout, state, at, table, index);
}

/** Empties the TLB of a core, or one entry: the next access uses what the page tables say then. @throws InputError */
export function flushTlb(
  hw: Hardware,
  layout: Layout,
  state: Int32Array,
  at: number,
  core: string,
  key: string | undefined,
): void {
  const ask = asker(layout, state, at);
  for (const [name, entry] of coreOf(hw, core).tlb)
    if (key === undefined || key === name)
      put(layout, state, at, entry, ask(must(hw.pageTable.get(name), 'no page-table entry')));
}

/** Writes a cell of memory in place. @throws InputError */
export function pokeMemory(
  hw: Hardware,
  layout: Layout,
  state: Int32Array,
  at: number,
  line: string,
  cell: number,
  value: number,
): void {
  const index = hw.plan.lines.findIndex((l) => l.name === line);
  const place = hw.memory[index]?.[cell] ?? refuse(`no line ${line} with a cell ${cell}`);
  if (!(value >= 0 && value < hw.plan.values))
    refuse(`${line}: ${value} does not fit, there are ${hw.plan.values} values`);
  put(layout, state, at, place, value);
}
