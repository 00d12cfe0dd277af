import type { Vendor } from '../x86/types.ts';
import type { Switches } from './switches.ts';
import type { AccessType } from './types.ts';

/** What a store writes: a constant, or what a register of the same agent holds. */
export type Operand = number | { readonly register: string };

export interface LoadInstruction {
  readonly op: 'load' | 'movntdqa';
  readonly to: string;
  readonly view: string;
}

/** Loads until `value` is read, and goes on then: the loop of a spinning reader, in one instruction. */
export interface PollInstruction {
  readonly op: 'poll';
  readonly view: string;
  readonly value: number;
}

export interface StoreInstruction {
  readonly op: 'store' | 'nt-store';
  readonly view: string;
  readonly value: Operand;
}

/**
 * `xchg`: register and memory change places. `lock-add`: adds a constant, modulo the number of values; `to` gets the
 * old value, as XADD does.
 */
export type LockedInstruction =
  | { readonly op: 'xchg'; readonly view: string; readonly value: Operand; readonly to: string }
  | {
      readonly op: 'lock-add';
      readonly view: string;
      readonly value: number;
      readonly to?: string;
    };

export interface FenceInstruction {
  readonly op: 'mfence' | 'sfence' | 'lfence' | 'cpuid' | 'vmexit';
}

/** `wbinvd-all`: on every core, by interrupts, as wbinvd_on_all_cpus() of Linux does it. */
export interface WbinvdInstruction {
  readonly op: 'wbinvd' | 'wbinvd-all' | 'invd';
}

export interface FlushInstruction {
  readonly op: 'clflush' | 'clflushopt' | 'clwb';
  readonly view: string;
}

/**
 * `remap` writes the page-table entry of the view; TLBs keep what they hold until `invlpg`. `invlpg-all`: on every
 * core, by interrupts, as a TLB shoot-down or kvm_flush_remote_tlbs() does it.
 */
export type PagingInstruction =
  | { readonly op: 'invlpg' | 'invlpg-all'; readonly view: string }
  | { readonly op: 'remap'; readonly view: string; readonly type: PageType };

/** MOV to CR0 with this CD. */
export interface SetCdInstruction {
  readonly op: 'set-cd';
  readonly value: 0 | 1;
}

/** Accesses of a core go through views; the type is the one that the core's TLB holds for it. */
export type CoreInstruction =
  | LoadInstruction
  | PollInstruction
  | StoreInstruction
  | LockedInstruction
  | FenceInstruction
  | WbinvdInstruction
  | FlushInstruction
  | PagingInstruction
  | SetCdInstruction
  | Control;

/** Devices address lines by their physical names. */
export type DeviceInstruction =
  | { readonly op: 'load'; readonly to: string; readonly line: string; readonly cell?: number }
  | { readonly op: 'poll'; readonly line: string; readonly cell?: number; readonly value: number }
  | {
      readonly op: 'store';
      readonly line: string;
      readonly cell?: number;
      readonly value: Operand;
    }
  /** Writes back and empties the cache of the device, as at one of its fences. */
  | { readonly op: 'flush' }
  | Control;

/** What has no memory in it. */
export type Control =
  /** Goes to instruction `to` (0 is the first; the length of the program ends it) when they are equal. */
  | {
      readonly op: 'branch';
      readonly register: string;
      readonly value: number;
      readonly to: number;
    }
  /**
   * A flag outside memory: a doorbell, an interrupt, a fence of a driver. `serialises` says whether the core's
   * buffers are drained by it: an exit for MMIO does that, an interrupt that a device sees does not.
   */
  | {
      readonly op: 'send' | 'await';
      readonly flag: string;
      readonly value: number;
      readonly serialises: boolean;
    };

/** What a page-table entry says: a type, or nothing (an access faults). */
export type PageType = AccessType | 'absent';

export interface LineConfig {
  readonly name: string;
  /** Units of access in the line, 1 unless given. A line with several can be written in part. */
  readonly cells?: number;
  /** What memory holds at the start, a value a cell; 0 where nothing is said. */
  readonly memory?: readonly number[];
}

/** A virtual name of one cell, with the type that paging, MTRRs, EPT or NPT gave it together. */
export interface ViewConfig {
  readonly name: string;
  readonly line: string;
  readonly cell?: number;
  readonly type: PageType;
  /** The core whose address space this is; every core's unless given. A core's own view goes first. */
  readonly core?: string;
  /** What `poke` may make of it, beside `type` and what `remap` instructions name. */
  readonly mayBecome?: readonly PageType[];
}

export interface CoreConfig {
  readonly core: string;
  readonly program: readonly CoreInstruction[];
  /** CR0.CD at the start. */
  readonly cacheDisable?: boolean;
  /** Lines in the cache at the start: clean with what memory holds, or modified with these values. */
  readonly cached?: Readonly<Record<string, 'clean' | readonly number[]>>;
}

export interface DeviceConfig {
  readonly device: string;
  readonly program: readonly DeviceInstruction[];
  /** Whether its requests look into the caches of the cores. */
  readonly snoop: boolean;
  /** A cache of its own, which nobody snoops: filled by reads, written back by `flush` or at any time. */
  readonly cache?: boolean;
}

export type AgentConfig = CoreConfig | DeviceConfig;

export interface MachineConfig {
  readonly vendor: Vendor;
  readonly lines: readonly LineConfig[];
  readonly views: readonly ViewConfig[];
  readonly agents: readonly AgentConfig[];
  /** Values of a cell are 0 .. values-1; by default as many as the programs name. */
  readonly values?: number;
  readonly switches?: Partial<Switches>;
  /**
   * `all`: every line has a place in the cache of every core that may cache it. `visible`: only lines where some
   * agent could tell; registers and coherent values at the end are the same (docs/machine.md), states are fewer.
   */
  readonly caches?: 'all' | 'visible';
  /** Entries of a store buffer, at most 8 unless given; a full one makes the next store wait. */
  readonly storeBuffer?: number;
  /** Write-combining buffers of a core, 4 unless given: lines of which a core can hold stores. */
  readonly combiningBuffers?: number;
}

/** Whether an agent is a core. */
export function isCore(agent: AgentConfig): agent is CoreConfig {
  return 'core' in agent;
}

/** The name of an agent. */
export function nameOf(agent: AgentConfig): string {
  return isCore(agent) ? agent.core : agent.device;
}
