/** What an event is. Numbers, because they stand in columns and go between threads. */
export const KIND = {
  /** kvm_mmu_set_spte: key gfn, value the new SPTE, level */
  set: 1,
  /** kvm_tdp_mmu_spte_changed: key gfn, value the new SPTE, before the old one, level, flags the as_id */
  changed: 2,
  /** kvm_mmu_spte_requested: key gfn, value the pfn, level */
  requested: 3,
  /** mark_mmio_spte: key gfn, value the generation */
  mmioMarked: 4,
  /** handle_mmio_page_fault: key gfn */
  mmioFault: 5,
  /** kvm_mmu_prepare_zap_page: key gfn, level */
  zapPage: 6,
  /** kvm_mmu_zap_all_fast */
  zapAll: 7,
  /** kvm_msr: key the MSR, value what was written or read; flags 1: written, 2: it raised #GP */
  msr: 8,
  /** kvm_cr: key the register, value; flags 1: written */
  cr: 9,
  /** kvm_page_fault: key the guest-physical address, value the error code */
  pageFault: 10,
  /** kvm_exit: key the reason, as a number where one is printed */
  exit: 11,
  /** kvm_entry, and every other event of kvm and kvmmmu: key the index of its name */
  other: 12,
  /** Events that the kernel lost: key how many, -1 when it does not say */
  lost: 13,
  /** An event of this list whose fields could not be read: key the index of its name */
  unreadable: 14,
  /** What a program wrote to trace_marker (tracing_mark_write, print): key the index of its text */
  mark: 15,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** Of a batch before it is sent on. */
export const BATCH_EVENTS = 1 << 14;

/** The columns of a batch: what `postMessage` hands over without a copy. */
export interface EventColumns {
  readonly count: number;
  readonly kind: Uint8Array;
  /** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB, ...; 0: the event has none. */
  readonly level: Uint8Array;
  readonly flags: Uint8Array;
  /** -1: not printed. */
  readonly cpu: Int16Array;
  /** The thread; -1: not printed. */
  readonly tid: Int32Array;
  /** The process, where the trace records it; -1: it does not. */
  readonly tgid: Int32Array;
  /** Seconds, in the clock of the trace; NaN: not printed. */
  readonly time: Float64Array;
  /** Text: number of the line, from 1. Binary: offset of the record in the file. */
  readonly place: Float64Array;
  readonly key: Float64Array;
  readonly valueHi: Uint32Array;
  readonly valueLo: Uint32Array;
  readonly beforeHi: Uint32Array;
  readonly beforeLo: Uint32Array;
}

/** Events in the order of the trace. `names` has the names of `other` and `unreadable` events and the texts of marks, by index. */
export interface EventBatch extends EventColumns {
  readonly names: readonly string[];
}

/** Columns for `capacity` events, none of them used. */
export function emptyColumns(capacity: number = BATCH_EVENTS): EventColumns {
  return {
    count: 0,
    kind: new Uint8Array(capacity),
    level: new Uint8Array(capacity),
    flags: new Uint8Array(capacity),
    cpu: new Int16Array(capacity),
    tid: new Int32Array(capacity),
    tgid: new Int32Array(capacity),
    time: new Float64Array(capacity),
    place: new Float64Array(capacity),
    key: new Float64Array(capacity),
    valueHi: new Uint32Array(capacity),
    valueLo: new Uint32Array(capacity),
    beforeHi: new Uint32Array(capacity),
    beforeLo: new Uint32Array(capacity),
  };
}
