import type { Facts, FactValues } from '../../facts/facts.ts';
import { type BackingId, backingClass } from '../../linux/backing.ts';
import type { KvmLeaf } from '../../resolve/effective.ts';
import { question } from '../../resolve/question.ts';
import {
  type FactName,
  type JudgedVerdict,
  type Resolution,
  resolve,
} from '../../resolve/resolution.ts';
import type { EffectiveType, PatType } from '../../x86/types.ts';
import { ifKnown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Policy } from '../machine/policy.ts';
import type { Region, VmFacts } from '../vms/vm-facts.ts';
import type { VmCoherency } from './coherency.ts';
import { guestMtrrFacts } from './guest-mtrrs.ts';
import { quirkStates } from './quirk-state.ts';

/** The types a guest may ask for, in the order of the tables. */
export const GUEST_ASKS = ['WB', 'WC', 'UC-', 'UC', 'WT', 'WP'] as const satisfies PatType[];

/** What the other side of an access sees: `yes` as soon as it is coherent by itself. */
export interface Agreement {
  /** The verdict that says it is not, or only with care; null: coherent. */
  readonly code: string | null;
  /** The verdict holds whatever is not known. */
  readonly certain: boolean;
}

/** What a guest gets when it asks for one type. */
export interface GuestAnswer {
  readonly asks: PatType;
  readonly types: readonly EffectiveType[];
  /** What KVM installs; null where that depends on what is not known. */
  readonly leaf: KvmLeaf | null;
  readonly isMmio: boolean | null;
  readonly withVmm: Agreement;
  readonly withSnooping: Agreement;
  /** With a device that reads and writes past the caches. Null for a device's own memory. */
  readonly withNotSnooping: Agreement | null;
  /** Facts that would decide between the types. */
  readonly unknown: readonly FactName[];
}

/** A string of its own: JavaScript keeps a piece of a text as a view of the whole text. */
function copied(text: string): string {
  return [...text].join('');
}

/** Answers of a generation, 6 KB each. */
const GENERATION = 2000;

/**
 * Answers of the resolver, by all that the question holds: hosts that are alike share them. Two generations
 * are kept; what nobody has asked again by the end of the second is forgotten.
 */
export class Answers {
  #young = new Map<string, Resolution>();
  #old = new Map<string, Resolution>();

  /** @param resolved its strings must not be pieces of a file's text: they would keep all of it */
  get(key: string, resolved: () => Resolution): Resolution {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    const answer = this.#old.get(key) ?? resolved();
    this.#young.set(key, answer);
    return answer;
  }
}

/**
 * Asks the resolver about one machine. Regions that are alike lead to the same question, which is then
 * answered once.
 */
export class Asker {
  readonly #policy: Policy;
  readonly #cpuModel: { readonly family: number; readonly model: number } | null;
  readonly #answers: Answers;
  readonly #key: string;

  constructor(facts: HostFacts, policy: Policy, answers: Answers) {
    const { subject } = policy;
    this.#policy = { ...policy, subject: subject === null ? null : copied(subject) };
    this.#answers = answers;
    const cpu = ifKnown(facts.cpu);
    const { family = null, model = null } = cpu ?? {};
    const named = cpu?.vendor === 'intel' && family !== null && model !== null;
    this.#cpuModel = named ? { family, model } : null;
    const rules = policy.rules?.map((r) => r.id) ?? null;
    this.#key = JSON.stringify([rules, policy.subject, this.#cpuModel]);
  }

