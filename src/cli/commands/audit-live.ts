import { closeSync, openSync, writeSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { Audit, type AuditOptions, type AuditResult } from '../../audit/audit.ts';
import { InputError, printable, refuse } from '../../base/diagnostic.ts';
import { liveScript } from '../../host/live-script.ts';
import {
  type LiveEnd,
  type LiveResult,
  type LiveSink,
  type LiveStart,
  recordLive,
} from '../../host/live-trace.ts';
import type { Directories } from '../../host/trace-instance.ts';
import { BUFFER_RANGE, isBufferKib, usualBufferKib } from '../../host/trace-settings.ts';
import { findTracefs, LiveRefusal } from '../../host/tracefs.ts';
import { type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import { Follow, followRows, rowWords } from '../../report/audit-follow.ts';
import type { ScanTally } from '../../trace/scan.ts';
import { complainTo, type Io } from '../io.ts';
import { LiveText } from '../live-text.ts';

export interface LiveFlags {
  readonly follow?: string | undefined;
  readonly pid?: string | undefined;
  readonly seconds?: string | undefined;
  readonly record?: string | undefined;
  readonly tracefs?: string | undefined;
  readonly buffer?: string | undefined;
  readonly 'print-commands'?: boolean | undefined;
}

/** A recording that has ended, for the report of `memtype audit`. */
export interface Recorded {
  readonly audit: Audit;
  readonly tally: ScanTally;
  readonly result: LiveResult;
}

export interface LiveWays {
  /** Of the audit; the kernel is that of this machine. */
  readonly audit?: AuditOptions;
  /** Prints what was recorded, and gives the exit code. */
  readonly report?: (recorded: Recorded, io: Io) => number | Promise<number>;
  readonly directories?: Directories;
}

const DONE = 0;
const USAGE = 2;
const PRIVILEGES_MISSING = 3;

const FOLLOW_SECONDS = 5;
/** A summary takes time; no more than this part of all. */
const SUMMARY_SHARE = 10;
const LARGEST_PID = 2 ** 22;

interface Wanted {
  readonly pid: number | null;
  readonly seconds: number | null;
  readonly bufferKib: number;
  readonly follow: number | null;
}

function secondsOf(flag: string, text: string): number {
  const seconds = /^\d{1,8}(?:\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds > 0) return seconds;
  return refuse(`--${flag} ${printable(text)}: not a number of seconds`, 'e.g. 30, or 0.5');
}

function wantedOf({ pid, seconds, buffer, follow }: LiveFlags): Wanted {
  const process = pid !== undefined && /^[1-9]\d{0,6}$/.test(pid) ? Number(pid) : null;
  if (pid !== undefined && (process === null || process > LARGEST_PID))
    refuse(`not a process number: ${printable(pid)}`, 'give the PID of a VMM');
  const kib =
    buffer === undefined
      ? usualBufferKib(cpus().length)
      : /^\d{1,8}$/.test(buffer)
        ? Number(buffer)
        : 0;
  if (!isBufferKib(kib))
    refuse(`--buffer ${printable(buffer ?? '')}: not a size`, `KiB, ${BUFFER_RANGE}`);
  return {
    pid: process,
    seconds: seconds === undefined ? null : secondsOf('seconds', seconds),
    bufferKib: kib,
    follow:
      follow === undefined ? null : follow === '' ? FOLLOW_SECONDS : secondsOf('follow', follow),
  };
}

function thisKernel(): KernelVersion | null {
  try {
    return parseKernelVersion(release());
  } catch {
    return null;
  }
}

/** A file that the trace goes into as well; made before anything is recorded. */
class Copy {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, 'w', 0o600);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): InputError {
    const message = `cannot write ${this.#path}: ${(error as Error).message}`;
    return new InputError([{ severity: 'error', message }]);
  }

  put(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Prints summaries, never faster than every so many seconds. */
class Summaries {
  readonly #follow = new Follow();
  readonly #every: number;
  readonly #io: Io;
  #next: number;
  #lines = 0;

  constructor(every: number, io: Io) {
    this.#every = every;
    this.#io = io;
    this.#next = every;
  }

  isDue(seconds: number): boolean {
    return seconds >= this.#next;
  }

  print(result: () => AuditResult, seconds: number): void {
    const begun = performance.now();
    const size = this.#io.terminal?.() ?? null;
    if (size === null) {
      const lines = this.#follow.changes(result(), seconds);
      if (lines.length > 0) this.#io.write(`${lines.join('\n')}\n`);
    } else {
      const lines = this.#follow.screen(result(), seconds, size);
      const back = this.#lines === 0 ? '' : `\x1b[${this.#lines}A\r\x1b[J`;
      this.#io.write(`${back}${lines.map(printable).join('\n')}\n`);
      this.#lines = lines.length;
    }
    const took = (performance.now() - begun) / 1000;
    this.#next = seconds + took + Math.max(this.#every, took * SUMMARY_SHARE);
  }
}

const ENDS: Readonly<Record<LiveEnd, string>> = {
  signal: 'ended by a signal',
  seconds: 'the time is over',
  vmm: 'the VMM has ended',
  told: 'nobody reads the output',
};

function beginWords({ instance, events, missing, clock, unset, left }: LiveStart): string {
  const short = (names: readonly string[]) => names.map((n) => n.slice(n.indexOf('/') + 1));
  return [
    `recording ${events.length} events in ${instance}, clock ${clock}; Ctrl-C ends it`,
    'note: only changes are seen; what was mapped before is not in it',
    ...(missing.length === 0 ? [] : [`not on this kernel: ${short(missing).join(' ')}`]),
    ...(unset.length === 0 ? [] : [`could not be set: ${unset.join(' ')}`]),
    ...left.map((path) => `left behind by a killed memtype: rmdir ${printable(path)}`),
    '',
  ].join('\n');
}

function endWords({ end, seconds, overruns, left }: LiveResult, events: number): string {
  return [
    `${ENDS[end]}: ${events} events in ${seconds.toFixed(1)} s`,
    ...(overruns === null || overruns === 0
      ? []
      : [`warning: ${overruns} events were lost, the buffers were full: give a larger --buffer`]),
    ...(left === null ? [] : [`warning: it is in use and stays behind: rmdir ${printable(left)}`]),
    ...(events === 0 ? ['no VM changed its page tables meanwhile'] : []),
    '',
  ].join('\n');
}

/** Without a report of its own: the rows of the last summary. */
function plainReport({ audit }: Recorded, io: Io): number {
  const lines = followRows(audit.result()).map((row) => `${row.of}  ${rowWords(row)}`);
  io.write(lines.map((line) => `${printable(line)}\n`).join(''));
  return DONE;
}

async function record(flags: LiveFlags, io: Io, ways: LiveWays): Promise<number> {
  const { pid, seconds, bufferKib, follow } = wantedOf(flags);
  const tracefs = findTracefs(flags.tracefs);
  const audit = new Audit({ kernel: thisKernel(), ...ways.audit });
  const summaries = follow === null ? null : new Summaries(follow, io);
  const copy = flags.record === undefined ? null : new Copy(flags.record);
  const text = new LiveText(audit);
  const sink: LiveSink = {
    begin(start) {
      text.ownNumbers = start.sameNumbers;
      const head = `# memtype audit --live: kernel ${release()}, clock ${start.clock}\n`;
      this.take(Buffer.from(head));
      io.error(beginWords(start));
    },
    take(bytes) {
      copy?.put(bytes);
      text.push(bytes);
    },
    tick(now) {
      if (summaries?.isDue(now) === true) {
        text.flush();
        summaries.print(() => audit.result(), now);
      }
      return io.isAbandoned?.() !== true;
    },
  };
  const { directories } = ways;
  const options = { tracefs, pid, bufferKib, seconds };
  let result: LiveResult;
  try {
    result = await recordLive(
      directories === undefined ? options : { ...options, directories },
      sink,
    );
  } finally {
    copy?.close();
  }
  text.end();
  const { events } = audit.result();
  io.error(endWords(result, events));
  return await (ways.report ?? plainReport)({ audit, tally: text.tally, result }, io);
}

function script(flags: LiveFlags, io: Io): number {
  const { pid, seconds, bufferKib } = wantedOf(flags);
  const { tracefs = '/sys/kernel/tracing', record: file = null } = flags;
  io.write(liveScript({ tracefs, pid, bufferKib, seconds, record: file }));
  return DONE;
}

/**
 * `memtype audit --live`: records what KVM does to its page tables, in a trace instance of its own that is gone
 * afterwards.
 *
 * @returns the exit code: that of the report; 2 for wrong usage or a file that cannot be written; 3 when nothing
 *   can be recorded here, and what to do about it is said
 */
export async function runAuditLive(flags: LiveFlags, io: Io, ways: LiveWays = {}): Promise<number> {
  try {
    if (flags['print-commands'] === true) return script(flags, io);
    return await record(flags, io, ways);
  } catch (error) {
    if (error instanceof InputError) {
      complainTo(io, error.diagnostics);
      return USAGE;
    }
    if (!(error instanceof LiveRefusal)) throw error;
    const { message, help } = error;
    complainTo(io, [{ severity: 'error', message, help }]);
    return PRIVILEGES_MISSING;
  }
}
