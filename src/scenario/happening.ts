import type { SourceId } from '../cite/sources.ts';
import type { CachedLine, CoreState, DeviceState, StateView, Step } from '../machine/machine.ts';
import type { AccessType } from '../machine/types.ts';
import type { ByteAt, Origin } from './compile.ts';

/** Who acts on the stage, by the names in the output. */
export const ACTORS = {
  FW: 'firmware',
  GK: 'guest kernel',
  VM: 'VMM',
  HK: 'host kernel and its GPU driver',
  KVM: 'KVM',
  guest: "program on the vCPU, by the guest's mapping, on CPU 0",
  vmm: 'VMM on CPU 0 after a VM exit, by its own mapping',
  host: 'render server or VMM thread on CPU 1, by its own mapping',
  gpu: 'device',
  cpu0: 'hardware of CPU 0, by itself',
  cpu1: 'hardware of CPU 1, by itself',
} as const;
export type Actor = keyof typeof ACTORS;

/** Something that a decider did: an event of the stage. */
export interface StageEvent {
  /** 1 to 10: step of the path of a host blob; null: while the program runs. */
  readonly step: number | null;
  readonly who: Actor;
  readonly what: string;
  /** A memory type that was decided here. */
  readonly type: string | null;
  readonly sources: readonly SourceId[];
  /** Lines that KVM's tracepoints print there. */
  readonly trace: readonly string[];
}

/** A place that holds values of a line. */
export interface Copy {
  readonly at: string;
  readonly values: readonly (number | null)[];
  /** Of a cache: it has to be written back. */
  readonly isDirty: boolean;
}

/** A step of the machine, told. */
export interface MachineEvent {
  readonly who: Actor;
  readonly what: string;
  readonly byte: string | null;
  readonly line: string | null;
  /** Effective type of an access by a CPU. */
  readonly type: AccessType | null;
  /** What a load read. */
  readonly value: number | null;
  /** The copy that a load read. */
  readonly from: string | null;
  /** Other copies that had another value of the byte then. */
  readonly missed: readonly { readonly at: string; readonly value: number }[];
  /** The copies of the lines concerned, afterwards. */
  readonly copies: readonly { readonly line: string; readonly copies: readonly Copy[] }[];
  readonly rule: string;
  readonly sources: readonly string[];
}

function cacheCopies(name: string, line: CachedLine | undefined): readonly Copy[] {
  if (line === undefined) return [];
  return [{ at: `${name} cache`, values: line.values, isDirty: line.state === 'modified' }];
}

function coreCopies(name: string, core: CoreState, line: string): readonly Copy[] {
  const combining = core.combining[line];
  return [
    ...(combining === undefined
      ? []
      : [{ at: `${name} WC buffer`, values: combining, isDirty: true }]),
    ...cacheCopies(name, core.cache[line]),
  ];
}

function deviceCopies(name: string, device: DeviceState, line: string): readonly Copy[] {
  const cells = device.cache[line];
  if (cells === undefined || cells.every((c) => c === null)) return [];
  const values = cells.map((c) => c?.value ?? null);
  return [{ at: `${name} cache`, values, isDirty: cells.some((c) => c?.dirty === true) }];
}

/** Where values of a line are: memory first, then each agent. Store buffers hold stores, not lines. */
export function copiesOf(state: StateView, line: string): readonly Copy[] {
  const memory = state.memory[line] ?? [];
  return [
    { at: 'memory', values: memory, isDirty: false },
    ...Object.entries(state.cores).flatMap(([name, core]) => coreCopies(name, core, line)),
    ...Object.entries(state.devices).flatMap(([name, d]) => deviceCopies(name, d, line)),
  ];
}

