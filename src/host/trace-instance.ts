import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import {
  CLOCKS,
  FOLLOW_FORKS,
  LIVE_EVENTS,
  type Setting,
  SPTE_EVENTS,
  settingsBefore,
  THREADS_FILE,
} from './trace-settings.ts';
import { LiveRefusal } from './tracefs.ts';
import { threadsOf } from './vmm-threads.ts';

/** How directories of a tracefs are made and taken away: there the files in them come and go by themselves. */
export interface Directories {
  readonly make: (path: string) => void;
  readonly remove: (path: string) => void;
}

const KERNEL: Directories = { make: (path) => mkdirSync(path), remove: (path) => rmdirSync(path) };

export interface InstanceOptions {
  readonly tracefs: string;
  /** Only what threads of this process do; null: all VMs. */
  readonly pid: number | null;
  /** Of each CPU. */
  readonly bufferKib: number;
  readonly directories?: Directories;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

function put(path: string, value: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_TRUNC);
  try {
    writeSync(fd, `${value}\n`);
  } finally {
    closeSync(fd);
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function refusal(what: string, error: unknown): LiveRefusal {
  const code = codeOf(error);
  const isRoot = process.geteuid?.() === 0;
  if (code === 'EACCES' || code === 'EPERM')
    return new LiveRefusal(
      `${what}: not permitted`,
      isRoot
        ? 'the kernel refuses it to root too: a container, or lockdown=confidentiality; do it on the host'
        : 'run it as root',
    );
  if (code === 'EROFS')
    return new LiveRefusal(
      `${what}: tracefs is mounted read-only`,
      'mount one on a directory of its own, and name it with --tracefs',
    );
  if (code === 'ENOMEM')
    return new LiveRefusal(
      `${what}: no memory for it`,
      'give a smaller --buffer (KiB for each CPU)',
    );
  return new LiveRefusal(
    `${what}: ${code}`,
    'memtype audit --live --print-commands shows each step',
  );
}

const NAMES_TRIED = 16;
const BUSY_MS = 2000;
const PAUSE_MS = 20;

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}

/** A trace instance of its own: buffers, events and options that nobody else uses. */
export class TraceInstance {
  readonly path: string;
  /** System and name of those that are on. */
  readonly events: readonly string[];
  /** Those that this kernel does not have. */
  readonly missing: readonly string[];
  readonly clock: string;
  /** Options that could not be set. */
  readonly unset: readonly string[];
  readonly #directories: Directories;
  #pipe = -1;
  #isThere = true;

  /**
   * Makes the instance and turns its events on. When that fails nothing is left.
   *
   * @throws LiveRefusal
   */
  constructor({ tracefs, pid, bufferKib, directories = KERNEL }: InstanceOptions) {
    this.#directories = directories;
    this.events = eventsOf(tracefs);
    this.missing = LIVE_EVENTS.filter((event) => !this.events.includes(event));
    this.path = this.#make(`${tracefs}/instances/memtype-${process.pid}`);
    try {
      this.unset = settingsBefore(bufferKib).flatMap((setting) => this.#set(setting));
      this.clock = this.#setClock();
      if (pid !== null) this.#follow(pid);
      for (const event of this.events)
        this.#set({ path: `events/${event}/enable`, value: '1', required: true });
      this.#open();
      this.#set({ path: 'tracing_on', value: '1', required: true });
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #make(wanted: string): string {
    for (let i = 0; i < NAMES_TRIED; i += 1) {
      const path = i === 0 ? wanted : `${wanted}-${i}`;
      try {
        this.#directories.make(path);
        return path;
      } catch (error) {
        // Left by a killed process that had this number.
        if (codeOf(error) !== 'EEXIST') throw refusal(`cannot make ${path}`, error);
      }
    }
    throw new LiveRefusal(`${wanted} and others of its name exist`, `rmdir ${wanted}*`);
  }

  /** @returns the path, when it could not be set and need not be */
  #set({ path, value, required }: Setting): readonly string[] {
    const file = `${this.path}/${path}`;
    if (!required && !existsSync(file)) return [];
    try {
      put(file, value);
      return [];
    } catch (error) {
      if (required) throw refusal(`cannot write ${value} to ${file}`, error);
      return [path];
    }
  }

  #setClock(): string {
    const known = read(`${this.path}/trace_clock`).split(/\s+/);
    const current = known.find((name) => name.startsWith('['))?.slice(1, -1) ?? 'local';
    const wanted = CLOCKS.find((name) => known.includes(name) || known.includes(`[${name}]`));
    if (wanted === undefined) return current;
    const failed = this.#set({ path: 'trace_clock', value: wanted, required: false });
    return failed.length === 0 ? wanted : current;
  }

