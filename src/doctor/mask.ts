import { isGpuNode } from './devices.ts';
import { isVendorModule } from './kvm-host.ts';
import { reduceArguments } from './mask-argv.ts';
import { reduceMaps } from './mask-maps.ts';
import { OTHER_REDUCERS, reduceLog, TEXT_REDUCERS } from './mask-texts.ts';
import { byName, MASK, Masks } from './mask-words.ts';
import {
  type BytesReading,
  type Capture,
  type LinkReading,
  type LinksReading,
  type ListReading,
  Readings,
  type TextReading,
} from './reading.ts';
import { listedAs, MSR_MTRR_DEF_TYPE, MSR_PAT } from './reads.ts';
import { firstFrame, frameHex, KPAGEFLAGS } from './sample.ts';
import { argvOf, baseName, keptTarget, PCI_ADDRESS, vmmOf } from './vmm.ts';
import { programOf } from './vmms/told.ts';
import { evidenceOf, pidsOf } from './vms.ts';

/** What a capture does without, and how: printed by `memtype capture`, kept in the file. */
export const MASKED: readonly string[] = [
  'host name: never read',
  'processes that run no VM: only their numbers, and whether they have arguments',
  'command lines of VMMs: options that bear on memory types; every other word is x',
  'paths, names of mappings, ids of memory backends, mdev UUIDs: masked-N, equal names alike',
  'open files: only those of KVM, VFIO, vDPA, GPUs and dma-bufs',
  'kernel log: only lines about memory types; tasks named in them are x',
  'kernel command line: only words that bear on memory types',
  '/proc/version: only the version of the package; who built the kernel is left out',
  '/proc/iomem: where the kernel lies is left out; unusual names are x',
  'lines in no known form: only the words of the known forms; others are x',
];

// ---- names ------------------------------------------------------------------------------------

type NameRule = (name: string, masks: Masks) => string | null;

const only =
  (isKept: (name: string) => boolean): NameRule =>
  (name) =>
    isKept(name) ? name : null;
const plain = only((name) => /^[\w.:-]{1,64}$/.test(name));
const nothing: NameRule = () => null;
const number = only((name) => /^(?:0|[1-9]\d{0,8})$/.test(name));
const pciOrMasked: NameRule = (name, masks) => (PCI_ADDRESS.test(name) ? name : masks.name(name));

const LIST_RULES: Readonly<Record<string, NameRule>> = {
  '/proc': number,
  '/sys/firmware/memmap': number,
  '/sys/module': only(isVendorModule),
  '/sys/devices': nothing,
  '/sys/bus/pci': nothing,
  '/sys/class/iommu': plain,
  '/sys/class/drm': only(isGpuNode),
  '/sys/bus/virtio/devices': plain,
  '/sys/bus/pci/drivers/vfio-pci': only((name) => PCI_ADDRESS.test(name)),
  '/sys/bus/pci/devices': only((name) => PCI_ADDRESS.test(name)),
  '/sys/kernel/iommu_groups/GROUP/devices': pciOrMasked,
};

/** What is kept of the last part of a link's target. */
const LINK_RULES: Readonly<Record<string, NameRule>> = {
  '/sys/class/drm/CARD/device/driver': plain,
  '/sys/bus/pci/devices/ADDRESS/iommu': plain,
  '/sys/bus/pci/devices/ADDRESS/driver': plain,
  '/sys/class/vfio-dev/NAME/device': pciOrMasked,
};

/** Paths of `READS` for which there is a rule here; of all others nothing is kept. */
export const RULED: ReadonlySet<string> = new Set([
  ...Object.keys(TEXT_REDUCERS),
  ...Object.keys(LIST_RULES),
  ...Object.keys(LINK_RULES),
  ...['comm', 'cmdline', 'exe', 'fd', 'maps', 'smaps', 'pagemap'].map((f) => `/proc/PID/${f}`),
  ...['/dev/kmsg', '/dev/kvm', '/dev/cpu/0/msr', KPAGEFLAGS],
]);

function ruleOf<T>(rules: Readonly<Record<string, T>>, path: string): T | null {
  const listed = listedAs(path);
  return listed !== null && Object.hasOwn(rules, listed) ? (rules[listed] ?? null) : null;
}

