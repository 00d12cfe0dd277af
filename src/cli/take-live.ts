import { resolve } from 'node:path';
import { printable, refuse } from '../base/diagnostic.ts';
import type { Capture } from '../doctor/reading.ts';
import { countVms } from '../doctor/vms/vmm.ts';
import { collectUnmasked } from '../host/collect.ts';
import { liveHost } from '../host/live.ts';
import { type Monitor, openMonitor } from '../host/monitor.ts';
import type { HostReader } from '../host/reader.ts';
import { readTrace } from './trace-file.ts';

/** What can be said of this machine when it is looked at: the flags of doctor and of capture. */
export interface LiveOptions {
  /** Look at this process only. */
  readonly pid?: string | undefined;
  /** A file with a trace of KVM's page-table events of this machine. */
  readonly trace?: string | undefined;
  /** Unix sockets of QEMU monitors, to be asked. */
  readonly qmp?: readonly string[] | undefined;
}

const LARGEST_PID = 2 ** 22;

/** Decimal digits and nothing else. */
function pidOf(word: string): number {
  const pid = /^[1-9]\d{0,6}$/.test(word) ? Number(word) : null;
  if (pid !== null && pid <= LARGEST_PID) return pid;
  return refuse(`not a process number: ${printable(word)}`, 'give the PID of a VMM');
}

/** Why the process that was named is not one to look at; null when it is. */
function wrongProcess(capture: Capture): string | null {
  const { pid } = capture;
  const links = pid === null ? undefined : capture.linkLists.get(`/proc/${pid}/fd`);
  if (links === undefined) return null;
  if (!links.ok) return links.reason === 'absent' ? `there is no process ${pid} to be seen` : null;
  return countVms(links.links) === 0 ? `process ${pid} runs no VM (no kvm-vm descriptor)` : null;
}

const NO_MONITOR: Partial<Record<string, string>> = {
  absent: 'give the path of a Unix socket, as in -qmp unix:PATH,server=on,wait=off',
  denied: 'run doctor as the user of the VM, or as root',
  timeout: 'another client (libvirt) may hold it: give QEMU a monitor of its own for doctor',
};

async function opened(path: string, reader: HostReader): Promise<Monitor> {
  const found = await openMonitor(path, reader);
  if (found.ok) return found.monitor;
  const help = NO_MONITOR[found.reason] ?? 'is it the monitor of a QEMU that runs?';
  const why = found.reason === 'timeout' ? `no answer within ${found.detail}` : found.detail;
  return refuse(`no monitor at ${printable(path)}: ${why}`, help);
}

/**
 * Reads this machine, as it is: what comes back is not masked.
 *
 * @throws InputError when a process, a trace or a monitor that was named is not one
 */
export async function takeLive(options: LiveOptions): Promise<Capture> {
  const pid = options.pid === undefined ? null : pidOf(options.pid);
  const trace = options.trace === undefined ? null : await readTrace(options.trace);
  const host = liveHost();
  const monitors: Monitor[] = [];
  try {
    // A QMP monitor takes one client: a path given twice would wait for itself.
    const paths = new Set((options.qmp ?? []).map((path) => resolve(path)));
    for (const path of paths) monitors.push(await opened(path, host));
    const capture = await collectUnmasked(host, pid, { trace, monitors });
    const lost = monitors.find((m) => m.pid === null);
    if (lost !== undefined) {
      refuse(
        `no VM was found whose monitor is ${printable(lost.path)}`,
        'run doctor as the user of the VM or as root, and leave out --pid',
      );
    }
    const wrong = wrongProcess(capture);
    if (wrong !== null) refuse(wrong, 'leave out --pid to look at every process');
    return capture;
  } finally {
    for (const monitor of monitors) monitor.close();
    host.close();
  }
}
