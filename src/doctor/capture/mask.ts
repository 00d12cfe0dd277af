import { reduceTrace } from '../../trace/reduce.ts';
import { isGpuNode } from '../machine/devices.ts';
import { isVendorModule } from '../machine/kvm-host.ts';
import type { BytesReading, Capture, LinkReading, ListReading, TextReading } from '../reading.ts';
import { TRACE } from '../trace/trace-facts.ts';
import { LIBVIRT_STATUS } from '../vmms/libvirt.ts';
import { firstFrame, frameHex, KPAGEFLAGS } from '../vms/sample.ts';
import { PCI_ADDRESS } from '../vms/vmm.ts';
import { type DomainNames, domainFiles, domainPaths, reduceDomain } from './mask-libvirt.ts';
import { monitorRule } from './mask-monitor.ts';
import {
  isDescriptorKept,
  move,
  type Reduced,
  reduceProcesses,
  reduceText,
} from './mask-processes.ts';
import { reduceFdinfo, reduceLog, TEXT_REDUCERS } from './mask-texts.ts';
import { byName, MASK, Masks } from './mask-words.ts';
import { listedAs, MSR_MTRR_DEF_TYPE, MSR_PAT } from './reads.ts';

/** What a capture does without, and how: printed by `memtype capture`, kept in the file. */
export const MASKED: readonly string[] = [
  'host name: never read',
  'processes that run no VM: only their numbers, and whether they have arguments; of those that share the ' +
    'memory of a VM also the file name of the program, and which mappings and descriptors those are',
  'command lines of VMMs: options that bear on memory types; every other word is x',
  'paths, names of mappings, ids of memory backends and of monitors, domains of libvirt, mdev UUIDs: ' +
    'masked-N, equal names alike',
  'open files: only those of KVM, VFIO, vDPA, GPUs, dma-bufs and memfds',
  'status files of libvirt: only elements that bear on memory types',
  "answers of monitors: names that are not QEMU's own are masked",
  'amdgpu_gem_info: names of processes that are no VMM are x',
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
  '/sys/class/drm/CARD/device': only((name) => PCI_ADDRESS.test(name)),
  '/sys/bus/pci/devices/ADDRESS/iommu': plain,
  '/sys/bus/pci/devices/ADDRESS/driver': plain,
  '/sys/class/vfio-dev/NAME/device': pciOrMasked,
};

const CONFIG = '/sys/bus/pci/devices/ADDRESS/config';
const DOMAIN_FILE = `${LIBVIRT_STATUS}/NAME.xml`;
const FDINFO = '/proc/PID/fdinfo/FD';
/** Read to find out whose monitor a socket is, and not kept. */
const NOT_KEPT = '/proc/net/unix';

/** Paths of `READS` for which there is a rule here; of all others nothing is kept. */
export const RULED: ReadonlySet<string> = new Set([
  ...Object.keys(TEXT_REDUCERS),
  ...Object.keys(LIST_RULES),
  ...Object.keys(LINK_RULES),
  ...['comm', 'cmdline', 'exe', 'fd', 'maps', 'smaps', 'task', 'pagemap'].map(
    (f) => `/proc/PID/${f}`,
  ),
  ...['/dev/kmsg', '/dev/kvm', '/dev/cpu/0/msr', KPAGEFLAGS, CONFIG],
  ...[LIBVIRT_STATUS, DOMAIN_FILE, FDINFO, NOT_KEPT],
]);

function ruleOf<T>(rules: Readonly<Record<string, T>>, path: string): T | null {
  const listed = listedAs(path);
  return listed !== null && Object.hasOwn(rules, listed) ? (rules[listed] ?? null) : null;
}

function reduceList(reading: ListReading, rule: NameRule, masks: Masks): ListReading {
  if (!reading.ok) return reading;
  const names = masks.inOrder(reading.names).flatMap((name) => rule(name, masks) ?? []);
  return { ...reading, names: names.sort(byName) };
}

function reduceLink(reading: LinkReading, rule: NameRule, masks: Masks): LinkReading {
  if (!reading.ok) return reading;
  return { ok: true, target: rule(reading.target.split('/').at(-1) ?? '', masks) ?? MASK };
}

// ---- bytes ------------------------------------------------------------------------------------

