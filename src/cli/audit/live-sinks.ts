import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import type { AuditResult } from '../../audit/audit.ts';
import { InputError, printable } from '../../base/diagnostic.ts';
import { Follow } from '../../report/audit/follow.ts';
import type { Io } from '../io.ts';
import { KEPT_MAX } from './input.ts';
import { LinePicker } from './trace-lines.ts';

/** A summary takes time; no more than this part of all. */
const SUMMARY_SHARE = 10;

/** A file that the trace goes into as well; made before anything is recorded. */
export class Copy {
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

  /** It can be read again. */
  get isFile(): boolean {
    return fstatSync(this.#fd).isFile();
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

/** After so many seconds without a line a pipe gets one: only then is seen that nobody reads it any more. */
const SILENT_MAX = 30;

/** Prints summaries, never faster than every so many seconds. */
export class Summaries {
  readonly #follow = new Follow();
  readonly #every: number;
  readonly #io: Io;
  #next: number;
  #lines = 0;
  #spoken = 0;

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
      const lines = this.#follow.changes(result(), seconds, seconds - this.#spoken >= SILENT_MAX);
      if (lines.length > 0) {
        this.#io.write(`${lines.join('\n')}\n`);
        this.#spoken = seconds;
      }
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

const PIECE = 1 << 20;

function* piecesOf(path: string): Generator<Uint8Array> {
  const fd = openSync(path, 'r');
  try {
    const piece = new Uint8Array(PIECE);
    for (let n = readSync(fd, piece); n > 0; n = readSync(fd, piece)) yield piece.subarray(0, n);
  } finally {
    closeSync(fd);
  }
}

/** The text that findings point into: of the file it was kept in, or of what is kept of it. */
export class Lines {
  readonly #file: string | undefined;
  readonly #kept: Uint8Array[] = [];
  #size = 0;

  constructor(file: string | undefined) {
    this.#file = file;
  }

  put(bytes: Uint8Array): void {
    this.#size += bytes.length;
    if (this.#file === undefined && this.#size <= KEPT_MAX) this.#kept.push(bytes.slice());
  }

  textOf(places: readonly number[]): readonly (string | null)[] {
    const picker = new LinePicker(new Set(places));
    const pieces = this.#file === undefined ? this.#kept : piecesOf(this.#file);
    for (const piece of places.length === 0 ? [] : pieces) {
      picker.push(piece);
      if (picker.isDone) break;
    }
    return places.map((place) => picker.found.get(place) ?? null);
  }
}
