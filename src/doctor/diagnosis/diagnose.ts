import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding, mergeFindings } from '../findings.ts';
import { type GuestSide, guestSide } from '../guest/guest-side.ts';
import type { HostFacts } from '../host-facts.ts';
import { conflictFindings } from '../machine/conflicts.ts';
import { ownMemoryFindings } from '../machine/own-memory.ts';
import { type Policy, policyOf } from '../machine/policy.ts';
import { type TraceDiagnosis, traceDiagnoses, traceFindings } from '../trace/trace-diagnosis.ts';
import type { VmFacts } from '../vms/vm-facts.ts';
import { Answers, Asker, regionFacts } from './answers.ts';
import { coherencyOf, deviceNames, type VmCoherency } from './coherency.ts';
import { exitCodeFor, FAIL_ON_DEFAULT } from './exit-code.ts';
import { cannotHonour, type GuestPat, guestPatOf } from './guest-pat.ts';
import { quirkState } from './quirk-state.ts';
import {
  BELOW,
  diagnoseRegion,
  isNested,
  prospectiveRegion,
  type RegionDiagnosis,
  underOther,
  type VmScene,
} from './region-diagnosis.ts';
import { type UnknownItem, unknownsOf } from './unknowns.ts';
import { vmmFindings } from './vmm-findings.ts';

export interface VmDiagnosis {
  readonly vm: VmFacts;
  readonly coherency: VmCoherency;
  /** States that KVM_X86_QUIRK_IGNORE_GUEST_PAT may have. */
  readonly quirk: readonly ('on' | 'off')[];
  readonly quirkWhy: string;
  readonly regions: readonly RegionDiagnosis[];
}

/** What doctor says of a machine. */
export interface Diagnosis {
  readonly facts: HostFacts;
  readonly policy: Policy;
  /** Whether its KVM honours the guest PAT, with or without a VM; null: there is no KVM. */
  readonly guestPat: GuestPat | null;
  readonly vms: readonly VmDiagnosis[];
  /** Null: this machine is no guest, or that is not known. */
  readonly guestSide: GuestSide | null;
  /** What a trace shows, by VM; empty: none was given, or it has no pages. */
  readonly traces: readonly TraceDiagnosis[];
  /** Certain errors and warnings, possible ones, then what is only worth knowing. */
  readonly findings: readonly DoctorFinding[];
  /** What had to be known for an answer and was not. */
  readonly undetermined: readonly string[];
  readonly unknowns: readonly UnknownItem[];
}

// ---- findings of a VM and of the machine ------------------------------------------------------

function untoldVfio({ vm, facts, coherency }: VmScene): readonly DoctorFinding[] {
  const files = ifKnown(vm.files);
  const paging = ifKnown(facts.kvm.paging);
  if (files === null || files.kvmVfio || vm.devices.length === 0) return [];
  if (!coherency.mayNotSnoop.includes(true) || (paging !== null && paging !== 'ept')) return [];
  const doubts = [
    ...(coherency.mayNotSnoop.includes(false) ? ['the IOMMU does not make them snoop'] : []),
    ...(paging === null ? ['paging is ept'] : []),
    ...(isNested(facts) ? [BELOW] : []),
  ];
  const names = deviceNames(coherency.culprits);
  const text = `The VMM has ${names} open and no kvm-vfio device: the VM counts as coherent.`;
  const agents = ['guest CPU', names];
  return [finding('untoldVfio', `VM ${vm.pid}`, text, { when: doubts.join('; '), agents })];
}

function noncoherentVm(scene: VmScene): readonly DoctorFinding[] {
  const { vm, facts, policy, coherency } = scene;
  if (!coherency.noncoherent.includes(true) || !ifKnown(vm.files)?.kvmVfio) return [];
  if (ifKnown(facts.kvm.paging) !== 'ept') return [];
  const when = coherency.noncoherent.includes(false) ? coherency.why : '';
  const old = policy.rules?.some((r) => r.guestMtrr !== null) ?? true;
  const text = `KVM honours the guest PAT${old ? ' and the guest MTRRs' : ''} for all RAM of this VM: ${coherency.why}.`;
  const place = `VM ${vm.pid}`;
  const without = coherency.culprits.filter((d) => d.kind === 'mdev' || d.kind === 'no-iommu');
  const perDevice = policy.rules?.every((r) => r.noncoherent.id === 'enforced-device') ?? false;
  const found = [finding('noncoherentVm', place, text, { when, agents: ['KVM'] })];
  if (without.length === 0 || !perDevice) return found;
  const cause = `${deviceNames(without)} has no IOMMU of its own.`;
  return [...found, finding('noIommu', place, cause, { when, agents: ['KVM'] })];
}

