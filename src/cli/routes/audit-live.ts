import { optionalWord, word } from '../route.ts';

function toggle(brief: string) {
  return { kind: 'boolean', default: false, withNegated: false, brief } as const;
}

/** The flags of a live recording. */
export const LIVE_FLAGS = {
  live: toggle('record on this machine, as root, until Ctrl-C'),
  follow: {
    kind: 'parsed',
    parse: word,
    optional: true,
    inferEmpty: true,
    placeholder: 'seconds',
    brief: 'with --live: what has changed, every so many seconds (5)',
  },
  pid: optionalWord('with --live: only the VM of this process', 'pid'),
  seconds: optionalWord('with --live: end after so many', 'number'),
  record: optionalWord('with --live: keep the trace in this file, too', 'file'),
  tracefs: optionalWord('with --live: where tracefs is mounted', 'directory'),
  buffer: optionalWord('with --live: the buffer of each CPU', 'KiB'),
  'print-commands': toggle('print what --live does, as a POSIX shell script'),
} as const;

/** Whether one of them is given: files are then not read. */
export function isLive(flags: object): boolean {
  return Object.entries(flags).some(
    ([name, value]) => Object.hasOwn(LIVE_FLAGS, name) && value !== undefined && value !== false,
  );
}
