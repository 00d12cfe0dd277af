import type { Refusal } from './reading.ts';

/** Something doctor wants to know of the host: its value and where it came from, or why not. */
export type Fact<T> = Known<T> | Unknown;

export interface Known<T> {
  readonly known: true;
  readonly value: T;
  /** Where the value came from, as a reader can check it. */
  readonly from: string;
}

export interface Unknown {
  readonly known: false;
  readonly why: string;
  /** Which privilege or which other way would tell. */
  readonly remedy: string;
}

export function known<T>(value: T, from: string): Known<T> {
  return { known: true, value, from };
}

export function unknown(why: string, remedy: string): Unknown {
  return { known: false, why, remedy };
}

/** The value, when it is known. */
export function ifKnown<T>(fact: Fact<T>): T | null {
  return fact.known ? fact.value : null;
}

/** A refused reading as an unknown. `remedies` says what a refusal means for this file. */
export function refused(
  what: string,
  refusal: Refusal,
  remedies: Partial<Record<Refusal['reason'], string>>,
): Unknown {
  return unknown(
    `${what}: ${REASONS[refusal.reason]}${refusal.detail === '' ? '' : ` (${refusal.detail})`}`,
    remedies[refusal.reason] ?? REMEDIES[refusal.reason],
  );
}

const REASONS: Readonly<Record<Refusal['reason'], string>> = {
  absent: 'not there',
  denied: 'permission denied',
  timeout: 'the read did not return in time',
  error: 'the read failed',
  'not read': 'not read',
};

const REMEDIES: Readonly<Record<Refusal['reason'], string>> = {
  absent: 'nothing: this kernel does not offer it',
  denied: 'run doctor as root',
  timeout: 'run doctor again when the process is not stuck',
  error: 'see the message',
  'not read': 'nothing: another answer made it needless, or the file does not hold it',
};
