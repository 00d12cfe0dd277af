import type { Refusal, Uname } from '../doctor/reading.ts';
import type { HostReader } from './reader.ts';

/** A host as a plain object. What is not in it is absent. */
export interface HostDescription {
  readonly uname: Uname;
  /** File to text, to `null` (permission denied) or to the name of an errno in an object. */
  readonly files: Readonly<Record<string, DescribedText>>;
  /** Symbolic link to target; the links of a directory are those below it. */
  readonly links: Readonly<Record<string, string>>;
  /** Directories that hold nothing described here, or that refuse. */
  readonly directories?: Readonly<Record<string, readonly string[] | null>>;
  /** "PATH OFFSET" to bytes in hexadecimal. */
  readonly bytes?: Readonly<Record<string, string>>;
  /** What /dev/kvm answers: `api` and extension numbers; null: permission denied; absent: no device. */
  readonly kvm?: Readonly<Record<string, number>> | null;
  /** The kernel log; null: permission denied. */
  readonly log: string | null;
}

export type DescribedText = string | null | { readonly error: string };

const ABSENT: Refusal = { ok: false, reason: 'absent', detail: 'ENOENT' };
const DENIED: Refusal = { ok: false, reason: 'denied', detail: 'EACCES' };

function namesBelow(paths: readonly string[], directory: string): readonly string[] {
  const prefix = `${directory}/`;
  const names = paths
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length).split('/')[0] ?? '');
  return [...new Set(names)];
}

/** Reads the object as if it were a machine. */
export function describedHost(host: HostDescription): HostReader {
  const paths = [...Object.keys(host.files), ...Object.keys(host.links)];
  const listed = (directory: string): readonly string[] | null | undefined => {
    const explicit = host.directories?.[directory];
    if (explicit !== undefined) return explicit;
    const names = namesBelow(paths, directory);
    return names.length === 0 ? undefined : names;
  };
  const answer = (what: string) => {
    if (host.kvm === null) return DENIED;
    const value = host.kvm?.[what];
    return value === undefined ? ABSENT : ({ ok: true, value } as const);
  };
  return {
    uname: () => host.uname,
    async readText(path) {
      const text = host.files[path];
      if (text === undefined) return ABSENT;
      if (text === null) return DENIED;
      if (typeof text === 'string') return { ok: true, text, cut: false };
      return { ok: false, reason: 'error', detail: text.error };
    },
    async readAt(path, offset, length) {
      const hex = host.bytes?.[`${path} ${offset}`];
      return hex === undefined ? ABSENT : { ok: true, hex: hex.slice(0, length * 2) };
    },
    async list(directory) {
      const names = listed(directory);
      if (names === undefined) return ABSENT;
      return names === null ? DENIED : { ok: true, names, cut: false };
    },
    async link(path) {
      const target = host.links[path];
      return target === undefined ? ABSENT : { ok: true, target };
    },
    async links(directory) {
      const names = listed(directory);
      if (names === undefined) return ABSENT;
      if (names === null) return DENIED;
      const links = names.flatMap((name) => {
        const target = host.links[`${directory}/${name}`];
        return target === undefined ? [] : [{ name, target }];
      });
      return { ok: true, links, cut: false };
    },
    async kernelLog() {
      return host.log === null ? DENIED : { ok: true, text: host.log, cut: false };
    },
    kvmApiVersion: async () => answer('api'),
    kvmExtension: async (capability) => answer(String(capability)),
    close: () => {},
  };
}
