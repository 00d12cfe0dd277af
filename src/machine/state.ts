import { must } from '../base/assert.ts';
import {
  type CoreConfig,
  type CoreInstruction,
  type DeviceConfig,
  type DeviceInstruction,
  isCore,
  nameOf,
} from './config.ts';
import { type Entry, entriesOf, type StoreKind } from './entries.ts';
import { constant, type Place } from './language/expression.ts';
import { SystemBuilder } from './language/system.ts';
import { accessedView, lineOf, mayCache, type Plan, viewOf, viewsOf } from './plan.ts';
import { isVisible } from './visible.ts';

/** States of a line in a cache. */
export const ABSENT = 0;
export const CLEAN = 1;
export const MODIFIED = 2;

export interface CacheLine {
  readonly state: Place;
  readonly values: readonly Place[];
}

/** Which of the kinds of its line a write-combining buffer holds is `kind`; 0 when it is empty. */
export interface CombiningBuffer {
  readonly kind: Place;
  readonly cells: readonly { readonly holds: Place; readonly value: Place }[];
}

/** The write-combining buffers of one line. */
export interface CombiningLine {
  readonly kinds: readonly StoreKind[];
  /** The one that stores go to. */
  readonly filling: CombiningBuffer;
  /** An older one that is on its way out, where wcReopens allows both. */
  readonly leaving: CombiningBuffer | null;
}

/** Flushes of one line that are under way. */
export interface PendingFlush {
  /** Only where clflushUnordered is on. */
  readonly clflush: Place;
  readonly clflushopt: Place;
  readonly clwb: Place;
}

/** What can be under way, in the order in which it is named. */
export const FLUSHES = ['clflushopt', 'clwb', 'clflush'] as const;

export interface StreamLine {
  readonly holds: Place;
  readonly values: readonly Place[];
}

/** The variables of a core. By line: null where the core has nothing of the kind for it. */
export interface Core {
  readonly name: string;
  readonly config: CoreConfig;
  readonly pc: Place;
  readonly registers: ReadonlyMap<string, Place>;
  readonly cacheDisable: Place;
  /** Entry e of the list stands in a slot as e + 1; 0 is an empty slot. Slot 0 is the oldest. */
  readonly entries: readonly Entry[];
  readonly slots: readonly Place[];
  readonly combining: readonly (CombiningLine | null)[];
  readonly flushes: readonly (PendingFlush | null)[];
  readonly streams: readonly (StreamLine | null)[];
  readonly caches: readonly (CacheLine | null)[];
  /** Index into the types of the view, by key. */
  readonly tlb: ReadonlyMap<string, Place>;
}

/** A cell in the cache of a device: 0 absent, 1 clean, 2 modified, and its value. */
export interface DeviceCell {
  readonly state: Place;
  readonly value: Place;
}

export interface Device {
  readonly name: string;
  readonly config: DeviceConfig;
  readonly pc: Place;
  readonly registers: ReadonlyMap<string, Place>;
  readonly caches: readonly (readonly DeviceCell[] | null)[];
}

export interface Hardware {
  readonly plan: Plan;
  readonly builder: SystemBuilder;
  readonly memory: readonly (readonly Place[])[];
  readonly cores: readonly Core[];
  readonly devices: readonly Device[];
  readonly flags: ReadonlyMap<string, Place>;
  /** Index into the types of the view, by key. */
  readonly pageTable: ReadonlyMap<string, Place>;
}

// ---- what a program needs -----------------------------------------------------------------------

function allEntries(plan: Plan, core: CoreConfig): readonly Entry[] {
  const entries: Entry[] = [];
  for (const i of core.program)
    for (const e of entriesOf(plan, core, i))
      if (!entries.some((known) => known.text === e.text)) entries.push(e);
  return entries;
}

function slotCount(plan: Plan, core: CoreConfig): number {
  const { storeBuffer = 8 } = plan.config;
  const loops = core.program.some((i, k) => i.op === 'branch' && i.to <= k);
  const buffered = core.program.filter((i) => entriesOf(plan, core, i).length > 0).length;
  return loops && buffered > 0 ? storeBuffer : Math.min(storeBuffer, buffered);
}

