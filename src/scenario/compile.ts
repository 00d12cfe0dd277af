import { must } from '../base/assert.ts';
import type {
  AgentConfig,
  Control,
  CoreInstruction,
  DeviceInstruction,
  MachineConfig,
  ViewConfig,
} from '../machine/config.ts';
import type { Switches } from '../machine/switches.ts';
import type { AccessType } from '../machine/types.ts';
import type { Vendor } from '../x86/types.ts';
import type { StageEvent } from './happening.ts';
import type { Instruction, StageInstruction } from './instruction.ts';
import type { AgentName, Line, Part, Program } from './scenario.ts';

/** Who reaches memory through a mapping. The VMM is one process: `host` is another thread of it. */
export type Accessor = 'guest' | 'vmm';
/** Which memory a byte lies in. */
export type Region = 'blob' | 'ram';

/** What an access is: its type, and whether it faulted, so that KVM had to map the page first. */
export interface StageAccess {
  readonly type: AccessType;
  readonly faulted: boolean;
  readonly events: readonly StageEvent[];
}

/** The stage behind a program: what its accesses are when it comes to them, and what its other acts do. */
export interface Backdrop {
  readonly vendor: Vendor;
  readonly switches: Partial<Switches>;
  /** The GPU's requests look into the caches. */
  readonly snoop: boolean;
  /** An access now. */
  readonly access: (accessor: Accessor, region: Region, write: boolean) => StageAccess;
  /** Takes the blob away again. */
  readonly end: () => readonly StageEvent[];
  /** Carries out an act of the VMM or of the guest. */
  readonly act: (act: StageInstruction) => readonly StageEvent[];
}

/** What an instruction of the machine was made of. */
export interface Origin {
  /** Null: a VM exit, with which an act of the VMM or a fault begins; of the GPU a flush of its cache. */
  readonly instruction: Instruction | null;
  readonly by: 'guest' | 'vmm' | 'host' | 'gpu';
  /** What happened on the stage meanwhile. */
  readonly events: readonly StageEvent[];
  /** Of an access by a CPU. */
  readonly type: AccessType | null;
}

/** A program for the machine. */
export interface Compiled {
  readonly config: MachineConfig;
  /** By agent of the machine, for each of its instructions. */
  readonly origins: Readonly<Record<string, readonly Origin[]>>;
  /** Where each byte lies. */
  readonly bytes: ReadonlyMap<string, ByteAt>;
}

export interface ByteAt {
  readonly region: Region;
  readonly line: string;
  readonly cell: number;
}

/** The agents of the machine, by those of a program. */
export const MACHINE_AGENT: Readonly<Record<AgentName, string>> = {
  guest: 'cpu0',
  host: 'cpu1',
  gpu: 'gpu',
};

function lineName(line: Line): string {
  return line.join('');
}

function bytesOf({ memory }: Program): ReadonlyMap<string, ByteAt> {
  const bytes = new Map<string, ByteAt>();
  for (const region of ['blob', 'ram'] as const) {
    for (const line of memory[region]) {
      line.forEach((byte, cell) => {
        bytes.set(byte, { region, line: lineName(line), cell });
      });
    }
  }
  return bytes;
}

const IS_WRITE: ReadonlySet<string> = new Set(['store', 'movnti', 'xchg', 'add']);

/** The view of an access: a name for each accessor, byte and type. */
class Views {
  readonly all = new Map<string, ViewConfig>();
  readonly #bytes: ReadonlyMap<string, ByteAt>;

  constructor(bytes: ReadonlyMap<string, ByteAt>) {
    this.#bytes = bytes;
  }

