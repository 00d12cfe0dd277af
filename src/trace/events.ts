import { type U64, u64ToNumber } from '../base/u64.ts';
import { decimalAt, fieldAt, hexAt, scanTraceLine, type TraceLine } from './line.ts';

interface Common {
  /** Line of the text, from 1. */
  readonly line: number;
  readonly tid: number | null;
  readonly tgid: number | null;
}

/** A fault has found the page frame of a guest page: kvm_mmu_spte_requested. */
export interface SpteRequested extends Common {
  readonly kind: 'requested';
  readonly gfn: number;
  /** Null: no memslot (the kernel prints 8000000000000000), or another error frame. */
  readonly pfn: number | null;
  readonly level: number;
}

/** A page-table entry was written. `spte` is the value as the hardware reads it. */
export interface SpteWritten extends Common {
  /** `set`: kvm_mmu_set_spte; `changed`: kvm_tdp_mmu_spte_changed. */
  readonly kind: 'set' | 'changed';
  readonly gfn: number;
  readonly level: number;
  readonly spte: U64;
  /** What it was before; null of `set`, which does not print it. */
  readonly before: U64 | null;
  /** Address space: 1 is SMM; null of `set`. */
  readonly asId: number | null;
}

/** A gfn without memory was cached as MMIO: mark_mmio_spte. */
export interface MmioMarked extends Common {
  readonly kind: 'mmio';
  readonly gfn: number;
}

export type KvmmmuEvent = SpteRequested | SpteWritten | MmioMarked;

/** Physical addresses end below 2^52: larger frame numbers are the kernel's error values. */
const PFN_LIMIT = 2 ** 40;

function number(line: string, payload: number, name: string): number | null {
  const at = fieldAt(line, payload, name);
  const value = at < 0 ? null : hexAt(line, at);
  return value === null || value.hi >= 2 ** 20 ? null : u64ToNumber(value);
}

function word(line: string, payload: number, name: string): U64 | null {
  const at = fieldAt(line, payload, name);
  return at < 0 ? null : hexAt(line, at);
}

function level(line: string, payload: number): number | null {
  const at = fieldAt(line, payload, 'level');
  const value = at < 0 ? null : decimalAt(line, at);
  return value === null || value < 1 || value > 5 ? null : value;
}

type Reader = (line: string, payload: number, common: Common) => KvmmmuEvent | null;

const requested: Reader = (line, payload, common) => {
  const gfn = number(line, payload, 'gfn');
  const frame = word(line, payload, 'pfn');
  const at = level(line, payload);
  if (gfn === null || frame === null || at === null) return null;
  const isFrame = frame.hi < PFN_LIMIT / 2 ** 32;
  return { kind: 'requested', ...common, gfn, pfn: isFrame ? u64ToNumber(frame) : null, level: at };
};

const set: Reader = (line, payload, common) => {
  const gfn = number(line, payload, 'gfn');
  const spte = word(line, payload, 'spte');
  const at = level(line, payload);
  if (gfn === null || spte === null || at === null) return null;
  // w is bit 1 under every paging mode.
  const letter = /^[0-9a-f]+ \(.([w-])/.exec(line.slice(fieldAt(line, payload, 'spte')))?.[1];
  if (letter !== undefined && (letter === 'w') !== ((spte.lo & 2) !== 0)) return null;
  return { kind: 'set', ...common, gfn, level: at, spte, before: null, asId: null };
};

const changed: Reader = (line, payload, common) => {
  const gfn = number(line, payload, 'gfn');
  const spte = word(line, payload, 'new_spte');
  const before = word(line, payload, 'old_spte');
  const at = level(line, payload);
  if (gfn === null || spte === null || at === null) return null;
  const id = fieldAt(line, payload, 'as id');
  const named = id < 0 ? fieldAt(line, payload, 'as_id') : id;
  const asId = named < 0 ? null : decimalAt(line, named);
  return { kind: 'changed', ...common, gfn, level: at, spte, before, asId };
};

const mmio: Reader = (line, payload, common) => {
  const gfn = number(line, payload, 'gfn');
  return gfn === null ? null : { kind: 'mmio', ...common, gfn };
};

const READERS: ReadonlyMap<string, Reader> = new Map([
  ['kvm_mmu_spte_requested', requested],
  ['kvm_mmu_set_spte', set],
  ['kvm_tdp_mmu_spte_changed', changed],
  ['mark_mmio_spte', mmio],
]);

/** The events that are read. */
export const KVMMMU_EVENTS: readonly string[] = [...READERS.keys()];

/** What a line is to a reader of page-table entries. */
export type Reading =
  | { readonly is: 'event'; readonly event: KvmmmuEvent }
  /** An event of another kind. */
  | { readonly is: 'other'; readonly name: string }
  /** One of `KVMMMU_EVENTS` whose fields are not as any kernel prints them. */
  | { readonly is: 'unreadable'; readonly name: string }
  /** No event: a header, a blank line, a wrapped one. */
  | { readonly is: 'nothing' };

const NOTHING: Reading = { is: 'nothing' };

/**
 * Reads one line of a trace text. The trace options `raw` and `hex` lose the fields of these events: such
 * lines are `unreadable`.
 *
 * @param number of the line, from 1
 */
export function readTraceLine(line: string, number: number): Reading {
  const scanned: TraceLine | null = scanTraceLine(line);
  if (scanned === null) return NOTHING;
  const { event: name, payload, tid, tgid } = scanned;
  const reader = READERS.get(name);
  if (reader === undefined) return { is: 'other', name };
  const event = reader(line, payload, { line: number, tid, tgid });
  return event === null ? { is: 'unreadable', name } : { is: 'event', event };
}
