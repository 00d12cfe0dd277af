import { type U64, u64Bits, u64ToHex } from '../base/u64.ts';
import type { KernelVersion } from '../linux/version.ts';
import { type MtrrType, mtrrTypeOf } from '../x86/types.ts';
import type { PagingMode } from './rules.ts';
import { editionsOf, SPTE_EDITIONS, type SpteEdition } from './spte-editions.ts';
import {
  bitOf,
  hasNoAccess,
  isAccessTracked,
  isEpt,
  type SpteField,
  type Subject,
  trackingOf,
  writableOf,
} from './spte-fields.ts';
import { mappingFields, patIndexOf } from './spte-mapping.ts';
import { leafCauses } from './spte-meaning.ts';
import { type PrintedSpte, printedContradictions } from './spte-printed.ts';
import {
  kindOf,
  type MmioEntry,
  mappingKind,
  mmioOf,
  type SpteKind,
  specialFields,
} from './spte-special.ts';

export type WriteState = 'writable' | 'writes tracked' | 'guarded by KVM' | 'read-only in the VMM';

/** What a leaf maps, and how. */
export interface LeafEntry {
  /** First page frame of the page. */
  readonly pfn: number;
  /** EPT bits 5:3; null where they are reserved, and without EPT. */
  readonly memtype: MtrrType | null;
  readonly ipat: boolean | null;
  /** PAT, PCD and PWT as an index into the PAT of the host; null with EPT. */
  readonly patIndex: number | null;
  readonly write: WriteState;
  /** Access tracking took R and X away: what an access brings back. */
  readonly saved: string | null;
}

/** An SPTE read under one paging mode, one edition and one level. */
export interface SpteReading {
  readonly value: U64;
  readonly paging: PagingMode;
  readonly edition: SpteEdition;
  readonly kind: SpteKind;
  /** Levels that it may stand at: 1 is 4 KiB; of an entry that maps nothing every level. */
  readonly levels: readonly number[];
  /** They tile the 64 bits, highest first. */
  readonly fields: readonly SpteField[];
  /** Why no kernel of the edition writes this value; empty: it fits. */
  readonly contradictions: readonly string[];
  readonly leaf: LeafEntry | null;
  readonly mmio: MmioEntry | null;
  /** An EPT leaf of a type and IPAT that no rule of these kernels writes: a modified kernel. */
  readonly isForeign: boolean;
  /** Page frame of the table below. */
  readonly table: number | null;
  /** What cannot be told from the value alone. */
  readonly notes: readonly string[];
}

/** What is known beside the value. Null: all of them. */
export interface SpteQuestion {
  readonly paging: PagingMode | null;
  readonly kernel: KernelVersion | null;
  readonly level: number | null;
  readonly printed?: PrintedSpte | null;
}

export interface SpteReadings {
  /** False: no kernel in question writes this value; the readings say why. */
  readonly fits: boolean;
  readonly readings: readonly SpteReading[];
}

const ALL_LEVELS = [1, 2, 3, 4, 5];
const TABLE_LEVELS = [2, 3, 4, 5];
const LEVEL_3_FRAMES = 2 ** 18;

function frames({ value }: Subject): number {
  return u64Bits(value, 51, 12);
}

/**
 * Levels of a leaf, as bit 7 and the low bits of its address tell. Bit 7 of a 4 KiB page is PAT, but in EPT;
 * KVM never sets it.
 */
function leafLevels(subject: Subject, given: number | null): readonly number[] {
  if (given !== null) return [Math.min(given, 3)];
  if (!bitOf(subject.value, 7)) return [1];
  const pfn = frames(subject) - (isEpt(subject) ? 0 : frames(subject) % 2);
  return pfn % LEVEL_3_FRAMES === 0 ? [2, 3] : [2];
}

function levelsOf(subject: Subject, kind: SpteKind, given: number | null): readonly number[] {
  if (kind === 'leaf') return leafLevels(subject, given);
  if (given !== null) return [given];
  if (kind === 'table') return TABLE_LEVELS;
  // Only a 4 KiB entry is made an MMIO one.
  return kind === 'mmio' ? [1] : ALL_LEVELS;
}

function writeState(subject: Subject): WriteState {
  const { host, mmu, w } = writableOf(subject);
  if (w) return 'writable';
  if (!host) return 'read-only in the VMM';
  return mmu ? 'writes tracked' : 'guarded by KVM';
}

function savedOf(subject: Subject): string | null {
  if (!isAccessTracked(subject)) return null;
  const { r, x, xu } = subject.edition.saved;
  const has = (index: number | null) => index !== null && bitOf(subject.value, index);
  const names = [has(r) ? 'R' : '', has(x) ? 'X' : '', has(xu) ? 'user X' : ''].filter(
    (n) => n !== '',
  );
  return names.length === 0 ? 'nothing' : names.join(', ');
}

function leafOf(subject: Subject): LeafEntry {
  const { value, level } = subject;
  const low = 12 + 9 * (level - 1);
  const ept = isEpt(subject);
  return {
    pfn: u64Bits(value, 51, low) * 2 ** (low - 12),
    memtype: ept ? mtrrTypeOf(u64Bits(value, 5, 3)) : null,
    ipat: ept ? bitOf(value, 6) : null,
    patIndex: ept ? null : patIndexOf(subject),
    write: writeState(subject),
    saved: savedOf(subject),
  };
}

/** Address bits from here up may be no address: an encryption bit, or a key number. */
const ENCRYPTION_BITS = [47, 51] as const;

