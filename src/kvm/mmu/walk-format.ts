import { type U64, u64Bits } from '../../base/u64.ts';
import { rule } from '../../cite/rule.ts';
import { eptLeafOf } from '../../x86/ept.ts';
import { ACC, PFERR } from './error-code.ts';

rule({
  id: 'kvm/guest-walk',
  room: 'kvm',
  title: 'A walk of guest page tables',
  text:
    'Under TDP the CPU walks, and sets A in every entry it uses and D in the leaf it writes through. Under ' +
    'shadow paging KVM walks at each fault, and sets A and D from the top down once the access is known to ' +
    'be allowed: a leaf that is clean is shadowed read-only, so that the first write faults. Tables of L1 ' +
    'for L2 are walked by KVM in the same way; types 2, 3 and 7 in an EPT leaf of L1 are a misconfiguration, ' +
    'its other type bits and IPAT are not looked at.',
  sources: ['kvm/walk_addr_generic', 'kvm/update_accessed_dirty_bits', 'kvm/nested-ept'],
});

/** What decides how tables are read. */
export interface WalkSettings {
  readonly format: 'long' | 'ept';
  readonly levels: 4 | 5;
  /** CR3, nCR3 or EPTP: the frame of the top table, and its cache bits. */
  readonly root: U64;
  /** EFER.NX; true for EPT. */
  readonly nx: boolean;
  /** CR0.WP. */
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  /** EFLAGS.AC: a supervisor may look at user pages in spite of SMAP. */
  readonly ac: boolean;
  /** CR4.PCIDE: the low bits of CR3 are no cache bits. */
  readonly pcide: boolean;
  /** A and D are kept; false only in EPT tables whose EPTP turns them off. */
  readonly accessedDirty: boolean;
  readonly physicalBits: number;
  readonly gbPages: boolean;
  /** EPT entries may allow X without R. */
  readonly executeOnly: boolean;
}

export interface TableFormat {
  readonly accessed: number;
  readonly dirty: number;
  isPresent(entry: U64): boolean;
  isReserved(entry: U64, level: number, settings: WalkSettings): boolean;
  /** ACC bits. */
  accessOf(entry: U64): number;
  isDenied(access: number, code: number, settings: WalkSettings): boolean;
}

const LARGE = 1 << 7;

/** The frame that an entry of this level points to; bits below the size of its page are left out. */
export function entryFrame({ hi, lo }: U64, level: number): number {
  const frame = (hi & 0xf_ffff) * 2 ** 20 + Math.floor(lo / 4096);
  return frame - (frame % 2 ** (9 * (level - 1)));
}

export function isLastEntry(entry: U64, level: number): boolean {
  return level === 1 || (entry.lo & LARGE) !== 0;
}

/** Address bits that must be 0: above the physical address, and in a large page below its size. */
function hasAddressBits(entry: U64, level: number, settings: WalkSettings, low: number): boolean {
  const { physicalBits } = settings;
  if (physicalBits < 52 && u64Bits(entry, 51, physicalBits) !== 0) return true;
  const isLarge = level > 1 && (entry.lo & LARGE) !== 0;
  return isLarge && u64Bits(entry, 11 + 9 * (level - 1), low) !== 0;
}

function isLargeAllowed(level: number, { gbPages }: WalkSettings): boolean {
  return level <= 2 || (level === 3 && gbPages);
}

/** Source: kvm/update_permission_bitmask. */
function isDeniedLong(access: number, code: number, settings: WalkSettings): boolean {
  const isUser = (code & PFERR.USER) !== 0;
  const isUserPage = (access & ACC.USER) !== 0;
  const isFetch = (code & PFERR.FETCH) !== 0;
  if (isUser && !isUserPage) return true;
  if (isFetch && settings.nx && (access & ACC.EXEC) === 0) return true;
  const guardsWrites = isUser || settings.wp;
  if ((code & PFERR.WRITE) !== 0 && (access & ACC.WRITE) === 0 && guardsWrites) return true;
  if (isUser || !isUserPage) return false;
  return isFetch ? settings.smep : settings.smap && !settings.ac;
}

const LONG: TableFormat = {
  accessed: 1 << 5,
  dirty: 1 << 6,
  isPresent: ({ lo }) => (lo & 1) !== 0,
  isReserved(entry, level, settings) {
    if (entry.hi >>> 31 === 1 && !settings.nx) return true;
    if (level > 1 && (entry.lo & LARGE) !== 0 && !isLargeAllowed(level, settings)) return true;
    // Bit 12 of a large page is PAT.
    return hasAddressBits(entry, level, settings, 13);
  },
  accessOf: ({ hi, lo }) => (lo & (ACC.WRITE | ACC.USER)) | (hi >>> 31 === 1 ? 0 : ACC.EXEC),
  isDenied: isDeniedLong,
};

/** Bits 2:0: writable without readable, or executable alone where the CPU does not allow it. */
function isBadPermission(lo: number, executeOnly: boolean): boolean {
  const rwx = lo & 7;
  return rwx === 2 || rwx === 6 || (rwx === 4 && !executeOnly);
}

const EPT: TableFormat = {
  accessed: 1 << 8,
  dirty: 1 << 9,
  isPresent: ({ lo }) => (lo & 7) !== 0,
  isReserved(entry, level, settings) {
    if (isBadPermission(entry.lo, settings.executeOnly)) return true;
    if (!isLastEntry(entry, level))
      return (entry.lo & 0xf8) !== 0 || hasAddressBits(entry, level, settings, 12);
    if (level > 1 && !isLargeAllowed(level, settings)) return true;
    return eptLeafOf(entry.lo) === null || hasAddressBits(entry, level, settings, 12);
  },
  accessOf: ({ lo }) =>
    (lo & ACC.WRITE) | ((lo & 4) !== 0 ? ACC.EXEC : 0) | ((lo & 1) !== 0 ? ACC.USER : 0),
  isDenied(access, code) {
    if ((code & PFERR.WRITE) !== 0 && (access & ACC.WRITE) === 0) return true;
    if ((code & PFERR.FETCH) !== 0) return (access & ACC.EXEC) === 0;
    return (code & PFERR.USER) !== 0 && (access & ACC.USER) === 0;
  },
};

/** How entries are read: page tables of long mode (and NPT), or EPT. */
export const FORMATS: Readonly<Record<WalkSettings['format'], TableFormat>> = {
  long: LONG,
  ept: EPT,
};
