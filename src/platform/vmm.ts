import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { FactValues, FirmwareId, MapInfo, Paging, VmmId } from '../facts/facts.ts';

/** The MTRR plan that a VMM writes for a guest that it boots without a firmware. */
export interface DirectBoot {
  readonly plan: FirmwareId;
  /** The first version that writes it, in words; the ones before wrote none. Null: all that were read do. */
  readonly from: string | null;
}

/** A VMM, by what it asks of KVM that bears on memory types. */
export interface VmmModel {
  readonly id: VmmId;
  readonly title: string;
  /** Whether it can disable KVM_X86_QUIRK_IGNORE_GUEST_PAT. */
  readonly quirk: 'never' | 'honor-guest-pat';
  /** Whether it flags memslots with KVM_MEM_NON_COHERENT_DMA, and what it does when KVM refuses. */
  readonly slotFlag: 'never' | 'or-fail' | 'or-retry';
  /** The flag of a fixed window: that of its first blob (up to 2024-09-20), or always set. */
  readonly window: 'first-blob' | 'flagged' | null;
  /** How a host blob becomes memory of the guest. */
  readonly blobs: string;
  /** The MTRRs of a guest whose kernel it boots itself; null: it leaves them to a firmware. */
  readonly direct: DirectBoot | null;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

export const VMMS: Readonly<Record<VmmId, VmmModel>> = {
  'qemu-10': {
    id: 'qemu-10',
    title: 'QEMU up to 10.2',
    quirk: 'never',
    slotFlag: 'never',
    window: null,
    blobs: 'one memslot for each blob; an error of get_map_info answers 0 (NONE)',
    direct: null,
    sources: ['qemu/virgl-blob'],
  },
  'qemu-11': {
    id: 'qemu-11',
    title: 'QEMU 11.0 and later',
    quirk: 'honor-guest-pat',
    slotFlag: 'never',
    window: null,
    blobs: 'one memslot for the window with virglrenderer 1.3: pages change type under it',
    direct: null,
    sources: ['qemu/honor-guest-pat'],
  },
  crosvm: {
    id: 'crosvm',
    title: 'crosvm, built without noncoherent-dma',
    quirk: 'never',
    slotFlag: 'never',
    window: null,
    blobs: 'one memslot for each blob, or one prepared window',
    direct: { plan: 'crosvm', from: 'crosvm of 2019-11-27 (3064a7164a50)' },
    sources: ['crosvm/mtrr'],
  },
  'crosvm-noncoherent-dma': {
    id: 'crosvm-noncoherent-dma',
    title: 'crosvm with noncoherent-dma, 2024-01 to 2026-08-10',
    quirk: 'never',
    slotFlag: 'or-fail',
    window: 'first-blob',
    blobs: 'flagged when map_info is not CACHED; KVM without the flag answers EINVAL',
    direct: { plan: 'crosvm', from: null },
    sources: ['crosvm/noncoherent-dma', 'mail/cros-flag'],
  },
  'crosvm-noncoherent-dma-retry': {
    id: 'crosvm-noncoherent-dma-retry',
    title: 'crosvm with noncoherent-dma, from 2026-08-11',
    quirk: 'never',
    slotFlag: 'or-retry',
    window: 'flagged',
    blobs: 'as before; after EINVAL it tries again without the flag',
    direct: { plan: 'crosvm', from: null },
    sources: ['crosvm/retry', 'crosvm/noncoherent-dma'],
  },
  libkrun: {
    id: 'libkrun',
    title: 'libkrun (krunvm, muvm)',
    quirk: 'never',
    slotFlag: 'never',
    window: null,
    blobs: 'one shared-memory region, dma-bufs placed with MAP_FIXED',
    direct: { plan: 'default-wb', from: null },
    sources: ['libkrun/msrs'],
  },
  'cloud-hypervisor': {
    id: 'cloud-hypervisor',
    title: 'cloud-hypervisor',
    quirk: 'never',
    slotFlag: 'never',
    window: null,
    blobs: 'none: no virtio-gpu; VFIO and vhost-user',
    direct: { plan: 'default-wb', from: 'cloud-hypervisor of 2019-08-01 (8c4c1621096a)' },
    sources: ['cloud-hypervisor/mtrr'],
  },
  firecracker: {
    id: 'firecracker',
    title: 'Firecracker',
    quirk: 'never',
    slotFlag: 'never',
    window: null,
    blobs: 'none: no GPU',
    direct: { plan: 'default-wb', from: 'Firecracker 1.14.0' },
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

/** The MTRR plans that a guest booted without a firmware may have. */
export function directPlans({ plan, from }: DirectBoot): readonly FirmwareId[] {
  return from === null ? [plan] : [plan, 'none'];
}

/**
 * Whether crosvm wants the flag on the memslot of a blob with this map_info.
 *
 * @param first map_info of the first blob, where the blob lies in a fixed window; null: a memslot of its own
 */
export function wantsSlotFlag(vmm: VmmModel, mapInfo: MapInfo, first: MapInfo | null): boolean {
  if (vmm.slotFlag === 'never') return false;
  if (first !== null && vmm.window === 'flagged') return true;
  return (first ?? mapInfo) !== 'cached';
}

/**
 * Whether crosvm takes a KVM for one that knows its flag: it does where capability 236 or 239 is not zero.
 * Upstream 239 is one of arm64, and 236 is KVM_CAP_PRE_FAULT_MEMORY.
 */
export function seemsToKnowFlag(
  rules: { readonly id: string; readonly hasPreFault: boolean },
  paging: Paging,
): boolean {
  return knowsSlotFlag(rules) || (rules.hasPreFault && paging !== 'shadow');
}

/** KVM knows KVM_MEM_NON_COHERENT_DMA: kernels of ChromeOS. */
export function knowsSlotFlag({ id }: { readonly id: string }): boolean {
  return id.startsWith('slot-flag');
}

rule({
  id: 'platform/vmm',
  room: 'vmm',
  title: 'What each VMM asks of KVM, and how blobs become memslots',
  text:
    'Only QEMU 11.0 and later has a switch for the guest PAT (-accel kvm,honor-guest-pat=on|off|auto, off ' +
    'by default): "on" does not start where bit 9 of KVM_CAP_DISABLE_QUIRKS2 is missing, "auto" does ' +
    'without. crosvm can flag single memslots, which only ChromeOS kernels know; it does so where KVM reports ' +
    'capability 236 or 239, and 236 is KVM_CAP_PRE_FAULT_MEMORY upstream (6.11 and later, with EPT or NPT). ' +
    'In a fixed window the first mapping fixed the flag for all until 2024-09-20; since then the whole ' +
    'window is flagged. No other VMM that was read asks for anything. ' +
    `Blobs: ${Object.values(VMMS)
      .map((v) => `${v.title}: ${v.blobs}`)
      .join('. ')}.`,
  table: [
    ['', 'quirk', 'memslot flag', 'guest MTRRs by'],
    ...Object.values(VMMS).map((v) => [
      v.id,
      v.quirk === 'never' ? 'left' : 'by option',
      { never: '-', 'or-fail': 'or EINVAL', 'or-retry': 'or without' }[v.slotFlag],
      v.direct === null ? 'the firmware' : directPlans(v.direct).join(' or '),
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
