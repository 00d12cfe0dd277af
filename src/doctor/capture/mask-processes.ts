import type { Vma } from '../../linux/text/maps.ts';
import {
  type BytesReading,
  type Capture,
  type LinkReading,
  type LinksReading,
  type ListReading,
  Readings,
  type TextReading,
} from '../reading.ts';
import { programOf } from '../vmms/told.ts';
import { candidateFds, sharedFiles, sharersOf, vmasOf } from '../vms/sharers.ts';
import { argvOf, baseName, keptTarget, MEMFD, vmmOf } from '../vms/vmm.ts';
import { evidenceOf, pidsOf } from '../vms/vms.ts';
import { reduceArguments } from './mask-argv.ts';
import { fileName, mappingsOf, reduceMaps } from './mask-maps.ts';
import { byName, MASK, type Masks } from './mask-words.ts';

// ---- processes --------------------------------------------------------------------------------

/** What is left, as it is put together. */
export interface Reduced {
  readonly texts: Map<string, TextReading>;
  readonly lists: Map<string, ListReading>;
  readonly links: Map<string, LinkReading>;
  readonly linkLists: Map<string, LinksReading>;
  readonly bytes: Map<string, BytesReading>;
}

/** Sets what was read, and nothing where nothing was. */
export function move<T>(
  from: ReadonlyMap<string, T>,
  to: Map<string, T>,
  key: string,
  reduce: (value: T) => T,
): void {
  const value = from.get(key);
  if (value !== undefined) to.set(key, reduce(value));
}

export function reduceText(reading: TextReading, reduce: (text: string) => string): TextReading {
  return reading.ok ? { ...reading, text: reduce(reading.text) } : reading;
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
  const words = [isSafe ? name : MASK, ...reduceArguments(rest, vmmOf(program), masks, program)];
  return words.map((word) => `${word}\0`).join('');
}

/** A descriptor whose target is kept; its number, or one in its place. */
function reduceLinks(reading: LinksReading, masks: Masks): LinksReading {
  if (!reading.ok) return reading;
  const links = [...reading.links]
    .sort((a, b) => byName(a.name, b.name))
    .flatMap(({ name, target }, i) => {
      const kept = keptTarget(target) ?? (MEMFD.test(target) ? openFile(target, masks) : null);
      const isNumber = /^(?:0|[1-9]\d{0,8}|x\d{9})$/.test(name);
      const fd = isNumber ? name : `x${String(i + 1).padStart(9, '0')}`;
      return kept === null ? [] : [{ name: fd, target: kept }];
    });
  return { ...reading, links: links.sort((a, b) => byName(a.name, b.name)) };
}

/** As /proc/PID/maps names the file: with line feeds escaped. */
function openFile(target: string, masks: Masks): string {
  return fileName(target.replaceAll('\n', '\\012'), masks);
}

function reduceVm(capture: Capture, to: Reduced, pid: number, masks: Masks): void {
  const readings = new Readings(capture);
  const directory = `/proc/${pid}`;
  const program = programOf(readings, pid);
  const text = (file: string, reduce: (text: string) => string): void =>
    move(capture.texts, to.texts, `${directory}/${file}`, (r) => reduceText(r, reduce));
  text('comm', (name) => `${isVmmName(name.trim()) ? name.trim() : MASK}\n`);
  text('cmdline', (line) => commandLine(line, readings.link(`${directory}/exe`), program, masks));
  move(capture.links, to.links, `${directory}/exe`, reduceProgram);
  move(capture.linkLists, to.linkLists, `${directory}/fd`, (r) => reduceLinks(r, masks));
  move(capture.lists, to.lists, `${directory}/task`, reduceTasks);
  text('maps', (maps) => reduceMaps(maps, masks));
  text('smaps', (maps) => reduceMaps(maps, masks));
}

function reduceProgram(reading: LinkReading): LinkReading {
  return reading.ok ? { ok: true, target: programName(reading.target) } : reading;
}

function reduceTasks(reading: ListReading): ListReading {
  if (!reading.ok) return reading;
  const names = new Set(reading.names.filter((name) => /^[1-9]\d{0,8}$/.test(name)));
  return { ...reading, names: [...names].sort(byName) };
}

/** Of a process that shares the memory of a VM: its program, and what shows that it does. */
function reduceSharer(
  capture: Capture,
  to: Reduced,
  pid: number,
  files: readonly Vma[],
  masks: Masks,
): void {
  const directory = `/proc/${pid}`;
  reduceOther(capture, to, pid);
  move(capture.links, to.links, `${directory}/exe`, reduceProgram);
  move(capture.linkLists, to.linkLists, `${directory}/fd`, (r) => {
    if (!r.ok) return r;
    const shared = new Set(candidateFds(r.links, files));
    const kept = r.links.filter(({ name }) => shared.has(name) && /^\d{1,9}$/.test(name));
    const links = kept.map(({ name, target }) => ({ name, target: openFile(target, masks) }));
    return { ...r, links: links.sort((a, b) => byName(a.name, b.name)) };
  });
  const keys = new Set(files.map(({ dev, inode }) => `${dev} ${inode}`));
  move(capture.texts, to.texts, `${directory}/maps`, (r) =>
    reduceText(r, (maps) => reduceMaps(mappingsOf(maps, keys), masks)),
  );
}

/** Files that a VM shares, by the processes that share them with it. */
function sharersOfAll(readings: Readings, vms: readonly number[]): ReadonlyMap<number, Vma[]> {
  const found = new Map<number, Vma[]>();
  for (const vm of vms) {
    const files = sharedFiles(vmasOf(readings, vm));
    for (const { pid } of sharersOf(readings, vm)) {
      found.set(pid, [...(found.get(pid) ?? []), ...files]);
    }
  }
  return found;
}

/** Of all processes what is left; whatever shares no memory of a VM is a number. */
export function reduceProcesses(capture: Capture, to: Reduced, masks: Masks): void {
  const readings = new Readings(capture);
  const pids = pidsOf(readings);
  const vms = new Set(
    pids.filter((pid) => {
      const fds = readings.links(`/proc/${pid}/fd`);
      return evidenceOf(fds, programOf(readings, pid), capture.pid === pid) !== null;
    }),
  );
  const sharers = sharersOfAll(readings, [...vms]);
  for (const pid of pids) {
    const files = sharers.get(pid);
    if (vms.has(pid)) reduceVm(capture, to, pid, masks);
    else if (files !== undefined) reduceSharer(capture, to, pid, files, masks);
    else reduceOther(capture, to, pid);
  }
}

/** Whether a descriptor is kept, and so what /proc/PID/fdinfo says of it. */
export function isDescriptorKept(to: Reduced, path: string): boolean {
  const [, pid, fd] = /^\/proc\/(\d+)\/fdinfo\/(.+)$/.exec(path) ?? [];
  const fds = to.linkLists.get(`/proc/${pid}/fd`);
  return fds?.ok === true && fds.links.some(({ name }) => name === fd);
}
