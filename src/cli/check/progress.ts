import type { Io } from '../io.ts';

const PATIENCE_MS = 1000;
const EVERY_MS = 500;

function millions(n: number): string {
  return `${(n / 1e6).toFixed(1)} M`;
}

/** How far a long search is: "SB: 12.3 M states, 2.1 M open, 1.6 M/s", for somebody who watches. */
export class SearchProgress {
  readonly #io: Io;
  readonly #name: string;
  readonly #start = performance.now();
  #next = this.#start + PATIENCE_MS;
  #width = 0;

  constructor(io: Io, name: string) {
    this.#io = io;
    this.#name = name;
  }

  /** @param found states @param done those whose next states are known */
  at(found: number, done: number): void {
    const now = performance.now();
    if (this.#io.watched !== true || now < this.#next) return;
    this.#next = now + EVERY_MS;
    const rate = (found / (now - this.#start)) * 1000;
    this.#show(
      `${this.#name}: ${millions(found)} states, ${millions(found - done)} open, ${millions(rate)}/s`,
    );
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