function notesOf(subject: Subject, kind: SpteKind): readonly string[] {
  const { value } = subject;
  const notes: string[] = [];
  const encrypted = ENCRYPTION_BITS.filter((bit) => bitOf(value, bit));
  if ((kind === 'leaf' || kind === 'table') && !isEpt(subject) && encrypted.length > 0) {
    notes.push(
      `Bit ${encrypted.join(' or ')} may be the encryption bit of SME or SEV (CPUID 8000001F EBX[5:0] of the host ` +
        'names it): the page frame is then without it.',
    );
  }
  if ((kind === 'leaf' || kind === 'table') && isEpt(subject) && u64Bits(value, 51, 46) !== 0) {
    notes.push(
      'Address bits from 46 up are set. KVM puts no key number (TME-MK) into an SPTE; a TDX module does into its ' +
        'own tables. Whether they are an address, MAXPHYADDR of the host tells (/proc/cpuinfo, address sizes).',
    );
  }
  if (kind === 'mmio') {
    const { guard, gfn, top } = mmioOf(subject);
    if (guard !== null)
      notes.push(
        `If the CPU of the host has no L1TF bug, bits ${guard[0]}:${guard[1]} belong to the gfn: not ` +
          `${gfn.toString(16)} but ${u64Bits(value, top, 12).toString(16)}.`,
      );
  }
  if (
    kind === 'leaf' &&
    trackingOf(subject) === 1 &&
    !isAccessTracked(subject) &&
    !hasNoAccess(subject)
  )
    notes.push('Accesses are not tracked now: access tracking would take R and X away.');
  return notes;
}

function isForeign(
  leaf: LeafEntry | null,
  edition: SpteEdition,
  kernel: KernelVersion | null,
): boolean {
  if (leaf?.memtype == null || leaf.ipat === null) return false;
  return leafCauses(leaf.memtype, leaf.ipat, edition, kernel).length === 0;
}

/** A value that is not known is drawn as what it would be if it mapped something: that shows what is wrong. */
function fieldsOf(subject: Subject, kind: SpteKind, level: number | null): readonly SpteField[] {
  if (kind === 'mmio' || kind === 'empty' || kind === 'frozen') return specialFields(subject, kind);
  const shape = kind === 'unknown' ? mappingKind(subject, level) : kind;
  return mappingFields(subject, shape === 'leaf');
}

/** Reads an entry with everything given; `level` null: the bits tell, as far as they do. */
export function readSpteAs(
  value: U64,
  paging: PagingMode,
  edition: SpteEdition,
  level: number | null,
  kernel: KernelVersion | null = null,
): SpteReading {
  const first: Subject = { value, paging, edition, level: level ?? 1 };
  const kind = kindOf(first, level);
  const levels = levelsOf(first, kind, level);
  const subject = { ...first, level: levels[0] ?? 1 };
  const fields = fieldsOf(subject, kind, level);
  const leaf = kind === 'leaf' ? leafOf(subject) : null;
  const tooHigh = kind === 'leaf' && level !== null && level > 3;
  return {
    value,
    paging,
    edition,
    kind,
    levels,
    fields,
    contradictions: [
      ...fields.flatMap(({ wrong }) => (wrong === null ? [] : [wrong])),
      ...(kind === 'unknown' && frames(subject) === 0 ? ['bits 51:12 are 0: no page frame'] : []),
      ...(kind === 'frozen' && paging === 'shadow'
        ? ['only the TDP MMU freezes entries: no shadow paging']
        : []),
      ...(tooHigh ? [`bit 7 must be 0 at level ${level}`] : []),
    ],
    leaf,
    isForeign: isForeign(leaf, edition, kernel),
    mmio: kind === 'mmio' ? mmioOf(subject) : null,
    table: kind === 'table' ? frames(subject) : null,
    notes: notesOf(subject, kind),
  };
}

const PAGINGS: readonly PagingMode[] = ['ept', 'npt', 'shadow'];

/** Of readings that fit alike the newer kernel comes first; that it is a TDX guest is said last. */
function likelier(a: SpteReading, b: SpteReading): number {
  const tdx = Number(a.mmio?.tdx === true) - Number(b.mmio?.tdx === true);
  const newer = SPTE_EDITIONS.indexOf(b.edition) - SPTE_EDITIONS.indexOf(a.edition);
  return tdx || newer || PAGINGS.indexOf(a.paging) - PAGINGS.indexOf(b.paging);
}

/**
 * Every reading of a value that what is known leaves open, the likelier first; when none fits, those with the
 * fewest contradictions.
 */
export function readSpte(value: U64, question: SpteQuestion): SpteReadings {
  const { paging, kernel, level, printed = null } = question;
  const editions = kernel === null ? SPTE_EDITIONS : editionsOf(kernel);
  const all = (paging === null ? PAGINGS : [paging]).flatMap((mode) =>
    editions.map((edition) => {
      const reading = readSpteAs(value, mode, edition, level, kernel);
      if (printed === null) return reading;
      const more = printedContradictions(reading, printed);
      return { ...reading, contradictions: [...reading.contradictions, ...more] };
    }),
  );
  const least = all.reduce((n, r) => Math.min(n, r.contradictions.length), Number.MAX_VALUE);
  const best = all.filter((r) => r.contradictions.length === least);
  const own = best.filter((r) => !r.isForeign);
  return {
    fits: least === 0,
    readings: (own.length > 0 ? own : best).toSorted(likelier),
  };
}

/** As the kernel prints it. */
export function spteDigits(value: U64): string {
  return u64ToHex(value).slice(2);
}
