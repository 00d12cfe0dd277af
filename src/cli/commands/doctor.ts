import { InputError, printable, renderDiagnostic } from '../../base/diagnostic.ts';
import { diagnose, doctorExitCode } from '../../doctor/diagnose.ts';
import { gather } from '../../doctor/gather.ts';
import type { Capture } from '../../doctor/reading.ts';
import { countVms } from '../../doctor/vmm.ts';
import { collect } from '../../host/collect.ts';
import { liveHost } from '../../host/live.ts';
import { doctorJson } from '../../report/doctor-json.ts';
import { doctorText } from '../../report/doctor-text.ts';
import { readTrace } from '../trace-file.ts';

export interface DoctorOptions {
  readonly format: 'text' | 'json';
  /** Look at this process only. */
  readonly pid?: string | undefined;
  /** A file with a trace of KVM's page-table events. */
  readonly trace?: string | undefined;
}

const LARGEST_PID = 2 ** 22;
const USAGE = 2;

/** Decimal digits and nothing else; null for what is no process number. */
function pidOf(word: string): number | null {
  const pid = /^[1-9]\d{0,6}$/.test(word) ? Number(word) : null;
  return pid !== null && pid <= LARGEST_PID ? pid : null;
}

/** Why the process that was named is not one to look at; null when it is. */
function wrongProcess(capture: Capture): string | null {
  const { pid } = capture;
  const links = pid === null ? undefined : capture.linkLists.get(`/proc/${pid}/fd`);
  if (links === undefined) return null;
  if (!links.ok) return links.reason === 'absent' ? `there is no process ${pid} to be seen` : null;
  return countVms(links.links) === 0 ? `process ${pid} runs no VM (no kvm-vm descriptor)` : null;
}

/** The reduced trace; null: none was given; undefined: it cannot be used, which has been said. */
async function givenTrace(
  path: string | undefined,
  io: { error(text: string): void },
): Promise<string | null | undefined> {
  if (path === undefined) return null;
  try {
    return await readTrace(path);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    io.error(`${error.diagnostics.map(renderDiagnostic).join('\n')}\n`);
    return undefined;
  }
}

/**
 * `memtype doctor`: what the guests on this machine get, whether it is coherent, and the fix.
 *
 * @returns the exit code: see `doctorExitCode`; 2 when `pid` names no process with a VM
 */
export async function runDoctor(
  options: DoctorOptions,
  io: { write(text: string): void; error(text: string): void },
): Promise<number> {
  const named = options.pid ?? null;
  const pid = named === null ? null : pidOf(named);
  if (named !== null && pid === null) {
    io.error(`error: not a process number: ${printable(named)}\n  help: give the PID of a VMM\n`);
    return USAGE;
  }
  const trace = await givenTrace(options.trace, io);
  if (trace === undefined) return USAGE;
  const host = liveHost();
  try {
    const capture = await collect(host, pid, trace);
    const wrong = wrongProcess(capture);
    if (wrong !== null) {
      io.error(`error: ${wrong}\n  help: leave out --pid to look at every process\n`);
      return USAGE;
    }
    const diagnosis = diagnose(gather(capture));
    const json = (): string => `${JSON.stringify(doctorJson(diagnosis), null, 2)}\n`;
    io.write(options.format === 'json' ? json() : doctorText(diagnosis));
    return doctorExitCode(diagnosis);
  } finally {
    host.close();
  }
}
