import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import { slotFlagCapability } from '../machine/policy.ts';
import { mapsHostBlobs } from '../vmms/options.ts';
import { honourCommands, isQuirkOffered } from './quirk-state.ts';
import { BELOW, isNested, type RegionDiagnosis, type VmScene } from './region-diagnosis.ts';

/** Memory of a GPU is there, or the guest can ask for it. */
function hasHostBlobs({ vm }: VmScene, regions: readonly RegionDiagnosis[]): boolean {
  const mapped = regions.some(({ region }) => region.kind === 'gpu' || region.kind === 'dma-buf');
  return mapped || mapsHostBlobs(ifKnown(vm.options));
}

function noSwitch(scene: VmScene): readonly DoctorFinding[] {
  const { vm, facts, policy } = scene;
  const options = ifKnown(vm.options);
  if (options?.guestPat !== 'never' || options.confidential === 'tdx') return [];
  if (!(policy.rules?.some((r) => r.hasPatQuirk) ?? true)) return [];
  const doubts = [
    ...(vm.evidence === 'fd' ? [] : ['it runs a VM']),
    ...(options.qemu === null ? ['its version is like the one read'] : []),
    ...(isNested(facts) ? [BELOW] : []),
  ];
  const text = `${options.guestPatWhy}.`;
  return [
    finding('noSwitch', `VM ${vm.pid}`, text, { when: doubts.join('; '), agents: ['VMM', 'KVM'] }),
  ];
}

/** KVM_CAP_USER_CONFIGURE_NONCOHERENT_DMA of ChromeOS kernels; upstream other capabilities. */
export const NONCOHERENT_DMA_CAPS = [236, 239] as const;

function slotFlag(scene: VmScene): readonly DoctorFinding[] {
  const { vm, facts } = scene;
  if (vm.vmm !== 'crosvm' || slotFlagCapability(facts) !== null) return [];
  const caps = NONCOHERENT_DMA_CAPS.map((n) => ifKnown(facts.kvm.slotFlag[n]));
  if (caps.every((value) => value === 0)) return [];
  const doubts = [
    'crosvm was built with noncoherent-dma, which cannot be seen from outside',
    ...(caps.includes(null) ? ['KVM reports capability 236 or 239'] : []),
  ];
  const told = NONCOHERENT_DMA_CAPS.map((n, i) => `${n}: ${caps[i] ?? 'not known'}`).join(', ');
  const text = `Capabilities that crosvm takes for the memslot flag: ${told}.`;
  return [
    finding('slotFlag', `VM ${vm.pid}`, text, { when: doubts.join('; '), agents: ['VMM', 'KVM'] }),
  ];
}

/** Asked for, and not had. */
function misplacedSwitch({ vm, facts, policy }: VmScene): readonly DoctorFinding[] {
  const options = ifKnown(vm.options);
  const place = options?.qemu?.misplacedSwitch ?? null;
  if (place === null || options?.guestPat !== 'default') return [];
  const text =
    place === '-accel'
      ? 'It stands in an -accel behind the first.'
      : 'It stands in -global, which knows no accelerators.';
  const base = finding('misplacedSwitch', `VM ${vm.pid}`, text, { agents: ['VMM', 'KVM'] });
  return [{ ...base, commands: honourCommands(vm, facts, policy) }];
}

/** What the kind and the options of a VMM bring with them, with EPT. */
export function vmmFindings(
  scene: VmScene,
  regions: readonly RegionDiagnosis[],
): readonly DoctorFinding[] {
  const paging = ifKnown(scene.facts.kvm.paging);
  if (paging !== null && paging !== 'ept') return [];
  const misplaced = misplacedSwitch(scene);
  if (!hasHostBlobs(scene, regions)) return misplaced;
  const offered = isQuirkOffered(scene.facts) !== false;
  return [...misplaced, ...(offered ? noSwitch(scene) : []), ...slotFlag(scene)];
}
