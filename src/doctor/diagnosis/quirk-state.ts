import type { FactValues } from '../../facts/facts.ts';
import { QUIRK } from '../../kvm/quirks.ts';
import { ifKnown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Policy } from '../machine/policy.ts';
import { tracedIpat } from '../trace/trace-facts.ts';
import { optInCommand } from '../vmms/opt-in.ts';
import type { VmmOptions } from '../vmms/options.ts';
import type { VmFacts } from '../vms/vm-facts.ts';

type State = FactValues['quirk-ignore-guest-pat'];

/** Whether KVM_X86_QUIRK_IGNORE_GUEST_PAT is in force for a VM. */
export interface QuirkState {
  /** Both, where it is not known. */
  readonly states: readonly State[];
  readonly why: string;
}

const EITHER: readonly State[] = ['on', 'off'];

/** Bit 9 of the quirk word: whether this KVM lets the quirk be disabled; null: not known. */
export function isQuirkOffered(facts: Pick<HostFacts, 'kvm'>): boolean | null {
  const word = ifKnown(facts.kvm.quirks2);
  return word === null ? null : (word & QUIRK.IGNORE_GUEST_PAT) !== 0;
}

/** Why no VMM can have disabled it on this host; null when one can. */
function hostForbids(facts: HostFacts, policy: Policy): string | null {
  const paging = ifKnown(facts.kvm.paging);
  const exists = policy.rules === null || policy.rules.some((r) => r.hasPatQuirk);
  if (!exists) return 'this KVM has no such quirk to disable';
  if (isQuirkOffered(facts) === false) return 'bit 9 of the quirk word is clear: KVM refuses';
  if (paging !== null && paging !== 'ept') return 'it matters with EPT only';
  return null;
}

/** QEMU refuses to start with honor-guest-pat=on where the host forbids it. */
function byOptions(options: VmmOptions, offered: boolean | null): QuirkState {
  const why = options.guestPatWhy;
  switch (options.guestPat) {
    case 'on':
      return { states: ['off'], why };
    case 'auto':
      return { states: offered === true ? ['off'] : EITHER, why };
    case 'off':
    case 'default':
    case 'never':
      return { states: ['on'], why };
  }
}

/** As a trace of the VM shows it; null: it does not tell. IPAT=0 may come of non-coherent DMA too. */
function tracedQuirk(vm: VmFacts, facts: HostFacts): QuirkState | null {
  const ipat = tracedIpat(facts, vm.pid);
  if (ipat === 'set') return { states: ['on'], why: 'the trace has IPAT=1 on RAM' };
  const isTold = vm.files.known && !vm.files.value.kvmVfio;
  return ipat === 'clear' && isTold
    ? { states: ['off'], why: 'the trace has IPAT=0 on RAM' }
    : null;
}

/** By a trace, else by the options of the VMM, where they can be read; KVM shows it nowhere. */
export function quirkState(vm: VmFacts, facts: HostFacts, policy: Policy): QuirkState {
  const forbidden = hostForbids(facts, policy);
  const options = ifKnown(vm.options);
  if (forbidden !== null) {
    const isRefused = vm.evidence !== 'fd' && options?.guestPat === 'on';
    const refusal =
      '; a QEMU with honor-guest-pat=on refuses to start here, so that this runs no VM';
    return { states: ['on'], why: `${forbidden}${isRefused ? refusal : ''}` };
  }
  const traced = tracedQuirk(vm, facts);
  if (traced !== null) return traced;
  if (options === null) {
    const why = vm.options.known
      ? `${vm.program || 'the program'} is not known here`
      : vm.options.why;
    return { states: EITHER, why };
  }
  if (options.confidential === 'tdx') return { states: ['off'], why: 'Intel TDX: KVM disables it' };
  if (vm.evidence !== 'fd')
    return { states: EITHER, why: 'it may run no VM: its files are closed' };
  return byOptions(options, isQuirkOffered(facts));
}

export function quirkStates(vm: VmFacts, facts: HostFacts, policy: Policy): readonly State[] {
  return quirkState(vm, facts, policy).states;
}

/** What would make KVM honour the guest PAT for a VM of this host, as lines; none where nothing would. */
export function honourCommands(vm: VmFacts, facts: HostFacts, policy: Policy): readonly string[] {
  const { states } = quirkState(vm, facts, policy);
  const isPossible = hostForbids(facts, policy) === null && isQuirkOffered(facts) === true;
  return isPossible && states.includes('on') ? optInCommand(vm) : [];
}
