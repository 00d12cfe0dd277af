import { cpus, release } from 'node:os';
import type { AuditResult } from '../../audit/audit.ts';
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
import { pagingHere } from '../../host/vmm-threads.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { count } from '../../report/doctor-words.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { type PagesHere, pagesHere } from '../audit/host-side.ts';
import { damageOf, type ReadTrace } from '../audit/input.ts';
import { Copy, Lines, Summaries } from '../audit/live-sinks.ts';
import { LiveText } from '../audit/live-text.ts';
import { readPredictFacts } from '../audit/predict-files.ts';
import { complainTo, type Io } from '../io.ts';
import { type AuditFlags, runAudit } from './audit.ts';

export interface LiveFlags {
  readonly live: boolean;
  readonly follow?: string | undefined;
  readonly pid?: string | undefined;
  readonly seconds?: string | undefined;
  readonly record?: string | undefined;
  readonly tracefs?: string | undefined;
  readonly buffer?: string | undefined;
  readonly 'print-commands': boolean;
}

const DONE = 0;
const USAGE = 2;
const PRIVILEGES_MISSING = 3;

const FOLLOW_SECONDS = 5;
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

/** As --kernel takes it; undefined: a name that tells nothing. */
function thisKernel(): string | undefined {
  try {
    return parseKernelVersion(release()).text;
  } catch {
    return undefined;
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
    `recording ${count(events.length, 'event')} in ${instance}, clock ${clock}; Ctrl-C ends it`,
    'note: only changes are seen; what was mapped before is not in it',
    ...(missing.length === 0 ? [] : [`not on this kernel: ${short(missing).join(' ')}`]),
    ...(unset.length === 0 ? [] : [`could not be set: ${unset.join(' ')}`]),
    ...left.map((path) => `left behind by a killed memtype: rmdir ${printable(path)}`),
    '',
  ].join('\n');
}

function endWords({ end, seconds, overruns, left }: LiveResult, events: number): string {
  return [
    `${ENDS[end]}: ${count(events, 'event')} in ${seconds.toFixed(1)} s`,
    ...(overruns === null || overruns === 0
      ? []
      : [
          `warning: ${count(overruns, 'event')} lost, the buffers were full: give a larger --buffer`,
        ]),
    ...(left === null ? [] : [`warning: it is in use and stays behind: rmdir ${printable(left)}`]),
    ...(events === 0 ? ['no VM changed its page tables meanwhile'] : []),
    '',
  ].join('\n');
}

/** Where --follow writes: what is no text must not have it in between. */
function followIo({ format }: AuditFlags, io: Io): Io {
  return format === 'text' ? io : { write: io.error, error: io.error };
}

/** What was said of this machine and is otherwise; a KVM that was changed may be meant. */
function contradictions({ kernel, paging, predict }: AuditFlags): readonly string[] {
  const own = thisKernel();
  const mode = pagingHere();
  const facts = predict === undefined ? null : readPredictFacts(predict);
  const kernels = [
    { by: '--kernel', said: kernel === undefined ? undefined : parseKernelVersion(kernel).text },
    { by: '--predict', said: facts?.kernel?.text },
  ];
  return [
    ...kernels
      .filter(({ said }) => said !== undefined && own !== undefined && said !== own)
      .map(({ by, said }) => `${by} says Linux ${said}, and this machine runs ${release()}`),
    ...(paging === undefined || mode === null || paging === mode
      ? []
      : [`--paging says ${paging}, and KVM of this machine uses ${mode}`]),
  ];
}

interface Live {
  readonly flags: AuditFlags & LiveFlags;
  readonly io: Io;
  readonly directories: Directories | undefined;
  /** Frames are looked up while it is recorded. */
  readonly hasPages: boolean;
}

