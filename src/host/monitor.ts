import { connect, type Socket } from 'node:net';
import { must } from '../base/assert.ts';
import { Readings, type Refusal, type TextReading } from '../doctor/reading.ts';
import { gpa2hvaKey, untoldAddresses } from '../doctor/vmms/memslots.ts';
import { parseQemu } from '../doctor/vmms/qemu.ts';
import { GPA2HVA, HMP_COMMANDS, monitorKey, QMP_COMMANDS } from '../doctor/vmms/qemu-monitor.ts';
import { argvOf } from '../doctor/vms/vmm.ts';
import type { HostReader } from './reader.ts';
import type { Recorder } from './recorder.ts';
import { refusalOf } from './refusal.ts';

/** The monitor of a QEMU behind a Unix socket that the user named. */
export interface Monitor {
  readonly path: string;
  readonly kind: 'qmp' | 'hmp';
  /** Inodes of the sockets that have this path, as /proc/net/unix lists them. */
  readonly inodes: readonly string[];
  /** Only commands that read: see `QMP_COMMANDS`, `HMP_COMMANDS`, `GPA2HVA`. */
  readonly ask: (command: string) => Promise<TextReading>;
  readonly close: () => void;
  /** The process whose monitor it turned out to be. */
  pid: number | null;
}

const DEADLINE_MS = 4000;
/** An answer of a QEMU with ten thousand memory regions is about 1 MB. */
const ANSWER_MAX = 4 << 20;
/** Memslots whose place in the VMM is asked one by one. */
const ADDRESSES_MAX = 512;

// ---- which process ----------------------------------------------------------------------------

/** "Num RefCount Protocol Flags Type St Inode Path"; a QEMU may have bound a relative path. */
function inodesOf(table: string, path: string): readonly string[] {
  return table.split('\n').flatMap((line) => {
    const [, inode, bound] = /^\S+: \S+ \S+ \S+ \S+ \S+ +(\d+) (.+)$/.exec(line) ?? [];
    if (inode === undefined || bound === undefined) return [];
    return bound === path || isRelativeForm(bound, path) ? [inode] : [];
  });
}

function isRelativeForm(bound: string, path: string): boolean {
  return !bound.startsWith('/') && path.endsWith(`/${bound.replace(/^\.\//, '')}`);
}

function belongsTo(monitor: Monitor, readings: Readings, pid: number): boolean {
  const links = readings.links(`/proc/${pid}/fd`);
  const targets = new Set(links.ok ? links.links.map((l) => l.target) : []);
  if (monitor.inodes.some((inode) => targets.has(`socket:[${inode}]`))) return true;
  const cmdline = readings.text(`/proc/${pid}/cmdline`);
  if (monitor.inodes.length > 0 || !cmdline.ok) return false;
  const named = parseQemu(argvOf(cmdline.text)).monitors;
  return named.some((path) => path === monitor.path || isRelativeForm(path, monitor.path));
}

/** Asks the monitors of a process, and keeps the answers under `monitor/PID/COMMAND`. */
export async function askMonitors(
  recorder: Recorder,
  pid: number,
  monitors: readonly Monitor[],
): Promise<void> {
  const own = monitors.filter((m) => belongsTo(m, new Readings(recorder.capture), pid));
  for (const monitor of own) {
    monitor.pid = pid;
    const commands =
      monitor.kind === 'qmp' ? [...QMP_COMMANDS, ...HMP_COMMANDS.slice(2)] : HMP_COMMANDS;
    for (const command of commands) await keep(recorder, pid, monitor, command);
    const addresses = untoldAddresses(new Readings(recorder.capture), pid);
    for (const gpa of addresses.slice(0, ADDRESSES_MAX)) {
      recorder.keep(gpa2hvaKey(pid, gpa), await monitor.ask(`${GPA2HVA} 0x${gpa.toString(16)}`));
    }
  }
}

/** What one monitor of the process has answered, a second one is not asked. */
async function keep(
  recorder: Recorder,
  pid: number,
  monitor: Monitor,
  command: string,
): Promise<void> {
  const key = monitorKey(pid, command);
  if (recorder.capture.texts.get(key)?.ok === true) return;
  recorder.keep(key, await monitor.ask(command));
}

// ---- the protocols ----------------------------------------------------------------------------

