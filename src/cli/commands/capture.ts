import { writeFileSync } from 'node:fs';
import { InputError, printable } from '../../base/diagnostic.ts';
import { captureJson } from '../../doctor/capture/capture-file.ts';
import { MASKED, reduce } from '../../doctor/capture/mask.ts';
import { listedAs, READS } from '../../doctor/capture/reads.ts';
import { refused } from '../../doctor/fact.ts';
import type { Capture, Refusal } from '../../doctor/reading.ts';
import { complainTo, type Io } from '../io.ts';
import { type LiveOptions, takeLive } from '../take-live.ts';
import { captureScript, packageVersion } from '../version.ts';

export interface CaptureOptions extends LiveOptions {
  /** File to write; standard output without. */
  readonly output?: string | undefined;
  /** Print the shell script. */
  readonly script: boolean;
}

const DONE = 0;
const USAGE = 2;
const PRIVILEGES_MISSING = 3;

// ---- what was read, for people ----------------------------------------------------------------

interface Asked {
  readonly path: string;
  readonly refusal: Refusal | null;
}

/** Everything that was asked for, by path. */
function askedOf(capture: Capture): readonly Asked[] {
  const of = (map: ReadonlyMap<string, { readonly ok: true } | Refusal>): Asked[] =>
    [...map].map(([key, reading]) => ({
      path: key.split(' ')[0] ?? key,
      refusal: reading.ok ? null : reading,
    }));
  const { texts, lists, links, linkLists, bytes, kvm, log } = capture;
  const answers = of(new Map([...kvm].map(([key, reading]) => [`/dev/kvm ${key}`, reading])));
  const files = [texts, lists, links, linkLists, bytes].flatMap((map) => of(map));
  return [...files, ...answers, { path: '/dev/kmsg', refusal: log.ok ? null : log }];
}

function times(count: number): string {
  return count === 1 ? '' : ` (${count} times)`;
}

/** One line for each kind of file that was refused, and who may read it. */
function refusalLines(asked: readonly Asked[]): readonly string[] {
  const groups = new Map<string, number>();
  for (const { path, refusal } of asked) {
    if (refusal === null || refusal.reason === 'absent' || refusal.reason === 'not read') continue;
    const listed = listedAs(path) ?? path;
    const usual = READS.find((read) => read.path === listed)?.needs ?? 'root';
    const needs = usual === 'anybody' ? 'root (here it is closed to others)' : usual;
    const { why } = refused(listed, refusal, {});
    const who = refusal.reason === 'denied' ? `; may read it: ${needs}` : '';
    const line = `${printable(why)}${who}`;
    groups.set(line, (groups.get(line) ?? 0) + 1);
  }
  return [...groups].map(([line, count]) => `  ${line}${times(count)}`);
}

/** What was read, what was not and with which privilege it would be, and what was masked. */
function account(capture: Capture): string {
  const asked = askedOf(capture);
  const absent = asked.filter(({ refusal }) => refusal?.reason === 'absent').length;
  const read = asked.filter(({ refusal }) => refusal === null).length;
  const lines = refusalLines(asked);
  return [
    `read: ${read} files, links and directories; not there: ${absent}`,
    lines.length === 0 ? 'refused: nothing' : 'refused:',
    ...lines,
    'masked:',
    ...MASKED.map((what) => `  ${what}`),
    '',
  ].join('\n');
}

function isWithheld(capture: Capture): boolean {
  const reasons = askedOf(capture).map(({ refusal }) => refusal?.reason);
  return reasons.some((reason) => reason === 'denied' || reason === 'timeout');
}

// ---- the command ------------------------------------------------------------------------------

/** @returns whether it could be written */
function put(text: string, output: string | undefined, io: Io): boolean {
  if (output === undefined) {
    io.write(text);
    return true;
  }
  try {
    writeFileSync(output, text, { mode: 0o600 });
    return true;
  } catch (error) {
    const { message } = error as Error;
    io.error(`error: cannot write ${printable(output)}: ${printable(message)}\n`);
    return false;
  }
}

/**
 * `memtype capture`: everything doctor reads, masked, as one file.
 *
 * @returns the exit code: 0; 2 for wrong usage or a file that cannot be written; 3 when something was
 *   refused that another user would have read: the file says less than it could
 */
export async function runCapture(options: CaptureOptions, io: Io): Promise<number> {
  if (options.script) return put(captureScript(), options.output, io) ? DONE : USAGE;
  try {
    return await take(options, io);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return USAGE;
  }
}

async function take(options: CaptureOptions, io: Io): Promise<number> {
  const unmasked = await takeLive(options);
  const tool = `memtype ${packageVersion()}`;
  const text = captureJson(reduce(unmasked), { tool, by: 'node', masked: MASKED });
  if (!put(text, options.output, io)) return USAGE;
  io.error(account(unmasked));
  if (options.output !== undefined) io.error(`written: ${printable(options.output)}\n`);
  return isWithheld(unmasked) ? PRIVILEGES_MISSING : DONE;
}
