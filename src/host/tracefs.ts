import { existsSync, readFileSync } from 'node:fs';

/** What keeps a live recording from being made, and what to do: no fault of the input. */
export class LiveRefusal extends Error {
  override name = 'LiveRefusal';
  readonly help: string;

  constructor(message: string, help: string) {
    super(message);
    this.help = help;
  }
}

const STANDARD = '/sys/kernel/tracing';
const MOUNT = `mount -t tracefs tracefs ${STANDARD}`;
const PRIVATE = 'D=$(mktemp -d) && mount -t tracefs tracefs "$D", then --tracefs "$D"';
const NOT_MOUNTED = `as root: ${MOUNT}; or, to leave that directory alone: ${PRIVATE}`;

/** A field of /proc/mounts: blanks and backslashes stand as octal numbers. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Directories with a tracefs, by the text of /proc/mounts: the standard one first, that of debugfs last. */
export function tracefsMounts(mounts: string): readonly string[] {
  const rows = mounts.split('\n').map((line) => line.split(' '));
  const of = (type: string) =>
    rows.filter((row) => row[2] === type).map((row) => unescaped(row[1] ?? ''));
  const own = of('tracefs');
  // debugfs mounts a tracefs there when somebody looks.
  const automatic = of('debugfs').map((path) => `${path}/tracing`);
  const standard = own.filter((path) => path === STANDARD);
  return [...new Set([...standard, ...own, ...automatic])];
}

function isTracefs(directory: string): boolean {
  return existsSync(`${directory}/instances`) && existsSync(`${directory}/events`);
}

/**
 * The tracefs to use.
 *
 * @param named what the user named; undefined: what is mounted
 * @throws LiveRefusal when there is none
 */
export function findTracefs(named?: string, mountsFile = '/proc/mounts'): string {
  if (named !== undefined) {
    const directory = named.length > 1 ? named.replace(/\/+$/, '') : named;
    if (isTracefs(directory)) return directory;
    const why = existsSync(directory)
      ? 'it has no directories "instances" and "events", or you may not look into it'
      : 'there is no such directory';
    throw new LiveRefusal(`no tracefs at ${named}: ${why}`, NOT_MOUNTED);
  }
  let mounts = '';
  try {
    mounts = readFileSync(mountsFile, 'utf8');
  } catch {
    throw new LiveRefusal(
      `cannot read ${mountsFile}, which says where tracefs is`,
      'name the directory with --tracefs',
    );
  }
  const known = tracefsMounts(mounts);
  const found = known.find(isTracefs);
  if (found !== undefined) return found;
  const [first] = known;
  if (first !== undefined && process.geteuid?.() !== 0)
    throw new LiveRefusal(`no tracefs that you may look into (${first})`, 'run it as root');
  throw new LiveRefusal('tracefs is not mounted', NOT_MOUNTED);
}
