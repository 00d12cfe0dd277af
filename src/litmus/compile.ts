import { must } from '../base/assert.ts';
import { InputError } from '../base/diagnostic.ts';
import type {
  AgentConfig,
  CoreConfig,
  CoreInstruction,
  DeviceInstruction,
  MachineConfig,
} from '../machine/config.ts';
import type { Switches } from '../machine/switches.ts';
import type { CompiledTest } from './compiled.ts';
import { Refused, refuseAt } from './lex.ts';
import { observer } from './observe.ts';
import { initialMemory, type Places, placesOf } from './places.ts';
import type { Access, Emitted, Shared } from './run.ts';
import type { LitmusTest, Thread, Value } from './test.ts';
import { type CompiledThread, compileThread } from './thread.ts';
import { type Encoding, encodingOf } from './values.ts';

const OF_DEVICES = 'devices load, store, poll, flush their own cache, send, await and jump';

function deviceInstruction(
  test: LitmusTest,
  places: Places,
  { instruction, at }: Emitted,
): DeviceInstruction {
  const place = (view: string) => must(places.cells.get(view), 'every view has a place');
  const { op } = instruction;
  if (op === 'load') return { op, to: instruction.to, ...place(instruction.view) };
  if (op === 'poll') return { op, value: instruction.value, ...place(instruction.view) };
  if (op === 'store') return { op, value: instruction.value, ...place(instruction.view) };
  if (op === 'branch' || op === 'send' || op === 'await' || op === 'flush') return instruction;
  return refuseAt(test.source, at, `a device has no ${op}`, OF_DEVICES);
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
  const line = test.header.find((h) => h.key.toUpperCase() === 'CD');
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

function configOf(
  test: LitmusTest,
  places: Places,
  threads: readonly CompiledThread[],
  encoding: Encoding,
  given: Partial<Switches>,
): MachineConfig {
  const { setup } = test;
  const lines = initialMemory(test, places, encoding.encode);
  return {
    vendor: setup.vendor,
    lines,
    views: places.views,
    agents: test.threads.map((thread, i) => {
      const cached = cachedOf(test, places, thread.proc, encoding, lines);
      return agentOf(test, places, thread, must(threads[i], 'every thread is compiled'), cached);
    }),
    values: encoding.size,
    switches: { ...setup.switches, ...given },
    caches: setup.caches,
    ...(setup.storeBuffer === null ? {} : { storeBuffer: setup.storeBuffer }),
    ...(setup.combiningBuffers === null ? {} : { combiningBuffers: setup.combiningBuffers }),
  };
}

function compile(test: LitmusTest, given: Partial<Switches>): CompiledTest {
  checkHeader(test);
  checkInit(test);
  const places = placesOf(test);
  const collected = collect(test, places);
  checkSizes(test, collected);
  const encoding =
    encodingOf(collected.values, collected.added) ??
    refuseAt(test.source, { start: 0, end: 1 }, 'values span too much for locked additions');
  const shared: Shared = {
    test,
    places,
    encode: encoding.encode,
    addend: encoding.addend,
    accesses: [],
    partsChangedBy: new Map(),
  };
  const threads = test.threads.map((thread) => compileThread(shared, thread));
  return {
    test,
    config: configOf(test, places, threads, encoding, given),
    decode: encoding.decode,
    ...observer(test, places, threads, encoding),
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