  /** Threads that are made meanwhile are children of threads that stand there, once all of them do. */
  #follow(pid: number): void {
    this.#set(FOLLOW_FORKS);
    let written = '';
    for (let i = 0; i < NAMES_TRIED; i += 1) {
      const threads = threadsOf(pid).join(' ');
      if (threads === '')
        throw new LiveRefusal(`there is no process ${pid}`, 'give the PID of a VMM that runs');
      if (threads === written) return;
      this.#set({ path: THREADS_FILE, value: threads, required: true });
      written = threads;
    }
  }

  #open(): void {
    const path = `${this.path}/trace_pipe`;
    try {
      this.#pipe = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw refusal(`cannot read ${path}`, error);
    }
  }

  /** What was recorded since, as far as it fits; 0: nothing yet. */
  read(into: Uint8Array): number {
    try {
      return readSync(this.#pipe, into);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EAGAIN' || code === 'EINTR' || code === 'EOF') return 0;
      throw refusal(`cannot read ${this.path}/trace_pipe`, error);
    }
  }

  /** Records nothing more; what was recorded can still be read. */
  stop(): void {
    for (const event of this.events) this.#quietly(`events/${event}/enable`);
    this.#quietly('tracing_on');
  }

  #quietly(path: string): void {
    try {
      put(`${this.path}/${path}`, '0');
    } catch {
      // It goes away with the instance.
    }
  }

  /** Events that were lost because the buffers were full, as the kernel counts them; null: it does not say. */
  get overruns(): number | null {
    let sum: number | null = null;
    let cpus: readonly string[] = [];
    try {
      cpus = readdirSync(`${this.path}/per_cpu`);
    } catch {
      return null;
    }
    for (const cpu of cpus) {
      const stats = read(`${this.path}/per_cpu/${cpu}/stats`);
      for (const [, count = ''] of stats.matchAll(/^(?:overrun|dropped events): (\d+)$/gm))
        sum = (sum ?? 0) + Number(count);
    }
    return sum;
  }

  /**
   * Takes the instance away, whatever happened before. Waits up to two seconds for others who look into it.
   *
   * @returns what is left behind: the path; null: nothing
   */
  remove(): string | null {
    if (!this.#isThere) return null;
    this.stop();
    if (this.#pipe >= 0) closeSync(this.#pipe);
    this.#pipe = -1;
    const ends = performance.now() + BUSY_MS;
    for (;;) {
      try {
        this.#directories.remove(this.path);
        this.#isThere = false;
        return null;
      } catch (error) {
        if (codeOf(error) === 'ENOENT') {
          this.#isThere = false;
          return null;
        }
        if (performance.now() > ends) return this.path;
        pause();
      }
    }
  }
}

/** @throws LiveRefusal when none of them prints entries */
function eventsOf(tracefs: string): readonly string[] {
  const found = LIVE_EVENTS.filter((event) => existsSync(`${tracefs}/events/${event}/enable`));
  if (found.some((event) => SPTE_EVENTS.includes(event))) return found;
  if (!existsSync(`${tracefs}/events/kvm`))
    throw new LiveRefusal(
      `KVM is not loaded: ${tracefs}/events has no kvm`,
      'modprobe kvm_intel or modprobe kvm_amd, on the host that runs the VMs',
    );
  throw new LiveRefusal(
    'this kernel has no event that prints page-table entries',
    'kvm_mmu_set_spte is there from Linux 5.3 on',
  );
}

/** Instances whose process is gone: it was killed before it could take them away. */
export function leftBehind(tracefs: string): readonly string[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync(`${tracefs}/instances`);
  } catch {
    return [];
  }
  return names
    .filter((name) => {
      const pid = /^memtype-(\d+)(?:-\d+)?$/.exec(name)?.[1];
      return pid !== undefined && !existsSync(`/proc/${pid}`);
    })
    .map((name) => `${tracefs}/instances/${name}`);
}
