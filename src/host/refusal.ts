import type { Refusal } from '../doctor/reading.ts';

const REASON: Readonly<Record<string, Refusal['reason']>> = {
  ENOENT: 'absent',
  ENOTDIR: 'absent',
  ENODEV: 'absent',
  ENXIO: 'absent',
  /** A process that ended while its files were open. */
  ESRCH: 'absent',
  EACCES: 'denied',
  EPERM: 'denied',
};

/** An errno name as the reason of a refusal. */
export function refusalOf(code: string): Refusal {
  return { ok: false, reason: REASON[code] ?? 'error', detail: code };
}