/** Registers in the order of their first mention. */
function registersOf(
  builder: SystemBuilder,
  plan: Plan,
  name: string,
  program: readonly (CoreInstruction | DeviceInstruction)[],
): ReadonlyMap<string, Place> {
  const registers = new Map<string, Place>();
  const mention = (register: string | undefined): void => {
    if (register !== undefined && !registers.has(register))
      registers.set(register, builder.variable(`${name}:${register}`, plan.values));
  };
  for (const i of program) {
    if ('to' in i && typeof i.to === 'string') mention(i.to);
    if (i.op === 'branch') mention(i.register);
    if ('value' in i && typeof i.value === 'object') mention(i.value.register);
  }
  return registers;
}

// ---- the variables ------------------------------------------------------------------------------

function combiningLine(
  builder: SystemBuilder,
  plan: Plan,
  name: string,
  entries: readonly Entry[],
  line: number,
): CombiningLine | null {
  const kinds = entries.flatMap((e) =>
    e.what === 'store' && e.line === line && (e.kind === 'NT' || e.kind.startsWith('WC'))
      ? [e.kind]
      : [],
  );
  if (kinds.length === 0) return null;
  const unique = [...new Set(kinds)];
  const { name: lineName, cells } = must(plan.lines[line], 'no such line');
  const buffer = (what: string): CombiningBuffer => ({
    kind: builder.variable(`${name}.${what} ${lineName}.kind`, unique.length),
    cells: Array.from({ length: cells }, (_, c) => ({
      holds: builder.variable(`${name}.${what} ${lineName}[${c}].holds`, 2),
      value: builder.variable(`${name}.${what} ${lineName}[${c}]`, plan.values),
    })),
  });
  return {
    kinds: unique,
    filling: buffer('combining'),
    leaving: plan.switches.wcReopens ? buffer('leaving') : null,
  };
}

function cacheLine(
  builder: SystemBuilder,
  plan: Plan,
  core: CoreConfig,
  line: number,
): CacheLine | null {
  const { name, memory } = plan.lines[line] ?? { name: '', memory: [] };
  const held = core.cached?.[name];
  const used = viewsOf(plan, core.core).filter(
    (v) =>
      v.line === line &&
      (plan.switches.specFill || core.program.some((i) => accessedView(i) === v.name)),
  );
  if (!isVisible(plan, line) || (held === undefined && !used.some(mayCache))) return null;
  const values = held === undefined ? memory.map(() => 0) : held === 'clean' ? memory : held;
  const state = held === undefined ? ABSENT : held === 'clean' ? CLEAN : MODIFIED;
  return {
    state: builder.variable(`${core.core}.cache ${name}`, 3, state),
    values: memory.map((_, c) =>
      builder.variable(`${core.core}.cache ${name}[${c}]`, plan.values, values[c] ?? 0),
    ),
  };
}

function pendingFlush(
  builder: SystemBuilder,
  plan: Plan,
  { core, program }: CoreConfig,
  name: string,
  line: number,
): PendingFlush | null {
  const uses = (op: keyof PendingFlush): boolean =>
    (op !== 'clflush' || plan.switches.clflushUnordered) &&
    program.some((i) => i.op === op && viewOf(plan, core, i.view).line === line);
  if (!FLUSHES.some(uses)) return null;
  const place = (op: keyof PendingFlush): Place =>
    uses(op) ? builder.variable(`${core}.${op} ${name}`, 2) : constant(0);
  return { clflushopt: place('clflushopt'), clwb: place('clwb'), clflush: place('clflush') };
}