function sameCopies(a: readonly Copy[], b: readonly Copy[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function registersIn(state: StateView, agent: string): Readonly<Record<string, number>> {
  return (state.cores[agent] ?? state.devices[agent])?.registers ?? {};
}

const CACHED: ReadonlySet<string> = new Set(['WB', 'WT', 'WP']);

/** The copy that a load of a byte is served from, in the state before it. */
function servedFrom(
  before: StateView,
  after: StateView,
  agent: string,
  { line, cell }: ByteAt,
  type: AccessType | null,
  snoops: boolean,
): string {
  const device = before.devices[agent];
  const dirty = Object.entries(before.cores).find(
    ([, c]) => c.cache[line]?.state === 'modified',
  )?.[0];
  if (device !== undefined) {
    if ((device.cache[line]?.[cell] ?? null) !== null) return 'its own cache';
    return snoops && dirty !== undefined ? `${dirty} cache` : 'memory';
  }
  const own = before.cores[agent];
  if (own !== undefined && CACHED.has(type ?? '') && own.cache[line] !== undefined) return 'cache';
  // A modified copy that the access made its owner write back.
  const isBack = dirty !== undefined && after.cores[dirty]?.cache[line]?.state !== 'modified';
  return isBack ? `${dirty} cache` : 'memory';
}

export interface Telling {
  readonly bytes: ReadonlyMap<string, ByteAt>;
  readonly origins: Readonly<Record<string, readonly Origin[]>>;
  readonly snoops: boolean;
}

const ACTOR_OF_HARDWARE: Readonly<Record<string, Actor>> = {
  cpu0: 'cpu0',
  cpu1: 'cpu1',
  gpu: 'gpu',
};

interface Read {
  readonly value: number;
  readonly from: string;
  readonly missed: MachineEvent['missed'];
}

/** What a load got, and what it did not see. */
function readOf(
  step: Step,
  origin: Origin,
  before: StateView,
  after: StateView,
  { bytes, snoops }: Telling,
): Read | null {
  const i = origin.instruction;
  if (i === null || !('register' in i) || i.register === null) return null;
  const at = bytes.get(i.byte);
  const value = registersIn(after, step.agent)[i.register];
  if (at === undefined || value === undefined) return null;
  const pending = before.cores[step.agent]?.storeBuffer.findLast((s) => storesTo(s, i.byte, at));
  const from =
    pending !== undefined && CACHED.has(origin.type ?? '')
      ? 'store buffer'
      : servedFrom(before, after, step.agent, at, origin.type, snoops);
  const missed = [...copiesOf(before, at.line), ...storesInFlight(before, i.byte, at)].flatMap(
    (c) => {
      const other = c.values[at.cell];
      return other === undefined || other === null || other === value
        ? []
        : [{ at: c.at, value: other }];
    },
  );
  return { value, from, missed };
}

/** Whether an entry of a store buffer, as the machine writes it, is a store to this byte. */
function storesTo(entry: string, byte: string, { line, cell }: ByteAt): boolean {
  const [name = ''] = entry.split('=');
  return entry.includes('=') && (name === byte || name === `${line}[${cell}]`);
}

function storesInFlight(state: StateView, byte: string, at: ByteAt): readonly Copy[] {
  return Object.entries(state.cores).flatMap(([name, core]) => {
    const last = core.storeBuffer.findLast((s) => storesTo(s, byte, at));
    if (last === undefined) return [];
    const values: (number | null)[] = [];
    values[at.cell] = Number(last.split('=')[1]);
    return [{ at: `${name} store buffer`, values, isDirty: true }];
  });
}

/** The machine writes a byte as a cell of its line, `xy[0]`: here it has a name. */
function plain(text: string, bytes: Telling['bytes']): string {
  if (text === 'vmexit') return 'VM exit';
  let words = text;
  for (const [byte, { line, cell }] of bytes) words = words.replaceAll(`${line}[${cell}]`, byte);
  return words;
}

/** A step as an event; null: the GPU flushes an empty cache. */
export function tell(
  step: Step,
  before: StateView,
  after: StateView,
  telling: Telling,
): MachineEvent | null {
  const origin = step.instruction === null ? null : telling.origins[step.agent]?.[step.instruction];
  const i = origin?.instruction ?? null;
  const byte = i !== null && 'byte' in i ? i.byte : null;
  const at = byte === null ? null : (telling.bytes.get(byte) ?? null);
  const read = origin == null ? null : readOf(step, origin, before, after, telling);
  const lines = Object.keys(after.memory).filter(
    (line) => line === at?.line || !sameCopies(copiesOf(before, line), copiesOf(after, line)),
  );
  if (origin?.by === 'gpu' && i === null && lines.length === 0) return null;
  return {
    who: origin?.by ?? ACTOR_OF_HARDWARE[step.agent] ?? 'cpu0',
    what: i === null ? plain(step.text, telling.bytes) : i.word.text,
    byte,
    line: at?.line ?? null,
    type: origin?.type ?? null,
    value: read?.value ?? null,
    from: read?.from ?? null,
    missed: read?.missed ?? [],
    copies: lines.map((line) => ({ line, copies: copiesOf(after, line) })),
    rule: step.rule,
    sources: step.sources,
  };
}
