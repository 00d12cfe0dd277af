import { type U64, u64, u64Bits, u64ToHex } from '../base/u64.ts';
import type { PagingMode } from './rules.ts';
import type { BitRange, SpteEdition } from './spte-editions.ts';

/** Bits of an SPTE that belong together. The fields of an entry tile its 64 bits, highest first. */
export interface SpteField {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  /** Hexadecimal digits. */
  readonly value: string;
  /** Who reads it: the CPU when it walks the tables, KVM when it looks at the entry, or nobody. */
  readonly reader: 'cpu' | 'kvm' | 'nobody';
  readonly says: string;
  /** Why no kernel of this edition writes this value; null: it does. */
  readonly wrong: string | null;
}

/** One entry, and what is taken for granted about it. */
export interface Subject {
  readonly value: U64;
  readonly paging: PagingMode;
  readonly edition: SpteEdition;
  /** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
  readonly level: number;
}

export interface Piece {
  readonly at: BitRange;
  readonly name: string;
  readonly reader: SpteField['reader'];
  readonly says: string;
  readonly wrong?: string | null | false;
}

export function bitOf(value: U64, index: number): boolean {
  return u64Bits(value, index, index) === 1;
}

/** Only a field that begins at bit 0 can be wider than 52 bits. */
function digitsOf(value: U64, high: number, low: number): string {
  if (high - low < 52) return u64Bits(value, high, low).toString(16);
  return u64ToHex(u64(u64Bits(value, high, 32), value.lo)).slice(2);
}

function fieldOf(value: U64, { at: [high, low], name, reader, says, wrong }: Piece): SpteField {
  return { high, low, name, value: digitsOf(value, high, low), reader, says, wrong: wrong || null };
}

/** Bits that no piece covers: no kernel sets them. */
function gap(value: U64, high: number, low: number): SpteField {
  const set: number[] = [];
  for (let index = high; index >= low; index -= 1) if (bitOf(value, index)) set.push(index);
  const which = `${set.length > 1 ? 'bits' : 'bit'} ${set.join(', ')}`;
  return fieldOf(value, {
    at: [high, low],
    name: 'unused',
    reader: 'nobody',
    says: set.length === 0 ? '' : `${which} set`,
    wrong:
      set.length > 0 && `${which} ${set.length > 1 ? 'are' : 'is'} set, and nothing is kept there`,
  });
}

export function bitWords(high: number, low: number): string {
  return high === low ? `bit ${high}` : `bits ${high}:${low}`;
}

/** The pieces in order, and what is left between them: together every bit once. */
export function tiled(value: U64, pieces: readonly Piece[]): readonly SpteField[] {
  const fields: SpteField[] = [];
  let next = 63;
  for (const piece of [...pieces].sort((a, b) => b.at[0] - a.at[0])) {
    const [high, low] = piece.at;
    if (high < next) fields.push(gap(value, next, high + 1));
    fields.push(fieldOf(value, piece));
    next = low - 1;
  }
  if (next >= 0) fields.push(gap(value, next, 0));
  return fields;
}

export const isEpt = ({ paging }: Pick<Subject, 'paging'>): boolean => paging === 'ept';

/** 0: by the CPU. 1: KVM does without. 2: D by write protection. */
export function trackingOf({ value, edition: { tracking } }: Subject): number {
  return u64Bits(value, ...tracking);
}

/** Bits 2:0 of an EPT entry, and user X where there is one: all that lets an access through. */
export function hasNoAccess({ value, edition }: Subject): boolean {
  const userX = edition.saved.xu !== null && bitOf(value, 10);
  return u64Bits(value, 2, 0) === 0 && !userX;
}

export function isAccessTracked(subject: Subject): boolean {
  return isEpt(subject) && trackingOf(subject) === 1 && hasNoAccess(subject);
}

export function writableOf(subject: Subject): { host: boolean; mmu: boolean; w: boolean } {
  const [host, mmu] = subject.edition.writable[isEpt(subject) ? 'ept' : 'npt'];
  return {
    host: bitOf(subject.value, host),
    mmu: bitOf(subject.value, mmu),
    w: bitOf(subject.value, 1),
  };
}
