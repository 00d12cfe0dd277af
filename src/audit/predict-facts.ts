import { SWEEP_INPUTS, type SweepInput, type SweepWay } from '../compare/space/space.ts';
import type { FactValues } from '../facts/facts.ts';
import { parseAmount } from '../facts/layout.ts';
import { didYouMean, parseValue, vocabulary } from '../facts/words.ts';
import { rulesOfPolicy } from '../kvm/policies.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { rulesFor } from '../kvm/timeline.ts';
import { BACKINGS, backingClass } from '../linux/backing.ts';
import { type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { at, complain, type Word } from '../resolve/entries.ts';
import {
  asList,
  asMap,
  asWord,
  type FactsMap,
  type FactsNode,
  nodeOf,
  refuseTwice,
  spotOf,
  wordOf,
} from '../resolve/facts-tree.ts';
import { PAT_TYPES, type PatType } from '../x86/types.ts';
import { type FrameRange, type HostPages, hostOfRanges } from './host-pages.ts';

/** What is known of one page, one VM or one host, by the names of the facts. */
export type FactSet = { readonly [K in SweepInput]?: FactValues[K] };

/** Guest pages with one kind of memory behind them. */
export interface Slot {
  readonly name: string;
  readonly gfnStart: number;
  /** The first page behind it. */
  readonly gfnEnd: number;
  readonly facts: FactSet;
  /** What kvm_is_mmio_pfn() returns for its pages; null: the rules say it from the facts. */
  readonly isMmio: boolean | null;
}

/** Something that became different while the trace was written. */
export interface Change {
  /** By line (or offset), or by time; the other is null. */
  readonly place: number | null;
  readonly time: number | null;
  readonly facts: FactSet;
  /** Slots that lie over those that were there. */
  readonly slots: readonly Slot[];
}

/** What is known beside a trace, as much as it takes to say what KVM installs. */
export interface PredictFacts {
  /** How the kernel or policy was named. */
  readonly subject: string;
  readonly kernel: KernelVersion | null;
  /** Several: what was named does not settle it. */
  readonly rules: readonly KvmRules[];
  readonly way: SweepWay;
  readonly facts: FactSet;
  /** Of the guest, in bits: for its MTRRs. */
  readonly maxphyaddr: number | null;
  /** The trace has every write to the guest's MTRRs: those that it was not seen writing are 0. */
  readonly fromReset: boolean;
  readonly slots: readonly Slot[];
  /** Behind every other gfn; null: not known, such entries are not predicted. */
  readonly elsewhere: Slot | null;
  readonly changes: readonly Change[];
  /** The process whose VM it is; null: the trace has one VM. */
  readonly vm: number | null;
  /** Page frames of the host; null: nothing is said of them. */
  readonly host: HostPages | null;
}

export const EVERYWHERE = { gfnStart: 0, gfnEnd: Number.POSITIVE_INFINITY } as const;
const PAGE = 4096;
const WB: PatType = 'WB';

/** CR0 is 60000010H (SDM volume 3, state of the processor after reset; KVM: kvm_vcpu_reset()). */
const AFTER_RESET: FactSet = { 'cr0-cd': true };

/** The facts of a class of backing, as the rules ask for them. */
export function backingFacts(name: string): FactSet | null {
  const page = backingClass(name)?.page;
  if (page === undefined) return null;
  return {
    'pfn-valid': page.pfnValid,
    'page-reserved': page.reserved,
    'zero-page': page.zeroPage,
    compound: 'no',
    'host-memtype': page.memtype,
    'vmm-mapping': page.vmm,
    'host-mtrr': page.hostMtrr,
    'e820-ram': page.e820Ram,
  };
}

// ---- words ------------------------------------------------------------------------------------

function factOf(key: SweepInput, word: Word): FactSet {
  const result = parseValue(key, word.text);
  if (!result.ok) complain(word, `not a value of ${key}: "${word.text}"`, vocabulary(key));
  return { [key]: result.value };
}

function amountOf(word: Word, what: string): number {
  const amount = parseAmount(word.text);
  return amount ?? complain(word, `not ${what}: "${word.text}"`, 'for example 0x40000000 or 4M');
}

function countOf(word: Word, what: string): number {
  const number = /^(?:0x[0-9a-f]{1,13}|\d{1,15})$/i.test(word.text) ? Number(word.text) : null;
  return number ?? complain(word, `not ${what}: "${word.text}"`);
}

function isSweepInput(key: string): key is SweepInput {
  return (SWEEP_INPUTS as readonly string[]).includes(key);
}

/** @throws InputError at a key that has no meaning here. */
function unknownKey(key: Word, known: readonly string[]): never {
  const all = [...known, ...SWEEP_INPUTS];
  const near = didYouMean(key.text, all);
  const help = near === null ? `one of ${known.join(' ')}, or a fact` : `did you mean ${near}?`;
  return complain(key, `unknown key "${key.text}"`, help);
}

/** The facts of a map; the keys that are named are somebody else's. */
function factsOf(map: FactsMap, others: readonly string[]): FactSet {
  refuseTwice(map);
  let facts: FactSet = {};
  for (const { key, value } of map.entries) {
    if (others.includes(key.text)) continue;
    if (!isSweepInput(key.text)) unknownKey(key, others);
    facts = { ...facts, ...factOf(key.text, asWord(value, key.text)) };
  }
  return facts;
}

// ---- slots ------------------------------------------------------------------------------------

const SLOT_KEYS = ['name', 'gfn', 'pages', 'gpa', 'size', 'backing', 'is-mmio'] as const;

function backingOf(word: Word): FactSet {
  const names = BACKINGS.map((b) => b.id);
  const near = didYouMean(word.text, names);
  const help = near === null ? `one of ${names.join(' ')}` : `did you mean ${near}?`;
  return backingFacts(word.text) ?? complain(word, `unknown backing "${word.text}"`, help);
}

function startOf(map: FactsMap): number {
  const gfn = wordOf(map, 'gfn');
  const gpa = wordOf(map, 'gpa');
  if (gfn !== null) return countOf(gfn, 'a guest frame number');
  if (gpa === null) return complain(spotOf(map), 'a memslot needs gpa or gfn');
  const address = amountOf(gpa, 'a guest-physical address');
  if (address % PAGE !== 0) complain(gpa, 'a memslot begins at a multiple of 4096');
  return address / PAGE;
}

function pagesOf(map: FactsMap): number {
  const pages = wordOf(map, 'pages');
  const size = wordOf(map, 'size');
  if (pages !== null) return countOf(pages, 'a number of pages');
  if (size === null) return complain(spotOf(map), 'a memslot needs size or pages');
  return Math.ceil(amountOf(size, 'a size') / PAGE);
}

function yesOrNo(map: FactsMap, key: string): boolean | null {
  const word = wordOf(map, key);
  if (word === null) return null;
  if (word.text === 'yes' || word.text === 'true') return true;
  if (word.text === 'no' || word.text === 'false') return false;
  return complain(word, `not yes or no: "${word.text}"`);
}

function slotOf(node: FactsNode): Slot {
  const map = asMap(node, 'a memslot');
  const backing = wordOf(map, 'backing');
  const own = factsOf(map, SLOT_KEYS);
  const gfnStart = startOf(map);
  return {
    name: wordOf(map, 'name')?.text ?? backing?.text ?? `gfn ${gfnStart.toString(16)}`,
    gfnStart,
    gfnEnd: gfnStart + pagesOf(map),
    facts: { ...(backing === null ? {} : backingOf(backing)), ...own },
    isMmio: yesOrNo(map, 'is-mmio'),
  };
}

function slotsOf(map: FactsMap): readonly Slot[] {
  const node = nodeOf(map, 'memslots');
  return node === null ? [] : asList(node, 'memslots').map(slotOf);
}

function elsewhereOf(map: FactsMap): Slot | null {
  const word = wordOf(map, 'elsewhere');
  if (word === null) return null;
  return { name: 'elsewhere', ...EVERYWHERE, facts: backingOf(word), isMmio: null };
}

// ---- page frames ------------------------------------------------------------------------------

const FRAME_KEYS = ['pfn', 'count', 'kind', 'memtype'] as const;
const FRAME_KINDS = ['ram', 'reserved', 'device', 'hidden-ram'] as const;

function kindOf(word: Word | null): (typeof FRAME_KINDS)[number] {
  if (word === null) return 'ram';
  const kind = FRAME_KINDS.find((k) => k === word.text);
  return kind ?? complain(word, `unknown kind of frame "${word.text}"`, FRAME_KINDS.join(' '));
}

function memtypeOf(word: Word | null): PatType | null {
  if (word === null) return null;
  const type = PAT_TYPES.find((t) => t === word.text);
  return type ?? complain(word, `not a memory type: "${word.text}"`, PAT_TYPES.join(' '));
}

function frameOf(node: FactsNode): FrameRange {
  const map = asMap(node, 'a range of frames');
  factsOf(map, FRAME_KEYS);
  const pfn = wordOf(map, 'pfn');
  const count = wordOf(map, 'count');
  if (pfn === null) return complain(spotOf(map), 'a range of frames needs pfn');
  const start = countOf(pfn, 'a page frame number');
  const end = start + (count === null ? 1 : countOf(count, 'a number of frames'));
  return {
    start,
    end,
    kind: kindOf(wordOf(map, 'kind')),
    memtype: memtypeOf(wordOf(map, 'memtype')),
  };
}

function hostOf(map: FactsMap): HostPages | null {
  const frames = nodeOf(map, 'frames');
  const other = wordOf(map, 'other-frames');
  if (frames === null && other === null) return null;
  const rest =
    other === null ? null : { kind: kindOf(other), memtype: other.text === 'ram' ? WB : null };
  return hostOfRanges(frames === null ? [] : asList(frames, 'frames').map(frameOf), rest);
}

// ---- the whole --------------------------------------------------------------------------------

const CHANGE_KEYS = ['line', 'offset', 'time', 'memslots'] as const;

function changeOf(node: FactsNode): Change {
  const map = asMap(node, 'a change');
  const place = wordOf(map, 'line') ?? wordOf(map, 'offset');
  const time = wordOf(map, 'time');
  if (place === null && time === null)
    complain(spotOf(map), 'a change needs line, offset or time', 'when the facts became so');
  const seconds = time === null ? null : Number(time.text);
  if (time !== null && !Number.isFinite(seconds)) complain(time, `not seconds: "${time.text}"`);
  return {
    place: place === null ? null : countOf(place, 'a line or offset'),
    time: place === null ? seconds : null,
    facts: factsOf(map, CHANGE_KEYS),
    slots: slotsOf(map),
  };
}

function rulesOf(map: FactsMap): Pick<PredictFacts, 'subject' | 'kernel' | 'rules'> {
  const policy = wordOf(map, 'policy');
  const kernel = wordOf(map, 'kernel');
  if (policy !== null) {
    const rules = rulesOfPolicy(policy.text);
    if (rules.length === 0) complain(policy, `unknown policy "${policy.text}"`);
    return { subject: policy.text, kernel: null, rules };
  }
  if (kernel === null) return complain(spotOf(map), 'the facts name no kernel and no policy');
  const version = at(kernel, () => parseKernelVersion(kernel.text));
  const rules = rulesFor(version);
  if (rules.length === 0) complain(kernel, `KVM of ${kernel.text} has no EPT and no NPT`);
  return { subject: kernel.text, kernel: version, rules };
}

/** @throws InputError when the paging mode and the CPU do not go together. */
export function wayOf(paging: Word, cpu: 'intel' | 'amd' | null): SweepWay {
  switch (paging.text) {
    case 'ept':
    case 'npt':
      return paging.text;
    case 'shadow':
      return cpu === 'amd' ? 'shadow-amd' : 'shadow-intel';
    default:
      return complain(paging, `unknown paging "${paging.text}"`, 'one of ept npt shadow');
  }
}

const TOP_KEYS = [
  'title',
  'about',
  'kernel',
  'policy',
  'paging',
  'cpu',
  'maxphyaddr',
  'from-reset',
  'memslots',
  'elsewhere',
  'changes',
  'vm',
  'frames',
  'other-frames',
] as const;

function cpuOf(map: FactsMap): 'intel' | 'amd' | null {
  const cpu = wordOf(map, 'cpu');
  if (cpu === null) return null;
  if (cpu.text === 'intel' || cpu.text === 'amd') return cpu.text;
  return complain(cpu, `unknown cpu "${cpu.text}"`, 'intel or amd');
}

/**
 * A file of facts in the format of docs/audit.md.
 *
 * @throws InputError with the place of what is wrong
 */
export function parsePredictFacts(node: FactsNode): PredictFacts {
  const map = asMap(node, 'a file of facts');
  const facts = factsOf(map, TOP_KEYS);
  const paging = wordOf(map, 'paging');
  if (paging === null) return complain(spotOf(map), 'the facts name no paging', 'ept npt shadow');
  const bits = wordOf(map, 'maxphyaddr');
  const changes = nodeOf(map, 'changes');
  const vm = wordOf(map, 'vm');
  const fromReset = yesOrNo(map, 'from-reset') === true;
  return {
    ...rulesOf(map),
    way: wayOf(paging, cpuOf(map)),
    facts: fromReset ? { ...AFTER_RESET, ...facts } : facts,
    fromReset,
    maxphyaddr: bits === null ? null : countOf(bits, 'a number of bits'),
    slots: slotsOf(map),
    elsewhere: elsewhereOf(map),
    changes: changes === null ? [] : asList(changes, 'changes').map(changeOf),
    vm: vm === null ? null : countOf(vm, 'a process'),
    host: hostOf(map),
  };
}
