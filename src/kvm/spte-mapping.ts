import { u64Bits } from '../base/u64.ts';
import { mtrrTypeOf } from '../x86/types.ts';
import {
  bitOf,
  bitWords,
  hasNoAccess,
  isAccessTracked,
  isEpt,
  type Piece,
  type SpteField,
  type Subject,
  tiled,
  trackingOf,
  writableOf,
} from './spte-fields.ts';

const TRACKING = [
  'the CPU sets A and D',
  'KVM does without the A and D bits of the CPU',
  'A by the CPU; writes are tracked by taking W away',
] as const;

function trackingPiece(subject: Subject): Piece {
  const { tracking } = subject.edition;
  const type = trackingOf(subject);
  const says = TRACKING[type];
  return {
    at: tracking,
    name: 'A/D type',
    reader: 'kvm',
    says: says ?? 'not a type',
    wrong:
      (says === undefined && `${bitWords(...tracking)}: there is no A/D type 3`) ||
      (type !== 0 &&
        !isEpt(subject) &&
        `${bitWords(...tracking)}: NPT and shadow paging use the bits of the CPU`),
  };
}

/** Where access tracking keeps what it took away. */
function savedPieces(subject: Subject): readonly Piece[] {
  const { saved } = subject.edition;
  const tracked = isAccessTracked(subject);
  const one = (index: number | null, name: string): readonly Piece[] =>
    index === null
      ? []
      : [
          {
            at: [index, index],
            name: `saved ${name}`,
            reader: 'kvm',
            says: tracked
              ? `${name} comes back ${bitOf(subject.value, index) ? 'set' : 'clear'} at the next access`
              : 'used while accesses are tracked',
            wrong:
              !tracked &&
              bitOf(subject.value, index) &&
              `bit ${index} saves ${name}, but nothing was taken away`,
          },
        ];
  return isEpt(subject)
    ? [...one(saved.r, 'R'), ...one(saved.x, 'X'), ...one(saved.xu, 'user X')]
    : [];
}

/** From 6.11 on these are never apart; before, a change of the VMM's mapping could leave the second alone. */
function writablePieces(subject: Subject): readonly Piece[] {
  const { edition } = subject;
  const [host, mmu] = edition.writable[isEpt(subject) ? 'ept' : 'npt'];
  const state = writableOf(subject);
  return [
    {
      at: [host, host],
      name: 'host-writable',
      reader: 'kvm',
      says: state.host ? 'the VMM may write the page' : 'read-only in the VMM, or in the memslot',
      wrong:
        (state.w && !state.host && `bit ${host} is clear, but bit 1 (W) is set`) ||
        (edition.suppressVe && state.mmu && !state.host && `bit ${mmu} is set without bit ${host}`),
    },
    {
      at: [mmu, mmu],
      name: 'MMU-writable',
      reader: 'kvm',
      says: state.mmu ? 'KVM may set W without asking' : 'KVM keeps it read-only',
      wrong: state.w && !state.mmu && `bit ${mmu} is clear, but bit 1 (W) is set`,
    },
  ];
}

function presentPieces({ value, edition }: Subject): readonly Piece[] {
  if (!edition.hasPresentBit) return [];
  const isSet = bitOf(value, 11);
  return [
    {
      at: [11, 11],
      name: 'MMU-present',
      reader: 'kvm',
      says: isSet ? 'maps memory' : 'maps no memory',
      wrong: !isSet && 'bit 11 (MMU-present) is clear, and it is no other known value',
    },
  ];
}

/** Bits 51:12, less those below the size of the page; bit 12 of a large page is PAT, but in EPT. */
function addressPieces(subject: Subject, isLeaf: boolean): readonly Piece[] {
  const { value, level } = subject;
  const end = isEpt(subject) ? 12 : 13;
  const low = isLeaf ? 12 + 9 * (Math.min(level, 3) - 1) : 12;
  const pfn = u64Bits(value, 51, 12);
  const says = `page frame ${(pfn - (pfn % 2 ** (low - 12))).toString(16)}`;
  const address: Piece = {
    at: [51, low],
    name: isLeaf ? 'address' : 'table',
    reader: 'cpu',
    says: isLeaf ? says : `the table is in ${says}`,
  };
  if (low === 12) return [address];
  return [
    address,
    {
      at: [low - 1, end],
      name: 'reserved',
      reader: 'cpu',
      says: 'below the size of the page',
      wrong:
        u64Bits(value, low - 1, end) !== 0 &&
        `bits ${low - 1}:${end} must be 0 in a page of this size`,
    },
  ];
}

