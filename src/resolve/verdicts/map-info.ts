import { mayBeCached, PRODUCERS, saysCached } from '../../platform/map-info.ts';
import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU } from './advice.ts';

/** Whether the blob may be cached by the guest; null where that is not known, or no blob is spoken of. */
function right(s: Situation): boolean | null {
  if (s.backing === null || s.mapInfo === null) return null;
  const snoops = s.device === null ? null : s.device !== 'nosnoop';
  const page = { ...s.backing.page, memtype: s.hostMemtype, vmm: s.vmmMapping };
  if (s.device === 'nosnoop') return false;
  return mayBeCached(page, snoops);
}

function teller(s: Situation): string {
  if (!s.inquiry.isGiven('map-info-from')) return 'The host';
  return PRODUCERS[s.inquiry.ask('map-info-from')].title;
}

/** Why such memory may not be cached by the guest. */
function reason(s: Situation): string {
  if (s.vmmMapping !== 'WB') return `the host maps it ${s.vmmMapping}`;
  if (s.hostMemtype !== 'WB') return `the host tracks it ${s.hostMemtype}`;
  return 'the device does not snoop it';
}

function wronglyCached(s: Situation): Finding | null {
  if (s.mapInfo === null || right(s) !== false || !saysCached(s.mapInfo)) return null;
  return {
    agents: ['renderer', GUEST_CPU],
    text: `${teller(s)} answers map_info ${s.mapInfo}, so that the guest maps WB, but ${reason(s)}.`,
    fix: 'Have the renderer answer WC for such memory (a matter of virglrenderer, rutabaga or gfxstream, not of KVM).',
  };
}

function wronglyUncached(s: Situation): Finding | null {
  if (s.mapInfo === null || right(s) !== true || saysCached(s.mapInfo)) return null;
  return {
    agents: ['renderer', GUEST_CPU],
    text: `${teller(s)} answers map_info ${s.mapInfo} for memory that the host caches and the device snoops: where KVM honours it, the guest's loads go uncached.`,
    fix: 'Have the renderer answer CACHED for such memory; for the amdgpu native context: virglrenderer of 2024-05-03 (aefb89536ab1) or later.',
  };
}

/** What the host told the guest about a blob, laid beside the blob. */
export const MAP_INFO: readonly VerdictDefinition[] = [
  {
    code: 'MT230',
    severity: 'warning',
    title: 'map_info guessed wrong: cached, for memory that may not be',
    room: 'vmm',
    cause:
      'No interface tells a renderer how its driver maps memory: it guesses by vendor string, Vulkan memory ' +
      'type or buffer flags.',
    consequence:
      'The guest maps WB what the device does not snoop: stale data, on AMD and with the quirk off too.',
    fix: 'Correct the renderer; until then flush (CLFLUSH) around each transfer.',
    sources: ['virgl/gbm', 'virgl/vkr', 'virgl/vrend', 'linux/virtgpu_vram'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.16 --paging ept --quirk-ignore-guest-pat off --backing i915-dmabuf --device nosnoop --map-info-from gbm-i915',
    find: wronglyCached,
  },
  {
    code: 'MT231',
    severity: 'warning',
    title: 'map_info guessed wrong: not cached, for memory that the host caches',
    room: 'vmm',
    cause: 'A renderer answers WC for every buffer, whatever the driver allocated.',
    consequence: 'Coherent, but loads are uncached: readback at some 50 MB/s.',
    fix: 'Correct the renderer.',
    sources: ['virgl/amdgpu', 'virgl/vrend', 'perf/sogen'],
    example:
      '--cpu amd --kernel 6.8 --paging npt --backing ttm-cached --map-info-from amdgpu-native-2023 --workload reads',
    find: wronglyUncached,
  },
];