/** Of a piece of pagemap the first page frame alone. */
function reducePagemap(reading: BytesReading): BytesReading {
  if (!reading.ok) return reading;
  const frame = firstFrame(reading);
  return { ok: true, hex: frame === null ? '' : frameHex(frame) };
}

function reduceBytes(key: string, reading: BytesReading): BytesReading | null {
  const [path = '', offset = ''] = key.split(' ');
  if (path === KPAGEFLAGS || listedAs(path) === CONFIG) return reading;
  if (/^\/proc\/\d+\/pagemap$/.test(path)) return reducePagemap(reading);
  const isMsr = path === '/dev/cpu/0/msr' && [MSR_PAT, MSR_MTRR_DEF_TYPE].includes(Number(offset));
  return isMsr ? reading : null;
}

// ---- the whole --------------------------------------------------------------------------------

const MOUNTS = '/proc/self/mounts';
/** Files below the mount point of debugfs, which has a name of its own. */
const BELOW_DEBUGFS = /^(.+)(\/x86\/pat_memtype_list|\/dri\/\d+\/amdgpu_gem_info)$/;

function maskedPath(path: string, masks: Masks): string {
  const [, mount, file] = path.startsWith('/') ? (BELOW_DEBUGFS.exec(path) ?? []) : [];
  return mount === undefined ? path : `${masks.path(mount)}${file}`;
}

function reduceMachine(capture: Capture, to: Reduced, masks: Masks): void {
  const first = (a: string, b: string): number =>
    Number(b === MOUNTS) - Number(a === MOUNTS) || byName(a, b);
  for (const key of [...capture.texts.keys()].sort(first)) {
    const rule = ruleOf(TEXT_REDUCERS, key);
    const reading = capture.texts.get(key);
    if (rule === null || reading === undefined) continue;
    const at = maskedPath(key, masks);
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

function reduceDomains(capture: Capture, to: Reduced, masks: Masks, names: DomainNames): void {
  const list = capture.lists.get(LIBVIRT_STATUS);
  const paths = [...capture.texts.keys()].filter((key) => listedAs(key) === DOMAIN_FILE);
  if (list?.ok === true) {
    to.lists.set(LIBVIRT_STATUS, { ...list, names: domainFiles(list.names, masks, names) });
  } else if (list !== undefined) to.lists.set(LIBVIRT_STATUS, list);
  for (const [path, masked] of domainPaths(paths, masks, names)) {
    const reading = capture.texts.get(path);
    if (reading === undefined) continue;
    to.texts.set(
      masked,
      reduceText(reading, (text) => reduceDomain(text, masks, names)),
    );
  }
}

/** What a monitor says when it refuses may name anything. */
function reduceAnswer(reading: TextReading, reduce: (text: string) => string): TextReading {
  if (reading.ok) return reduceText(reading, reduce);
  return {
    ...reading,
    detail: /^(?:E[A-Z]{2,15}|\d{1,6} ms)$/.test(reading.detail) ? reading.detail : MASK,
  };
}

function reduceOthers(capture: Capture, to: Reduced, masks: Masks): void {
  move(capture.texts, to.texts, TRACE, (r) => reduceText(r, (text) => reduceTrace(text).text));
  for (const key of [...capture.texts.keys()].sort(byName)) {
    if (listedAs(key) === FDINFO && isDescriptorKept(to, key))
      move(capture.texts, to.texts, key, (r) => reduceText(r, reduceFdinfo));
    const rule = monitorRule(key);
    if (rule === null) continue;
    move(capture.texts, to.texts, key, (r) => reduceAnswer(r, (text) => rule(text, masks)));
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
 *
 * @param names of domains of libvirt: kept for a report on the machine itself, never in a file
 */
export function reduce(capture: Capture, names: DomainNames = 'masked'): Capture {
  const masks = new Masks();
  const to: Reduced = {
    texts: new Map(),
    lists: new Map(),
    links: new Map(),
    linkLists: new Map(),
    bytes: new Map(),
  };
  reduceMachine(capture, to, masks);
  reduceDomains(capture, to, masks, names);
  reduceProcesses(capture, to, masks);
  reduceOthers(capture, to, masks);
  const kvm = [...capture.kvm].filter(([key]) => /^(?:api|\d{1,4})$/.test(key));
  return {
    ...capture,
    ...to,
    kvm: new Map(kvm.sort(([a], [b]) => byName(a, b))),
    log: reduceText(capture.log, reduceLog),
  };
}
