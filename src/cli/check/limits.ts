import { totalmem } from 'node:os';
import { refuse } from '../../base/diagnostic.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };
const BYTES: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** `500000`, `2M`. @throws InputError */
export function countOf(flag: string, text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)([kmg]?)$/i.exec(text) ?? [];
  const count = Number(digits) * (UNITS[unit.toLowerCase()] ?? 1);
  if (digits === '' || count === 0) refuse(`--${flag}: not a number: ${text}`, '500000, 20M, 1G');
  return count;
}

/** `512M`, `4G`; half of what the machine has where nothing is said. @throws InputError */
export function bytesOf(text: string | undefined): number {
  if (text === undefined) return totalmem() / 2;
  const [, digits = '', unit = ''] = /^(\d+)([kmg])$/i.exec(text) ?? [];
  const bytes = Number(digits) * (BYTES[unit.toLowerCase()] ?? 0);
  if (bytes === 0) refuse(`--memory: not a size: ${text}`, '512M, 4G');
  return bytes;
}

const KEEP_EVERY = 30;

/** How often a search is kept, seconds. @throws InputError */
export function secondsOf(text: string | undefined): number {
  if (text === undefined) return KEEP_EVERY;
  if (!/^\d+$/.test(text)) refuse(`--keep-every: not a number of seconds: ${text}`, '30');
  return Number(text);
}