/** RAM before the firmware has written any MTRR. */
function uncachedFirmware(scene: VmScene): readonly DoctorFinding[] {
  const { vm, facts, policy, coherency, asker } = scene;
  const options = ifKnown(vm.options);
  if (!coherency.noncoherent.includes(true) || options === null) return [];
  if (options.firmware === 'direct' || options.firmware === 'SeaBIOS') return [];
  const page = { backings: ['ram'], page: {}, kind: 'anonymous' } as const;
  const known = regionFacts(vm, page, facts, policy, coherency);
  const off = { firmware: ['none'], 'guest-place': ['ram'], guest: ['WB'] } as const;
  const { types } = asker.ask({ ...known, ...off, 'noncoherent-dma': [true] });
  if (!types.includes('UC')) return [];
  const doubts = [
    ...(types.length > 1 ? ['the rules of this kernel look at guest MTRRs'] : []),
    ...(coherency.noncoherent.includes(false) ? [coherency.why] : []),
    ...(options.firmware === 'OVMF' ? [] : ['the firmware is OVMF, or one that does the same']),
    'that firmware is older than edk2-stable202408, and clears CR0.CD before it writes its MTRRs',
    ...(isNested(facts) ? [BELOW] : []),
  ];
  const text = `This VM has non-coherent DMA (${coherency.why}), so that KVM goes by its MTRRs; off, they make its RAM UC.`;
  const agents = ['firmware', 'KVM'];
  return [finding('uncachedFirmware', `VM ${vm.pid}`, text, { when: doubts.join('; '), agents })];
}

function machineFindings(facts: HostFacts): readonly DoctorFinding[] {
  const found: DoctorFinding[] = [];
  const place = 'this machine';
  const hasKvm = ifKnown(facts.kvm.present) === true;
  const pat = facts.pat;
  if (hasKvm && pat.known && !pat.value.enabled) {
    found.push(finding('patOff', place, `${pat.from}.`, { agents: ['host'] }));
  }
  const cpu = ifKnown(facts.cpu);
  const ept = ifKnown(facts.kvm.paging) === 'ept';
  if (hasKvm && ept && cpu?.usableSelfSnoop === false) {
    const model = `family ${cpu.family ?? '?'} model ${cpu.model ?? '?'}`;
    const text = `${cpu.modelName ?? 'This CPU'} (${model}) has no usable self-snoop.`;
    found.push(finding('noSelfSnoop', place, text, { agents: ['CPU'] }));
  }
  return found;
}

// ---- what had to be known ---------------------------------------------------------------------

/** Whether a VM may have been missed; null: every VM there is was seen. */
function missedVms(facts: HostFacts): string | null {
  const { kvm } = facts;
  if (ifKnown(kvm.present) === false || ifKnown(kvm.users) === 0) return null;
  const survey = ifKnown(facts.processes);
  if (survey === null) return 'whether VMs run: the processes could not be listed';
  if (survey.only !== null) return null;
  const seen = facts.vms.length > 0 ? 'whether more VMs run' : 'whether a VM runs';
  if (survey.closed > 0) {
    const pids =
      survey.closedPids.join(', ') + (survey.closed > survey.closedPids.length ? ', ...' : '');
    return `${seen}: ${survey.closed} of ${survey.total} processes could not be looked into (PID ${pids})`;
  }
  if (!survey.complete) return `${seen}: this /proc does not show every process`;
  return null;
}

function undeterminedOf(facts: HostFacts, vms: readonly VmDiagnosis[]): readonly string[] {
  const found: string[] = [];
  const missed = missedVms(facts);
  if (missed !== null) found.push(missed);
  for (const { vm, regions } of vms) {
    const name = `VM ${vm.pid}`;
    if (vm.evidence !== 'fd') found.push(`${name}: whether it is one, and its memory`);
    else if (!vm.regions.known) found.push(`${name}: its memory, ${vm.regions.why}`);
    else if (regions.length === 0) found.push(`${name}: its memory, no mapping looks like it`);
    for (const size of vm.missingRam) {
      found.push(`${name}: where its RAM of ${size / 2 ** 20} MiB is, no mapping is that large`);
    }
    for (const { region, undetermined } of regions) {
      if (undetermined.length === 0) continue;
      found.push(`${name}, ${region.name}: its type depends on ${undetermined.join(', ')}`);
    }
  }
  if (vms.length > 0 && isNested(facts)) {
    found.push(
      'what VMs finally get: this machine is a guest, and the hypervisor below decides last',
    );
  }
  if (vms.length > 0 && !facts.kvm.paging.known) found.push('the paging mode of this KVM');
  const gpus = ifKnown(facts.virtioGpus) ?? [];
  if (ifKnown(facts.isGuest) === true && gpus.some((g) => g.blob !== false)) {
    found.push('what the virtio-gpu memory of this guest gets: the host decides');
  }
  return found;
}

