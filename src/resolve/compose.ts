import { refuse } from '../base/diagnostic.ts';
import { FACT_KEYS, type FactKey, type Facts } from '../facts/facts.ts';
import { type GuestMtrrLayout, parseAmount, parseRanges } from '../facts/layout.ts';
import { didYouMean, factKeyOf, parseValue, vocabulary } from '../facts/words.ts';
import { QUIRK } from '../kvm/quirks.ts';
import { BACKING_ALIASES, BACKINGS, backingClass } from '../linux/backing.ts';
import { MTRR_TYPES, type MtrrType } from '../x86/types.ts';
import { columnsOf, offerOf } from './columns.ts';
import { at, complain, type Entry, single, type Word, words } from './entries.ts';
import { type CpuModel, type Question, question } from './question.ts';

export type { Entry, Word } from './entries.ts';

/** Keys that are no facts of their own. */
const OTHER_KEYS = [
  'kernel',
  'policy',
  'quirks2',
  'guest-mtrr-ranges',
  'guest-mtrr-default',
  'guest-mtrr-fixed',
  'gpa',
  'phys-bits',
] as const;

/** Every key that `explain` and a case file know. */
export const EXPLAIN_KEYS: readonly string[] = [
  ...FACT_KEYS.filter((key) => key !== 'policy'),
  ...OTHER_KEYS,
];

// ---- facts ------------------------------------------------------------------------------------

const AMD_FAMILIES = new Set([16, 17, 20, 21, 22, 23, 24, 25, 26]);

interface Cpu {
  readonly vendor: 'intel' | 'amd';
  readonly model: CpuModel | null;
}

/** "intel", "amd", "6/143", "intel:19/1". */
function parseCpu(word: Word): Cpu {
  const match = /^(?:(intel|amd)|(?:(intel|amd):)?(0x[0-9a-f]+|\d+)\/(0x[0-9a-f]+|\d+))$/i.exec(
    word.text,
  );
  if (match === null)
    complain(word, `not a CPU: "${word.text}"`, 'intel, amd or FAMILY/MODEL, e.g. 6/143');
  const plain = match[1]?.toLowerCase();
  if (plain === 'intel' || plain === 'amd') return { vendor: plain, model: null };
  const family = Number(match[3]);
  const model = { family, model: Number(match[4]) };
  const said = match[2]?.toLowerCase();
  if (said === 'intel' || said === 'amd') return { vendor: said, model };
  if (family === 6) return { vendor: 'intel', model };
  if (AMD_FAMILIES.has(family)) return { vendor: 'amd', model };
  complain(
    word,
    `family ${family} exists at both vendors, or at neither with EPT or NPT`,
    'name the vendor too, as in intel:15/6 or amd:15/6',
  );
}

function factOf(key: FactKey, list: readonly Word[]): readonly unknown[] {
  return list.map((word) => {
    if (key === 'backing') return backingOf(word);
    const parsed = parseValue(key, word.text);
    if (parsed.ok) return parsed.value;
    return complain(word, `"${word.text}" is no value of ${key}`, `one of ${vocabulary(key)}`);
  });
}

function backingOf(word: Word): string {
  const found = backingClass(word.text.toLowerCase());
  if (found !== null) return found.id;
  const names = [...BACKINGS.map((b) => b.id), ...Object.keys(BACKING_ALIASES)];
  const near = didYouMean(word.text, names);
  complain(
    word,
    `unknown backing "${word.text}"`,
    `${near === null ? '' : `did you mean ${near}? `}one of ${BACKINGS.map((b) => b.id).join(' ')}`,
  );
}

function factsOf(entries: readonly Entry[]): { facts: Facts; cpu: Cpu | null } {
  const facts: Partial<Record<FactKey, readonly unknown[]>> = {};
  let cpu: Cpu | null = null;
  for (const entry of entries) {
    const key = factKeyOf(entry.key);
    if (key === null) {
      if ((OTHER_KEYS as readonly string[]).includes(entry.key)) continue;
      const near = didYouMean(entry.key, EXPLAIN_KEYS);
      complain(
        entry,
        `unknown key "${entry.key}"`,
        near === null ? 'see memtype explain --help' : `did you mean ${near}?`,
      );
    }
    if (entry.words.length === 0) complain(entry, `${entry.key} has no value`);
    if (facts[key] !== undefined)
      complain(
        entry,
        `${entry.key} is given twice`,
        'say it once; several values are joined by commas',
      );
    if (key === 'cpu') {
      const cpus = entry.words.map(parseCpu);
      const models = cpus.filter((c) => c.model !== null);
      if (models.length > 0 && cpus.length > 1) {
        complain(entry, 'several CPU models', 'name one model, or only vendors');
      }
      cpu = cpus.length === 1 ? (cpus[0] ?? null) : null;
      facts.cpu = cpus.map((c) => c.vendor);
    } else facts[key] = factOf(key, entry.words);
  }
  return { facts: facts as Facts, cpu };
}

