import { refuse } from '../base/diagnostic.ts';
import { FACT_KEYS, type FactKey, type Facts } from '../facts/facts.ts';
import { type MtrrLayout, parseAmount, parseRanges } from '../facts/layout.ts';
import { didYouMean, factKeyOf, parseValue, vocabulary } from '../facts/words.ts';
import { QUIRK } from '../kvm/quirks.ts';
import { BACKING_ALIASES, BACKINGS, backingClass } from '../linux/backing.ts';
import { MTRR_TYPES, type MtrrType } from '../x86/types.ts';
import { columnsOf, offerOf } from './columns.ts';
import { at, complain, type Entry, single, type Word, words } from './entries.ts';
import { Conflict, type CpuModel, type Question, question } from './question.ts';

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
  'host-mtrr-ranges',
  'host-mtrr-default',
  'host-mtrr-fixed',
  'hpa',
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

/** What somebody who asks for another architecture has to know instead. */
const ON_ARM =
  'on arm64 the types of stage 1 and stage 2 combine by another rule (without FWB the less cacheable wins), ' +
  'and an uncached access snoops no cache: host and guest must both map what they share cached, or clean and ' +
  'invalidate it around each transfer';

/** "intel", "amd", "6/143", "intel:19/1". */
function parseCpu(word: Word): Cpu {
  if (/^(?:arm|aarch)/i.test(word.text)) {
    complain(word, `memtype answers for x86 only, not for ${word.text}`, ON_ARM);
  }
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

// ---- MTRR layouts -----------------------------------------------------------------------------

/** KVM_NR_VAR_MTRR, in all versions. */
const MTRR_PAIRS = 8;

/** The keys that state a layout: of the guest, or of the host. */
interface LayoutKeys {
  readonly ranges: string;
  readonly base: string;
  readonly fixed: string;
  readonly address: string;
  /** Ranges at most; null: as many as the CPU has. */
  readonly most: number | null;
}

const GUEST_LAYOUT: LayoutKeys = {
  ranges: 'guest-mtrr-ranges',
  base: 'guest-mtrr-default',
  fixed: 'guest-mtrr-fixed',
  address: 'gpa',
  most: MTRR_PAIRS,
};

const HOST_LAYOUT: LayoutKeys = {
  ranges: 'host-mtrr-ranges',
  base: 'host-mtrr-default',
  fixed: 'host-mtrr-fixed',
  address: 'hpa',
  most: null,
};

function mtrrTypeOf(word: Word): MtrrType {
  const type = MTRR_TYPES.find((t) => t === word.text.toUpperCase());
  return type ?? complain(word, `not an MTRR type: "${word.text}"`, 'one of UC WC WT WP WB');
}

function physBitsOf(entries: readonly Entry[]): number {
  const bits = single(entries, 'phys-bits');
  if (bits === null) return 46;
  const physBits = Number(bits.text);
  if (Number.isInteger(physBits) && physBits >= 36 && physBits <= 52) return physBits;
  return complain(bits, `not a physical address width: "${bits.text}"`, '36 to 52');
}

/** What means nothing without a layout. */
function refuseStray(entries: readonly Entry[], keys: LayoutKeys): null {
  for (const key of [keys.address, keys.fixed]) {
    const alone = single(entries, key);
    if (alone !== null) complain(alone, `${key} means nothing without ${keys.ranges}`);
  }
  return null;
}

function layoutOf(entries: readonly Entry[], keys: LayoutKeys): MtrrLayout | null {
  const rangeWords = words(entries, keys.ranges);
  const base = single(entries, keys.base);
  const anchor = rangeWords[0] ?? base;
  if (anchor === null) return refuseStray(entries, keys);
  const where = single(entries, keys.address);
  if (where === null) {
    complain(
      anchor,
      `an MTRR layout needs ${keys.address}`,
      `name the address: --${keys.address} 0xd0000000`,
    );
  }
  if (base === null) complain(anchor, `an MTRR layout needs ${keys.base}`, 'one of UC WC WT WP WB');
  const fixed = single(entries, keys.fixed);
  const fixedType = fixed === null ? null : mtrrTypeOf(fixed);
  const address = parseAmount(where.text);
  if (address === null)
    complain(where, `not an address: "${where.text}"`, 'for example 0xd0000000 or 3G');
  const physBits = physBitsOf(entries);
  const defaultType = mtrrTypeOf(base);
  const ranges = rangeWords.flatMap((word) => at(word, () => parseRanges(word.text)));
  if (address >= 2 ** physBits)
    complain(where, `${where.text} is past ${physBits} physical address bits`);
  const past = ranges.some((r) => r.base + r.size > 2 ** physBits);
  if (past)
    complain(anchor, `a range is past ${physBits} physical address bits`, 'see --phys-bits');
  if (keys.most !== null && ranges.length > keys.most) {
    complain(anchor, `KVM has ${keys.most} variable MTRRs`);
  }
  return { defaultType, ranges, fixedType, address, physBits };
}

/** Both layouts, and nothing said twice. */
function layoutsOf(
  entries: readonly Entry[],
  facts: Facts,
): { readonly layout: MtrrLayout | null; readonly hostLayout: MtrrLayout | null } {
  const layout = layoutOf(entries, GUEST_LAYOUT);
  const hostLayout = layoutOf(entries, HOST_LAYOUT);
  const stray = single(entries, 'phys-bits');
  if (stray !== null && layout === null && hostLayout === null) {
    complain(stray, 'phys-bits means nothing without guest-mtrr-ranges or host-mtrr-ranges');
  }
  if (layout !== null && facts['guest-mtrr'] !== undefined) {
    refuse('guest-mtrr and guest-mtrr-ranges both say what the guest MTRR is', 'give one of them');
  }
  if (layout !== null && facts.firmware !== undefined) {
    refuse('firmware and guest-mtrr-ranges both say what the guest MTRRs are', 'give one of them');
  }
  if (hostLayout !== null && facts['host-mtrr'] !== undefined) {
    refuse('host-mtrr and host-mtrr-ranges both say what the host MTRR is', 'give one of them');
  }
  return { layout, hostLayout };
}

/** What the guest maps is said once: as its type, as its request, or by its driver. */
function refuseTwice(facts: Facts): void {
  const sayings = ['guest', 'guest-request', 'guest-driver', 'pat-index'] as const;
  const [first, second] = sayings.filter((key) => facts[key] !== undefined);
  if (first !== undefined && second !== undefined) {
    refuse(`${first} and ${second} both say what the guest maps`, 'give one of them');
  }
  if ((facts['pat-index'] === undefined) !== (facts['pat-layout'] === undefined)) {
    refuse('a PAT index means nothing without the PAT', 'say both pat-index and pat-layout');
  }
  const [device] = facts['guest-driver'] ?? [];
  const deaf = device !== undefined && facts['guest-driver']?.length === 1 && device !== 'virtgpu';
  if (deaf && facts['map-info'] !== undefined && facts.vmm === undefined) {
    refuse(`${device} does not ask map_info`, 'leave out --map-info');
  }
  if (facts['honor-guest-pat'] !== undefined && facts.vmm?.some((v) => v === 'qemu-11') !== true) {
    refuse('honor-guest-pat is an option of QEMU 11.0 and later', 'say --vmm qemu-11 too');
  }
  if (facts['honor-guest-pat'] !== undefined && facts['quirk-ignore-guest-pat'] !== undefined) {
    refuse(
      'honor-guest-pat and quirk-ignore-guest-pat both say whether the quirk is in force',
      'give one of them',
    );
  }
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
const WHOLE: readonly string[] = ['guest-mtrr-ranges', 'host-mtrr-ranges'];

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
  refuseTwice(facts);
  const layouts = layoutsOf(entries, facts);
  const quirks2 = quirks2Of(entries);
  const quirkOffered = quirks2 === null ? null : (quirks2 & QUIRK.IGNORE_GUEST_PAT) !== 0;
  return columnsOf(entries, offerOf(facts, quirks2)).map((column) =>
    atItsPlace(entries, () =>
      question({ facts, ...column, ...layouts, cpuModel: cpu?.model ?? null, quirkOffered }),
    ),
  );
}

/** A fact that does not go with others is complained about where it was said, if that is in a file. */
function atItsPlace<T>(entries: readonly Entry[], ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    const word = entries.find((e) => e.key === error.key)?.words[0];
    const [diagnostic] = error.diagnostics;
    if (word === undefined || diagnostic === undefined) throw error;
    return complain(word, diagnostic.message);
  }
}
