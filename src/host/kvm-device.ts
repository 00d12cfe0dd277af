import { closeSync, constants, openSync } from 'node:fs';
import type { NumberReading } from '../doctor/reading.ts';
import { refusalOf } from './refusal.ts';

/** ioctl numbers of the KVM system fd: type 0xAE, no argument structure (include/uapi/linux/kvm.h). */
const KVM_GET_API_VERSION = 0xae00;
const KVM_CHECK_EXTENSION = 0xae03;

type Ioctl = (fd: number, request: number, argument: number) => number;

const NO_KOFFI =
  'the optional package koffi, which makes the ioctl, is not installed or has no build for this system';

async function loadIoctl(): Promise<Ioctl | null> {
  try {
    const { default: koffi } = await import('koffi');
    const ioctl = koffi
      .load(null)
      .func('int ioctl(int fd, unsigned long request, uintptr_t argument)');
    return (fd, request, argument) => ioctl(fd, request, argument) as number;
  } catch {
    return null;
  }
}

/**
 * Asks the KVM system fd. Opening it for writing is what the ioctls demand; only the two that change
 * nothing and create nothing are made.
 */
export async function askKvm(what: 'api' | { readonly extension: number }): Promise<NumberReading> {
  let fd = -1;
  try {
    fd = openSync('/dev/kvm', constants.O_RDWR);
    const ioctl = await loadIoctl();
    if (ioctl === null) return { ok: false, reason: 'error', detail: NO_KOFFI };
    const value =
      what === 'api'
        ? ioctl(fd, KVM_GET_API_VERSION, 0)
        : ioctl(fd, KVM_CHECK_EXTENSION, what.extension);
    if (value < 0) return { ok: false, reason: 'error', detail: 'the ioctl was refused' };
    return { ok: true, value };
  } catch (error) {
    return refusalOf((error as NodeJS.ErrnoException).code ?? String(error));
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
