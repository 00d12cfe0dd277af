import { type Diagnostic, InputError, type Place, refuse } from '../base/diagnostic.ts';
import { FACT_KEYS, type FactKey, type Facts } from '../facts/facts.ts';
import { type GuestMtrrLayout, parseAmount, parseRanges } from '../facts/layout.ts';
import { didYouMean, factKeyOf, parseValue, vocabulary } from '../facts/words.ts';
import { POLICY_NAMES, PROPOSALS, proposalRules, rulesOfPolicy } from '../kvm/policies.ts';
import { QUIRK } from '../kvm/quirks.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { NEWEST_READ, rulesFor } from '../kvm/timeline.ts';
import { BACKING_ALIASES, BACKINGS, backingClass } from '../linux/backing.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { MTRR_TYPES, type MtrrType } from '../x86/types.ts';
import { type CpuModel, type Question, question } from './question.ts';

/** One thing the user said, with where: a flag's value or a scalar of a case file. */
export interface Entry {
  readonly key: string;
  readonly words: readonly Word[];
  /** Where the key stands, when it is in a file. */
  readonly place?: Place;
  readonly source?: string;
}

export interface Word {
  readonly text: string;
  readonly place?: Place;
  /** The line of the file, for the caret. */
  readonly source?: string;
}

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

function complain(word: Word | Entry, message: string, help?: string): never {
  const diagnostic: Diagnostic = {
    severity: 'error',
    message,
    ...(word.place ? { place: word.place } : {}),
    ...(word.source === undefined ? {} : { source: word.source }),
    ...(help === undefined ? {} : { help }),
  };
  throw new InputError([diagnostic]);
}

/** Errors of a parser that knows no places, told at the word it was given. */
function at<T>(word: Word, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const [first] = error.diagnostics;
    complain(word, first?.message ?? error.message, first?.help);
  }
}

function words(entries: readonly Entry[], key: string): readonly Word[] {
  return entries.filter((e) => e.key === key).flatMap((e) => e.words);
}

function single(entries: readonly Entry[], key: string): Word | null {
  const all = words(entries, key);
  const [first, second] = all;
  if (second !== undefined) complain(second, `${key} is given twice`, 'say it once');
  return first ?? null;
}

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
    `family ${family} exists at both vendors or at neither`,
    'write intel:15/6 or amd:15/6',
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
      cpu = cpus.length === 1 ? (cpus[0] ?? null) : null;
      facts.cpu = cpus.map((c) => c.vendor);
    } else facts[key] = factOf(key, entry.words);
  }
  return { facts: facts as Facts, cpu };
}

// ---- guest MTRR layout ------------------------------------------------------------------------

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
    if (gpa !== null) complain(gpa, 'gpa means nothing without guest-mtrr-ranges');
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
  return { defaultType, ranges, fixedType, gpa: address, physBits };
}

// ---- kernels and policies ---------------------------------------------------------------------

/** One column of the answer: a kernel or a policy. */
interface Column {
  readonly rules: readonly KvmRules[] | null;
  readonly subject: string | null;
  readonly notes: readonly string[];
}

function kernelOf(word: Word): KernelVersion {
  return at(word, () => parseKernelVersion(word.text));
}

function kernelColumn(word: Word, quirks2: number | null): Column {
  const version = kernelOf(word);
  const rules = rulesFor(version);
  if (rules.length === 0) {
    complain(
      word,
      `${word.text} is before EPT and NPT support`,
      'the oldest kernel known is 2.6.26-rc2',
    );
  }
  const notes: string[] = [];
  if (version.note !== null) notes.push(`${version.text}: ${version.note}`);
  if (compareVersions(version, parseKernelVersion(NEWEST_READ)) > 0 && version.minor > 3) {
    notes.push(
      `${version.text} is newer than the newest kernel read (${NEWEST_READ}): its rules are assumed unchanged`,
    );
  }
  return { rules: narrowed(rules, quirks2, word), subject: version.text, notes };
}

/** The capability word beats the version: bit 9 is offered by kernels with the quirk only. */
function narrowed(
  rules: readonly KvmRules[],
  quirks2: number | null,
  word: Word,
): readonly KvmRules[] {
  if (quirks2 === null) return rules;
  const newer =
    QUIRK.IGNORE_GUEST_PAT | QUIRK.VMCS12_ALLOW_FREEZE_IN_SMM | QUIRK.NESTED_SVM_SHARED_PAT;
  if ((quirks2 & newer) === 0) return rules;
  const left = rules.filter((r) => r.hasPatQuirk);
  if (left.length > 0) return left;
  const backported = rulesFor(parseKernelVersion('6.12.78'));
  if (backported.length === 0) complain(word, 'no rules with the quirk');
  return backported;
}

function policyColumn(word: Word, kernel: Word | null): Column {
  const name = word.text;
  const proposal = PROPOSALS.find((p) => p.id === name.toLowerCase());
  if (proposal === undefined) {
    const rules = rulesOfPolicy(name);
    if (rules.length === 0) {
      const near = didYouMean(name, POLICY_NAMES);
      complain(
        word,
        `unknown policy "${name}"`,
        `${near === null ? '' : `did you mean ${near}? `}one of ${POLICY_NAMES.join(' ')}`,
      );
    }
    if (kernel !== null)
      complain(word, `an era (${name}) is a span of kernels: give either --kernel or the era`);
    return { rules, subject: name.toUpperCase(), notes: [] };
  }
  if (kernel === null) {
    const base = proposalRules(proposal);
    return {
      rules: [base],
      subject: proposal.id,
      notes: [`${proposal.id} on the kernel it belongs to, ${proposal.base}`],
    };
  }
  const under = rulesFor(kernelOf(kernel));
  return {
    rules: under.map((rules, i) => ({
      ...proposal.apply(rules),
      id: under.length > 1 ? `${proposal.id} (${i + 1})` : proposal.id,
    })),
    subject: `${proposal.id} on ${kernel.text}`,
    notes: [],
  };
}

/**
 * Which answers are asked for: one kernel with one proposal is the proposal on that kernel; several of
 * either stand side by side.
 */
function columnsOf(entries: readonly Entry[], quirks2: number | null): readonly Column[] {
  const kernels = words(entries, 'kernel');
  const policies = words(entries, 'policy');
  const [kernel] = kernels;
  if (kernels.length === 1 && policies.length >= 1) {
    const under = policies.map((p) => policyColumn(p, kernel ?? null));
    return policies.length === 1 || kernel === undefined
      ? under
      : [kernelColumn(kernel, quirks2), ...under];
  }
  const all = [
    ...kernels.map((k) => kernelColumn(k, quirks2)),
    ...policies.map((p) => policyColumn(p, null)),
  ];
  return all.length > 0 ? all : [{ rules: null, subject: null, notes: [] }];
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

/**
 * What the user said, as questions: one for each kernel and policy to compare.
 *
 * @throws InputError with the place of what is wrong.
 */
export function composeQuestions(entries: readonly Entry[]): readonly Question[] {
  const { facts, cpu } = factsOf(entries);
  const layout = layoutOf(entries);
  if (layout !== null && facts['guest-mtrr'] !== undefined) {
    refuse('guest-mtrr and guest-mtrr-ranges both say what the guest MTRR is', 'give one of them');
  }
  const questions = columnsOf(entries, quirks2Of(entries)).map((column) =>
    question({ facts, ...column, layout, cpuModel: cpu?.model ?? null }),
  );
  return questions;
}
