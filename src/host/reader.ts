import type {
  BytesReading,
  LinkReading,
  LinksReading,
  ListReading,
  NumberReading,
  TextReading,
  Uname,
} from '../doctor/reading.ts';

/**
 * The one way in which doctor looks at a host. The live machine is one implementation; a snapshot can be
 * another. Nothing here writes, and no call throws: a refusal is a value.
 */
export interface HostReader {
  readonly uname: () => Uname;
  /** The text of a file, cut at `limit` bytes; invalid UTF-8 becomes U+FFFD. */
  readonly readText: (path: string, limit?: number) => Promise<TextReading>;
  /** Up to `length` bytes from `offset` (for an MSR device: the MSR's number). */
  readonly readAt: (path: string, offset: number, length: number) => Promise<BytesReading>;
  readonly list: (directory: string) => Promise<ListReading>;
  readonly link: (path: string) => Promise<LinkReading>;
  /** Every symbolic link in a directory. */
  readonly links: (directory: string) => Promise<LinksReading>;
  /** The messages of the kernel's ring buffer, one a line, without prefix. */
  readonly kernelLog: () => Promise<TextReading>;
  /** KVM_GET_API_VERSION of /dev/kvm. */
  readonly kvmApiVersion: () => Promise<NumberReading>;
  /** KVM_CHECK_EXTENSION on /dev/kvm itself: nothing is created. */
  readonly kvmExtension: (capability: number) => Promise<NumberReading>;
  readonly close: () => void;
}
