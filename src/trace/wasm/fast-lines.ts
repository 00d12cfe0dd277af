import { type EventColumns, KIND } from '../batch.ts';
import { type EventNames, indexOfKind } from '../event-names.ts';
import type { Head } from '../scan-head.ts';
import {
  COLUMNS,
  CONTEXT_LENGTH,
  CONTEXT_TEXT_MAX,
  CONTEXTS,
  COUNTED,
  columnsIn,
  HANDED_ON,
  MASKS_ONES,
  MASKS_ZEROS,
  NAME_ACTION,
  NAME_INDEX,
  NAME_LENGTH,
  NAME_SEEN,
  NAME_SIZE,
  NAME_SLOTS,
  NAME_TEXT_MAX,
  NAMES,
  PAGES,
  SEEN,
  SKIPPED,
  WINDOW,
  WINDOW_SIZE,
} from './layout.ts';
import { PROGRAM } from './program.ts';
import { assemble } from './wat.ts';

/** What is used of the one that every engine has; the core knows no library that declares it. */
declare const WebAssembly:
  | {
      readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (module: object, imports: object) => { readonly exports: object };
    }
  | undefined;

interface Exports {
  readonly run: (at: number, end: number) => number;
  readonly contextSlot: (at: number, length: number) => number;
  readonly isContext: (slot: number, at: number) => number;
  readonly nameSlot: (at: number, length: number) => number;
  readonly line: { value: bigint };
  readonly count: { value: number };
  readonly context: { value: number };
}

/** Events that the program knows by itself. */
const OWN = [
  KIND.set,
  KIND.changed,
  KIND.requested,
  KIND.mmioMarked,
  KIND.mmioFault,
  KIND.zapPage,
  KIND.msr,
  KIND.cr,
  KIND.pageFault,
  KIND.exit,
].map((kind) => ({
  kind,
  name: indexOfKind(kind),
}));

let compiled: object | undefined;

/** The compiled program, for `useProgram` in another thread; undefined where there can be none. */
export function program(): object | undefined {
  if (typeof WebAssembly !== 'undefined') compiled ??= new WebAssembly.Module(assemble(PROGRAM));
  return compiled;
}

/** Takes the program as another thread has compiled it. */
export function useProgram(module: object | undefined): void {
  compiled = module;
}

const OWN_KINDS = new Uint8Array(16);
for (const { kind } of OWN) OWN_KINDS[kind] = 1;

function instantiate(isFast: boolean): {
  readonly buffer: ArrayBuffer;
  readonly exports: Exports | null;
} {
  // An engine may be told to make no machine code (node --jitless): then all lines are read the slow way.
  if (typeof WebAssembly === 'undefined' || !isFast) {
    return { buffer: new ArrayBuffer(PAGES * 65536), exports: null };
  }
  const memory = new WebAssembly.Memory({ initial: PAGES });
  const { exports } = new WebAssembly.Instance(program() ?? {}, { env: { memory } });
  return { buffer: memory.buffer, exports: exports as Exports };
}

/**
 * Reads the lines that make up nearly all of a trace, of the shapes that kernels print, at the speed of memory. At
 * any other line it stops, and `Head` and `Fields` read that one; what they made of its columns of task and
 * processor, and of a name, is learned and holds for all lines that have the same bytes there.
 */
export class FastLines {
  /** The text: bytes go here before they are read. */
  readonly window: Uint8Array;
  readonly columns: Omit<EventColumns, 'count'>;
  /** Events in the columns. */
  count = 0;
  readonly #exports: Exports | null;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #skipped: Uint8Array;

  /** @param isFast false: it knows no line */
  constructor(skipped: Uint8Array, isFast: boolean) {
    const { buffer, exports } = instantiate(isFast);
    this.#exports = exports;
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.window = new Uint8Array(buffer, WINDOW, WINDOW_SIZE);
    this.columns = columnsIn(buffer, COLUMNS);
    this.#skipped = skipped;
    this.#bytes.fill(0xff, MASKS_ONES, MASKS_ZEROS);
    this.#bytes.set(skipped, SKIPPED);
    if (exports !== null) exports.context.value = CONTEXTS;
  }

  /**
   * Reads lines of the window until one is not known, the columns are full, or `end`, which is after a line end.
   *
   * @param line number of the first
   * @returns where it stopped, and how many lines it read
   */
  run(at: number, end: number, line: number): { readonly at: number; readonly lines: number } {
    const exports = this.#exports;
    if (exports === null) return { at, lines: 0 };
    exports.count.value = this.count;
    exports.line.value = BigInt(line);
    const stop = exports.run(WINDOW + at, WINDOW + end) - WINDOW;
    this.count = exports.count.value;
    return { at: stop, lines: Number(exports.line.value) - line };
  }

  /** Learns from a line of the window that was read otherwise. */
  learn(head: Head, start: number, name: number, names: EventNames): void {
    const exports = this.#exports;
    if (exports === null || head.context < 0 || head.isTorn || head.isMixed) return;
    this.#learnContext(exports, head, start);
    this.#learnName(exports, head, name, names);
  }

  #learnContext(exports: Exports, head: Head, start: number): void {
    const length = head.context - start;
    if (length < 16 || length > CONTEXT_TEXT_MAX) return;
    const slot = exports.contextSlot(WINDOW + start, length);
    exports.context.value = slot;
    if (exports.isContext(slot, WINDOW + start) === 1) return;
    this.#bytes.fill(0, slot, slot + 2 * CONTEXT_TEXT_MAX);
    this.#bytes.set(this.window.subarray(start, start + length), slot);
    this.#bytes.fill(0xff, slot + CONTEXT_TEXT_MAX, slot + CONTEXT_TEXT_MAX + length);
    [length, head.tid, head.tgid, head.cpu].forEach((value, i) => {
      this.#view.setInt32(slot + CONTEXT_LENGTH + 4 * i, value, true);
    });
  }

  #learnName(exports: Exports, head: Head, name: number, names: EventNames): void {
    const length = head.nameEnd - head.nameStart;
    const kind = names.kinds[name] ?? KIND.other;
    const isSkipped = this.#skipped[kind] === 1;
    // Of other kinds that are handed on, the fields are read.
    if (kind !== KIND.other && (!isSkipped || OWN_KINDS[kind] === 1)) return;
    if (length < 8 || length >= NAME_TEXT_MAX) return;
    const slot = exports.nameSlot(WINDOW + head.nameStart, length);
    // Two names in one slot: the first one stays.
    if (this.#view.getInt32(slot + NAME_LENGTH, true) !== 0) return;
    this.#bytes.set(names.bytesOf(name), slot);
    this.#view.setInt32(slot + NAME_LENGTH, length, true);
    this.#view.setInt32(slot + NAME_ACTION, isSkipped ? COUNTED : HANDED_ON, true);
    this.#view.setInt32(slot + NAME_INDEX, name, true);
  }

  /** Adds how often each event was seen since the last call. */
  addSeen(names: EventNames): void {
    const take = (at: number, name: number): void => {
      names.seen[name] = (names.seen[name] ?? 0) + this.#view.getUint32(at, true);
      this.#view.setUint32(at, 0, true);
    };
    for (const { kind, name } of OWN) take(SEEN + 4 * kind, name);
    for (let slot = NAMES; slot < NAMES + NAME_SLOTS * NAME_SIZE; slot += NAME_SIZE) {
      if (this.#view.getInt32(slot + NAME_LENGTH, true) === 0) continue;
      take(slot + NAME_SEEN, this.#view.getInt32(slot + NAME_INDEX, true));
    }
  }
}
