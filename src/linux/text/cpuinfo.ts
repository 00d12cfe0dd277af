import type { Parsed } from '../../base/diagnostic.ts';
import {
  decimalNumber,
  type Format,
  type Line,
  Problems,
  quote,
  readLines,
  refusalIn,
  reportEmpty,
  startOf,
} from './common.ts';

/**
 * The first processor of /proc/cpuinfo. Null is "the text does not say", never "no": an absent flags
 * line leaves all flags unknown.
 */
export interface CpuInfo {
  readonly vendor: 'intel' | 'amd' | 'other' | null;
  /** As CPUID gives it, e.g. GenuineIntel, AuthenticAMD, HygonGenuine. */
  readonly vendorId: string | null;
  readonly family: number | null;
  readonly model: number | null;
  readonly stepping: number | null;
  readonly modelName: string | null;
  /** Sorted, each once. */
  readonly flags: readonly string[] | null;
  /** How many processors are online. */
  readonly cpus: number;
  readonly physicalBits: number | null;
  /** The flag ss. Intel only, and only where `check_memory_type_self_snoop_errata` left it. */
  readonly selfSnoop: boolean | null;
  readonly pat: boolean | null;
  readonly mtrr: boolean | null;
  readonly hypervisor: boolean | null;
  readonly vmx: boolean | null;
  readonly svm: boolean | null;
}

const FORMAT: Format = {
  name: '/proc/cpuinfo',
  shape: 'vendor_id\t: GenuineIntel',
  refusals: {},
};

/** The keys that are looked at; they must agree between processors, but for the number itself. */
export const CPUINFO_KEYS = [
  'vendor_id',
  'cpu family',
  'model',
  'stepping',
  'model name',
  'flags',
  'address sizes',
] as const;
type Key = (typeof CPUINFO_KEYS)[number];

interface Field {
  readonly line: Line;
  readonly value: string;
}

/** One processor: what it says for each key. */
type Processor = Map<Key, Field>;

function isKey(text: string): text is Key {
  return (CPUINFO_KEYS as readonly string[]).includes(text);
}

const KEY = /^[a-zA-Z][\w ()/-]*$/;

/** Key and value of a line; null when it is no such line. */
function splitField(line: Line): { key: string; value: string } | null {
  const colon = line.text.indexOf(':');
  const key = line.text.slice(0, Math.max(0, colon)).trim();
  if (!KEY.test(key) || refusalIn(line.text) !== null) return null;
  return { key, value: line.text.slice(colon + 1).trim() };
}

/** The processors of the text; a line "processor : N" starts one. */
function readProcessors(text: string, problems: Problems): Processor[] {
  const processors: Processor[] = [];
  for (const line of readLines(text, problems)) {
    const field = splitField(line);
    if (field === null) {
      problems.stranger(line);
      continue;
    }
    if (field.key === 'processor') processors.push(new Map());
    else if (processors.length === 0) {
      const help = 'the beginning is missing: capture the whole file';
      problems.warning(line, 'this line stands before the first processor and is not read', help);
    } else if (isKey(field.key)) {
      processors.at(-1)?.set(field.key, { line, value: field.value });
    }
  }
  return processors;
}

/** Order and repetition of flags mean nothing. */
function sortedWords(text: string): readonly string[] {
  return [...new Set(text.split(/\s+/).filter((word) => word !== ''))].sort();
}

function differs(key: Key, a: string, b: string): boolean {
  if (a === b) return false;
  return key !== 'flags' || sortedWords(a).join(' ') !== sortedWords(b).join(' ');
}

/** One warning per key, at the first processor that differs from the first. */
function checkAgreement(processors: readonly Processor[], problems: Problems): void {
  const [first, ...others] = processors;
  if (first === undefined) return;
  const help = 'the first processor was taken; a thread that runs elsewhere may get other types';
  for (const key of CPUINFO_KEYS) {
    const mine = first.get(key);
    // A capture leaves out what is as in the first: such a processor has nothing but its number.
    const index = others.findIndex((other) => {
      if (other.size === 0) return false;
      const theirs = other.get(key);
      return mine !== undefined && (theirs === undefined || differs(key, mine.value, theirs.value));
    });
    if (mine === undefined || index < 0) continue;
    const theirs = others[index]?.get(key);
    const verb = theirs === undefined ? 'is missing' : 'differs';
    problems.warning(
      (theirs ?? mine).line,
      `${key} ${verb} in processor ${index + 2} of the list`,
      help,
    );
  }
}

