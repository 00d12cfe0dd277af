import type { FactValues, MapInfo } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { quirkRequest, VMMS, type VmmModel, wantsSlotFlag } from '../platform/vmm.ts';
import { blobMapInfo } from './blob.ts';
import type { Scene } from './scene.ts';

/** The VMM that was named; null when none was. */
export function vmmOf(inquiry: Inquiry): VmmModel | null {
  return inquiry.isGiven('vmm') ? VMMS[inquiry.ask('vmm')] : null;
}

/** A TDX guest: KVM itself disables the quirk as it makes the VM. */
export function inTdx({ inquiry, steps, rules }: Scene): boolean {
  if (!inquiry.isGiven('confidential') || inquiry.ask('confidential') !== 'tdx') return false;
  if (!rules.hasPatQuirk) return false;
  steps.add(
    'vmm',
    'kvm/quirks',
    { 'VM type': 'TDX' },
    'IGNORE_GUEST_PAT disabled from birth',
    'kvm/x86.c-quirks',
    'KVM honours the guest PAT in the shared memory of a TDX guest',
  );
  return true;
}

/** Bit 9 of the capability word: as it was read, else as these rules set it. */
export function quirkIsOffered(
  scene: Pick<Scene, 'inquiry' | 'rules' | 'quirkOffered'>,
  paging: FactValues['paging'],
): boolean {
  const { inquiry, rules, quirkOffered } = scene;
  if (quirkOffered !== null) return quirkOffered;
  if (!rules.hasPatQuirk || paging === 'shadow') return false;
  return paging === 'npt' || inquiry.ask('self-snoop');
}

/** What QEMU was told; off is its default. */
export function honourOf(inquiry: Inquiry): FactValues['honor-guest-pat'] {
  if (inquiry.isGiven('honor-guest-pat')) return inquiry.ask('honor-guest-pat');
  return inquiry.imply('honor-guest-pat', 'off', 'the default of QEMU');
}

/** Whether the VMM leaves the quirk in force, or asks KVM to disable it: as said, else as it is known to do. */
export function quirkAsked(scene: Scene): FactValues['quirk-ignore-guest-pat'] {
  const { inquiry, steps } = scene;
  const vmm = vmmOf(inquiry);
  if (vmm === null || inquiry.isGiven('quirk-ignore-guest-pat')) {
    return inquiry.ask('quirk-ignore-guest-pat');
  }
  const honour = vmm.quirk === 'honor-guest-pat' ? honourOf(inquiry) : 'off';
  const request = quirkRequest(vmm, honour, () => quirkIsOffered(scene, 'ept'));
  const words = {
    leaves: 'leaves the quirk in force',
    disables: 'disables the quirk',
    refuses: 'does not start: the quirk cannot be disabled',
  };
  const inputs = vmm.quirk === 'never' ? {} : { 'honor-guest-pat': honour };
  steps.add('vmm', 'platform/vmm', inputs, words[request], vmm.sources[0], vmm.title);
  const state = request === 'disables' ? 'off' : 'on';
  return inquiry.imply('quirk-ignore-guest-pat', state, vmm.title);
}

/** QEMU with honor-guest-pat=on ends with an error where KVM does not offer the quirk, on AMD too. */
export function vmmRefuses(
  scene: Pick<Scene, 'inquiry' | 'rules' | 'quirkOffered'>,
  paging: FactValues['paging'],
): boolean {
  const vmm = vmmOf(scene.inquiry);
  if (vmm === null || vmm.quirk === 'never' || honourOf(scene.inquiry) !== 'on') return false;
  return quirkRequest(vmm, 'on', () => quirkIsOffered(scene, paging)) === 'refuses';
}

const WINDOW = {
  'first-blob': 'the first mapping of the window fixed the flag',
  flagged: 'the whole window is flagged as it is made',
} as const;

/** map_info of the first blob in the window; null: nothing was said of a window. */
export function firstMapInfo(inquiry: Inquiry): MapInfo | null {
  return inquiry.isGiven('first-map-info') ? inquiry.ask('first-map-info') : null;
}

/** Whether the memslot is flagged: as said, else as crosvm does it. */
export function slotFlag(scene: Scene): boolean {
  const { inquiry, page, steps } = scene;
  const vmm = vmmOf(inquiry);
  if (vmm === null || vmm.slotFlag === 'never' || inquiry.isGiven('slot-noncoherent')) {
    return inquiry.ask('slot-noncoherent');
  }
  const own = blobMapInfo(inquiry, page);
  const first = firstMapInfo(inquiry);
  const flagged = wantsSlotFlag(vmm, own, first);
  const why = first === null || first === own ? vmm.title : WINDOW[vmm.window ?? 'flagged'];
  steps.add(
    'vmm',
    'platform/vmm',
    { map_info: own, ...(first === null || first === own ? {} : { 'first map_info': first }) },
    flagged ? 'KVM_MEM_NON_COHERENT_DMA' : 'no flag',
    vmm.sources[0],
    why,
  );
  return inquiry.imply('slot-noncoherent', flagged, why);
}
