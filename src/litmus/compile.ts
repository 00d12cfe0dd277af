import { must } from '../base/assert.ts';
import { InputError } from '../base/diagnostic.ts';
import type { AgentConfig, CoreConfig, CoreInstruction, DeviceInstruction, MachineConfig } from '../machine/config.ts';
import type { Machine, StateView } from '../machine/machine.ts';
import type { Switches } from '../machine/switches.ts';
import type { CompiledTest, Outcome } from './compiled.ts';
import { Refused, refuseAt } from './lex.ts';
import { initialMemory, type Places, placesOf } from './places.ts';
import { printLocation } from './print-parts.ts';
import { registerOrder } from './registers.ts';
import type { Access, Emitted, Shared } from './run.ts';
import { type Content, contentOf } from './symbolic.ts';
import type { LitmusTest, Location, Proposition, Thread, Value } from './test.ts';
import { type CompiledThread, compileThread } from './thread.ts';
import { type Encoding, encodingOf, sameValue } from './values.ts';

/** The name of the agent that executes a thread. */
export function agentName(test: LitmusTest, proc: number): string {
  return test.setup.devices.find((d) => d.proc === proc)?.name ?? `P${proc}`;
}

// ---- columns --------------------------------------------------------------------------------------------

function locationsIn(p: Proposition): readonly Location[] {
  switch (p.kind) {
    case 'constant':
      return [];
    case 'equals':
      return [p.left];
    case 'same':
      return [p.left, p.right];
    case 'not':
      return locationsIn(p.of);
    case 'and':
    case 'or':
      return p.of.flatMap(locationsIn);
    case 'implies':
      return [...locationsIn(p.left), ...locationsIn(p.right)];
  }
}

/** herd7: registers by thread, then locations by name, elements of arrays last. */
function orderOf(location: Location): readonly (number | string)[] {
  if (location.kind === 'register') {
    const { proc, register } = location;
    return [0, proc, registerOrder(register.base), register.base];
  }
  const { name, index, kind } = location;
  return [1, index === null ? 0 : 1, name, index ?? 0, kind === 'cell' ? 0 : 1];
}

