/**
 * The inner loops of a table of states, for one number of words. Slots are named by their offset, slot x words; a state
 * goes into the first free slot from its home on.
 */
export interface Kernel {
  /** Where a state that stands at `at` belongs in a table of `mask`+1 slots. */
  readonly home: (from: Int32Array, at: number, mask: number) => number;
  /**
   * Enters `count` states that stand in `from`, marked, and appends the slots of those that are new to `queue` from
   * `tail` on. All homes are computed and touched first: their cache misses overlap.
   * @param homes room for `count` numbers
   * @returns the new tail
   */
  readonly insert: (
    table: Int32Array,
    mask: number,
    from: Int32Array,
    count: number,
    homes: Int32Array,
    queue: Int32Array,
    tail: number,
  ) => number;
}

const MULTIPLIER = 0x9e3779b1 | 0;
const FINISH = 0x85ebca6b | 0;

/** For any number of words, where code may not be generated; and what generated code is tested against. */
export function plainKernel(words: number): Kernel {
  const home = (from: Int32Array, at: number, mask: number): number => {
    let h = 0;
    for (let w = 0; w < words; w++) {
      h = Math.imul(h ^ (from[at + w] ?? 0), MULTIPLIER);
      h ^= h >>> 15;
    }
    h = Math.imul(h, FINISH);
    return ((h ^ (h >>> 13)) & mask) * words;
  };
  return {
    home,
    insert: (table, mask, from, count, homes, queue, first) => {
      const end = (mask + 1) * words;
      let tail = first;
      for (let i = 0; i < count; i++) homes[i] = home(from, i * words, mask);
      for (let i = 0; i < count; i++) {
        const at = i * words;
        let slot = homes[i] ?? 0;
        for (; table[slot] !== 0; slot = slot + words === end ? 0 : slot + words) {
          let w = 0;
          while (w < words && table[slot + w] === from[at + w]) w += 1;
          if (w === words) break;
        }
        if (table[slot] !== 0) continue;
        for (let w = 0; w < words; w++) table[slot + w] = from[at + w] ?? 0;
        queue[tail++] = slot;
      }
      return tail;
    },
  };
}

function source(words: number): string {
  const each = (of: (w: number) => string, separator: string, from = 0): string =>
    Array.from({ length: words - from }, (_, i) => of(i + from)).join(separator);
  const hash = (of: (w: number) => string): string =>
    `let h = 0;\n${each((w) => `h = Math.imul(h ^ ${of(w)}, ${MULTIPLIER}); h ^= h >>> 15;`, '\n')}
h = Math.imul(h, ${FINISH});`;
  const same = words === 1 ? '' : `if (${each((w) => `table[slot + ${w}] === s${w}`, ' && ', 1)}) `;
  return `'use strict';
return {
home(from, at, mask) {
${hash((w) => `from[at + ${w}]`)}
return ((h ^ (h >>> 13)) & mask) * ${words};
},
insert(table, mask, from, count, homes, queue, tail) {
const end = (mask + 1) * ${words};
let touched = 0;
for (let i = 0, at = 0; i < count; i++, at += ${words}) {
${hash((w) => `from[at + ${w}]`)}
const slot = ((h ^ (h >>> 13)) & mask) * ${words};
homes[i] = slot;
touched ^= table[slot];
}
homes[count] = touched;
for (let i = 0, at = 0; i < count; i++, at += ${words}) {
let slot = homes[i];
const ${each((w) => `s${w} = from[at + ${w}]`, ', ')};
for (;;) {
const first = table[slot];
if (first === s0) { ${same}break; }
else if (first === 0) {
${each((w) => `table[slot + ${w}] = s${w};`, ' ')}
queue[tail++] = slot;
break;
}
slot += ${words};
if (slot === end) slot = 0;
}
}
return tail;
}
};`;
}

/** Generated for these words; the plain one where code may not be generated. */
export function kernel(words: number): Kernel {
  try {
    return new Function(source(words))() as Kernel;
  } catch (error) {
    if (error instanceof EvalError) return plainKernel(words);
    throw error;
  }
}

/** A slot that a thread has claimed and not yet filled: no state, as those have bit 31, and not free. */
const BUSY = 1;

/** `insert` for a table that several threads share. It appends new slots to `fresh`, from 0; their number. */
export type SharedInsert = (
  table: Int32Array,
  mask: number,
  from: Int32Array,
  count: number,
  homes: Int32Array,
  fresh: Int32Array,
) => number;

/** @throws EvalError where code may not be generated */
export function sharedInsert(words: number): SharedInsert {
  const each = (of: (w: number) => string, separator: string): string =>
    Array.from({ length: words - 1 }, (_, i) => of(i + 1)).join(separator);
  const same = words === 1 ? '' : `if (${each((w) => `table[slot + ${w}] === s${w}`, ' && ')}) `;
  const body = `'use strict';
const { home } = kernel;
return function insert(table, mask, from, count, homes, fresh) {
const end = (mask + 1) * ${words};
let touched = 0;
let n = 0;
for (let i = 0, at = 0; i < count; i++, at += ${words}) {
const slot = home(from, at, mask);
homes[i] = slot;
touched ^= table[slot];
}
homes[count] = touched;
for (let i = 0, at = 0; i < count; i++, at += ${words}) {
let slot = homes[i];
const s0 = from[at];
${each((w) => `const s${w} = from[at + ${w}];`, '\n')}
for (;;) {
let first = Atomics.load(table, slot);
if (first === 0) {
first = Atomics.compareExchange(table, slot, 0, ${words === 1 ? 's0' : BUSY});
if (first === 0) {
${each((w) => `table[slot + ${w}] = s${w};`, ' ')}
${words === 1 ? '' : 'Atomics.store(table, slot, s0);'}
fresh[n++] = slot;
break;
}
}
if (first === ${BUSY}) continue;
if (first === s0) { ${same}break; }
slot += ${words};
if (slot === end) slot = 0;
}
}
return n;
};`;
  return new Function('kernel', body)(kernel(words)) as SharedInsert;
}