const SIZES = ['', '4 KiB', '2 MiB', '1 GiB'] as const;

export function pageSize(level: number): string {
  return SIZES[level] ?? '';
}

function largePiece({ value, level }: Subject, isLeaf: boolean): Piece {
  const isSet = bitOf(value, 7);
  const allowed = isLeaf && level > 1;
  return {
    at: [7, 7],
    name: 'large page',
    reader: 'cpu',
    says: isSet ? `a page of ${pageSize(level)}` : isLeaf ? '4 KiB, the last level' : 'a table',
    wrong: isSet && !allowed && `bit 7 must be 0 ${isLeaf ? 'at level 1' : 'in a table entry'}`,
  };
}

function suppressPieces({ value, edition }: Subject): readonly Piece[] {
  const isSet = bitOf(value, 63);
  if (!edition.suppressVe) return [];
  return [
    {
      at: [63, 63],
      name: 'suppress #VE',
      reader: 'cpu',
      says: isSet ? 'a violation exits to KVM' : 'a violation may become #VE in the guest',
      wrong: !isSet && 'bit 63 is clear, and these kernels set it in every EPT entry but MMIO ones',
    },
  ];
}

function one(subject: Subject, index: number, name: string, set: string, clear: string): Piece {
  return {
    at: [index, index],
    name,
    reader: 'cpu',
    says: bitOf(subject.value, index) ? set : clear,
  };
}

function eptRights(subject: Subject, isLeaf: boolean): readonly Piece[] {
  const { value, edition } = subject;
  const [r, w, x] = [bitOf(value, 0), bitOf(value, 1), bitOf(value, 2)];
  const tracked = isAccessTracked(subject);
  const missing = !isLeaf && !(r && w && x);
  const rights = [
    {
      ...one(subject, 2, 'X', 'code runs', 'no code runs'),
      wrong: missing && !x && 'bit 2: a table entry allows everything',
    },
    {
      ...one(subject, 1, 'W', 'writes go through', 'writes exit to KVM'),
      wrong: w && !r && 'bits 1:0: W without R is an EPT misconfiguration',
    },
    {
      ...one(
        subject,
        0,
        'R',
        'reads go through',
        x ? 'execute only: a nested guest asked for it' : 'reads exit to KVM',
      ),
      wrong:
        !r &&
        !w &&
        !tracked &&
        hasNoAccess(subject) &&
        'bits 2:0: no access at all, and accesses are not tracked',
    },
  ];
  if (edition.saved.xu === null) return rights;
  const user = bitOf(value, 10);
  const apart = user === x ? '' : ' (unlike X: a nested guest asked for it)';
  return [
    {
      ...one(subject, 10, 'user X', `user code runs${apart}`, `no user code runs${apart}`),
      wrong: !isLeaf && !user && 'bit 10: a table entry allows everything',
    },
    ...rights.map((p) =>
      p.name === 'X'
        ? { ...p, name: 'X', says: x ? 'kernel code runs' : 'no kernel code runs' }
        : p,
    ),
  ];
}

function eptType(subject: Subject): readonly Piece[] {
  const code = u64Bits(subject.value, 5, 3);
  const type = mtrrTypeOf(code);
  return [
    one(subject, 6, 'IPAT', 'the guest PAT is ignored', 'the guest PAT counts'),
    {
      at: [5, 3],
      name: 'memory type',
      reader: 'cpu',
      says: type ?? 'reserved',
      wrong: type === null && `bits 5:3: type ${code} is reserved, an EPT misconfiguration`,
    },
  ];
}

