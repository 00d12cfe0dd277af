import { type Diagnostic, InputError } from '../base/diagnostic.ts';
import { type U64, u64FromHex, u64ToNumber } from '../base/u64.ts';
import type { PrintedSpte } from '../kvm/spte-printed.ts';
import { decimalAt, fieldAt, hexAt, scanTraceLine } from '../trace/line.ts';
import { readText } from './io.ts';

/** One SPTE that was asked about. */
export interface SpteInput {
  readonly value: U64;
  /** As it was given. */
  readonly text: string;
  /** How it was read, where that is not plain. */
  readonly how: string | null;
  /** Where it comes from: the line of a trace. */
  readonly origin: SpteOrigin | null;
}

export interface SpteOrigin extends PrintedSpte {
  /** Null: a piece of a line without the name of its event. */
  readonly event: string | null;
  readonly field: 'spte' | 'old_spte' | 'new_spte';
  readonly level: number | null;
  /** Address space: 1 is SMM. */
  readonly asId: number | null;
}

/** Where a text stands, for the caret. */
interface Origin {
  readonly file: string;
  readonly line: number;
}

function fail(message: string, source: string, at: Origin, column: number, help: string): never {
  const word = /^\S*/.exec(source.slice(column - 1))?.[0] ?? '';
  const length = Math.max(1, word.length);
  const place = { ...at, column, length };
  throw new InputError([{ severity: 'error', message, place, source, help } satisfies Diagnostic]);
}

const HELP =
  'hexadecimal, with or without 0x, or a line of kvm_mmu_set_spte or kvm_tdp_mmu_spte_changed';
const DIGITS_MAX = 16;

/** A value alone. Decimal digits are hexadecimal ones, too: they are read as the kernel prints them. */
function plainValue(text: string, at: Origin): SpteInput {
  const column = text.length - text.trimStart().length + 1;
  const word = text.trim();
  const digits = /^(?:0[xX])?/.exec(word)?.[0].length ?? 0;
  const wrong = word.slice(digits).search(/[^0-9a-fA-F_]/);
  if (wrong >= 0)
    fail(
      `"${word[digits + wrong]}" is no hexadecimal digit`,
      text,
      at,
      column + digits + wrong,
      HELP,
    );
  const bare = word.replaceAll('_', '');
  if (bare.length === digits) fail('there are no digits', text, at, column, HELP);
  const value = u64FromHex(bare);
  const own = { text: word, origin: null };
  if (value !== null)
    return {
      ...own,
      value,
      how: /^[0-9]+$/.test(bare) && bare.length > 1 ? 'hexadecimal, as the kernel prints it' : null,
    };
  if (digits === 0 && /^\d+$/.test(bare)) {
    const decimal = bare.length <= 20 ? u64FromHex(BigInt(bare).toString(16)) : null;
    if (decimal !== null)
      return { ...own, value: decimal, how: `decimal: it has more than ${DIGITS_MAX} digits` };
  }
  fail('an SPTE has 64 bits: 16 hexadecimal digits', text, at, column + digits + DIGITS_MAX, HELP);
}

const FIELDS = ['old_spte', 'new_spte', 'spte'] as const;
const LETTERS = /\(([r-][w-][x-][u-]?)\)/;
/** Of page-frame and other numbers that the kernel prints beside an SPTE. */
const NUMBER_LIMIT = 2 ** 52;

function hexField(line: string, payload: number, name: string): U64 | null {
  const at = fieldAt(line, payload, name);
  return at < 0 ? null : hexAt(line, at);
}

function smallField(line: string, payload: number, name: string): number | null {
  const value = hexField(line, payload, name);
  const number = value === null ? null : u64ToNumber(value);
  return number !== null && number < NUMBER_LIMIT ? number : null;
}

function decimalField(line: string, payload: number, names: readonly string[]): number | null {
  const at = names.map((name) => fieldAt(line, payload, name)).find((i) => i >= 0);
  return at === undefined ? null : decimalAt(line, at);
}

/** Every SPTE of a line of a trace, or of a piece of one; none: it prints no SPTE. */
function traced(line: string, at: Origin): readonly SpteInput[] {
  const scanned = scanTraceLine(line);
  const payload = scanned?.payload ?? 0;
  const event = scanned?.event ?? null;
  const level = decimalField(line, payload, ['level']);
  if (level !== null && (level < 1 || level > 5))
    fail(`there is no level ${level}`, line, at, fieldAt(line, payload, 'level') + 1, '1 to 5');
  return FIELDS.flatMap((field) => {
    const start = fieldAt(line, payload, field);
    if (start < 0) return [];
    const value = hexAt(line, start);
    if (value === null)
      fail(`${field} is no hexadecimal number of 64 bits`, line, at, start + 1, HELP);
    const origin: SpteOrigin = {
      event,
      field,
      level: event === 'check_mmio_spte' ? 1 : level,
      asId: decimalField(line, payload, ['as id', 'as_id']),
      letters: field === 'spte' ? (LETTERS.exec(line.slice(start))?.[1] ?? null) : null,
      gfn: smallField(line, payload, 'gfn'),
      generation: smallField(line, payload, 'spte-gen'),
      isTdp: field !== 'spte',
    };
    return [{ value, text: line.slice(start).split(/[\s,]/, 1)[0] ?? '', how: null, origin }];
  });
}

/** An argument: a value, or a line of a trace. */
export function spteArgument(text: string, index: number): readonly SpteInput[] {
  const at = { file: `value ${index + 1}`, line: 1 };
  if (text.trim() === '') fail('the value is empty', text, at, 1, HELP);
  const found = /\s|=/.test(text.trim()) ? traced(text, at) : null;
  if (found === null) return [plainValue(text, at)];
  if (found.length > 0) return found;
  fail('no spte, old_spte or new_spte in this line', text, at, 1, HELP);
}

const LIST = { what: 'list of SPTEs', max: 4 * 2 ** 20, open: () => 0 };

/** What standard input has. */
export interface SpteList {
  readonly inputs: readonly SpteInput[];
  /** Lines of other events. */
  readonly others: number;
  /** Lines that cannot be read. */
  readonly wrong: readonly Diagnostic[];
}

/**
 * Standard input: a value or a line of a trace on each line. A line that cannot be read keeps none of the others.
 *
 * @throws InputError when all of it cannot be read
 */
export function spteList(): SpteList {
  const inputs: SpteInput[] = [];
  const wrong: Diagnostic[] = [];
  let others = 0;
  for (const [i, line] of readText('-', LIST).split('\n').entries()) {
    const at = { file: 'standard input', line: i + 1 };
    const text = line.replace(/\r$/, '');
    if (text.trim() === '' || text.startsWith('#')) continue;
    try {
      const found = /\s|=/.test(text.trim()) ? traced(text, at) : [plainValue(text, at)];
      if (found.length === 0) others += 1;
      inputs.push(...found);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      wrong.push(...error.diagnostics);
    }
  }
  return { inputs, others, wrong };
}
