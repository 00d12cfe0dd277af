import { Readings } from '../doctor/reading.ts';
import { candidateFds, isBackEnd, sharedFiles } from '../doctor/vms/sharers.ts';
import { baseName, countVms } from '../doctor/vms/vmm.ts';
import { pidsOf } from '../doctor/vms/vms.ts';
import { parseMaps } from '../linux/text/maps.ts';
import type { Recorder } from './recorder.ts';

/** Descriptors of one process that are compared with guest memory. */
const FDS_MAX = 64;

/** Reads of the other processes what tells whether they have guest memory of a VM mapped. */
export async function collectSharers(recorder: Recorder): Promise<void> {
  const readings = new Readings(recorder.capture);
  const pids = pidsOf(readings);
  const vms = pids.filter((pid) => {
    const links = readings.links(`/proc/${pid}/fd`);
    return links.ok && countVms(links.links) > 0;
  });
  const files = vms.flatMap((pid) => {
    const maps = readings.text(`/proc/${pid}/maps`);
    return maps.ok ? sharedFiles(parseMaps(maps.text, '').value.vmas) : [];
  });
  if (files.length === 0) return;
  for (const pid of pids.filter((p) => !vms.includes(p))) {
    const links = readings.links(`/proc/${pid}/fd`);
    if (!links.ok) continue;
    const fds = candidateFds(links.links, files).slice(0, FDS_MAX);
    const exe = await recorder.link(`/proc/${pid}/exe`);
    if (fds.length === 0 && !(exe.ok && isBackEnd(baseName(exe.target)))) continue;
    await recorder.texts(fds.map((fd) => `/proc/${pid}/fdinfo/${fd}`));
    await recorder.text(`/proc/${pid}/maps`);
  }
}
