import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Refusal } from '../doctor/reading.ts';
import { HELPER_SOURCE, type HelperAnswer, type HelperRequest } from './helper.ts';

type Outcome = { readonly ok: true; readonly answer: HelperAnswer } | Refusal;

/** After so many reads that never returned, none is tried any more. */
const PATIENCE = 5;

function startHelper(): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--eval', HELPER_SOURCE], { env: {}, cwd: '/' });
}

function wordOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code ?? message ?? String(error);
}

/**
 * Reads files in a process of its own, one after the other, each with a deadline.
 *
 * A read under /proc/PID waits for the locks of that process. When it is stuck in the kernel, the reader
 * sleeps with it, and a thread of ours could then be neither ended nor left behind: even exiting waits
 * for it. A child process can be.
 */
export class PatientReader {
  readonly #deadline: number;
  readonly #start: () => ChildProcessWithoutNullStreams;
  #child: ChildProcessWithoutNullStreams | null = null;
  #received = '';
  #settle: ((outcome: Outcome) => void) | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #lost = 0;

  /** @param deadline milliseconds for one read */
  constructor(deadline: number, start: () => ChildProcessWithoutNullStreams = startHelper) {
    this.#deadline = deadline;
    this.#start = start;
  }

  ask(request: HelperRequest): Promise<Outcome> {
    const outcome = this.#queue.then(() => this.#askNow(request));
    this.#queue = outcome;
    return outcome;
  }

  close(): void {
    this.#drop();
  }

  #askNow(request: HelperRequest): Promise<Outcome> {
    if (this.#lost >= PATIENCE) {
      const detail = `not tried: ${PATIENCE} reads before it never returned`;
      return Promise.resolve({ ok: false, reason: 'timeout', detail });
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#lost += 1;
        this.#drop();
        finish({ ok: false, reason: 'timeout', detail: `${this.#deadline} ms` });
      }, this.#deadline);
      const finish = (outcome: Outcome): void => {
        clearTimeout(timer);
        this.#settle = null;
        resolve(outcome);
      };
      this.#settle = finish;
      try {
        this.#helper().stdin.write(`${JSON.stringify(request)}\n`);
      } catch (error) {
        const detail = `the reading process did not start: ${wordOf(error)}`;
        finish({ ok: false, reason: 'error', detail });
      }
    });
  }

  #helper(): ChildProcessWithoutNullStreams {
    if (this.#child !== null) return this.#child;
    const child = this.#start();
    // Without descriptors or processes left, there are no streams, and the error comes later.
    child.on('error', () => {});
    if (!child.stdin || !child.stdout || !child.stderr) throw new Error('no pipes to it (EMFILE)');
    this.#child = child;
    this.#received = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => this.#hear(chunk));
    const fail = (detail: string): void => {
      if (this.#child === child) this.#child = null;
      this.#settle?.({ ok: false, reason: 'error', detail });
    };
    child.on('error', (error) => fail(`the reading process did not start: ${error.message}`));
    child.on('exit', () => fail('the reading process ended'));
    child.stdin.on('error', () => {});
    return child;
  }

  #hear(chunk: string): void {
    this.#received += chunk;
    const end = this.#received.indexOf('\n');
    if (end < 0) return;
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    this.#settle?.({ ok: true, answer: JSON.parse(line) as HelperAnswer });
  }

  /** Leaves the helper behind; when it is stuck, it ends as soon as the kernel lets it. */
  #drop(): void {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    child.removeAllListeners('exit');
    child.stdout.destroy();
    child.stderr.destroy();
    child.stdin.destroy();
    child.kill('SIGKILL');
    child.unref();
  }
}
