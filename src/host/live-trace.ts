import { guard } from './trace-guard.ts';
import { type InstanceOptions, leftBehind, TraceInstance } from './trace-instance.ts';
import { LiveRefusal } from './tracefs.ts';
import { holdsVm, seesTraceNumbers, startOf } from './vmm-threads.ts';

/** Why a recording ended. `told`: what takes the trace wants no more. */
export type LiveEnd = 'signal' | 'seconds' | 'vmm' | 'told';

export interface LiveOptions extends InstanceOptions {
  /** Null: until a signal comes. */
  readonly seconds: number | null;
}

/** What is recorded, and how. */
export interface LiveStart {
  readonly instance: string;
  readonly events: readonly string[];
  readonly missing: readonly string[];
  readonly clock: string;
  readonly unset: readonly string[];
  /** Instances of others that were killed. */
  readonly left: readonly string[];
  /** Numbers of processes in /proc are those of the trace. */
  readonly sameNumbers: boolean;
}

export interface LiveSink {
  readonly begin: (start: LiveStart) => void;
  /** Text of the trace, as it comes; valid until this returns. */
  readonly take: (bytes: Uint8Array) => void;
  /** Called often, also when nothing comes. False: no more is wanted. */
  readonly tick: (seconds: number) => boolean;
}

export interface LiveResult {
  readonly end: LiveEnd;
  readonly seconds: number;
  /** Events lost by full buffers, as the kernel counts them; null: it does not say. */
  readonly overruns: number | null;
  /** The instance, when it could not be taken away; null: nothing is left. */
  readonly left: string | null;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const CHUNK = 1 << 16;
/** Between signals and clocks no more is read than this. */
const TURN_BYTES = 1 << 22;
const SHORT_MS = 5;
const LONG_MS = 50;
const VMM_MS = 250;

/** A sleep that can be ended. */
class Alarm {
  #wake: (() => void) | null = null;
  #rung = false;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  sleep(ms: number): Promise<void> {
    if (this.#rung) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** What ends a recording from outside. */
class Ending {
  readonly alarm = new Alarm();
  why: LiveEnd | null = null;
  readonly #begun = performance.now();
  readonly #seconds: number | null;
  readonly #vmm: { readonly pid: number; readonly start: string | null } | null;
  #asked = 0;

  constructor(seconds: number | null, pid: number | null) {
    this.#seconds = seconds;
    this.#vmm = pid === null ? null : { pid, start: startOf(pid) };
  }

  get seconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  signal(): void {
    this.why ??= 'signal';
    this.alarm.ring();
  }

  look(): void {
    if (this.why !== null) return;
    const { seconds } = this;
    if (this.#seconds !== null && seconds >= this.#seconds) this.why = 'seconds';
    if (this.#vmm === null || seconds * 1000 < this.#asked) return;
    this.#asked = seconds * 1000 + VMM_MS;
    const start = startOf(this.#vmm.pid);
    if (start === null || start !== this.#vmm.start) this.why = 'vmm';
  }

  /** Until there may be more to read, but not past the end. */
  async rest(ms: number): Promise<void> {
    const left = this.#seconds === null ? ms : (this.#seconds - this.seconds) * 1000;
    await this.alarm.sleep(Math.max(0, Math.min(ms, left)));
  }
}

/** @returns whether all there was has been read */
function readTurn(instance: TraceInstance, chunk: Uint8Array, take: LiveSink['take']): number {
  let total = 0;
  while (total < TURN_BYTES) {
    const got = instance.read(chunk);
    if (got === 0) break;
    take(chunk.subarray(0, got));
    total += got;
  }
  return total;
}

async function run(instance: TraceInstance, ending: Ending, sink: LiveSink): Promise<void> {
  const chunk = new Uint8Array(CHUNK);
  let pause = SHORT_MS;
  for (;;) {
    const got = readTurn(instance, chunk, sink.take);
    if (!sink.tick(ending.seconds)) ending.why ??= 'told';
    ending.look();
    if (ending.why !== null) break;
    pause = got > 0 ? SHORT_MS : Math.min(LONG_MS, pause * 2);
    await ending.rest(got >= TURN_BYTES ? 0 : pause);
  }
  instance.stop();
  while (readTurn(instance, chunk, sink.take) > 0);
}

function checkVmm(pid: number | null): void {
  if (pid === null) return;
  if (!seesTraceNumbers())
    throw new LiveRefusal(
      'in this PID namespace processes have other numbers than in a trace',
      'leave out --pid, or run it on the host itself',
    );
  if (startOf(pid) === null)
    throw new LiveRefusal(`there is no process ${pid}`, 'give the PID of a VMM that runs');
  if (holdsVm(pid) === false)
    throw new LiveRefusal(
      `process ${pid} runs no VM (no kvm-vm descriptor)`,
      'give the PID of a VMM, or leave out --pid to record every VM',
    );
}

/**
 * Records KVM's page-table events in a trace instance that is made for it, and is gone when this returns or
 * throws; also when the process is killed.
 *
 * @throws LiveRefusal when it cannot be recorded, and whatever `sink` throws
 */
export async function recordLive(options: LiveOptions, sink: LiveSink): Promise<LiveResult> {
  const { pid, tracefs } = options;
  checkVmm(pid);
  const left = seesTraceNumbers() ? leftBehind(tracefs) : [];
  const ending = new Ending(options.seconds, pid);
  const handlers = SIGNALS.map((signal) => ({ signal, handle: () => ending.signal() }));
  for (const { signal, handle } of handlers) process.on(signal, handle);
  let instance: TraceInstance | null = null;
  let unguard: (() => void) | null = null;
  const atExit = (): void => void instance?.remove();
  process.on('exit', atExit);
  try {
    instance = new TraceInstance(options);
    unguard = guard(instance.path);
    const { path, events, missing, clock, unset } = instance;
    const sameNumbers = seesTraceNumbers();
    sink.begin({ instance: path, events, missing, clock, unset, left, sameNumbers });
    await run(instance, ending, sink);
    const { overruns } = instance;
    const end = ending.why ?? 'told';
    return { end, seconds: ending.seconds, overruns, left: instance.remove() };
  } finally {
    instance?.remove();
    unguard?.();
    process.off('exit', atExit);
    for (const { signal, handle } of handlers) process.off(signal, handle);
  }
}
