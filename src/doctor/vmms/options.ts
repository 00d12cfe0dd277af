import { parseAmount } from '../../facts/layout.ts';
import type { VmmName } from '../vms/vm-facts.ts';
import type { QemuOptions } from './qemu.ts';

/** A piece of guest RAM that the VMM was told to make. */
export interface MemoryBackend {
  /** "ram" (anonymous), "file", "memfd", "shm", ...: QEMU's words, which the other readers use too. */
  readonly kind: string;
  readonly id: string | null;
  /** Bytes. */
  readonly size: number | null;
  readonly path: string | null;
  readonly hugetlb: boolean;
}

/** A virtio GPU among the devices. */
export interface VirtualGpu {
  readonly driver: string;
  /** Blob resources: without them there is no host memory to map. */
  readonly blob: boolean;
  /** Size of the window for host blobs, bytes; null without one, or where it is not known. */
  readonly hostmem: number | null;
}

/**
 * How host blobs of a virtio GPU reach the guest.
 *
 * - `none`: no device that maps any
 * - `slot-per-blob`: each blob is a memslot of its own, made when the guest maps it
 * - `one-slot`: one memslot is the window, and blobs are mapped into it with MAP_FIXED
 * - `either`: the version of the VMM and of its renderer decide
 */
export type BlobSlots = 'none' | 'slot-per-blob' | 'one-slot' | 'either';

/**
 * Whether the VMM asks KVM to honour the guest PAT (disables KVM_X86_QUIRK_IGNORE_GUEST_PAT).
 *
 * - `on`, `off`, `auto`: it was told so
 * - `default`: it was told nothing; a VMM that has the switch leaves it off then
 * - `never`: the versions that were read have no switch
 */
export type GuestPatSwitch = 'on' | 'off' | 'auto' | 'default' | 'never';

/** What a VMM was told, as far as it bears on memory types: one shape for all of them. */
export interface VmmOptions {
  readonly vmm: VmmName;
  /** Guest RAM in bytes; null: not told here. */
  readonly ram: number | null;
  /** `ram` was told; else it is the VMM's default. */
  readonly ramGiven: boolean;
  /** All RAM is in the backends. */
  readonly ramFromBackends: boolean;
  readonly backends: readonly MemoryBackend[];
  /** Directory or file that RAM lies in. */
  readonly memPath: string | null;
  readonly gpus: readonly VirtualGpu[];
  /** Null: not known. */
  readonly blobs: BlobSlots | null;
  /** Assigned devices as named: a PCI address, a sysfs path, or "by descriptor". */
  readonly vfio: readonly string[];
  /** Who sets the guest's MTRRs first: a firmware, or (`direct`) the VMM itself. */
  readonly firmware: 'OVMF' | 'SeaBIOS' | 'direct' | 'another' | null;
  readonly accel: string | null;
  readonly guestPat: GuestPatSwitch;
  /** Why `guestPat` is what it is, for people. */
  readonly guestPatWhy: string;
  readonly confidential: 'tdx' | 'snp' | 'sev' | null;
  /** What bears on this and stands where doctor does not look: "the file of --config-file". */
  readonly unread: readonly string[];
  /** More, of a QEMU. */
  readonly qemu: QemuOptions | null;
}

/** The guest can have host memory mapped: a virtio GPU with blobs, and a window to put them in. */
export function mapsHostBlobs(options: VmmOptions | null): boolean {
  return options !== null && options.blobs !== null && options.blobs !== 'none';
}

const MIB = 2 ** 20;

/** A size; a bare number counts in `unit` bytes. Null for what is no size. */
export function sizeOf(text: string | undefined, unit: number): number | null {
  if (text === undefined) return null;
  const bytes = parseAmount(text);
  if (bytes === null) return null;
  return /^\d+$/.test(text) ? bytes * unit : bytes;
}

/** Of a size in MiB. */
export function mibOf(text: string | null | undefined): number | null {
  return typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) * MIB : null;
}

export function isOn(value: string | undefined): boolean {
  return value === 'on' || value === 'true' || value === 'yes';
}

/**
 * "key=value,key=value,flag" as crosvm and cloud-hypervisor read it: quotes and square brackets keep
 * commas together; the first word without "=" goes under the key ''.
 */
export function keyValues(text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const [i, part] of splitCommas(text).entries()) {
    const equals = part.indexOf('=');
    if (equals >= 0) options.set(part.slice(0, equals), unquoted(part.slice(equals + 1)));
    else options.set(i === 0 ? '' : part, i === 0 ? unquoted(part) : 'true');
  }
  return options;
}

function splitCommas(text: string): readonly string[] {
  const parts: string[] = [''];
  let quote = '';
  let depth = 0;
  for (const c of text) {
    if (quote === '' && depth === 0 && c === ',') {
      parts.push('');
      continue;
    }
    if (c === quote) quote = '';
    else if (quote === '' && (c === '"' || c === "'")) quote = c;
    else if (quote === '' && c === '[') depth += 1;
    else if (quote === '' && c === ']') depth = Math.max(0, depth - 1);
    parts[parts.length - 1] += c;
  }
  return parts.filter((part) => part !== '');
}

function unquoted(text: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(text);
  return quoted?.[2] ?? text;
}

/** Words of an option: "--name value", "--name=value"; an option may stand several times. */
export class LongOptions {
  readonly #argv: readonly string[];

  constructor(argv: readonly string[]) {
    this.#argv = argv;
  }

  /**
   * Every value given to one of the names, in order.
   *
   * @param many the option takes every word up to the next option ("--device path=a path=b")
   */
  all(names: readonly string[], many = false): readonly string[] {
    return this.#argv.flatMap((word, i) => {
      if (i === 0) return [];
      if (names.includes(word)) return this.#after(i, many);
      const equals = word.indexOf('=');
      return equals > 0 && names.includes(word.slice(0, equals)) ? [word.slice(equals + 1)] : [];
    });
  }

  last(...names: readonly string[]): string | null {
    return this.all(names).at(-1) ?? null;
  }

  has(...names: readonly string[]): boolean {
    return this.#argv.some((word, i) => i > 0 && names.includes(word.split('=')[0] ?? ''));
  }

  #after(i: number, many: boolean): readonly string[] {
    const rest = this.#argv.slice(i + 1);
    const end = rest.findIndex((word) => word.startsWith('-'));
    const values = end < 0 ? rest : rest.slice(0, end);
    return many ? values : values.slice(0, 1);
  }
}
