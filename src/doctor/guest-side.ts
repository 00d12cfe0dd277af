import type { Facts, Paging } from '../facts/facts.ts';
import { SPANS } from '../kvm/timeline.ts';
import { question } from '../resolve/question.ts';
import { type JudgedVerdict, resolve } from '../resolve/resolution.ts';
import type { EffectiveType, PatType } from '../x86/types.ts';
import { ifKnown } from './fact.ts';
import type { DoctorFinding } from './findings.ts';
import type { HostFacts } from './host-facts.ts';

/** A host this guest may run on. */
export interface PossibleHost {
  readonly name: string;
  /** What makes a host one of this kind. */
  readonly what: string;
  readonly paging: Paging;
  readonly honoursPat: boolean;
}

/** What becomes of one request of a driver in this guest. */
export interface GuestRequest {
  readonly asks: PatType;
  /** For each possible host: the types that RAM behind the request may have. */
  readonly types: readonly (readonly EffectiveType[])[];
}

/** What this machine, as a guest, can know of its memory types. */
export interface GuestSide {
  /** The hypervisor, where it is known not to be KVM: then there are no hosts and no requests. */
  readonly notKvm: string | null;
  readonly hosts: readonly PossibleHost[];
  readonly requests: readonly GuestRequest[];
  readonly findings: readonly DoctorFinding[];
}

const HOSTS: readonly PossibleHost[] = [
  {
    name: 'EPT',
    what: 'KVM on Intel as it is by default: the guest PAT is ignored for RAM',
    paging: 'ept',
    honoursPat: false,
  },
  {
    name: 'EPT+PAT',
    what:
      'KVM on Intel that honours the guest PAT: IGNORE_GUEST_PAT disabled (6.16), or non-coherent DMA ' +
      '(from 6.11; before, the MTRRs of this guest count as well)',
    paging: 'ept',
    honoursPat: true,
  },
  {
    name: 'NPT',
    what: 'KVM on AMD, from 4.15 on: the guest PAT is honoured',
    paging: 'npt',
    honoursPat: true,
  },
  {
    name: 'shadow',
    what: 'KVM without EPT and NPT, in software or by parameter: guest types are ignored',
    paging: 'shadow',
    honoursPat: false,
  },
];

const REQUESTS = ['WC', 'UC-'] as const satisfies PatType[];

function hostsFor(vendor: string | null): readonly PossibleHost[] {
  if (vendor === 'intel') return HOSTS.filter((h) => h.paging !== 'npt');
  return vendor === 'amd' ? HOSTS.filter((h) => h.paging !== 'ept') : HOSTS;
}

function outcome(
  facts: HostFacts,
  host: PossibleHost,
  asks: PatType,
): { readonly types: readonly EffectiveType[]; readonly verdicts: readonly JudgedVerdict[] } {
  const pat = ifKnown(facts.pat);
  const more: Facts = {
    paging: [host.paging],
    backing: ['ram'],
    device: ['none'],
    'guest-request': [asks],
    'guest-pat': pat === null ? [true, false] : [pat.enabled],
    'quirk-ignore-guest-pat': [host.honoursPat ? 'off' : 'on'],
    'self-snoop': [true],
  };
  const rules = SPANS.at(-1)?.rules ?? null;
  const { types, verdicts } = resolve(question({ facts: more, rules, subject: 'the host' }));
  return { types, verdicts };
}

function isOfGuest({ code, certain }: JudgedVerdict): boolean {
  return certain && code === 'MT222';
}

/** What the requests of this guest's drivers become on each host it may run on; null: it is no guest. */
export function guestSide(facts: HostFacts): GuestSide | null {
  if (ifKnown(facts.isGuest) !== true) return null;
  const hosts = hostsFor(ifKnown(facts.cpu)?.vendor ?? null);
  const requests = REQUESTS.map((asks) => ({
    asks,
    types: hosts.map((host) => outcome(facts, host, asks).types),
  }));
  const [host] = hosts;
  const verdicts = host === undefined ? [] : outcome(facts, host, 'WC').verdicts;
  const findings = verdicts.filter(isOfGuest).map((v) => ({
    ...v,
    when: '',
    given: 'a driver asks WC',
    places: ['this machine, as a guest'],
  }));
  const name = ifKnown(facts.hypervisor);
  const notKvm = name === null || /^KVM$/i.test(name) ? null : name;
  if (notKvm !== null) return { notKvm, hosts: [], requests: [], findings };
  return { notKvm, hosts, requests, findings };
}
