/**
 * What came back when something of the host was read. A refusal is a value: most machines refuse part
 * of what doctor looks for, and a process may be gone before its files are read.
 */
export interface Refusal {
  readonly ok: false;
  /**
   * - `absent`: there is no such file (or the process is gone)
   * - `denied`: it needs another user or a capability
   * - `timeout`: the read did not return in time; it was left behind
   * - `error`: anything else
   * - `not read`: nobody asked for it
   */
  readonly reason: 'absent' | 'denied' | 'timeout' | 'error' | 'not read';
  /** The system's own word, e.g. "EACCES". */
  readonly detail: string;
}

export type TextReading =
  | { readonly ok: true; readonly text: string; readonly cut: boolean }
  | Refusal;
/** Names in a directory, without "." and "..". */
export type ListReading =
  | { readonly ok: true; readonly names: readonly string[]; readonly cut: boolean }
  | Refusal;
export type LinkReading = { readonly ok: true; readonly target: string } | Refusal;
/** Every symbolic link of a directory: of /proc/PID/fd, the open files. */
export type LinksReading =
  | { readonly ok: true; readonly links: readonly NamedLink[]; readonly cut: boolean }
  | Refusal;
/** Bytes as lower-case hexadecimal digits, in the order of the file; fewer at the end of the file. */
export type BytesReading = { readonly ok: true; readonly hex: string } | Refusal;
export type NumberReading = { readonly ok: true; readonly value: number } | Refusal;

export interface NamedLink {
  readonly name: string;
  readonly target: string;
}

/** Of uname(2); the host name is left out. */
export interface Uname {
  readonly sysname: string;
  readonly release: string;
  readonly machine: string;
}

/** Everything that was read of one host, by what was asked. */
export interface Capture {
  readonly uname: Uname;
  /** The only process that was looked at; null: all of them. */
  readonly pid: number | null;
  readonly texts: ReadonlyMap<string, TextReading>;
  readonly lists: ReadonlyMap<string, ListReading>;
  /** Single links by their path. */
  readonly links: ReadonlyMap<string, LinkReading>;
  /** The links of whole directories. */
  readonly linkLists: ReadonlyMap<string, LinksReading>;
  /** By `bytesKey`. */
  readonly bytes: ReadonlyMap<string, BytesReading>;
  /** Answers of the KVM system fd: `api` and extension numbers. */
  readonly kvm: ReadonlyMap<string, NumberReading>;
  readonly log: TextReading;
}

export const NOT_READ: Refusal = { ok: false, reason: 'not read', detail: 'nobody asked for it' };

/** Key of a piece of a binary file. */
export function bytesKey(path: string, offset: number, length: number): string {
  return `${path} ${offset} ${length}`;
}

interface Piece {
  readonly offset: number;
  readonly reading: BytesReading;
}

function piecesOf(bytes: Capture['bytes']): ReadonlyMap<string, Piece[]> {
  const found = new Map<string, Piece[]>();
  for (const [key, reading] of bytes) {
    const [path = '', offset = ''] = key.split(' ');
    const pieces = found.get(path) ?? [];
    pieces.push({ offset: Number(offset), reading });
    found.set(path, pieces);
  }
  for (const pieces of found.values()) pieces.sort((a, b) => a.offset - b.offset);
  return found;
}

/** Looks readings up; what was not asked for is a refusal like any other. */
export class Readings {
  readonly capture: Capture;
  #pieces: ReadonlyMap<string, Piece[]> | null = null;
  constructor(capture: Capture) {
    this.capture = capture;
  }

  text(path: string): TextReading {
    return this.capture.texts.get(path) ?? NOT_READ;
  }

  list(path: string): ListReading {
    return this.capture.lists.get(path) ?? NOT_READ;
  }

  link(path: string): LinkReading {
    return this.capture.links.get(path) ?? NOT_READ;
  }

  links(path: string): LinksReading {
    return this.capture.linkLists.get(path) ?? NOT_READ;
  }

  bytes(path: string, offset: number, length: number): BytesReading {
    return this.capture.bytes.get(bytesKey(path, offset, length)) ?? NOT_READ;
  }

  /** Every piece that was read of a binary file, by ascending offset. */
  pieces(path: string): readonly { readonly offset: number; readonly reading: BytesReading }[] {
    this.#pieces ??= piecesOf(this.capture.bytes);
    return this.#pieces.get(path) ?? [];
  }

  kvm(what: string): NumberReading {
    return this.capture.kvm.get(what) ?? NOT_READ;
  }

  /** The single line of a small file, trimmed; null when there is none. */
  word(path: string): string | null {
    const reading = this.text(path);
    return reading.ok ? reading.text.trim() : null;
  }

  /** The last part of a link's target; null when there is no link. */
  linkName(path: string): string | null {
    const reading = this.link(path);
    return reading.ok ? (reading.target.split('/').at(-1) ?? null) : null;
  }
}