// ---- all of it --------------------------------------------------------------------------------

function diagnoseVm(
  vm: VmFacts,
  facts: HostFacts,
  policy: Policy,
  asker: Asker,
): VmDiagnosis & { scene: VmScene } {
  const coherency = coherencyOf(vm, facts, policy);
  const scene: VmScene = { vm, facts, policy, coherency, asker };
  const mapped = (ifKnown(vm.regions) ?? []).map((r) => diagnoseRegion(scene, r, false));
  const window = prospectiveRegion(vm, facts);
  const regions = window === null ? mapped : [...mapped, diagnoseRegion(scene, window, true)];
  const { states, why } = quirkState(vm, facts, policy);
  return { vm, coherency, quirk: states, quirkWhy: why, regions, scene };
}

/** How a guest's WC would be heard in this VM: the advice of the resolver. */
function honourFix({ vm, facts, policy, coherency, asker }: VmScene): string | null {
  const page = { backings: ['vgem-wc'], page: {}, kind: 'gpu' } as const;
  const known = regionFacts(vm, page, facts, policy, coherency);
  const { verdicts } = asker.ask({ ...known, guest: ['WC'], device: ['nosnoop'] });
  return verdicts.find((v) => v.code === 'MT201' || v.code === 'MT101')?.fix ?? null;
}

function tracedFindings(
  trace: TraceDiagnosis,
  scenes: readonly { readonly scene: VmScene }[],
  facts: HostFacts,
): readonly DoctorFinding[] {
  const scene = scenes.find((s) => s.scene.vm.pid === trace.vm)?.scene;
  const fix = scene === undefined ? null : honourFix(scene);
  const found = traceFindings(trace, ifKnown(facts.kvm.paging), fix);
  // An entry of this KVM is not the last word where another hypervisor is below.
  return isNested(facts) ? found.map(underOther) : found;
}

/**
 * What the facts of a machine mean. Every type and verdict in it is the resolver's.
 *
 * @param answers those of machines before it, where many are looked at
 */
export function diagnose(facts: HostFacts, answers: Answers = new Answers()): Diagnosis {
  const policy = policyOf(facts);
  const asker = new Asker(facts, policy, answers);
  const scenes = facts.vms.map((vm) => diagnoseVm(vm, facts, policy, asker));
  const guestPat = guestPatOf(facts, policy, asker);
  const inside = guestSide(facts);
  const traces = traceDiagnoses(facts);
  const findings = mergeFindings([
    ...machineFindings(facts),
    ...cannotHonour(facts, guestPat),
    ...ownMemoryFindings(facts),
    ...conflictFindings(facts),
    ...(inside?.findings ?? []),
    ...scenes.flatMap(({ scene, regions }) => [
      ...untoldVfio(scene),
      ...noncoherentVm(scene),
      ...uncachedFirmware(scene),
      ...vmmFindings(scene, regions),
      ...regions.flatMap((r) => r.findings),
    ]),
    ...traces.flatMap((t) => tracedFindings(t, scenes, facts)),
  ]);
  const vms = scenes.map(({ scene: _, ...vm }) => vm);
  return {
    facts,
    policy,
    guestPat,
    vms,
    guestSide: inside,
    traces,
    findings,
    undetermined: undeterminedOf(facts, vms),
    unknowns: unknownsOf(facts),
  };
}

/**
 * The exit code of `memtype doctor`: 1 when a certain finding is an error or a warning; else 3 when such
 * a finding is possible, or something that had to be known is not; else 0. What a guest asks is not
 * among it: it is the axis of the tables.
 */
export function doctorExitCode(d: Diagnosis): 0 | 1 | 3 {
  return exitCodeFor(d, FAIL_ON_DEFAULT);
}
