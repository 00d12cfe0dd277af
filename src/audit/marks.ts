import { QUIRK } from '../kvm/quirks.ts';
import type { FactSet, Slot } from './predict-facts.ts';

/** What a mark in the trace says to have happened. */
export type Mark =
  /** Another VM begins: nothing of the one before holds. */
  | { readonly is: 'vm' }
  | { readonly is: 'facts'; readonly facts: FactSet }
  /** Memory of that name at these pages. */
  | {
      readonly is: 'slot';
      readonly name: string;
      readonly gfnStart: number;
      readonly gfnEnd: number;
    };

const PAGE = 4096;
const PREFIX = 'MT ';
const LONGEST = 4096;

function numberOf(value: unknown): number | null {
  const number =
    typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN;
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function slotMark(fields: Readonly<Record<string, unknown>>, name: unknown): Mark | null {
  const gpa = numberOf(fields['gpa']);
  const size = numberOf(fields['size'] ?? PAGE);
  if (gpa === null || size === null || typeof name !== 'string') return null;
  const gfnStart = Math.floor(gpa / PAGE);
  return { is: 'slot', name, gfnStart, gfnEnd: gfnStart + Math.ceil(size / PAGE) };
}

function quirkFacts(disabled: number | null): FactSet {
  if (disabled === null) return {};
  return {
    ...((disabled & QUIRK.IGNORE_GUEST_PAT) === 0 ? {} : { 'quirk-ignore-guest-pat': 'off' }),
    ...((disabled & QUIRK.CD_NW_CLEARED) === 0 ? {} : { 'quirk-cd-nw-cleared': 'off' }),
  };
}

/**
 * A text of trace_marker: `MT {"ev": ...}` with ev scenario, slot, ncdma, quirk or remap, as a program writes
 * that makes VMs and says what it does. Null: it says nothing that changes a type. What the guest writes to
 * its MTRRs and to CR0 is taken from KVM's own events.
 */
export function readMark(text: string): Mark | null {
  const at = text.indexOf(PREFIX);
  if (at < 0 || text.length > LONGEST) return null;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(text.slice(at + PREFIX.length)) as typeof fields;
  } catch {
    return null;
  }
  if (typeof fields !== 'object' || fields === null) return null;
  const isOk = fields['ok'] === undefined || Number(fields['ok']) === 1;
  switch (fields['ev']) {
    case 'scenario':
      return { is: 'vm' };
    case 'slot':
      return slotMark(fields, fields['name']);
    case 'remap':
      return isOk ? slotMark(fields, fields['to']) : null;
    case 'ncdma':
      return isOk
        ? { is: 'facts', facts: { 'noncoherent-dma': Number(fields['on']) === 1 } }
        : null;
    case 'quirk':
      return isOk ? { is: 'facts', facts: quirkFacts(numberOf(fields['disable'])) } : null;
    default:
      return null;
  }
}

/** The slot of a mark: its memory is that of the slot of this name, or what is elsewhere. */
export function markedSlot(
  mark: Extract<Mark, { is: 'slot' }>,
  slots: readonly Slot[],
  elsewhere: Slot | null,
): Slot | null {
  const { name, gfnStart, gfnEnd } = mark;
  const same = slots.find((slot) => slot.name === name) ?? elsewhere;
  return same === null ? null : { ...same, name, gfnStart, gfnEnd };
}
