import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { FactValues, FirmwareId, MapInfo, VmmId } from '../facts/facts.ts';

/** A VMM, by what it asks of KVM that bears on memory types. */
export interface VmmModel {
  readonly id: VmmId;
  readonly title: string;
  /** Whether it can disable KVM_X86_QUIRK_IGNORE_GUEST_PAT. */
  readonly quirk: 'never' | 'honor-guest-pat';
  /** Whether it flags memslots with KVM_MEM_NON_COHERENT_DMA, and what it does when KVM refuses. */
  readonly slotFlag: 'never' | 'or-fail' | 'or-retry';
  /** How a host blob becomes memory of the guest. */
  readonly blobs: string;
  /** The MTRR plan it writes itself; null: it leaves that to a firmware. */
  readonly firmware: FirmwareId | null;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

export const VMMS: Readonly<Record<VmmId, VmmModel>> = {
  'qemu-10': {
    id: 'qemu-10',
    title: 'QEMU up to 10.2',
    quirk: 'never',
    slotFlag: 'never',
    blobs: 'one memslot for each blob; an error of get_map_info answers 0 (NONE)',
    firmware: null,
    sources: ['qemu/virgl-blob'],
  },
  'qemu-11': {
    id: 'qemu-11',
    title: 'QEMU 11.0 and later',
    quirk: 'honor-guest-pat',
    slotFlag: 'never',
    blobs: 'one memslot for the window with virglrenderer 1.3: pages change type under it',
    firmware: null,
    sources: ['qemu/honor-guest-pat'],
  },
  crosvm: {
    id: 'crosvm',
    title: 'crosvm, built without noncoherent-dma',
    quirk: 'never',
    slotFlag: 'never',
    blobs: 'one memslot for each blob, or one prepared window',
    firmware: 'crosvm',
    sources: ['crosvm/mtrr'],
  },
  'crosvm-noncoherent-dma': {
    id: 'crosvm-noncoherent-dma',
    title: 'crosvm with noncoherent-dma, 2024-01 to 2026-08-10',
    quirk: 'never',
    slotFlag: 'or-fail',
    blobs: 'flagged when map_info is not CACHED; KVM without the flag answers EINVAL',
    firmware: 'crosvm',
    sources: ['crosvm/noncoherent-dma', 'mail/cros-flag'],
  },
  'crosvm-noncoherent-dma-retry': {
    id: 'crosvm-noncoherent-dma-retry',
    title: 'crosvm with noncoherent-dma, from 2026-08-11',
    quirk: 'never',
    slotFlag: 'or-retry',
    blobs: 'as before; after EINVAL it tries again without the flag',
    firmware: 'crosvm',
    sources: ['crosvm/retry', 'crosvm/noncoherent-dma'],
  },
  libkrun: {
    id: 'libkrun',
    title: 'libkrun (krunvm, muvm)',
    quirk: 'never',
    slotFlag: 'never',
    blobs: 'one shared-memory region, dma-bufs placed with MAP_FIXED',
    firmware: 'default-wb',
    sources: ['libkrun/msrs'],
  },
  'cloud-hypervisor': {
    id: 'cloud-hypervisor',
    title: 'cloud-hypervisor',
    quirk: 'never',
    slotFlag: 'never',
    blobs: 'none: no virtio-gpu; VFIO and vhost-user',
    firmware: 'default-wb',
    sources: ['cloud-hypervisor/mtrr'],
  },
  firecracker: {
    id: 'firecracker',
    title: 'Firecracker',
    quirk: 'never',
    slotFlag: 'never',
    blobs: 'none: no GPU',
    firmware: 'default-wb',
    sources: ['firecracker/mtrr'],
  },
};

/** Whether a VMM asks KVM to honour the guest PAT; `refuses`: it ends with an error instead. */
export type QuirkRequest = 'leaves' | 'disables' | 'refuses';

/**
 * What a VMM does about KVM_X86_QUIRK_IGNORE_GUEST_PAT.
 *
 * @param offered bit 9 of KVM_CAP_DISABLE_QUIRKS2
 */
export function quirkRequest(
  vmm: VmmModel,
  honour: FactValues['honor-guest-pat'],
  offered: () => boolean,
): QuirkRequest {
  if (vmm.quirk === 'never' || honour === 'off') return 'leaves';
  if (offered()) return 'disables';
  return honour === 'on' ? 'refuses' : 'leaves';
}

/** Whether crosvm flags the memslot of a blob with this map_info. */
export function wantsSlotFlag(vmm: VmmModel, mapInfo: MapInfo): boolean {
  return vmm.slotFlag !== 'never' && mapInfo !== 'cached';
}

rule({
  id: 'platform/vmm',
  room: 'vmm',
  title: 'What each VMM asks of KVM, and how blobs become memslots',
  text:
    'Only QEMU 11.0 and later has a switch for the guest PAT (-accel kvm,honor-guest-pat=on|off|auto, off ' +
    'by default): "on" does not start where bit 9 of KVM_CAP_DISABLE_QUIRKS2 is missing, "auto" does ' +
    'without. crosvm can flag single memslots, which only ChromeOS kernels know; in a prepared window the ' +
    'first mapping fixed the flag for all until 2024-09-20. No other VMM that was read asks for anything. ' +
    `Blobs: ${Object.values(VMMS)
      .map((v) => `${v.title}: ${v.blobs}`)
      .join('. ')}.`,
  table: [
    ['', 'quirk', 'memslot flag', 'guest MTRRs by'],
    ...Object.values(VMMS).map((v) => [
      v.id,
      v.quirk === 'never' ? 'left' : 'by option',
      { never: '-', 'or-fail': 'or EINVAL', 'or-retry': 'or without' }[v.slotFlag],
      v.firmware ?? 'the firmware',
    ]),
  ]
    .map((cells) =>
      cells
        .map((c, i) => c.padEnd([30, 11, 14, 0][i] ?? 0))
        .join('')
        .trimEnd(),
    )
    .join('\n'),
  sources: [
    'qemu/honor-guest-pat',
    'qemu/refuses',
    'qemu/virgl-blob',
    'crosvm/noncoherent-dma',
    'crosvm/first-mapping',
    'crosvm/retry',
    'libkrun/msrs',
    'cloud-hypervisor/mtrr',
  ],
});
