import { MEMORY_MEMFD, RESOURCE, VFIO_DEVICE } from '../vms/regions.ts';
import { DMABUF, GPU_NODE } from '../vms/vmm.ts';
import { eachLine, MASK, type Masks, odd } from './mask-words.ts';

const DELETED = ' (deleted)';
const KERNEL_AREA = /^\[(?:heap|stack|vdso|vvar|vvar_vclock|vsyscall|uprobes)\]$/;
const DEVICE = /^\/dev\/(?:mem|zero|kvm|udmabuf|dax\d{1,4}\.\d{1,4})$|^\/anon_hugepage$/;
const ANON_INODE = /^anon_inode:\[?[a-z][\w-]{0,31}(?::\d{1,4})?\]?$/;

function memfd(name: string, masks: Masks): string {
  const [known] = MEMORY_MEMFD.exec(name) ?? [];
  if (known === undefined) return `/memfd:${masks.name(name.slice('/memfd:'.length))}`;
  const rest = name.slice(known.length);
  return /^[_-]?\d{0,4}$/.test(rest) ? name : `${known}-${masks.name(rest.replace(/^-/, ''))}`;
}

/** The library by which a VMM is told that is called anything. */
const LIBKRUN = /^(.*\/)libkrun(-\w+)?\.so((?:\.\d{1,4}){0,3})$/;
const VARIANTS: ReadonlySet<string> = new Set(['-tdx', '-sev', '-efi', '-nitro', '-awsnitro']);

function libkrun(name: string, masks: Masks): string | null {
  const [, directory, variant, version = ''] = LIBKRUN.exec(name) ?? [];
  if (directory === undefined) return null;
  const kept = variant === undefined || VARIANTS.has(variant) ? (variant ?? '') : `-${MASK}`;
  return `${masks.path(directory)}libkrun${kept}.so${version}`;
}

/** The name of a mapping. What doctor tells memory by stays; equal names stay equal. */
function mappedName(name: string, masks: Masks): string {
  if (KERNEL_AREA.test(name) || DEVICE.test(name)) return name;
  if (GPU_NODE.test(name) || VFIO_DEVICE.test(name)) return name;
  if (name.startsWith('[anon')) {
    const given = /^\[anon(?:_shmem)?:(.*)\]$/.exec(name)?.[1];
    return `[anon:${masks.name(given ?? name)}]`;
  }
  if (name.startsWith('[')) return `[${MASK}]`;
  if (DMABUF.test(name)) return '/dmabuf:';
  if (name.includes('kvm-gmem')) return 'anon_inode:[kvm-gmem]';
  if (name.startsWith('/memfd:')) return memfd(name, masks);
  const [, address, bar, wc] = RESOURCE.exec(name) ?? [];
  if (address !== undefined) return `/sys/bus/pci/devices/${address}/resource${bar}${wc ?? ''}`;
  if (ANON_INODE.test(name)) return name;
  if (name.startsWith('/SYSV')) return '/SYSV00000000';
  return libkrun(name, masks) ?? (name.startsWith('/') ? masks.path(name) : masks.name(name));
}

/** The file behind a mapping or a descriptor, "(deleted)" or not. */
export function fileName(path: string, masks: Masks): string {
  const deleted = path.endsWith(DELETED);
  const name = deleted ? path.slice(0, -DELETED.length) : path;
  return `${mappedName(name, masks)}${deleted ? DELETED : ''}`;
}

const MAPPING =
  /^([0-9a-f]{1,16}-[0-9a-f]{1,16} [r-][w-][x-][sp] [0-9a-f]{1,16} [0-9a-f]{2,}:[0-9a-f]{2,} \d{1,20})(?: +(.+))?$/;
const FLAGS = /^VmFlags:(?: \S\S)*\s*$/;
const RESIDENT = /^Rss: +\d{1,13} kB$/;
const DETAIL = /^[A-Z]\w*: +\d+(?: kB)?$/;
/** Code and constants of a program: never guest memory, and most of the lines. */
const PROGRAM = /^\S+ r-[x-][sp] /;

function isCode(line: string, path: string): boolean {
  if (!PROGRAM.test(line) || LIBKRUN.test(path)) return false;
  return /^\/(?!dev\/|sys\/|proc\/|memfd:|dmabuf:|anon_)/.test(path);
}

/** Of /proc/PID/maps the mappings of some files, by "DEV INODE". */
export function mappingsOf(text: string, files: ReadonlySet<string>): string {
  return eachLine(text, (line) => {
    const [, dev, inode] = /^\S+ \S{4} \S+ (\S+) (\d+)(?: |$)/.exec(line) ?? [];
    return files.has(`${dev} ${inode}`) ? line : null;
  });
}

/**
 * /proc/PID/maps or smaps: mappings that may be guest memory or stand beside it, their flags, and how much of
 * each is in memory.
 */
export function reduceMaps(text: string, masks: Masks): string {
  let kept = true;
  return eachLine(text, (line) => {
    if (FLAGS.test(line) || RESIDENT.test(line)) return kept ? line.trimEnd() : null;
    if (DETAIL.test(line)) return null;
    const [, head, name] = MAPPING.exec(line.trimEnd()) ?? [];
    kept = true;
    if (head === undefined) return line.trim() === '' ? null : odd(line);
    if (name === undefined) return head;
    kept = !isCode(line, name.endsWith(DELETED) ? name.slice(0, -DELETED.length) : name);
    return kept ? `${head} ${fileName(name, masks)}` : null;
  });
}