function vendorOf(id: string | null): CpuInfo['vendor'] {
  if (id === null) return null;
  if (id === 'GenuineIntel') return 'intel';
  return id === 'AuthenticAMD' || id === 'HygonGenuine' ? 'amd' : 'other';
}

const PHYSICAL_BITS = /^(\d{1,3}) bits physical/;
const PHYSICAL_BITS_MAX = 64;

/** Reads the keys of one processor, and reports those that are absent or senseless. */
class Reader {
  private readonly processor: Processor;
  private readonly problems: Problems;

  constructor(processor: Processor, problems: Problems) {
    this.processor = processor;
    this.problems = problems;
  }

  text(key: Key): string | null {
    return this.processor.get(key)?.value ?? null;
  }

  decimal(key: Key): number | null {
    const field = this.processor.get(key);
    if (field === undefined) return null;
    const value = decimalNumber(field.value);
    if (value === null) this.complain(field, key);
    return value;
  }

  physicalBits(): number | null {
    const field = this.processor.get('address sizes');
    if (field === undefined) return null;
    const bits = Number(PHYSICAL_BITS.exec(field.value)?.[1] ?? 0);
    if (bits > 0 && bits <= PHYSICAL_BITS_MAX) return bits;
    this.complain(field, 'address sizes');
    return null;
  }

  flags(): readonly string[] | null {
    const field = this.processor.get('flags');
    return field === undefined ? null : sortedWords(field.value);
  }

  private complain(field: Field, key: Key): void {
    const help = 'the line is damaged, or not from an x86 kernel: capture the file again';
    this.problems.error(field.line, `${key}: no sense in ${quote(field.value)}`, help);
  }
}

function infoOf(reader: Reader, cpus: number): CpuInfo {
  const flags = reader.flags();
  const has = (flag: string): boolean | null => (flags === null ? null : flags.includes(flag));
  const vendorId = reader.text('vendor_id');
  return {
    vendor: vendorOf(vendorId),
    vendorId,
    family: reader.decimal('cpu family'),
    model: reader.decimal('model'),
    stepping: reader.decimal('stepping'),
    modelName: reader.text('model name'),
    flags,
    cpus,
    physicalBits: reader.physicalBits(),
    selfSnoop: has('ss'),
    pat: has('pat'),
    mtrr: has('mtrr'),
    hypervisor: has('hypervisor'),
    vmx: has('vmx'),
    svm: has('svm'),
  };
}

/** What must be there for the rest to be of use. */
function checkPresence(first: Processor, problems: Problems): void {
  const missing = (['vendor_id', 'cpu family', 'model', 'flags'] as const).filter(
    (key) => !first.has(key),
  );
  if (missing.length === 0) return;
  const help = 'the text is cut, or from a machine that is not x86: capture /proc/cpuinfo whole';
  problems.error(startOf(''), `the first processor has no ${missing.join(', ')}`, help);
}

/**
 * The first processor rules; where others differ there is a warning. Keys that are not in `CpuInfo`
 * are read over. arch/x86/kernel/cpu/proc.c, `show_cpuinfo`.
 */
export function parseCpuinfo(text: string, file: string): Parsed<CpuInfo> {
  const problems = new Problems(file, FORMAT);
  const processors = readProcessors(text, problems);
  const [first] = processors;
  const refused = problems.list.some((problem) => problem.severity === 'error');
  if (first !== undefined) checkPresence(first, problems);
  else if (!refused) reportEmpty(problems, 'capture it again: cat /proc/cpuinfo');
  checkAgreement(processors, problems);
  const value = infoOf(new Reader(first ?? new Map(), problems), processors.length);
  return { value, problems: problems.list };
}
