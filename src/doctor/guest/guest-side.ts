import type { Facts, Paging } from '../../facts/facts.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { SPANS, spanOf } from '../../kvm/timeline.ts';
import type { BackingId } from '../../linux/backing.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { question } from '../../resolve/question.ts';
import { resolve } from '../../resolve/resolution.ts';
import type { EffectiveType, MtrrType, PatType } from '../../x86/types.ts';
import { ifKnown } from '../fact.ts';
import type { DoctorFinding } from '../findings.ts';
import { type Confidential, type HostFacts, otherHypervisor } from '../host-facts.ts';
import { guestFindings } from './guest-findings.ts';
import {
  type GuestMemory,
  grantedTypes,
  guestMemories,
  type MemoryRequest,
  ramGrants,
  ramMtrrTypes,
} from './guest-memories.ts';

/** A host this guest may run on. */
export interface PossibleHost {
  readonly name: string;
  /** What makes a host one of this kind. */
  readonly what: string;
  readonly paging: Paging;
  readonly honoursPat: boolean;
}

/** What a possible host makes of an access. */
export interface Outcome {
  readonly types: readonly EffectiveType[];
  /** Each of these types leaves somebody with old data. */
  readonly isStale: boolean;
}

/** What becomes of one request of a driver in this guest. */
export interface GuestRequest extends MemoryRequest {
  readonly backing: BackingId;
  /** For each possible host. */
  readonly outcomes: readonly Outcome[];
}

export interface GuestBlock {
  /** Null: RAM. */
  readonly memory: GuestMemory | null;
  /** Devices with memory that is like this one in everything but its place. */
  readonly alike: readonly GuestMemory[];
  readonly rows: readonly GuestRequest[];
}

/** What this machine, as a guest, can know of its memory types. */
export interface GuestSide {
  /** The hypervisor, where it is known not to be KVM: then there are no hosts. */
  readonly notKvm: string | null;
  readonly hosts: readonly PossibleHost[];
  /** RAM, as in the first block: for each possible host the types that a request may get. */
  readonly requests: readonly {
    readonly asks: PatType;
    readonly types: readonly (readonly EffectiveType[])[];
  }[];
  /** RAM, then the memories of devices. */
  readonly blocks: readonly GuestBlock[];
  readonly findings: readonly DoctorFinding[];
}

interface HostModel extends PossibleHost {
  readonly rules: readonly KvmRules[] | null;
  /** The guest's MTRRs count, as its VM has non-coherent DMA. */
  readonly countsMtrrs: boolean;
}

const NEWEST = SPANS.at(-1)?.rules ?? null;
const LAST_WITH_MTRRS = spanOf(parseKernelVersion('6.10'))?.rules ?? null;

const HOSTS: readonly HostModel[] = [
  {
    name: 'EPT',
    what: 'KVM on Intel as it is by default: the guest PAT is ignored for RAM',
    paging: 'ept',
    honoursPat: false,
    rules: NEWEST,
    countsMtrrs: false,
  },
  {
    name: 'EPT+PAT',
    what:
      'KVM on Intel that honours the guest PAT: IGNORE_GUEST_PAT disabled (6.16), or non-coherent DMA ' +
      '(from 6.11)',
    paging: 'ept',
    honoursPat: true,
    rules: NEWEST,
    countsMtrrs: false,
  },
  {
    name: 'EPT+MTRR',
    what: 'KVM on Intel up to 6.10 with non-coherent DMA: PAT and MTRRs of the guest count',
    paging: 'ept',
    honoursPat: true,
    rules: LAST_WITH_MTRRS,
    countsMtrrs: true,
  },
  {
    name: 'NPT',
    what: 'KVM on AMD, from 4.15 on: the guest PAT is honoured',
    paging: 'npt',
    honoursPat: true,
    rules: NEWEST,
    countsMtrrs: false,
  },
  {
    name: 'shadow',
    what: 'KVM without EPT and NPT, in software or by parameter: guest types are ignored',
    paging: 'shadow',
    honoursPat: false,
    rules: NEWEST,
    countsMtrrs: false,
  },
];

/** KVM of a TDX guest honours its PAT from birth (tdx_vm_init); SEV of any kind needs NPT (sev_hardware_setup). */
const CONFIDENTIAL_HOST: Readonly<Record<Confidential, string>> = {
  tdx: 'EPT+PAT',
  snp: 'NPT',
  sev: 'NPT',
};