function compareOrder(a: Location, b: Location): number {
  const [left, right] = [orderOf(a), orderOf(b)];
  for (const [i, x] of left.entries()) {
    const y = right[i] ?? 0;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function distinct(locations: readonly Location[]): readonly Location[] {
  const byText = new Map(locations.map((l) => [printLocation(l), l]));
  return [...byText.values()].sort(compareOrder);
}

/** @throws Refused when a location is not there */
function checkLocations(test: LitmusTest, places: Places, locations: readonly Location[]): void {
  for (const l of locations) {
    if (l.kind === 'register') {
      if (l.proc >= test.threads.length) {
        refuseAt(test.source, l.at, `there is no thread P${l.proc}`);
      }
    } else {
      const cell = l.index === null ? l.name : `${l.name}[${l.index}]`;
      if (!places.cells.has(cell)) {
        const help = places.arrays.has(l.name) ? `name an element: ${l.name}[0]` : undefined;
        refuseAt(test.source, l.at, `nothing is called ${cell}`, help);
      }
    }
  }
}

// ---- final states ---------------------------------------------------------------------------------------

type Reader = (view: StateView) => Value;

function registerReader(
  test: LitmusTest,
  location: Location & { readonly kind: 'register' },
  content: Content,
  { decode }: Encoding,
): Reader {
  switch (content.kind) {
    case 'value':
      return () => content.value;
    case 'unknown':
      return refuseAt(
        test.source,
        location.at,
        `what ${printLocation(location)} holds is not known: ${content.why}`,
      );
    case 'loaded': {
      const agent = agentName(test, location.proc);
      return ({ cores, devices }) => {
        const registers = (cores[agent] ?? devices[agent])?.registers ?? {};
        return decode(must(registers[content.register], `${agent} has no ${content.register}`));
      };
    }
  }
}

function cellReader(
  places: Places,
  location: Exclude<Location, { kind: 'register' }>,
  { decode }: Encoding,
): Reader {
  const { kind, name, index } = location;
  const key = index === null ? name : `${name}[${index}]`;
  const { line, cell } = must(places.cells.get(key), 'every location has a place');
  return ({ memory, coherent }) =>
    decode(must((kind === 'cell' ? coherent : memory)[line]?.[cell], `no cell ${key}`));
}

type Evaluate = (p: Proposition) => boolean;

function evaluator(valueOf: (location: Location) => Value): Evaluate {
  const holds: Evaluate = (p) => {
    switch (p.kind) {
      case 'constant':
        return p.value;
      case 'equals':
        return sameValue(valueOf(p.left), p.right);
      case 'same':
        return sameValue(valueOf(p.left), valueOf(p.right));
      case 'not':
        return !holds(p.of);
      case 'and':
        return p.of.every(holds);
      case 'or':
        return p.of.some(holds);
      case 'implies':
        return !holds(p.left) || holds(p.right);
    }
  };
  return holds;
}

// ---- the machine ----------------------------------------------------------------------------------------

const OF_DEVICES = 'devices load, store, poll, flush their own cache, send, await and jump';

function deviceInstruction(
  test: LitmusTest,
  places: Places,
  { instruction, at }: Emitted,
): DeviceInstruction {
  const place = (view: string) => must(places.cells.get(view), 'every view has a place');
  switch (instruction.op) {
    case 'load':
      return { op: 'load', to: instruction.to, ...place(instruction.view) };
    case 'poll':
      return { op: 'poll', value: instruction.value, ...place(instruction.view) };
    case 'store':
      return { op: 'store', value: instruction.value, ...place(instruction.view) };
    case 'branch':
    case 'send':
    case 'await':
    case 'flush':
      return instruction;
    default:
      return refuseAt(test.source, at, `a device has no ${instruction.op}`, OF_DEVICES);
  }
}

function coreInstruction({ instruction }: Emitted): CoreInstruction {
  return must(instruction.op === 'flush' ? null : instruction, 'flush is of devices');
}

/** What caches hold at the start, line by line: other cells of a modified line hold what memory does. */
function cachedOf(
  test: LitmusTest,
  places: Places,
  proc: number,
  encoding: Encoding,
  memory: MachineConfig['lines'],
): NonNullable<CoreConfig['cached']> {
  const cached: Record<string, 'clean' | readonly number[]> = {};
  for (const { proc: core, name, value, at } of test.setup.cached) {
    if (core !== proc) continue;
    const { line, cell } =
      places.cells.get(name) ?? refuseAt(test.source, at, `nothing is called ${name}`);
    if (value === null) {
      cached[line] ??= 'clean';
      continue;
    }
    const before = cached[line];
    const values =
      before === undefined || before === 'clean'
        ? must(memory.find((l) => l.name === line)?.memory, 'a line has memory')
        : before;
    cached[line] = values.map((v, i) => (i === cell ? encoding.encode(value) : v));
  }
  return cached;
}

function agentOf(
  test: LitmusTest,
  places: Places,
  { proc }: Thread,
  { emitted }: CompiledThread,
  cached: NonNullable<CoreConfig['cached']>,
): AgentConfig {
  const device = test.setup.devices.find((d) => d.proc === proc);
  if (device !== undefined) {
    const program = emitted.map((e) => deviceInstruction(test, places, e));
    return { device: device.name, program, snoop: device.snoop, cache: device.cache };
  }
  return {
    core: `P${proc}`,
    program: emitted.map(coreInstruction),
    cacheDisable: test.setup.cacheDisable.includes(proc),
    cached,
  };
}

/** Everything that a register or a cell can start with or be given by a program. */
interface Collected {
  readonly values: Value[];
  readonly added: number[];
  readonly accesses: Access[];
}

function collect(test: LitmusTest, places: Places): Collected {
  const found: Collected = { values: [0], added: [], accesses: [] };
  const shared: Shared = {
    test,
    places,
    encode: (value) => {
      found.values.push(value);
      return 0;
    },
    addend: (n) => {
      found.added.push(n);
      return 0;
    },
    accesses: found.accesses,
    partsChangedBy: new Map(),
  };
  initialMemory(test, places, shared.encode);
  for (const { value } of test.setup.cached) if (value !== null) shared.encode(value);
  for (const thread of test.threads) compileThread(shared, thread);
  return found;
}

function fits(value: Value, bits: number): boolean {
  if (typeof value !== 'number') return bits === 64;
  if (bits === 64) return true;
  if (bits === 32) return value >= -(2 ** 31) && value < 2 ** 32;
  return value >= 0 && value < 2 ** (bits - 1);
}

/** Accesses of all sizes move the same values as long as these fit into the smallest. @throws Refused */
function checkSizes(test: LitmusTest, { values, accesses }: Collected): void {
  for (const { bits, at } of accesses) {
    const wide = values.find((v) => !fits(v, bits));
    if (wide !== undefined) {
      const text = typeof wide === 'number' ? String(wide) : `the address of ${wide.symbol}`;
      refuseAt(test.source, at, `${text} does not fit into the ${bits} bits of this access`);
    }
  }
  const negative = values.some((v) => typeof v === 'number' && (v < 0 || v >= 2 ** 31));
  const whole = accesses.find((a) => a.bits === 64);
  if (negative && whole !== undefined && accesses.some((a) => a.bits === 32)) {
    const help = 'access memory with one size, or use numbers below 2^31';
    refuseAt(test.source, whole.at, 'negative numbers differ between 32 and 64 bits', help);
  }
}

function checkHeader(test: LitmusTest): void {
  const { source, threads, setup } = test;
  const procs = [...setup.devices, ...setup.cached];
  const wrong = procs.find(({ proc }) => proc >= threads.length);
  if (wrong !== undefined) refuseAt(source, wrong.at, `there is no thread P${wrong.proc}`);
  for (const [i, { name, proc, at }] of setup.devices.entries()) {
    const others = setup.devices.slice(0, i);
    if (/^P\d+$/.test(name)) refuseAt(source, at, `${name} is the name of a thread`);
    if (others.some((d) => d.name === name || d.proc === proc)) {
      refuseAt(source, at, 'two devices have one name, or one thread');
    }
  }
  const line = test.header.find((h) => h.key === 'CD');
  const core = setup.cacheDisable.find(
    (p) => p >= threads.length || setup.devices.some((d) => d.proc === p),
  );
  if (core !== undefined && line !== undefined) refuseAt(source, line.at, `P${core} is no core`);
  const cache = setup.cached.find((c) => setup.devices.some((d) => d.proc === c.proc));
  if (cache !== undefined) refuseAt(source, cache.at, 'caches of devices start empty');
}

function checkInit(test: LitmusTest): void {
  for (const { location, at } of test.init) {
    if (location.kind === 'register' && location.proc >= test.threads.length) {
      refuseAt(test.source, at, `there is no thread P${location.proc}`);
    }
  }
}

function compile(test: LitmusTest, given: Partial<Switches>): CompiledTest {
  checkHeader(test);
  checkInit(test);
  const places = placesOf(test);
  const { setup, condition, filter } = test;
  const columns = distinct([...test.locations, ...locationsIn(condition.proposition)]);
  const asked = distinct([...columns, ...(filter === null ? [] : locationsIn(filter))]);
  checkLocations(test, places, asked);
  const collected = collect(test, places);
  checkSizes(test, collected);
  const encoding =
    encodingOf(collected.values, collected.added) ??
    refuseAt(test.source, { start: 0, end: 1 }, 'values span too much for locked additions');
  const { encode, addend } = encoding;
  const partsChangedBy = new Map<string, number>();
  const shared: Shared = { test, places, encode, addend, accesses: [], partsChangedBy };
  const threads = test.threads.map((thread) => compileThread(shared, thread));
  const lines = initialMemory(test, places, encode);
  const config: MachineConfig = {
    vendor: setup.vendor,
    lines,
    views: places.views,
    agents: test.threads.map((thread, i) =>
      agentOf(
        test,
        places,
        thread,
        must(threads[i], 'every thread is compiled'),
        cachedOf(test, places, thread.proc, encoding, lines),
      ),
    ),
    values: encoding.size,
    switches: { ...setup.switches, ...given },
    caches: setup.caches,
    ...(setup.storeBuffer === null ? {} : { storeBuffer: setup.storeBuffer }),
    ...(setup.combiningBuffers === null ? {} : { combiningBuffers: setup.combiningBuffers }),
  };
  const readers = new Map(
    asked.map((l): [string, Reader] => [
      printLocation(l),
      l.kind === 'register'
        ? registerReader(
            test,
            l,
            contentOf(must(threads[l.proc], 'a thread').final, l.register),
            encoding,
          )
        : cellReader(places, l, encoding),
    ]),
  );
  const readerOf = (l: Location): Reader => must(readers.get(printLocation(l)), 'a reader');
  const places_ = new Map(columns.map((l, i) => [printLocation(l), i]));
  return {
    test,
    config,
    columns,
    observe: (machine: Machine, state: Int32Array, at: number): Outcome | null => {
      const view = machine.read(state, at);
      const keeps = filter === null || evaluator((l) => readerOf(l)(view))(filter);
      return keeps ? columns.map((l) => readerOf(l)(view)) : null;
    },
    holds: (outcome) =>
      evaluator((l) => outcome[places_.get(printLocation(l)) ?? -1] ?? 0)(condition.proposition),
  };
}

/**
 * A test as a machine.
 *
 * @param switches go before those of the test's header
 * @throws InputError where the machine cannot execute the test, with the place
 */
export function compileLitmus(test: LitmusTest, switches: Partial<Switches> = {}): CompiledTest {
  try {
    return compile(test, switches);
  } catch (error) {
    if (error instanceof Refused) throw new InputError([error.diagnostic]);
    throw error;
  }
}
