import {
  type BytesReading,
  bytesKey,
  type Capture,
  type LinkReading,
  type LinksReading,
  type ListReading,
  NOT_READ,
  type NumberReading,
  type TextReading,
} from '../doctor/reading.ts';
import type { HostReader } from './reader.ts';

/** Reads a host and keeps what came back. What was read once is not read again. */
export class Recorder {
  readonly #reader: HostReader;
  readonly #pid: number | null;
  readonly #texts = new Map<string, TextReading>();
  readonly #lists = new Map<string, ListReading>();
  readonly #links = new Map<string, LinkReading>();
  readonly #linkLists = new Map<string, LinksReading>();
  readonly #bytes = new Map<string, BytesReading>();
  readonly #kvm = new Map<string, NumberReading>();
  #log: TextReading = NOT_READ;

  constructor(reader: HostReader, pid: number | null) {
    this.#reader = reader;
    this.#pid = pid;
  }

  text(path: string): Promise<TextReading> {
    return kept(this.#texts, path, () => this.#reader.readText(path));
  }

  async texts(paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.text(path);
  }

  /** Something that is no file of the host: an answer of a monitor, a trace that was given. */
  keep(key: string, reading: TextReading): void {
    this.#texts.set(key, reading);
  }

  list(path: string): Promise<ListReading> {
    return kept(this.#lists, path, () => this.#reader.list(path));
  }

  /** The names in a directory; none when it cannot be listed. */
  async names(path: string): Promise<readonly string[]> {
    const list = await this.list(path);
    return list.ok ? list.names : [];
  }

  link(path: string): Promise<LinkReading> {
    return kept(this.#links, path, () => this.#reader.link(path));
  }

  links(path: string): Promise<LinksReading> {
    return kept(this.#linkLists, path, () => this.#reader.links(path));
  }

  bytes(path: string, offset: number, length: number): Promise<BytesReading> {
    const key = bytesKey(path, offset, length);
    return kept(this.#bytes, key, () => this.#reader.readAt(path, offset, length));
  }

  async log(): Promise<void> {
    this.#log = await this.#reader.kernelLog();
  }

  async kvm(extensions: readonly number[]): Promise<void> {
    await kept(this.#kvm, 'api', () => this.#reader.kvmApiVersion());
    for (const n of extensions) {
      await kept(this.#kvm, String(n), () => this.#reader.kvmExtension(n));
    }
  }

  /** Everything read so far. */
  get capture(): Capture {
    return {
      uname: this.#reader.uname(),
      pid: this.#pid,
      texts: this.#texts,
      lists: this.#lists,
      links: this.#links,
      linkLists: this.#linkLists,
      bytes: this.#bytes,
      kvm: this.#kvm,
      log: this.#log,
    };
  }
}

async function kept<T>(known: Map<string, T>, key: string, read: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before !== undefined) return before;
  const reading = await read();
  known.set(key, reading);
  return reading;
}