function hostsFor(facts: HostFacts): readonly HostModel[] {
  const confidential = ifKnown(facts.confidential);
  if (confidential !== null) {
    return HOSTS.filter((h) => h.name === CONFIDENTIAL_HOST[confidential]);
  }
  const vendor = ifKnown(facts.cpu)?.vendor ?? null;
  if (vendor === 'intel') return HOSTS.filter((h) => h.paging !== 'npt');
  return vendor === 'amd' ? HOSTS.filter((h) => h.paging !== 'ept') : HOSTS;
}

/** How the other side of a host's memory reaches it: a GPU does not snoop what the host maps WC. */
const DEVICE: Partial<Readonly<Record<BackingId, 'snoop' | 'nosnoop'>>> = {
  'ttm-cached': 'snoop',
  'ttm-wc': 'nosnoop',
};

function outcome(
  host: HostModel,
  granted: readonly PatType[],
  backing: BackingId,
  mtrrs: readonly MtrrType[],
): Outcome {
  const more: Facts = {
    paging: [host.paging],
    backing: [backing],
    device: [DEVICE[backing] ?? 'none'],
    guest: granted,
    'guest-layout': ['linux'],
    'guest-mtrr': mtrrs,
    'noncoherent-dma': [host.countsMtrrs],
    'quirk-ignore-guest-pat': [host.honoursPat ? 'off' : 'on'],
    'self-snoop': [true],
  };
  const asked = question({ facts: more, rules: host.rules, subject: 'the host' });
  const { types, verdicts } = resolve(asked);
  return { types, isStale: verdicts.some((v) => v.certain && v.severity === 'error') };
}

/** The same question is asked of many rows, and of many machines: there are only so many. */
class Outcomes {
  readonly #known = new Map<string, Outcome>();

  of(
    host: HostModel,
    granted: readonly PatType[],
    backing: BackingId,
    mtrrs: readonly MtrrType[],
  ): Outcome {
    const counted = host.countsMtrrs ? mtrrs : (['WB'] as const);
    const key = JSON.stringify([host.name, granted, backing, counted]);
    const before = this.#known.get(key);
    if (before !== undefined) return before;
    const found = outcome(host, granted, backing, counted);
    this.#known.set(key, found);
    return found;
  }
}

const OUTCOMES = new Outcomes();

function rowsOf(
  requests: readonly MemoryRequest[],
  backings: readonly BackingId[],
  mtrrs: readonly MtrrType[],
  hosts: readonly HostModel[],
): readonly GuestRequest[] {
  return requests.flatMap((request) => {
    const granted = grantedTypes(request);
    return backings.map((backing) => ({
      ...request,
      backing,
      outcomes:
        granted.length === 0 ? [] : hosts.map((h) => OUTCOMES.of(h, granted, backing, mtrrs)),
    }));
  });
}

const RAM_REQUESTS = ['WC', 'UC-'] as const satisfies PatType[];

/** Everything that makes two memories say the same. */
function likeness({ kind, isPrefetchable, isInferred, ...m }: GuestMemory): string {
  return JSON.stringify([kind, isPrefetchable, isInferred, m.hints, m.reserved, m.requests]);
}

function blocksOf(
  facts: HostFacts,
  memories: readonly GuestMemory[],
  hosts: readonly HostModel[],
): readonly GuestBlock[] {
  const ram = RAM_REQUESTS.map((asks) => ({
    who: 'a driver',
    asks,
    grants: ramGrants(facts, asks),
  }));
  const groups = new Map<string, GuestMemory[]>();
  for (const memory of memories) {
    const key = likeness(memory);
    groups.set(key, [...(groups.get(key) ?? []), memory]);
  }
  const devices = [...groups.values()].flatMap(([memory, ...alike]) => {
    if (memory === undefined) return [];
    const { requests, backings, mtrrTypes } = memory;
    return [{ memory, alike, rows: rowsOf(requests, backings, mtrrTypes, hosts) }];
  });
  return [
    { memory: null, alike: [], rows: rowsOf(ram, ['ram'], ramMtrrTypes(facts), hosts) },
    ...devices,
  ];
}

/** What this machine's drivers ask, get from its own kernel and from each host it may run on; null: no guest. */
export function guestSide(facts: HostFacts): GuestSide | null {
  if (ifKnown(facts.isGuest) !== true) return null;
  const notKvm = otherHypervisor(facts);
  const hosts = notKvm === null ? hostsFor(facts) : [];
  const memories = guestMemories(facts);
  const blocks = blocksOf(facts, memories, hosts);
  const ram = notKvm === null ? (blocks[0]?.rows ?? []) : [];
  return {
    notKvm,
    hosts: hosts.map(({ rules: _, countsMtrrs: _counts, ...host }) => host),
    requests: ram.map(({ asks, outcomes }) => ({ asks, types: outcomes.map((o) => o.types) })),
    blocks,
    findings: guestFindings(facts, memories),
  };
}
