import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** PROC_PID_INIT_INO: tracefs prints the numbers that processes have in this namespace. */
const FIRST_NAMESPACE = 'pid:[4026531836]';

/** Whether the numbers in /proc are those that a trace prints: not so in a container. */
export function seesTraceNumbers(): boolean {
  try {
    return readlinkSync('/proc/self/ns/pid') === FIRST_NAMESPACE;
  } catch {
    return false;
  }
}

/** The process of a thread; -1 when it is gone. */
export function processOf(tid: number): number {
  const found = /^Tgid:\s*(\d+)/m.exec(textOf(`/proc/${tid}/status`) ?? '')?.[1];
  return found === undefined ? -1 : Number(found);
}

/** Tells a process from a later one with its number: when it was started; null: there is none. */
export function startOf(pid: number): string | null {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === null) return null;
  const [state = '', ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return /^[ZX]/.test(state) ? null : (rest[18] ?? '');
}

/** Threads of the kernel that take mappings of a VM away, before they became threads of the VMM. */
const HELPER = /^kvm-(?:nx-lpage-re\S*?|pit)[-/](\d+)$/;

/** The threads of a VMM, and those that the kernel runs for it. */
export function threadsOf(pid: number): readonly number[] {
  const own = namesIn(`/proc/${pid}/task`);
  const helpers = namesIn('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    const comm = textOf(`/proc/${name}/comm`)?.trim() ?? '';
    return HELPER.exec(comm)?.[1] === String(pid);
  });
  return [...own, ...helpers].map(Number).sort((a, b) => a - b);
}

/** Whether a process holds a VM; null: it may not be asked. */
export function holdsVm(pid: number): boolean | null {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => {
      try {
        return readlinkSync(`${directory}/${fd}`) === 'anon_inode:kvm-vm';
      } catch {
        return false;
      }
    });
  } catch {
    return null;
  }
}

const MODES = [
  ['kvm_intel', 'ept'],
  ['kvm_amd', 'npt'],
] as const;

/** How this machine's KVM pages; null: neither module says so. */
export function pagingHere(): 'ept' | 'npt' | 'shadow' | null {
  for (const [module, mode] of MODES) {
    const text = textOf(`/sys/module/${module}/parameters/${mode}`)?.trim();
    if (text === 'Y' || text === '1') return mode;
    if (text === 'N' || text === '0') return 'shadow';
  }
  return null;
}