const PROMPT = '(qemu) ';
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's sequences begin with one
const SEQUENCE = /\u001b\[[0-9;]*[A-Za-z]/g;

function isAllowed(command: string): boolean {
  const known: readonly string[] = [...QMP_COMMANDS, ...HMP_COMMANDS];
  return known.includes(command) || /^gpa2hva 0x[0-9a-f]{1,16}$/.test(command);
}

/** Bytes of a socket, waited for until they are whole. */
class Conversation {
  readonly #socket: Socket;
  readonly #deadline: number;
  #received = '';
  #wake: (() => void) | null = null;
  #failure: Refusal | null = null;

  constructor(path: string, deadline: number) {
    this.#deadline = deadline;
    this.#socket = connect({ path });
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (chunk: string) => {
      if (this.#failure !== null) return;
      this.#received += chunk;
      if (this.#received.length > ANSWER_MAX) this.#fail('EFBIG', `more than ${ANSWER_MAX} bytes`);
      this.#wake?.();
    });
    this.#socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#fail(error.code ?? error.message),
    );
    this.#socket.on('close', () => this.#fail('ECONNRESET', 'the monitor closed the connection'));
  }

  /** Ends it: a socket left open would keep the process, and what still comes would pile up. */
  #fail(code: string, detail?: string): void {
    const refusal = refusalOf(code);
    this.#failure ??= detail === undefined ? refusal : { ...refusal, detail };
    this.close();
    this.#wake?.();
  }

  send(text: string): void {
    this.#received = '';
    if (this.#failure === null) this.#socket.write(text);
  }

  /** What `take` makes of the text received, as soon as it makes something of it. */
  async until<T>(take: (received: string) => T | null): Promise<T | Refusal> {
    const ends = performance.now() + this.#deadline;
    for (;;) {
      const taken = take(this.#received);
      if (taken !== null) return taken;
      if (this.#failure !== null) return this.#failure;
      const left = ends - performance.now();
      if (left <= 0) {
        this.#fail('ETIMEDOUT', `${this.#deadline} ms`);
        return { ok: false, reason: 'timeout', detail: `${this.#deadline} ms` };
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

function qmpRequest(command: string): object {
  if (!(QMP_COMMANDS as readonly string[]).includes(command)) {
    return { execute: 'human-monitor-command', arguments: { 'command-line': command } };
  }
  const [execute = '', typename] = command.split(' ');
  return typename === undefined ? { execute } : { execute, arguments: { typename } };
}

function objectOf(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

/** The answer among the lines; events stand between them. */
function qmpAnswer(received: string): TextReading | null {
  for (const line of received.split('\n').slice(0, -1)) {
    const message = objectOf(line);
    if (message === null) {
      return { ok: false, reason: 'error', detail: 'an answer that is no JSON object' };
    }
    if ('error' in message) {
      const error = message['error'] as { readonly desc?: unknown } | null;
      const desc = typeof error?.desc === 'string' ? error.desc : 'refused without a reason';
      return { ok: false, reason: 'error', detail: desc.slice(0, 200) };
    }
    if (!('return' in message)) continue;
    const value = message['return'];
    const text =
      typeof value === 'string' ? value.replaceAll('\r\n', '\n') : `${JSON.stringify(value)}\n`;
    return { ok: true, text, cut: false };
  }
  return null;
}

/** The monitor echoes what it is sent, with sequences for a terminal, and ends with its prompt. */
function hmpAnswer(received: string): TextReading | null {
  if (!received.endsWith(PROMPT)) return null;
  const lines = received.replace(SEQUENCE, '').replaceAll('\r', '').slice(0, -PROMPT.length);
  const text = lines.slice(lines.indexOf('\n') + 1);
  if (/^unknown command|^Error:/.test(text))
    return { ok: false, reason: 'error', detail: text.trim() };
  return { ok: true, text, cut: false };
}

type Greeting = { readonly ok: true; readonly kind: Monitor['kind'] };

function greeting(received: string): Greeting | null {
  if (/^\{"QMP"[^\n]*\n/.test(received.trimStart())) return { ok: true, kind: 'qmp' };
  return received.endsWith(PROMPT) ? { ok: true, kind: 'hmp' } : null;
}

/**
 * Connects to a monitor and finds out which kind it is. Of a QMP monitor the session is opened with
 * qmp_capabilities; after that nothing but commands that read is ever sent.
 *
 * @returns a refusal: no such socket, nobody listens, not allowed, or no greeting in time, as when another
 *   client (libvirt) holds the only connection that it takes
 */
export async function openMonitor(
  path: string,
  reader: HostReader,
  deadline: number = DEADLINE_MS,
): Promise<{ readonly ok: true; readonly monitor: Monitor } | Refusal> {
  const conversation = new Conversation(path, deadline);
  const hello = await conversation.until<Greeting>(greeting);
  if (!hello.ok) {
    conversation.close();
    return hello;
  }
  const { kind } = hello;
  const exchange = (text: string): Promise<TextReading> => {
    conversation.send(text);
    return conversation.until<TextReading>(kind === 'qmp' ? qmpAnswer : hmpAnswer);
  };
  if (kind === 'qmp') {
    const opened = await exchange('{"execute": "qmp_capabilities"}\n');
    if (!opened.ok) {
      conversation.close();
      return opened;
    }
  }
  const table = await reader.readText('/proc/net/unix');
  const monitor: Monitor = {
    path,
    kind,
    inodes: table.ok ? inodesOf(table.text, path) : [],
    ask: (command) => {
      must(isAllowed(command) ? true : null, `a command that is not listed: ${command}`);
      return exchange(kind === 'qmp' ? `${JSON.stringify(qmpRequest(command))}\n` : `${command}\n`);
    },
    close: () => conversation.close(),
    pid: null,
  };
  return { ok: true, monitor };
}
