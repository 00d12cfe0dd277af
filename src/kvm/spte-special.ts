import { type U64, u64Bits } from '../base/u64.ts';
import {
  bitOf,
  bitWords,
  isEpt,
  type Piece,
  type SpteField,
  type Subject,
  tiled,
} from './spte-fields.ts';
import { GUARD_BITS, type MmioGfn, mmioGfn } from './spte-gfn.ts';

export type SpteKind = 'leaf' | 'table' | 'empty' | 'frozen' | 'mmio' | 'unknown';

/** An MMIO SPTE: what KVM keeps in it. */
export interface MmioEntry extends MmioGfn {
  readonly generation: number;
  /** Null: EPT entries keep none. */
  readonly access: { readonly write: boolean; readonly user: boolean } | null;
  /** In a TDX guest it raises #VE there. */
  readonly tdx: boolean;
}

const equal = (a: U64, b: U64 | null): boolean => b !== null && a.hi === b.hi && a.lo === b.lo;

const MISCONFIGURED = 6;

function isEptMmio({ value, edition }: Subject): boolean {
  if (!edition.hasPresentBit) return false;
  if (bitOf(value, 11) || (edition.suppressVe && bitOf(value, 63))) return false;
  const rights = u64Bits(value, 2, 0);
  // In a TDX guest; without a gfn it is the empty or frozen value of an older kernel.
  const tdx = rights === 0 && edition.suppressVe && u64Bits(value, 51, 12) !== 0;
  return rights === MISCONFIGURED || tdx;
}

function isMmio(subject: Subject): boolean {
  const { value, edition } = subject;
  if (edition.id === 'A-5.4') return u64Bits(value, 53, 52) === 3;
  // Bit 62 alone is access tracking of EPT.
  if (edition.id === 'A-5.3')
    return (
      bitOf(value, 62) &&
      (isEpt(subject) ? u64Bits(value, 2, 0) === MISCONFIGURED : bitOf(value, 0))
    );
  if (isEpt(subject)) return isEptMmio(subject);
  return !bitOf(value, 11) && bitOf(value, 51) && bitOf(value, 0);
}

/**
 * A table has W and, unlike a leaf, not what allows it; above level 1 bit 7 tells.
 *
 * @param level null: as the bits say
 */
export function mappingKind(subject: Subject, level: number | null): SpteKind {
  if (level === 1) return 'leaf';
  if (bitOf(subject.value, 7) && (level !== null || isEpt(subject))) return 'leaf';
  if (level !== null) return 'table';
  const [host] = subject.edition.writable[isEpt(subject) ? 'ept' : 'npt'];
  if (bitOf(subject.value, host)) return 'leaf';
  if (bitOf(subject.value, 7)) return 'leaf';
  return bitOf(subject.value, 1) ? 'table' : 'leaf';
}

export function kindOf(subject: Subject, level: number | null): SpteKind {
  const { value, edition } = subject;
  if (equal(value, edition.empty)) return 'empty';
  if (equal(value, edition.frozen)) return 'frozen';
  if (isMmio(subject)) return 'mmio';
  if (edition.hasPresentBit ? bitOf(value, 11) : value.hi !== 0 || value.lo > 0xfff)
    return mappingKind(subject, level);
  return 'unknown';
}

export function mmioOf(subject: Subject): MmioEntry {
  const { value, edition } = subject;
  const { low, high } = edition.generation;
  return {
    ...mmioGfn(value, isEpt(subject)),
    generation: u64Bits(value, ...low) + u64Bits(value, ...high) * 2 ** (low[0] - low[1] + 1),
    access: isEpt(subject) ? null : { write: bitOf(value, 1), user: bitOf(value, 2) },
    tdx: isEpt(subject) && u64Bits(value, 2, 0) === 0,
  };
}

function gfnPieces({ gfn, guard, top }: MmioEntry): readonly Piece[] {
  const says = `gfn ${gfn.toString(16)}`;
  const reserved: readonly Piece[] =
    top === 51
      ? []
      : [
          {
            at: [51, top + 1],
            name: 'reserved',
            reader: 'cpu',
            says: 'the entry faults: no such address bits',
          },
        ];
  if (guard === null) return [...reserved, { at: [top, 12], name: 'gfn', reader: 'kvm', says }];
  const [high, low] = guard;
  const last = Math.min(high + GUARD_BITS, top);
  const rest: readonly Piece[] =
    last < top ? [{ at: [top, last + 1], name: 'gfn', reader: 'kvm', says: 'none of it' }] : [];
  return [
    ...reserved,
    ...rest,
    {
      at: [last, high + 1],
      name: 'gfn, moved up',
      reader: 'kvm',
      says: `what it has in ${bitWords(high, low)}`,
    },
    { at: [high, low], name: 'L1TF guard', reader: 'cpu', says: 'no cached address has them' },
    { at: [low - 1, 12], name: 'gfn', reader: 'kvm', says },
  ];
}

