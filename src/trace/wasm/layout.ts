import type { EventColumns } from '../batch.ts';

/** Events that are handed on at once: few enough that their columns stay in a cache. */
export const BATCH_EVENTS = 1 << 12;

// Where things are in the memory of the fast reader. Offsets in bytes.

/** 16 zeros, 32 times 0xff, 32 zeros: with any number of bytes set at either end, out of one or two loads. */
export const MASKS = 64;
export const MASKS_ONES = MASKS + 16;
export const MASKS_ZEROS = MASKS + 48;
/** By kind: how many events were seen, 32 bits each. */
export const SEEN = 256;
/** By kind: 1 when it is counted only. */
export const SKIPPED = 384;

/** Columns of task and processor as they were printed: 64 bytes of text, 64 bytes of mask, then what they mean. */
export const CONTEXTS = 1024;
export const CONTEXT_SLOTS = 1024;
export const CONTEXT_SIZE = 144;
export const CONTEXT_TEXT_MAX = 64;
/** Within a slot: length of the text, then thread, process, processor; 32 bits each. */
export const CONTEXT_LENGTH = 128;

/** Names of events that are not read: 32 bytes of text, its length, what to do, index, how often it was seen. */
export const NAMES = 163840;
export const NAME_SLOTS = 512;
export const NAME_SIZE = 64;
export const NAME_TEXT_MAX = 32;
export const NAME_LENGTH = 32;
export const NAME_ACTION = 36;
export const NAME_INDEX = 40;
export const NAME_SEEN = 44;
/** Actions: count the event; hand it on, too. 0: the slot is empty. */
export const COUNTED = 1;
export const HANDED_ON = 2;

/** The columns of a batch, one after the other. */
export const COLUMNS = 4 * 65536;

const SIZES = [
  ['time', 8],
  ['place', 8],
  ['key', 8],
  ['tid', 4],
  ['tgid', 4],
  ['valueHi', 4],
  ['valueLo', 4],
  ['beforeHi', 4],
  ['beforeLo', 4],
  ['cpu', 2],
  ['kind', 1],
  ['level', 1],
  ['flags', 1],
] as const;

export type ColumnName = (typeof SIZES)[number][0];

/** Where each column begins within the columns. */
export const COLUMN_AT: Readonly<Record<ColumnName, number>> = (() => {
  let at = 0;
  const offsets: Partial<Record<ColumnName, number>> = {};
  for (const [name, size] of SIZES) {
    offsets[name] = at;
    at += size * BATCH_EVENTS;
  }
  return offsets as Record<ColumnName, number>;
})();

/** Bytes of all the columns of a batch. */
export const COLUMNS_SIZE = SIZES.reduce((sum, [, size]) => sum + size, 0) * BATCH_EVENTS;

/** Columns that lie in a buffer as the fast reader has them. */
export function columnsIn(buffer: ArrayBufferLike, from = 0): Omit<EventColumns, 'count'> {
  const at = (name: ColumnName): number => from + COLUMN_AT[name];
  const n = BATCH_EVENTS;
  return {
    kind: new Uint8Array(buffer, at('kind'), n),
    level: new Uint8Array(buffer, at('level'), n),
    flags: new Uint8Array(buffer, at('flags'), n),
    cpu: new Int16Array(buffer, at('cpu'), n),
    tid: new Int32Array(buffer, at('tid'), n),
    tgid: new Int32Array(buffer, at('tgid'), n),
    time: new Float64Array(buffer, at('time'), n),
    place: new Float64Array(buffer, at('place'), n),
    key: new Float64Array(buffer, at('key'), n),
    valueHi: new Uint32Array(buffer, at('valueHi'), n),
    valueLo: new Uint32Array(buffer, at('valueLo'), n),
    beforeHi: new Uint32Array(buffer, at('beforeHi'), n),
    beforeLo: new Uint32Array(buffer, at('beforeLo'), n),
  };
}

/** The piece of text that is read, with room before and behind that may be looked at. */
export const WINDOW = (Math.ceil((COLUMNS + COLUMNS_SIZE) / 65536) + 1) * 65536;
export const WINDOW_SIZE = 1 << 18;
export const PAGES = (WINDOW + WINDOW_SIZE) / 65536 + 1;
