/** Bits of a page-fault error code, as the CPU and KVM number them. Source: SDM 4.7, kvm/mmutrace.h. */
export const PFERR = {
  PRESENT: 1,
  WRITE: 2,
  USER: 4,
  RSVD: 8,
  FETCH: 16,
} as const;

/** The fault is on the final address, bit 32, or on a table of the guest, bit 33: too high for bit operations. */
export const GUEST_FINAL: number = 2 ** 32;
export const GUEST_PAGE: number = 2 ** 33;

/** What a page may be used for, as KVM keeps it in roles: EXEC, WRITE, USER. Under EPT, USER stands for R. */
export const ACC = { EXEC: 1, WRITE: 2, USER: 4, ALL: 7 } as const;

const NAMES = [
  [PFERR.PRESENT, 'P'],
  [PFERR.WRITE, 'W'],
  [PFERR.USER, 'U'],
  [PFERR.RSVD, 'RSVD'],
  [PFERR.FETCH, 'F'],
] as const;

/** As tracepoints print an error code: "3 P|W", "0 ". */
export function pferrText(code: number): string {
  const names = NAMES.filter(([bit]) => (code & bit) !== 0).map(([, name]) => name);
  return `${code.toString(16)} ${names.join('|')}`;
}

export type AccessKind = 'load' | 'store' | 'fetch';

/** The error code of an access, before anybody looked at a table. */
export function pferrOf(kind: AccessKind, user: boolean): number {
  const bit = kind === 'store' ? PFERR.WRITE : kind === 'fetch' ? PFERR.FETCH : 0;
  return bit | (user ? PFERR.USER : 0);
}

/** A linear address without its sign extension: bits 47:0. */
export function unsigned48(address: number): number {
  return address < 0 ? address + 2 ** 48 : address;
}