  of(by: Origin['by'], byte: string, type: AccessType): string {
    const { line, cell } = must(this.#bytes.get(byte), `no byte ${byte}`);
    const name = `${by}.${byte}:${type}`;
    this.all.set(name, { name, line, cell, type });
    return name;
  }
}

type OnByte = Extract<Instruction, { readonly byte: string }>;

/** An instruction that accesses memory, with its view. */
function accessOf(i: OnByte, view: string): CoreInstruction {
  if (i.op === 'load' || i.op === 'movntdqa') return { op: i.op, to: i.register, view };
  if (i.op === 'store') return { op: 'store', view, value: i.value };
  if (i.op === 'movnti') return { op: 'nt-store', view, value: i.value };
  if (i.op === 'xchg') return { op: 'xchg', view, value: i.value, to: i.register };
  if (i.op !== 'add') return { op: i.op, view };
  const { value, register } = i;
  return { op: 'lock-add', view, value, ...(register === null ? {} : { to: register }) };
}

const PLAIN = ['mfence', 'sfence', 'lfence', 'cpuid', 'wbinvd', 'invd'] as const;

/** An instruction without memory; null: what only the stage is about. */
function plainOf(i: Instruction): CoreInstruction | null {
  if (i.op === 'ring') return { op: 'send', flag: i.flag, value: 1, serialises: true };
  if (i.op === 'wait') return { op: 'await', flag: i.flag, value: 1, serialises: true };
  const op = PLAIN.find((name) => name === i.op);
  return op === undefined ? null : { op };
}

function isStage(i: Instruction): i is Instruction & StageInstruction {
  return plainOf(i) === null && !('byte' in i);
}

interface CompiledPart {
  readonly agent: AgentConfig;
  readonly origins: readonly Origin[];
}

const EXIT = { instruction: null, type: null, events: [] } as const;

function corePart(
  part: Part,
  backdrop: Backdrop,
  bytes: ReadonlyMap<string, ByteAt>,
  views: Views,
): CompiledPart {
  const program: CoreInstruction[] = [];
  const origins: Origin[] = [];
  const emit = (made: CoreInstruction, origin: Origin): void => {
    program.push(made);
    origins.push(origin);
  };
  let inGuest = part.agent === 'guest';
  for (const i of part.instructions) {
    const by = part.agent === 'host' ? 'host' : i.vmm ? 'vmm' : 'guest';
    if (isStage(i)) {
      // The vCPU is stopped while KVM acts: what it had on the way has arrived.
      emit({ op: 'vmexit' }, { instruction: i, by, type: null, events: backdrop.act(i) });
      continue;
    }
    if (inGuest && i.vmm) emit({ op: 'vmexit' }, { ...EXIT, by });
    inGuest = by === 'guest';
    const plain = plainOf(i);
    if (plain !== null) emit(plain, { instruction: i, by, type: null, events: [] });
    if (!('byte' in i)) continue;
    const { region } = must(bytes.get(i.byte), `no byte ${i.byte}`);
    const accessor = by === 'guest' ? 'guest' : 'vmm';
    const { type, faulted, events } = backdrop.access(accessor, region, IS_WRITE.has(i.op));
    if (faulted) emit({ op: 'vmexit' }, { ...EXIT, by, events });
    const view = views.of(by, i.byte, type);
    emit(accessOf(i, view), { instruction: i, by, type, events: [] });
  }
  return { agent: { core: MACHINE_AGENT[part.agent], program }, origins };
}

function devicePart(
  part: Part,
  backdrop: Backdrop,
  bytes: ReadonlyMap<string, ByteAt>,
): CompiledPart {
  const program: DeviceInstruction[] = [];
  const origins: Origin[] = [];
  for (const i of part.instructions) {
    const emit = (made: DeviceInstruction): void => {
      program.push(made);
      origins.push({ instruction: i, by: 'gpu', type: null, events: [] });
    };
    const flag = (op: 'send' | 'await', name: string): Control => ({
      op,
      flag: name,
      value: 1,
      serialises: false,
    });
    const flush = (): void => {
      program.push({ op: 'flush' });
      origins.push({ instruction: null, by: 'gpu', type: null, events: [] });
    };
    // Its own caches are written back before it signals, and empty when it goes on after a signal.
    if (i.op === 'ring') {
      flush();
      emit(flag('send', i.flag));
    } else if (i.op === 'wait') {
      emit(flag('await', i.flag));
      flush();
    } else if (i.op === 'load') {
      const { line, cell } = must(bytes.get(i.byte), `no byte ${i.byte}`);
      emit({ op: 'load', to: i.register, line, cell });
    } else if (i.op === 'store') {
      const { line, cell } = must(bytes.get(i.byte), `no byte ${i.byte}`);
      emit({ op: 'store', line, cell, value: i.value });
    }
  }
  const agent = { device: MACHINE_AGENT.gpu, program, snoop: backdrop.snoop, cache: true };
  return { agent, origins };
}

/** CPU 1 cleared the blob and has not flushed it. */
function withDirtyBlob(
  agents: readonly AgentConfig[],
  { memory }: Program,
): readonly AgentConfig[] {
  const cached = Object.fromEntries(memory.blob.map((l) => [lineName(l), l.map(() => 0)]));
  const core = MACHINE_AGENT.host;
  const isHost = (a: AgentConfig): boolean => 'core' in a && a.core === core;
  if (!agents.some(isHost)) return [...agents, { core, program: [], cached }];
  return agents.map((a) => (isHost(a) ? { ...a, cached } : a));
}

/**
 * The machine that runs a program. The parts are gone through in their order, that of the guest first, and the
 * stage with them: what the guest's accesses are is decided by what its program did to the stage before them.
 *
 * @param caches see MachineConfig
 */
export function compile(
  program: Program,
  backdrop: Backdrop,
  caches: MachineConfig['caches'] = 'all',
): Compiled {
  const bytes = bytesOf(program);
  const views = new Views(bytes);
  const parts = program.parts.map((part) =>
    part.agent === 'gpu'
      ? devicePart(part, backdrop, bytes)
      : corePart(part, backdrop, bytes, views),
  );
  const agents = parts.map((p) => p.agent);
  const lines = [...program.memory.blob, ...program.memory.ram];
  return {
    config: {
      vendor: backdrop.vendor,
      lines: lines.map((line) => ({ name: lineName(line), cells: line.length })),
      views: [...views.all.values()],
      agents: program.cleared === 'dirty' ? withDirtyBlob(agents, program) : agents,
      switches: backdrop.switches,
      caches,
    },
    origins: Object.fromEntries(
      parts.map((p) => ['core' in p.agent ? p.agent.core : p.agent.device, p.origins]),
    ),
    bytes,
  };
}
