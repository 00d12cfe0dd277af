import { processOf } from '../../host/vmm-threads.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { LINE_MAX, type ScanTally, TextScanner } from '../../trace/scan.ts';

const LINE_FEED = 10;
/** Threads whose process is kept; when there are more it begins anew. */
const THREADS_MAX = 1 << 16;

/** The text of a recording on its way into an audit; numbers of lines count from its begin. */
export class LiveText {
  /** The trace has the numbers of processes that /proc has. */
  ownNumbers = false;
  readonly #scanner: TextScanner;
  readonly #processes = new Map<number, number>();
  #rest = new Uint8Array(0);

  constructor(take: (batch: EventBatch) => void) {
    this.#scanner = new TextScanner({
      emit: (batch) => {
        this.#tellProcesses(batch);
        take(batch);
        return batch;
      },
    });
  }

  push(bytes: Uint8Array): void {
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    if (end > 0) {
      if (this.#rest.length > 0) this.#scanner.push(this.#rest);
      this.#scanner.push(bytes.subarray(0, end));
      this.#rest = bytes.slice(end);
    } else if (this.#rest.length < LINE_MAX) this.#rest = Buffer.concat([this.#rest, bytes]);
    else {
      // No line of a kernel: the scanner says so.
      this.#scanner.push(this.#rest);
      this.#rest = bytes.slice();
    }
  }

  /** Hands the audit all whole lines. */
  flush(): void {
    // No line is begun: it hands over what it holds, and goes on.
    this.#scanner.end();
  }

  end(): void {
    this.#scanner.push(this.#rest);
    this.#rest = new Uint8Array(0);
    this.#scanner.end();
  }

  get tally(): ScanTally {
    return this.#scanner.tally;
  }

  /**
   * The kernel learns the process of a thread when it is scheduled in; before that a line has "(-------)", and
   * would be of no VM.
   */
  #tellProcesses({ count, tid, tgid }: EventBatch): void {
    const known = this.#processes;
    let untold = 0;
    for (let i = 0; i < count; i += 1) {
      const thread = tid[i] ?? -1;
      const process = tgid[i] ?? -1;
      if (process < 0) untold += 1;
      else if (known.get(thread) !== process) this.#know(thread, process);
    }
    for (let i = 0; i < count && untold > 0; i += 1) {
      const thread = tid[i] ?? -1;
      if (thread <= 0 || (tgid[i] ?? -1) >= 0) continue;
      const found = known.get(thread) ?? (this.ownNumbers ? processOf(thread) : -1);
      if (found < 0) continue;
      this.#know(thread, found);
      tgid[i] = found;
    }
  }

  #know(thread: number, process: number): void {
    if (this.#processes.size >= THREADS_MAX) this.#processes.clear();
    this.#processes.set(thread, process);
  }
}