// ---- guest MTRR layout ------------------------------------------------------------------------

/** KVM_NR_VAR_MTRR, in all versions. */
const MTRR_PAIRS = 8;

function mtrrTypeOf(word: Word): MtrrType {
  const type = MTRR_TYPES.find((t) => t === word.text.toUpperCase());
  return type ?? complain(word, `not an MTRR type: "${word.text}"`, 'one of UC WC WT WP WB');
}

function layoutOf(entries: readonly Entry[]): GuestMtrrLayout | null {
  const rangeWords = words(entries, 'guest-mtrr-ranges');
  const gpa = single(entries, 'gpa');
  const base = single(entries, 'guest-mtrr-default');
  const bits = single(entries, 'phys-bits');
  const [first] = rangeWords;
  if (first === undefined && base === null) {
    for (const key of ['gpa', 'phys-bits', 'guest-mtrr-fixed']) {
      const alone = single(entries, key);
      if (alone !== null) complain(alone, `${key} means nothing without guest-mtrr-ranges`);
    }
    return null;
  }
  const anchor = first ?? base;
  if (anchor === null || anchor === undefined) return null;
  if (gpa === null)
    complain(anchor, 'a guest MTRR layout needs gpa', 'name the address: --gpa 0xd0000000');
  if (base === null)
    complain(anchor, 'a guest MTRR layout needs guest-mtrr-default', 'one of UC WC WT WP WB');
  const fixed = single(entries, 'guest-mtrr-fixed');
  const fixedType = fixed === null ? null : mtrrTypeOf(fixed);
  const address = parseAmount(gpa.text);
  if (address === null)
    complain(gpa, `not an address: "${gpa.text}"`, 'for example 0xd0000000 or 3G');
  const physBits = bits === null ? 46 : Number(bits.text);
  if (bits !== null && !(Number.isInteger(physBits) && physBits >= 36 && physBits <= 52)) {
    complain(bits, `not a physical address width: "${bits.text}"`, '36 to 52');
  }
  const defaultType = mtrrTypeOf(base);
  const ranges = rangeWords.flatMap((word) => at(word, () => parseRanges(word.text)));
  if (address >= 2 ** physBits)
    complain(gpa, `${gpa.text} is past ${physBits} physical address bits`);
  const past = ranges.some((r) => r.base + r.size > 2 ** physBits);
  if (past)
    complain(anchor, `a range is past ${physBits} physical address bits`, 'see --phys-bits');
  if (ranges.length > MTRR_PAIRS) complain(anchor, `KVM has ${MTRR_PAIRS} variable MTRRs`);
  return { defaultType, ranges, fixedType, gpa: address, physBits };
}

function quirks2Of(entries: readonly Entry[]): number | null {
  const word = single(entries, 'quirks2');
  if (word === null) return null;
  if (!/^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(word.text)) {
    complain(
      word,
      `not a capability word: "${word.text}"`,
      'what KVM_CHECK_EXTENSION(213) answers, e.g. 0x7ff',
    );
  }
  return Number(word.text);
}

/** Keys whose values contain commas of their own. */
const WHOLE: readonly string[] = ['guest-mtrr-ranges'];

/** "WC,WB" is two words, wherever it was said. */
function separated(entry: Entry): Entry {
  if (WHOLE.includes(entry.key)) return entry;
  const words = entry.words.flatMap((word) =>
    word.text.split(',').map((text) => ({ ...word, text: text.trim() })),
  );
  return { ...entry, words };
}

/**
 * What the user said, as questions: one for each kernel and policy to compare.
 *
 * @throws InputError with the place of what is wrong.
 */
export function composeQuestions(said: readonly Entry[]): readonly Question[] {
  const entries = said.map(separated);
  const { facts, cpu } = factsOf(entries);
  const layout = layoutOf(entries);
  if (facts.guest !== undefined && facts['guest-request'] !== undefined) {
    refuse('guest and guest-request both say what the guest maps', 'give one of them');
  }
  if (layout !== null && facts['guest-mtrr'] !== undefined) {
    refuse('guest-mtrr and guest-mtrr-ranges both say what the guest MTRR is', 'give one of them');
  }
  const quirks2 = quirks2Of(entries);
  const quirkOffered = quirks2 === null ? null : (quirks2 & QUIRK.IGNORE_GUEST_PAT) !== 0;
  return columnsOf(entries, offerOf(facts, quirks2)).map((column) =>
    question({ facts, ...column, layout, cpuModel: cpu?.model ?? null, quirkOffered }),
  );
}
