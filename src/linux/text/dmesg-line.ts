import type { Line } from './common.ts';

/** The prefixes that dmesg, journalctl, syslog and serial consoles put before a message. */
const PREFIXES: readonly RegExp[] = [
  /** Raw priority: `<6>`. */
  /^<\d{1,3}>/,
  /** Priority of `dmesg -x`: `kern  :info  : `. */
  /^(?:kern|user|daemon) *: *[a-z]{3,6} *: /,
  /** Boot time, and the distance that `dmesg -d` adds: `[    0.000000]`, `[ 1.5 < 0.1>]`. */
  /^\[ {0,12}\d{1,12}\.\d{1,9}(?: ?< {0,12}[\d.+]{1,16} ?>)?\]/,
  /** The caller, where CONFIG_PRINTK_CALLER is on: `[    T0]`. */
  /^\[ {0,8}[TC]\d{1,8}\]/,
  /** `dmesg -T`: `[Wed Feb 19 09:05:46 2020]`. */
  /^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]/,
  /** Syslog: `Aug 20 21:58:10 `. */
  /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d /,
  /** `journalctl -o short-iso`, `dmesg --time-format iso`. */
  /^\d{4}-\d\d-\d\dT[\d:.,]{8,16}(?:Z|[+-]\d\d:?\d\d)? /,
  /** The sender, with or without the host before it: `host1 kernel: `. */
  /^(?:[\w.-]{1,64} )?kernel(?:\[\d{1,8}\])?: /,
];

/** More prefixes than any known combination has. */
const PREFIXES_MAX = 6;

function prefixLength(text: string): number {
  for (const prefix of PREFIXES) {
    const match = prefix.exec(text);
    if (match !== null) return match[0].length;
  }
  return 0;
}

/** The message in a line of a kernel log: `text` begins after all prefixes and blanks. */
export function kernelMessage(line: Line): Line {
  let { text, offset } = line;
  for (let i = 0; i < PREFIXES_MAX; i++) {
    const length = prefixLength(text);
    if (length === 0) break;
    const rest = text.slice(length).trimStart();
    offset += text.length - rest.length;
    text = rest;
  }
  return { ...line, text, offset };
}
