import type { FactValues } from '../../facts/facts.ts';
import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Policy } from '../machine/policy.ts';
import { type Asker, cpuFacts } from './answers.ts';
import { isQuirkOffered } from './quirk-state.ts';
import { isNested, underOther } from './region-diagnosis.ts';

/**
 * - `always`: every VM has it, nothing is to be switched
 * - `on request`: for VMs whose VMM disables KVM_X86_QUIRK_IGNORE_GUEST_PAT
 * - `never`: for no VM, unless it has non-coherent DMA
 * - `not known`: it depends on what is not known here
 */
export type GuestPatAnswer = 'always' | 'on request' | 'never' | 'not known';

/** Whether the KVM of a host honours the types that a guest asks for RAM, with or without a VM. */
export interface GuestPat {
  readonly answer: GuestPatAnswer;
  readonly why: string;
  /** What there is to do, in words. */
  readonly how: string;
}

const QEMU = 'QEMU 11.0 or later with -accel kvm,honor-guest-pat=on';
const TAKES = 'it takes the CPU, the paging mode and what /dev/kvm answers';
const FIRST = 'Linux 6.16 or later, or 6.12.78 or later of 6.12';

type State = FactValues['quirk-ignore-guest-pat'];

/** Whether a WC request for RAM is heard in a VM without non-coherent DMA; null: it depends. */
function isHeard(facts: HostFacts, asker: Asker, quirk: State): boolean | null {
  const { types } = asker.ask({
    ...cpuFacts(facts),
    backing: ['ram'],
    guest: ['WC'],
    device: ['none'],
    'noncoherent-dma': [false],
    'assigned-device': [false],
    'quirk-ignore-guest-pat': [quirk],
  });
  const heard = types.filter((type) => type !== 'WB').length;
  return heard === types.length ? true : heard === 0 ? false : null;
}

function always(facts: HostFacts): GuestPat {
  if (ifKnown(facts.kvm.paging) !== 'npt') {
    return {
      answer: 'always',
      why: 'KVM of this kernel does for every VM',
      how: 'nothing is to be switched',
    };
  }
  const refused = isQuirkOffered(facts) === true ? '' : '; with =on QEMU would not start here';
  return {
    answer: 'always',
    why: "with NPT the type is the guest's, whatever the quirk word says",
    how: `nothing is to be switched: honor-guest-pat of QEMU changes nothing on AMD${refused}`,
  };
}

function never(facts: HostFacts, policy: Policy): GuestPat {
  const answer = 'never';
  const paging = ifKnown(facts.kvm.paging);
  if (paging === 'shadow') {
    const how = 'load kvm_intel with ept=1, or kvm_amd with npt=1, on a CPU that has them';
    return { answer, why: 'without EPT or NPT KVM ignores the types of its guests', how };
  }
  if (ifKnown(facts.cpu)?.usableSelfSnoop === false) {
    const how = 'a CPU with self-snoop; no kernel helps';
    return { answer, why: 'with EPT it takes self-snoop, which this CPU does not have', how };
  }
  const kernel = ifKnown(facts.kernel)?.release.slice(0, 64) ?? 'this kernel';
  if (policy.rules?.every((r) => !r.hasPatQuirk) ?? false) {
    const why = `KVM of ${kernel} ignores the guest PAT on Intel, and has no quirk that a VMM could disable`;
    return { answer, why, how: `${FIRST}; then ${QEMU}` };
  }
  const why = 'bit 9 of the quirk word is clear: KVM lets no VMM disable the quirk';
  return { answer, why, how: 'compare with the quirk word of a kernel as released' };
}

function notKnown(facts: HostFacts): GuestPat {
  const { cpu, kvm } = facts;
  const missing = [cpu, kvm.paging, kvm.quirks2].find((fact) => !fact.known);
  if (missing === undefined || missing.known) {
    const why = 'the kernel may have other code than its version says';
    return { answer: 'not known', why, how: TAKES };
  }
  const { why, remedy } = missing;
  const how = remedy.startsWith('nothing') ? TAKES : remedy;
  return { answer: 'not known', why, how };
}

/** Null: there is no KVM here. */
export function guestPatOf(facts: HostFacts, policy: Policy, asker: Asker): GuestPat | null {
  if (ifKnown(facts.kvm.present) !== true) return null;
  if (isHeard(facts, asker, 'on') === true) return always(facts);
  const isForced = isHeard(facts, asker, 'on') === false;
  const isSwitched = isHeard(facts, asker, 'off');
  const offered = isQuirkOffered(facts);
  if (isForced && (isSwitched === false || offered === false)) return never(facts, policy);
  if (!isForced || isSwitched !== true || offered === null) return notKnown(facts);
  return {
    answer: 'on request',
    why: 'bit 9 of the quirk word is set: a VMM can disable the quirk; until it does, the guest gets WB',
    how: QEMU,
  };
}

/** Asked before there is a VM: what a VMM would run into. With a VM the findings on its memory say it. */
export function cannotHonour(
  facts: HostFacts,
  guestPat: GuestPat | null,
): readonly DoctorFinding[] {
  const isTold =
    ifKnown(facts.kvm.paging) === 'ept' && ifKnown(facts.cpu)?.usableSelfSnoop === false;
  const hasVm = facts.vms.some((vm) => vm.evidence === 'fd');
  if (guestPat?.answer !== 'never' || hasVm || isTold) return [];
  const { why, how } = guestPat;
  const fix =
    `${how.charAt(0).toUpperCase()}${how.slice(1)}. Until then leave honor-guest-pat=on out: QEMU does not ` +
    'start with it here; with =auto it does, and the guest gets WB.';
  const text = `${why.charAt(0).toUpperCase()}${why.slice(1)}. What a guest maps WC or UC is WB for RAM.`;
  const f = finding('cannotHonour', 'this machine', text, { agents: ['KVM'], fix });
  return [isNested(facts) ? underOther(f) : f];
}