function makeCore(builder: SystemBuilder, plan: Plan, config: CoreConfig): Core {
  const name = config.core;
  const entries = allEntries(plan, config);
  const uses = (line: number, op: CoreInstruction['op']): boolean =>
    config.program.some(
      (i) => i.op === op && 'view' in i && viewOf(plan, name, i.view).line === line,
    );
  const switchesCd = config.program.some((i) => i.op === 'set-cd');
  const changing = viewsOf(plan, name).filter(
    (v) =>
      v.types.length > 1 &&
      (plan.switches.specFill || config.program.some((i) => accessedView(i) === v.name)),
  );
  return {
    name,
    config,
    pc: builder.variable(`${name}.pc`, config.program.length + 1),
    registers: registersOf(builder, plan, name, config.program),
    cacheDisable: switchesCd
      ? builder.variable(`${name}.cd`, 2, config.cacheDisable ? 1 : 0)
      : constant(config.cacheDisable ? 1 : 0),
    entries,
    slots: Array.from({ length: slotCount(plan, config) }, (_, s) =>
      builder.variable(`${name}.store buffer[${s}]`, entries.length + 1),
    ),
    combining: plan.lines.map((_, line) => combiningLine(builder, plan, name, entries, line)),
    flushes: plan.lines.map((l, line) => pendingFlush(builder, plan, config, l.name, line)),
    streams: plan.lines.map((l, line) =>
      uses(line, 'movntdqa')
        ? {
            holds: builder.variable(`${name}.stream ${l.name}`, 2),
            values: l.memory.map((_, c) =>
              builder.variable(`${name}.stream ${l.name}[${c}]`, plan.values),
            ),
          }
        : null,
    ),
    caches: plan.lines.map((_, line) => cacheLine(builder, plan, config, line)),
    tlb: new Map(
      changing.map((v) => [v.key, builder.variable(`${name}.tlb ${v.key}`, v.types.length)]),
    ),
  };
}

function makeDevice(builder: SystemBuilder, plan: Plan, config: DeviceConfig): Device {
  const name = config.device;
  const used = new Set(
    config.program.flatMap((i) => ('line' in i ? [lineOf(plan, name, i.line)] : [])),
  );
  return {
    name,
    config,
    pc: builder.variable(`${name}.pc`, config.program.length + 1),
    registers: registersOf(builder, plan, name, config.program),
    caches: plan.lines.map((l, line) =>
      config.cache && used.has(line)
        ? l.memory.map((_, c) => ({
            state: builder.variable(`${name}.cache ${l.name}[${c}].state`, 3),
            value: builder.variable(`${name}.cache ${l.name}[${c}]`, plan.values),
          }))
        : null,
    ),
  };
}

/** Memory at the start. Where no cache is modelled, it has what a modified copy would have. */
function initialMemory(plan: Plan, line: number): readonly number[] {
  const { name, memory } = plan.lines[line] ?? { name: '', memory: [] };
  if (isVisible(plan, line)) return memory;
  const held = plan.cores.flatMap((c) => {
    const copy = c.cached?.[name];
    return copy === undefined || copy === 'clean' ? [] : [copy];
  })[0];
  return held === undefined ? memory : memory.map((_, c) => held[c] ?? 0);
}

/** The variables of everything that a configuration has. @throws InputError as makePlan */
export function makeHardware(plan: Plan): Hardware {
  const builder = new SystemBuilder();
  const agents = plan.config.agents.map((a) =>
    isCore(a) ? makeCore(builder, plan, a) : makeDevice(builder, plan, a),
  );
  const byName = new Map(plan.config.agents.map((a, i) => [nameOf(a), agents[i]]));
  return {
    plan,
    builder,
    cores: plan.cores.map((c) => byName.get(c.core) as Core),
    devices: plan.devices.map((d) => byName.get(d.device) as Device),
    memory: plan.lines.map((l, line) =>
      initialMemory(plan, line).map((value, c) =>
        builder.variable(`${l.name}[${c}]`, plan.values, value),
      ),
    ),
    flags: new Map(
      [...plan.flags].map(([flag, size]) => [flag, builder.variable(`flag ${flag}`, size)]),
    ),
    pageTable: new Map(
      plan.views
        .filter((v) => v.types.length > 1)
        .map((v) => [v.key, builder.variable(`page table ${v.key}`, v.types.length)]),
    ),
  };
}
