import type { Io } from './io.ts';

const PATIENCE_MS = 1000;
const EVERY_MS = 500;

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** How far a long trace is read: "312 MB of 1000 MB, 850 MB/s, 1 s left", for somebody who watches. */
export class TraceProgress {
  readonly #io: Io;
  readonly #size: number | null;
  readonly #now: () => number;
  readonly #start: number;
  #next: number;
  #width = 0;

  /**
   * @param size bytes of the file; null when nobody knows how many will come
   * @param now milliseconds
   */
  constructor(io: Io, size: number | null, now: () => number = () => performance.now()) {
    this.#io = io;
    this.#size = size;
    this.#now = now;
    this.#start = now();
    this.#next = this.#start + PATIENCE_MS;
  }

  /** @param bytes that are done */
  at(bytes: number): void {
    if (this.#io.watched !== true) return;
    const now = this.#now();
    if (now < this.#next) return;
    this.#next = now + EVERY_MS;
    const rate = bytes / ((now - this.#start) / 1000);
    const size = this.#size;
    const mega = (n: number): string => `${(n / 1e6).toFixed(0)} MB`;
    const done = size === null ? mega(bytes) : `${mega(bytes)} of ${mega(size)}`;
    const left = size === null ? '' : `, ${duration(Math.max(0, size - bytes) / rate)} left`;
    this.#show(`${done}, ${mega(rate)}/s${left}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#width > 0) this.#show('');
  }

  #show(text: string): void {
    this.#io.error(`\r${text.padEnd(this.#width)}${text === '' ? '\r' : ''}`);
    this.#width = text.length;
  }
}
