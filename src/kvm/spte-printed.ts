import { bitOf } from './spte-fields.ts';
import type { SpteReading } from './spte-reading.ts';

/** What a line of a trace says beside the value of an SPTE. Null: it does not. */
export interface PrintedSpte {
  /** "rwxu", "r-x-": permissions as the kernel decoded them; without u in kernels that leave it out. */
  readonly letters: string | null;
  readonly gfn: number | null;
  /** Of an MMIO SPTE, as check_mmio_spte prints it. */
  readonly generation: number | null;
  /** The event is of the TDP MMU: no shadow paging. */
  readonly isTdp: boolean;
}

/** As the kernel computes them from the masks of the paging mode. Source: kvm/mmutrace.h. */
function lettersOf({ value, paging, edition }: SpteReading): string {
  const isEpt = paging === 'ept';
  const user = isEpt ? (edition.saved.xu === null ? 0 : 10) : 2;
  const x = isEpt ? bitOf(value, 2) : !bitOf(value, 63);
  return `${bitOf(value, 1) ? 'w' : '-'}${x ? 'x' : '-'}${bitOf(value, user) ? 'u' : '-'}`;
}

/** r is not only bit 0: where a mask says that every entry is present it is always printed. */
function letterContradiction(reading: SpteReading, letters: string): string | null {
  const isReadable = bitOf(reading.value, 0);
  const own = lettersOf(reading).slice(0, letters.length - 1);
  if (letters.slice(1) === own && (letters.startsWith('r') || !isReadable)) return null;
  const has = `${isReadable ? 'r' : '-'}${own}`;
  return `the line says (${letters}), the bits say (${has})`;
}

/** Why a reading cannot be what the line printed. */
export function printedContradictions(
  reading: SpteReading,
  { letters, gfn, generation, isTdp }: PrintedSpte,
): readonly string[] {
  const found: (string | null)[] = [
    isTdp && reading.paging === 'shadow' ? 'the event is of the TDP MMU: no shadow paging' : null,
    letters === null ? null : letterContradiction(reading, letters),
  ];
  const { mmio } = reading;
  if (mmio !== null && gfn !== null && mmio.gfn !== gfn)
    found.push(`the line says gfn ${gfn.toString(16)}, the bits ${mmio.gfn.toString(16)}`);
  if (generation !== null && mmio?.generation !== generation) {
    const own = mmio === null ? 'no MMIO SPTE' : `generation ${mmio.generation.toString(16)}`;
    found.push(`the line says generation ${generation.toString(16)}, the bits ${own}`);
  }
  return found.filter((f) => f !== null);
}
