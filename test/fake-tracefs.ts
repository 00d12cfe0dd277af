import { execFileSync } from 'node:child_process';
import {
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Directories } from '../src/host/trace-instance.ts';
import { LIVE_EVENTS } from '../src/host/trace-settings.ts';

const OPTIONS = ['raw', 'hex', 'fields', 'context-info', 'overwrite', 'record-tgid', 'event-fork'];
const FILES: Readonly<Record<string, string>> = {
  tracing_on: '1\n',
  buffer_size_kb: '1410\n',
  set_event_pid: '',
  trace_clock: '[local] global counter mono boot\n',
  'events/kvm/kvm_msr/filter': 'none\n',
  'events/kvm/kvm_cr/filter': 'none\n',
  'per_cpu/cpu0/stats': 'entries: 0\noverrun: 3\ndropped events: 1\n',
};

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Directories and files as tracefs has them, and a FIFO for trace_pipe. */
export class FakeTracefs {
  readonly path: string = mkdtempSync(join(tmpdir(), 'memtype-tracefs-'));
  readonly events: readonly string[];
  /** Texts of the files of an instance when it was taken away. */
  readonly last = new Map<string, string>();
  /** Called when an instance is complete. */
  onMake: (instance: string) => void = () => {};
  made = 0;
  removed = 0;
  #writer = -1;

  constructor(events: readonly string[] = LIVE_EVENTS) {
    this.events = events;
    mkdirSync(join(this.path, 'instances'));
    mkdirSync(join(this.path, 'events/kvm'), { recursive: true });
    for (const event of events) put(join(this.path, 'events', event, 'enable'), '0\n');
  }

  get directories(): Directories {
    return { make: (path) => this.#make(path), remove: (path) => this.#remove(path) };
  }

  #make(path: string): void {
    mkdirSync(path);
    this.made += 1;
    for (const [name, text] of Object.entries(FILES)) put(join(path, name), text);
    for (const name of OPTIONS) put(join(path, 'options', name), '0\n');
    for (const event of this.events) put(join(path, 'events', event, 'enable'), '0\n');
    const pipe = join(path, 'trace_pipe');
    execFileSync('mkfifo', [pipe]);
    this.#writer = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    this.onMake(path);
  }

  #remove(path: string): void {
    if (!existsSync(path)) throw Object.assign(new Error(), { code: 'ENOENT' });
    const names = [
      ...Object.keys(FILES),
      ...OPTIONS.map((name) => `options/${name}`),
      ...this.events.map((event) => `events/${event}/enable`),
    ];
    for (const name of names) {
      try {
        this.last.set(name, readFileSync(join(path, name), 'utf8').trim());
      } catch {
        this.last.delete(name);
      }
    }
    rmSync(path, { recursive: true });
    this.removed += 1;
  }

  /** The kernel prints. At most what fits into a FIFO. */
  print(text: string): void {
    writeSync(this.#writer, text);
  }

  close(): void {
    rmSync(this.path, { recursive: true });
  }
}