function accessedPieces(subject: Subject, a: number, d: number): readonly Piece[] {
  const off = trackingOf(subject) === 1 && isEpt(subject);
  const unread = 'the CPU does not use it here';
  return [
    one(subject, d, 'D', off ? unread : 'written to', off ? unread : 'not written to'),
    one(subject, a, 'A', off ? unread : 'accessed', off ? unread : 'not accessed'),
  ];
}

/** What stands at the same place in the leaves and the tables of all paging modes. */
function commonPieces(subject: Subject, isLeaf: boolean): readonly Piece[] {
  return [
    trackingPiece(subject),
    ...presentPieces(subject),
    ...addressPieces(subject, isLeaf),
    ...(isLeaf ? [...savedPieces(subject), ...writablePieces(subject)] : []),
  ];
}

function eptPieces(subject: Subject, isLeaf: boolean): readonly Piece[] {
  return [
    ...commonPieces(subject, isLeaf),
    ...suppressPieces(subject),
    ...eptRights(subject, isLeaf),
    largePiece(subject, isLeaf),
    ...(isLeaf ? eptType(subject) : []),
    ...(isLeaf
      ? accessedPieces(subject, 8, 9)
      : [one(subject, 8, 'A', 'accessed, or no A/D bits', 'not accessed, or no A/D bits')]),
  ];
}

/** PAT, PCD and PWT of a leaf. */
export function patIndexOf({ value, level }: Subject): number {
  return u64Bits(value, 4, 3) + (bitOf(value, level === 1 ? 7 : 12) ? 4 : 0);
}

/** PWT, PCD and PAT of NPT were set by 4.2 alone. Source: kvm/3c2e7f7de324. */
function cachePiece(subject: Subject, index: number, name: string, isLeaf: boolean): Piece {
  const isSet = bitOf(subject.value, index);
  const wrong =
    subject.edition.id !== 'A-5.3' && `bit ${index} (${name}) is set; KVM leaves it at 0`;
  const says = isLeaf ? `of index ${patIndexOf(subject)} into the PAT` : 'how the table is read';
  return { at: [index, index], name, reader: 'cpu', says, wrong: isSet && wrong };
}

function npRights(subject: Subject, isLeaf: boolean): readonly Piece[] {
  const { value, paging } = subject;
  const everything = isLeaf
    ? 'NPT sees every access of a guest as one of user code'
    : 'a table entry allows everything';
  const user = bitOf(value, 2);
  return [
    {
      ...one(subject, 63, 'NX', 'no code runs', 'code runs'),
      wrong: !isLeaf && bitOf(value, 63) && `bit 63: ${everything}`,
    },
    {
      ...one(subject, 2, 'U', 'user code may use it', 'kernel code only'),
      wrong: !user && (!isLeaf || paging === 'npt') && `bit 2 is clear, but ${everything}`,
    },
    {
      ...one(subject, 1, 'W', 'writes go through', 'writes exit to KVM'),
      wrong: !isLeaf && !bitOf(value, 1) && `bit 1: ${everything}`,
    },
    {
      ...one(subject, 0, 'P', 'present', 'not present'),
      wrong: !bitOf(value, 0) && 'bit 0 (P) is clear in an entry that maps something',
    },
  ];
}

function npPieces(subject: Subject, isLeaf: boolean): readonly Piece[] {
  const isLarge = isLeaf && subject.level > 1;
  return [
    ...commonPieces(subject, isLeaf),
    ...npRights(subject, isLeaf),
    isLeaf && !isLarge ? cachePiece(subject, 7, 'PAT', isLeaf) : largePiece(subject, isLeaf),
    ...(isLarge ? [cachePiece(subject, 12, 'PAT', isLeaf)] : []),
    ...(isLeaf
      ? accessedPieces(subject, 5, 6)
      : [one(subject, 5, 'A', 'accessed', 'not accessed')]),
    cachePiece(subject, 4, 'PCD', isLeaf),
    cachePiece(subject, 3, 'PWT', isLeaf),
  ];
}

/** An entry that maps a page, or points to a table. */
export function mappingFields(subject: Subject, isLeaf: boolean): readonly SpteField[] {
  const pieces = isEpt(subject) ? eptPieces(subject, isLeaf) : npPieces(subject, isLeaf);
  return tiled(subject.value, pieces);
}
