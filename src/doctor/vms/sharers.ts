import { parseMaps, type Vma } from '../../linux/text/maps.ts';
import type { NamedLink, Readings } from '../reading.ts';
import { programOf } from '../vmms/told.ts';
import { sizeOf } from './regions.ts';
import type { Sharer } from './vm-facts.ts';
import { countVms, MEMFD } from './vmm.ts';

/** Below this a shared mapping is a ring or a message, not guest RAM. */
const SMALLEST = 16 * 2 ** 20;
const SHARED_FILE = /^\/(?:memfd:|dev\/shm\/|dev\/hugepages)/;

/** Programs that serve a VM from outside: vhost-user back ends, and the device processes of crosvm. */
const BACK_ENDS =
  /^(?:crosvm|virtiofsd|vhost-(?:user|device)|virgl_(?:test_|render_)?server|rutabaga|qemu-storage-da|ovs-vswitchd|spdk|swtpm|passt)/;

/** Whether the program may have guest memory mapped without a descriptor of it left. */
export function isBackEnd(program: string): boolean {
  return BACK_ENDS.test(program);
}

/** What a VM shares with others: large shared mappings of a file, one of each. */
export function sharedFiles(vmas: readonly Vma[]): readonly Vma[] {
  const found = new Map<string, Vma>();
  for (const vma of vmas) {
    if (!vma.perms.endsWith('s') || !SHARED_FILE.test(vma.path ?? '')) continue;
    if (sizeOf(vma) >= SMALLEST) found.set(`${vma.dev} ${vma.inode}`, vma);
  }
  return [...found.values()];
}

/** Descriptors that may be of one of the files: by name, which several files may bear. */
export function candidateFds(
  links: readonly NamedLink[],
  files: readonly Vma[],
): readonly string[] {
  const names = new Set(files.map((f) => f.path));
  const bare = (target: string): string => target.replace(/ \(deleted\)$/, '');
  return links.filter(({ target }) => names.has(bare(target))).map(({ name }) => name);
}

/** The mappings of a process; none where they cannot be read. */
export function vmasOf(readings: Readings, pid: number): readonly Vma[] {
  const reading = readings.text(`/proc/${pid}/maps`);
  return reading.ok ? parseMaps(reading.text, '').value.vmas : [];
}

function holds(
  readings: Readings,
  pid: number,
  links: readonly NamedLink[],
  files: readonly Vma[],
): boolean {
  const inodes = new Set(files.map((f) => f.inode));
  return candidateFds(links, files).some((fd) => {
    const target = links.find((l) => l.name === fd)?.target ?? '';
    if (!MEMFD.test(target)) return true;
    const info = readings.word(`/proc/${pid}/fdinfo/${fd}`) ?? '';
    return inodes.has(/^ino:\s*(\d+)$/m.exec(info)?.[1] ?? '');
  });
}

/** Processes beside the VMM that reach its guest memory, by ascending number. */
export function sharersOf(readings: Readings, vm: number): readonly Sharer[] {
  const files = sharedFiles(vmasOf(readings, vm));
  if (files.length === 0) return [];
  const keys = new Set(files.map((f) => `${f.dev} ${f.inode}`));
  const pids = [...readings.capture.linkLists.keys()].flatMap((path) => {
    const pid = /^\/proc\/(\d+)\/fd$/.exec(path)?.[1];
    return pid === undefined || Number(pid) === vm ? [] : [Number(pid)];
  });
  return pids
    .sort((a, b) => a - b)
    .flatMap((pid): Sharer[] => {
      const links = readings.links(`/proc/${pid}/fd`);
      if (!links.ok || countVms(links.links) > 0) return [];
      const program = programOf(readings, pid);
      const isMapped = vmasOf(readings, pid).some((v) => keys.has(`${v.dev} ${v.inode}`));
      if (isMapped) return [{ pid, program, by: 'mapping' }];
      return holds(readings, pid, links.links, files) ? [{ pid, program, by: 'descriptor' }] : [];
    });
}