function mmioRights(subject: Subject, { access, tdx }: MmioEntry): readonly Piece[] {
  const { value, edition } = subject;
  if (access === null) {
    const code = u64Bits(value, 2, 0);
    const says = tdx ? 'no access: #VE in the guest' : 'W and X without R: EPT misconfiguration';
    const wrong = code !== MISCONFIGURED && !tdx && 'bits 2:0 of an MMIO SPTE are 110b';
    const unsuited = tdx && !edition.suppressVe && 'bits 2:0 of an MMIO SPTE are 110b';
    return [{ at: [2, 0], name: 'X, W, R', reader: 'cpu', says, wrong: wrong || unsuited }];
  }
  return [
    {
      at: [2, 2],
      name: 'U',
      reader: 'kvm',
      says: access.user ? 'user code may use it' : 'kernel code only',
    },
    {
      at: [1, 1],
      name: 'W',
      reader: 'kvm',
      says: access.write ? 'writes allowed' : 'writes not allowed',
    },
    {
      at: [0, 0],
      name: 'P',
      reader: 'cpu',
      says: bitOf(value, 0) ? 'present: the reserved bits fault' : 'not present: faults',
    },
  ];
}

/** What tells it from other entries, beside the permissions. */
function mmioMarks({ edition, value }: Subject): readonly Piece[] {
  if (edition.id === 'A-5.3')
    return [
      { at: [62, 62], name: 'MMIO', reader: 'kvm', says: 'an MMIO SPTE' },
      {
        at: [63, 63],
        name: 'MMIO',
        reader: 'kvm',
        says: bitOf(value, 63) ? 'up to 4.10' : 'from 4.11 on',
      },
    ];
  if (edition.id === 'A-5.4')
    return [{ at: [53, 52], name: 'MMIO', reader: 'kvm', says: '3: an MMIO SPTE' }];
  return [{ at: [11, 11], name: 'MMU-present', reader: 'kvm', says: 'maps no memory' }];
}

function mmioFields(subject: Subject): readonly SpteField[] {
  const entry = mmioOf(subject);
  const { low, high } = subject.edition.generation;
  const says = `generation ${entry.generation.toString(16)} of the memslots`;
  return tiled(subject.value, [
    { at: high, name: 'generation', reader: 'kvm', says: `high part of ${says}` },
    ...gfnPieces(entry),
    ...mmioMarks(subject),
    { at: low, name: 'generation', reader: 'kvm', says: `low part of ${says}` },
    ...mmioRights(subject, entry),
  ]);
}

function emptyFields({ value, edition }: Subject): readonly SpteField[] {
  if (value.hi === 0)
    return tiled(value, [{ at: [63, 0], name: 'empty', reader: 'kvm', says: 'no mapping' }]);
  const says = edition.suppressVe ? 'a violation exits to KVM; with NPT nobody reads it' : 'set';
  return tiled(value, [
    { at: [63, 63], name: 'suppress #VE', reader: 'cpu', says },
    { at: [62, 0], name: 'empty', reader: 'kvm', says: 'no mapping' },
  ]);
}

function frozenFields({ value }: Subject): readonly SpteField[] {
  const says = 'a CPU is changing the entry; others wait';
  if (value.lo === 0) return tiled(value, [{ at: [63, 0], name: 'frozen', reader: 'kvm', says }]);
  return tiled(value, [
    ...(bitOf(value, 63)
      ? [
          {
            at: [63, 63],
            name: 'suppress #VE',
            reader: 'cpu',
            says: 'as in an empty entry',
          } as const,
        ]
      : []),
    { at: [11, 0], name: 'frozen', reader: 'kvm', says },
  ]);
}

export function specialFields(
  subject: Subject,
  kind: 'mmio' | 'empty' | 'frozen',
): readonly SpteField[] {
  if (kind === 'mmio') return mmioFields(subject);
  return kind === 'empty' ? emptyFields(subject) : frozenFields(subject);
}