function reduceList(reading: ListReading, rule: NameRule, masks: Masks): ListReading {
  if (!reading.ok) return reading;
  const sorted = [...new Set(reading.names)].sort(byName);
  const names = sorted.flatMap((name) => rule(name, masks) ?? []);
  return { ...reading, names };
}

function reduceLink(reading: LinkReading, rule: NameRule, masks: Masks): LinkReading {
  if (!reading.ok) return reading;
  return { ok: true, target: rule(reading.target.split('/').at(-1) ?? '', masks) ?? MASK };
}

function reduceText(reading: TextReading, reduce: (text: string) => string): TextReading {
  return reading.ok ? { ...reading, text: reduce(reading.text) } : reading;
}

function reduceLinks(reading: LinksReading): LinksReading {
  if (!reading.ok) return reading;
  const links = [...reading.links]
    .sort((a, b) => byName(a.name, b.name))
    .flatMap(({ name, target }, i) => {
      const kept = keptTarget(target);
      const isNumber = /^(?:0|[1-9]\d{0,8}|x\d{9})$/.test(name);
      return kept === null
        ? []
        : [{ name: isNumber ? name : `x${String(i + 1).padStart(9, '0')}`, target: kept }];
    });
  return { ...reading, links };
}

// ---- processes --------------------------------------------------------------------------------

interface Reduced {
  readonly texts: Map<string, TextReading>;
  readonly lists: Map<string, ListReading>;
  readonly links: Map<string, LinkReading>;
  readonly linkLists: Map<string, LinksReading>;
  readonly bytes: Map<string, BytesReading>;
}

/** Sets what was read, and nothing where nothing was. */
function move<T>(
  from: ReadonlyMap<string, T>,
  to: Map<string, T>,
  key: string,
  reduce: (value: T) => T,
): void {
  const value = from.get(key);
  if (value !== undefined) to.set(key, reduce(value));
}

/** Of a process without a VM: whether it is a thread of the kernel, and whether its files are open. */
function reduceOther(capture: Capture, to: Reduced, pid: number): void {
  move(capture.texts, to.texts, `/proc/${pid}/cmdline`, (r) =>
    reduceText(r, (text) => (text === '' ? '' : `${MASK}\0`)),
  );
  move(capture.linkLists, to.linkLists, `/proc/${pid}/fd`, (r) => (r.ok ? { ...r, links: [] } : r));
}

/** The file name of a program, of harmless characters. */
function programName(path: string): string {
  return baseName(path).replace(/[^\w.+-]/g, '?');
}

function isVmmName(comm: string): boolean {
  return /^[\w.-]{1,15}$/.test(comm) && vmmOf(comm) !== 'other';
}

/** The first word is the name of the program, as its file has it or as it is known. */
function commandLine(text: string, exe: LinkReading, program: string, masks: Masks): string {
  const [first, ...rest] = argvOf(text);
  if (first === undefined) return '';
  const isSafe = exe.ok || first === '' || vmmOf(baseName(first)) !== 'other';
  const name = programName(exe.ok ? exe.target : first);
  const words = [isSafe ? name : MASK, ...reduceArguments(rest, vmmOf(program), masks)];
  return words.map((word) => `${word}\0`).join('');
}

function reducePid(capture: Capture, to: Reduced, pid: number, masks: Masks): void {
  const readings = new Readings(capture);
  const directory = `/proc/${pid}`;
  const program = programOf(readings, pid);
  const fds = readings.links(`${directory}/fd`);
  if (evidenceOf(fds, program, capture.pid === pid) === null) {
    reduceOther(capture, to, pid);
    return;
  }
  const text = (file: string, reduce: (text: string) => string): void =>
    move(capture.texts, to.texts, `${directory}/${file}`, (r) => reduceText(r, reduce));
  text('comm', (name) => `${isVmmName(name.trim()) ? name.trim() : MASK}\n`);
  text('cmdline', (line) => commandLine(line, readings.link(`${directory}/exe`), program, masks));
  move(capture.links, to.links, `${directory}/exe`, (r) => reduceLink(r, programName, masks));
  move(capture.linkLists, to.linkLists, `${directory}/fd`, reduceLinks);
  move(capture.lists, to.lists, `${directory}/task`, (r) => reduceList(r, number, masks));
  text('maps', (maps) => reduceMaps(maps, masks));
  text('smaps', (maps) => reduceMaps(maps, masks));
}

