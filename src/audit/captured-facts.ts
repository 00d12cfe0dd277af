import { QUIRK } from '../kvm/quirks.ts';
import { rulesFor } from '../kvm/timeline.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { at, complain, type Word } from '../resolve/entries.ts';
import {
  asMap,
  type FactsMap,
  type FactsNode,
  nodeOf,
  spotOf,
  wordOf,
} from '../resolve/facts-tree.ts';
import type { PatType } from '../x86/types.ts';
import { PAT_TYPES } from '../x86/types.ts';
import {
  backingFacts,
  EVERYWHERE,
  type FactSet,
  type PredictFacts,
  type Slot,
  wayOf,
} from './predict-facts.ts';

/** The files that a program which makes VMs wrote beside its trace: the host, and its memslots. */
export interface CapturedFiles {
  /** kernel, vendor (the module), quirks, tdp, maxphyaddr, cmdline_extra. */
  readonly meta: FactsNode;
  /** By name: gpa, size, host_memtype, pfn_kind, kvm_is_mmio_pfn. */
  readonly regions: FactsNode;
}

/**
 * How such a program begins a VM; what becomes otherwise, it marks in the trace. It runs its guest with CR0.CD
 * clear, and writes no MTRR that the trace does not show.
 */
const NEW_VM: FactSet = {
  'noncoherent-dma': false,
  'assigned-device': false,
  'quirk-ignore-guest-pat': 'on',
  'quirk-cd-nw-cleared': 'on',
  'cr0-cd': false,
};

/** Whether a map is of the first kind, of the second, or neither. */
export function capturedKind(node: FactsNode): 'meta' | 'regions' | null {
  if (node.kind !== 'map') return null;
  if (nodeOf(node, 'vendor') !== null && nodeOf(node, 'tdp') !== null) return 'meta';
  const isRegion = ({ value }: { value: FactsNode }): boolean =>
    value.kind === 'map' && nodeOf(value, 'gpa') !== null && nodeOf(value, 'size') !== null;
  return node.entries.length > 0 && node.entries.every(isRegion) ? 'regions' : null;
}

function required(map: FactsMap, key: string): Word {
  return wordOf(map, key) ?? complain(spotOf(map), `no ${key} is said here`);
}

function hex(word: Word): number {
  if (!/^(?:0x[0-9a-f]{1,13}|\d{1,15})$/i.test(word.text))
    complain(word, `not a number: "${word.text}"`);
  return Number(word.text);
}

function isYes(word: Word | null): boolean {
  return word !== null && (word.text === 'true' || word.text === 'yes' || word.text === '1');
}

/**
 * Facts of a page from the words for what it is. The tracker answers WB for what it does not track, whatever
 * the mapping is.
 */
function pageFacts(kind: string, memtype: PatType): FactSet | null {
  const base = {
    compound: 'no',
    'host-memtype': /lookup_memtype\(\) says WB/.test(kind) ? 'WB' : memtype,
    'vmm-mapping': memtype,
    'zero-page': /^zero page/.test(kind),
    'pfn-valid': !/no struct page|^PCI BAR/.test(kind),
  } as const;
  if (/^(?:RAM, struct page, not reserved|zero page)/.test(kind)) {
    const isReserved = base['zero-page'];
    return { ...base, 'page-reserved': isReserved, 'e820-ram': true, 'host-mtrr': 'WB' };
  }
  if (/struct page reserved/.test(kind))
    return { ...base, 'page-reserved': true, 'e820-ram': false, 'host-mtrr': 'WB' };
  if (!/no struct page|^PCI BAR/.test(kind)) return null;
  const isRam = /RAM in the raw e820/.test(kind);
  const mtrr = isRam ? 'WB' : 'UC';
  return { ...base, 'page-reserved': false, 'e820-ram': isRam, 'host-mtrr': mtrr };
}

function memtypeOf(map: FactsMap): PatType | null {
  const word = wordOf(map, 'host_memtype');
  if (word === null || word.text === 'null') return null;
  return (
    PAT_TYPES.find((type) => type === word.text) ??
    complain(word, `not a memory type: "${word.text}"`, PAT_TYPES.join(' '))
  );
}

function slotOf(name: string, node: FactsNode): readonly Slot[] {
  const map = asMap(node, `region ${name}`);
  const memtype = memtypeOf(map);
  if (memtype === null) return [];
  const gfnStart = Math.floor(hex(required(map, 'gpa')) / 4096);
  const gfnEnd = gfnStart + Math.ceil(hex(required(map, 'size')) / 4096);
  const facts = pageFacts(wordOf(map, 'pfn_kind')?.text ?? '', memtype);
  const said = wordOf(map, 'kvm_is_mmio_pfn');
  const isMmio = said === null || said.text === 'null' ? null : isYes(said);
  return [{ name, gfnStart, gfnEnd, facts: facts ?? { 'host-memtype': memtype }, isMmio }];
}

function vendorOf(meta: FactsMap): 'intel' | 'amd' {
  return required(meta, 'vendor').text === 'kvm_intel' ? 'intel' : 'amd';
}

/** Facts from what such a program wrote. Memory that it does not name is its own: ordinary RAM. */
export function capturedFacts({ meta, regions }: CapturedFiles): PredictFacts {
  const host = asMap(meta, 'the host');
  const kernel = required(host, 'kernel');
  const version = at(kernel, () => parseKernelVersion(kernel.text));
  const rules = rulesFor(version);
  if (rules.length === 0) complain(kernel, `KVM of ${kernel.text} has no EPT and no NPT`);
  const cpu = vendorOf(host);
  const tdp = isYes(wordOf(host, 'tdp'));
  const quirks = wordOf(host, 'quirks');
  const offered = quirks === null ? null : (hex(quirks) & QUIRK.IGNORE_GUEST_PAT) !== 0;
  const bits = wordOf(host, 'maxphyaddr');
  const paging = { ...kernel, text: tdp ? (cpu === 'intel' ? 'ept' : 'npt') : 'shadow' };
  const isNopat = /(?:^|\s)nopat(?:\s|$)/.test(wordOf(host, 'cmdline_extra')?.text ?? '');
  return {
    subject: kernel.text,
    kernel: version,
    rules,
    way: wayOf(paging, cpu),
    facts: {
      ...NEW_VM,
      'host-pat': !isNopat,
      ...(offered === null ? {} : { 'self-snoop': offered }),
    },
    fromReset: true,
    maxphyaddr: bits === null ? null : hex(bits),
    slots: asMap(regions, 'the regions').entries.flatMap(({ key, value }) =>
      slotOf(key.text, value),
    ),
    elsewhere: {
      name: 'elsewhere',
      ...EVERYWHERE,
      facts: backingFacts('ram') ?? {},
      isMmio: null,
    },
    changes: [],
    vm: null,
    host: null,
  };
}