/** Records a trace, as another would read one. */
async function record(
  { flags, io, directories, hasPages }: Live,
  take: (batch: EventBatch) => void,
  soFar: () => AuditResult,
): Promise<ReadTrace> {
  const { follow, ...wanted } = wantedOf(flags);
  const tracefs = findTracefs(flags.tracefs);
  const summaries = follow === null ? null : new Summaries(follow, followIo(flags, io));
  const copy = flags.record === undefined ? null : new Copy(flags.record);
  const lines = new Lines(copy?.isFile === true ? flags.record : undefined);
  const text = new LiveText(take);
  let about: readonly string[] = [];
  const put = (bytes: Uint8Array): void => {
    copy?.put(bytes);
    lines.put(bytes);
    text.push(bytes);
  };
  const sink: LiveSink = {
    begin(start) {
      text.ownNumbers = start.sameNumbers;
      const pageWords = hasPages
        ? []
        : ['/proc/kpageflags cannot be read: frames are not looked up'];
      const warnings = contradictions(flags);
      about = [`recorded live on ${release()}, clock ${start.clock}`, ...pageWords, ...warnings];
      put(Buffer.from(`# memtype audit --live: kernel ${release()}, clock ${start.clock}\n`));
      io.error(beginWords(start));
      for (const warning of warnings) io.error(`warning: ${warning}\n`);
    },
    take: put,
    tick(now) {
      // What a frame is has to be asked while it is the guest's.
      if (hasPages) text.flush();
      if (summaries?.isDue(now) === true) {
        text.flush();
        summaries.print(soFar, now);
      }
      return io.isAbandoned?.() !== true;
    },
  };
  const where = directories === undefined ? { tracefs } : { tracefs, directories };
  let result: LiveResult;
  try {
    result = await recordLive({ ...wanted, ...where }, sink);
  } finally {
    copy?.close();
  }
  text.end();
  const { tally } = text;
  io.error(endWords(result, soFar().events));
  return {
    source: {
      file: flags.record ?? LIVE_NAME,
      form: 'text',
      unit: 'line',
      bytes: tally.bytes,
      lines: tally.lines,
      about,
      damaged: damageOf(tally),
    },
    textOf: (asked) => lines.textOf(asked.map(({ place }) => place)),
    close: () => {},
  };
}

const LIVE_NAME = 'live';
/** Of a tracefs that a test made: its frames are not of this machine. */
const NO_PAGES: PagesHere = { pages: null, close: () => {} };

function script(flags: LiveFlags, io: Io): number {
  const { pid, seconds, bufferKib } = wantedOf(flags);
  const { tracefs = '/sys/kernel/tracing', record: file = null } = flags;
  io.write(liveScript({ tracefs, pid, bufferKib, seconds, record: file }));
  return DONE;
}

async function run(files: readonly string[], live: Live): Promise<number> {
  const { flags, io } = live;
  if (files.length > 0)
    refuse('--live records, and reads no file', 'leave out the file, or the flags of --live');
  if (flags['print-commands']) return script(flags, io);
  if (!flags.live)
    refuse('this is an option of a live recording', 'add --live; without it a trace is read');
  const kernel = flags.kernel ?? thisKernel();
  const paging = flags.paging ?? pagingHere();
  const all = {
    ...flags,
    ...(kernel === undefined ? {} : { kernel }),
    ...(paging === null ? {} : { paging }),
  };
  const here = live.directories === undefined ? await pagesHere() : NO_PAGES;
  try {
    return await runAudit(
      [flags.record ?? LIVE_NAME],
      all,
      io,
      (_, take, soFar) => record({ ...live, hasPages: here.pages !== null }, take, soFar),
      here.pages,
    );
  } finally {
    here.close();
  }
}

/**
 * `memtype audit --live`: records what KVM does to its page tables, in a trace instance of its own that is gone
 * afterwards, and audits it.
 *
 * @param directories how a tracefs makes instances, for tests
 * @returns the exit code of the audit; 2 for wrong usage or a file that cannot be written; 3 also when nothing
 *   can be recorded here, and what to do about it is said
 */
export async function runAuditLive(
  files: readonly string[],
  flags: AuditFlags & LiveFlags,
  io: Io,
  directories?: Directories,
): Promise<number> {
  try {
    return await run(files, { flags, io, directories, hasPages: false });
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