// ---- bytes ------------------------------------------------------------------------------------

/** Of a piece of pagemap the first page frame alone. */
function reducePagemap(reading: BytesReading): BytesReading {
  if (!reading.ok) return reading;
  const frame = firstFrame(reading);
  return { ok: true, hex: frame === null ? '' : frameHex(frame) };
}

const CONFIG = '/sys/bus/pci/devices/ADDRESS/config';

function reduceBytes(key: string, reading: BytesReading): BytesReading | null {
  const [path = '', offset = ''] = key.split(' ');
  if (path === KPAGEFLAGS || listedAs(path) === CONFIG) return reading;
  if (/^\/proc\/\d+\/pagemap$/.test(path)) return reducePagemap(reading);
  const isMsr = path === '/dev/cpu/0/msr' && [MSR_PAT, MSR_MTRR_DEF_TYPE].includes(Number(offset));
  return isMsr ? reading : null;
}

// ---- the whole --------------------------------------------------------------------------------

const MOUNTS = '/proc/self/mounts';
const TRACKED = '/x86/pat_memtype_list';

function reduceMachine(capture: Capture, to: Reduced, masks: Masks): void {
  const first = (a: string, b: string): number =>
    Number(b === MOUNTS) - Number(a === MOUNTS) || byName(a, b);
  for (const key of [...capture.texts.keys()].sort(first)) {
    const rule = ruleOf(TEXT_REDUCERS, key);
    if (rule === null) continue;
    const at = key.endsWith(TRACKED) ? masks.path(key.slice(0, -TRACKED.length)) + TRACKED : key;
    const reading = capture.texts.get(key);
    if (reading !== undefined)
      to.texts.set(
        at,
        reduceText(reading, (text) => rule(text, masks)),
      );
  }
  for (const key of [...capture.lists.keys()].sort(byName)) {
    const rule = ruleOf(LIST_RULES, key);
    if (rule !== null) move(capture.lists, to.lists, key, (r) => reduceList(r, rule, masks));
  }
  for (const key of [...capture.links.keys()].sort(byName)) {
    const rule = ruleOf(LINK_RULES, key);
    if (rule !== null) move(capture.links, to.links, key, (r) => reduceLink(r, rule, masks));
  }
}

function reduceOthers(capture: Capture, to: Reduced, masks: Masks): void {
  for (const key of [...capture.texts.keys()].sort(byName)) {
    const start = Object.keys(OTHER_REDUCERS).find((k) => key.startsWith(k));
    const rule = start === undefined ? undefined : OTHER_REDUCERS[start];
    if (rule === undefined) continue;
    move(capture.texts, to.texts, key, (r) => reduceText(r, (text) => rule(text, masks)));
  }
  for (const key of [...capture.bytes.keys()].sort(byName)) {
    const reading = capture.bytes.get(key);
    const made = reading === undefined ? null : reduceBytes(key, reading);
    if (made !== null) to.bytes.set(key, made);
  }
}

/**
 * What doctor looks at, and of that nothing that identifies people: `MASKED` says what and how. What is not
 * known to be harmless is masked. Reducing twice changes nothing more.
 */
export function reduce(capture: Capture): Capture {
  const masks = new Masks();
  const to: Reduced = {
    texts: new Map(),
    lists: new Map(),
    links: new Map(),
    linkLists: new Map(),
    bytes: new Map(),
  };
  reduceMachine(capture, to, masks);
  for (const pid of pidsOf(new Readings(capture))) reducePid(capture, to, pid, masks);
  reduceOthers(capture, to, masks);
  const kvm = [...capture.kvm].filter(([key]) => /^(?:api|\d{1,4})$/.test(key));
  return {
    ...capture,
    ...to,
    kvm: new Map(kvm.sort(([a], [b]) => byName(a, b))),
    log: reduceText(capture.log, reduceLog),
  };
}