  ask(facts: Facts): Resolution {
    const { rules, subject } = this.#policy;
    return this.#answers.get(this.#key + JSON.stringify(facts), () =>
      resolve(question({ facts, rules, subject, cpuModel: this.#cpuModel })),
    );
  }
}

function one<T>(value: T | null | undefined): readonly T[] | undefined {
  return value === null || value === undefined ? undefined : [value];
}

/** Facts without the members that are undefined. */
function given(
  facts: { readonly [K in keyof FactValues]?: readonly FactValues[K][] | undefined },
): Facts {
  return Object.fromEntries(Object.entries(facts).filter(([, v]) => v !== undefined)) as Facts;
}

/** Vendor and paging as far as they are known, and only together where they go together. */
export function cpuFacts(facts: HostFacts): Facts {
  const cpu = ifKnown(facts.cpu);
  const vendor = cpu?.vendor === 'intel' || cpu?.vendor === 'amd' ? cpu.vendor : null;
  const paging = ifKnown(facts.kvm.paging);
  const other = { intel: 'npt', amd: 'ept' } as const;
  const fits = vendor === null || paging !== other[vendor];
  return given({
    cpu: one(fits ? vendor : null),
    paging: one(paging),
    'self-snoop': one(cpu?.usableSelfSnoop),
  });
}

const MAP_INFOS = ['cached', 'wc', 'uncached', 'none'] as const satisfies FactValues['map-info'][];

/**
 * crosvm on a kernel with the memslot flag: whether it was built to set it cannot be seen, nor, in a fixed
 * window, which blob came first (up to 2024-09-20 that one decided).
 */
function slotFlagFacts(vm: VmFacts, region: Pick<Region, 'kind'>, policy: Policy): Facts {
  const isBlob = region.kind === 'gpu' || region.kind === 'dma-buf';
  const hasFlag = policy.rules?.some((r) => r.id === 'slot-flag') ?? false;
  if (!isBlob || !hasFlag || vm.vmm !== 'crosvm') return {};
  const isWindow = ifKnown(vm.options)?.blobs === 'one-slot';
  return {
    vmm: ['crosvm', 'crosvm-noncoherent-dma'],
    ...(isWindow ? { 'first-map-info': MAP_INFOS } : {}),
  };
}

/** What is known of a region of a VM. A fact that is not known is left out, so that the resolver forks. */
export function regionFacts(
  vm: VmFacts,
  region: Pick<Region, 'backings' | 'page' | 'kind'>,
  facts: HostFacts,
  policy: Policy,
  coherency: VmCoherency,
): Facts {
  return {
    ...cpuFacts(facts),
    ...given({
      backing: region.backings,
      // With an initial value they would not fork by themselves.
      'host-pat': one(ifKnown(facts.pat)?.enabled) ?? [true, false],
      'host-mtrr': region.page.hostMtrr,
      'host-memtype': one(region.page.hostMemtype),
      'vmm-mapping': region.page.vmmMapping,
      'noncoherent-dma': coherency.noncoherent,
      'assigned-device': vm.files.known ? [vm.devices.length > 0] : [true, false],
      'quirk-ignore-guest-pat': quirkStates(vm, facts, policy),
    }),
    ...guestMtrrFacts(vm, region, policy),
    ...slotFlagFacts(vm, region, policy),
  };
}

function agreement(verdicts: readonly JudgedVerdict[], codes: readonly string[]): Agreement {
  const found = verdicts.find((v) => codes.includes(v.code));
  return { code: found?.code ?? null, certain: found?.certain ?? true };
}

const ALIAS = ['MT103', 'MT104', 'MT105'];
const STALE = ['MT101', 'MT102'];

function isDevice(backings: readonly BackingId[]): boolean {
  return backings.every((id) => backingClass(id)?.page.device === true);
}

/** A guest asks for what map_info says. */
const MAP_INFO_OF: Partial<Record<PatType, readonly FactValues['map-info'][]>> = {
  WC: ['wc'],
  'UC-': ['uncached'],
  WB: ['cached', 'none'],
};

/** The facts with what the guest asks, and the map_info behind it where somebody looks at that. */
export function asking(facts: Facts, asks: PatType): Facts {
  const told = facts.vmm === undefined ? undefined : MAP_INFO_OF[asks];
  return { ...facts, guest: [asks], ...(told === undefined ? {} : { 'map-info': told }) };
}

/** What the guest gets for each type that it may ask. */
export function guestAnswers(
  asker: Asker,
  facts: Facts,
  backings: readonly BackingId[],
): readonly GuestAnswer[] {
  return GUEST_ASKS.map((asks) => {
    const asked = asking(facts, asks);
    const snooping = asker.ask({ ...asked, device: ['snoop'] });
    const past = asker.ask({ ...asked, device: ['nosnoop'] });
    return {
      asks,
      types: snooping.types,
      leaf: snooping.common.leaf === null ? null : snooping.world.result.leaf,
      isMmio: snooping.common.isMmio,
      withVmm: agreement(snooping.verdicts, ALIAS),
      withSnooping: agreement(snooping.verdicts, STALE),
      withNotSnooping: isDevice(backings) ? null : agreement(past.verdicts, STALE),
      unknown: snooping.types.length > 1 ? snooping.unknown : [],
    };
  });
}

/**
 * What a guest driver asks of memory of this class, as a rule: what the host maps it as. Of memory that
 * the host maps uncached it may ask WC as well.
 */
export function expectedAsks(backing: BackingId): readonly PatType[] {
  const page = backingClass(backing)?.page;
  if (page === undefined) return ['WB'];
  return page.vmm === 'UC-' || page.device ? ['UC-', 'WC'] : [page.vmm];
}
