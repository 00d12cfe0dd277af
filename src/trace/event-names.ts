import { KIND, type Kind } from './batch.ts';

/** The events that are read, and what they become. All others are `KIND.other`. */
const KINDS: readonly (readonly [string, Kind])[] = [
  ['kvm_mmu_set_spte', KIND.set],
  ['kvm_tdp_mmu_spte_changed', KIND.changed],
  ['kvm_mmu_spte_requested', KIND.requested],
  ['mark_mmio_spte', KIND.mmioMarked],
  ['handle_mmio_page_fault', KIND.mmioFault],
  ['kvm_mmu_prepare_zap_page', KIND.zapPage],
  ['kvm_mmu_zap_all_fast', KIND.zapAll],
  ['kvm_msr', KIND.msr],
  ['kvm_cr', KIND.cr],
  ['kvm_page_fault', KIND.pageFault],
  ['kvm_exit', KIND.exit],
  ['tracing_mark_write', KIND.mark],
  // The same as trace-cmd report prints it.
  ['print', KIND.mark],
];

/** Names past these are counted as one: no kernel has so many events, garbage may. */
const NAMES_MAX = 4096;
const NAME_BYTES_MAX = 100;
/** Texts of marks that are kept, and how much of one. */
export const TEXTS_MAX = 32_768;
const TEXT_BYTES_MAX = 1024;
export const OTHER_NAMES = '(other names)';
/** Of an event that is printed without one: trace options raw and hex. */
export const NO_NAME = '(no name)';

const BUCKETS = 1 << 13;

/** The index of the name of a kind that is read. */
export function indexOfKind(kind: Kind): number {
  return KINDS.findIndex(([, own]) => own === kind);
}

/** What a program wrote to trace_marker, as far as it is kept. */
export function markText(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < Math.min(end, start + TEXT_BYTES_MAX); i += 1)
    text += String.fromCharCode(bytes[i] ?? 0);
  return text;
}

/** Names of events as numbers, found by their bytes. */
export class EventNames {
  readonly names: string[] = [];
  /** By index of the name. */
  readonly kinds: Kind[] = [];
  /** How often each was seen, by index of the name. */
  readonly seen: number[] = [];
  /** Index of `NO_NAME`. */
  readonly unnamed: number;
  readonly #bytes: Uint8Array[] = [];
  readonly #texts = new Map<string, number>();
  /** Index of a name plus 1, by the hash of its bytes; the next slot is tried when it is another. */
  readonly #buckets = new Uint16Array(BUCKETS);

  constructor() {
    for (const [name, kind] of KINDS) this.#add(name, kind);
    this.#add(OTHER_NAMES, KIND.other);
    this.unnamed = this.#add(NO_NAME, KIND.other);
  }

  /** A known name, by its index. */
  bytesOf(index: number): Uint8Array {
    return this.#bytes[index] ?? new Uint8Array();
  }

  /** The index of a text that a program wrote to trace_marker; of the last name of all past `TEXTS_MAX` texts. */
  textOf(bytes: Uint8Array, start: number, end: number): number {
    const text = markText(bytes, start, end);
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) return KINDS.length;
    const index = this.names.push(text) - 1;
    this.kinds.push(KIND.mark);
    this.seen.push(0);
    this.#bytes.push(new Uint8Array());
    this.#texts.set(text, index);
    return index;
  }

  /** The index of the name between two offsets. */
  indexOf(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > NAME_BYTES_MAX) return KINDS.length;
    let slot = hashOf(bytes, start, end);
    for (;;) {
      const index = (this.#buckets[slot] ?? 0) - 1;
      if (index < 0) break;
      const known = this.#bytes[index];
      if (known !== undefined && known.length === length) {
        let i = 0;
        while (i < length && known[i] === bytes[start + i]) i += 1;
        if (i === length) return index;
      }
      slot = (slot + 1) & (BUCKETS - 1);
    }
    if (this.names.length - this.#texts.size >= NAMES_MAX) return KINDS.length;
    return this.#add(String.fromCharCode(...bytes.subarray(start, end)), KIND.other);
  }

  #add(name: string, kind: Kind): number {
    const bytes = Uint8Array.from(name, (c) => c.charCodeAt(0));
    let slot = hashOf(bytes, 0, bytes.length);
    while ((this.#buckets[slot] ?? 0) !== 0) slot = (slot + 1) & (BUCKETS - 1);
    const index = this.names.push(name) - 1;
    this.kinds.push(kind);
    this.seen.push(0);
    this.#bytes.push(bytes);
    this.#buckets[slot] = index + 1;
    return index;
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i += 1) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  return (hash ^ (hash >>> 15)) & (BUCKETS - 1);
}
