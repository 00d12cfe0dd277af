import { u64FromNumber } from '../../base/u64.ts';
import type { SourceId } from '../../cite/sources.ts';
import { decide, type EptChoice, eptLeaf, type VmxInputs } from '../../kvm/decision.ts';
import {
  compileGuestMtrrs,
  type GuestMtrrState,
  type GuestMtrrVersion,
} from '../../kvm/guest-mtrr.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { eptEffective } from '../../x86/ept.ts';
import { compileMtrrs, mtrrLookup } from '../../x86/mtrr.ts';
import { type EffectiveType, type MtrrType, PAT_TYPES, type PatType } from '../../x86/types.ts';
import type { Side } from '../difference.ts';
import type { FamilyCase, FamilyResult } from './family.ts';
import {
  isAskable,
  LAYOUTS_IN_WORDS,
  type Layout,
  layouts,
  layoutWords,
  ONE_MIB,
  PHYS_BITS,
  stateOf,
} from './mtrr-layouts.ts';

/** Who evaluates guest MTRRs; the manual for hypervisors that do it right. Null: nobody. */
type Evaluator = GuestMtrrVersion | 'manual' | null;

/** A type, or null where the kernel reads outside an array or the manual leaves it undefined. */
type Answer = MtrrType | null;

/** The inputs of a RAM page of a VM with non-coherent DMA, with the guest MTRR as it comes. */
function inputsWith(guestMtrr: () => MtrrType): VmxInputs {
  return {
    is_mmio: () => false,
    noncoherent_dma: () => true,
    cr0_cd: () => false,
    quirk_cd_nw_cleared: () => true,
    quirk_ignore_guest_pat: () => true,
    self_snoop: () => true,
    guest_mtrr: guestMtrr,
    host_memtype: () => 'WB',
    vmm_mapping: () => 'WB',
    host_mtrr: () => 'WB',
    slot_noncoherent: () => false,
    slot_host_memtype: () => false,
    assigned_device: () => true,
  };
}

function effectiveOf({ vmx }: KvmRules, guestMtrr: () => MtrrType, pat: PatType): EffectiveType {
  const inputs = inputsWith(guestMtrr);
  const { decision } = decide<VmxInputs, EptChoice>(vmx.vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  return eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type;
}

function evaluatorOf(rules: KvmRules): Evaluator {
  let asked = false;
  effectiveOf(
    rules,
    () => {
      asked = true;
      return 'WB';
    },
    'WB',
  );
  return asked ? (rules.guestMtrr ?? 'manual') : null;
}

/** What an evaluator answers at each address of a layout; nothing where nobody looks. */
function answersOf(
  evaluator: Evaluator,
  state: GuestMtrrState,
  addresses: readonly number[],
): readonly Answer[] {
  if (evaluator === null) return addresses.map(() => 'WB');
  if (evaluator === 'manual') {
    const mtrrs = compileMtrrs({ ...state, physBits: PHYS_BITS });
    return addresses.map((address) => {
      const answer = mtrrLookup(mtrrs, u64FromNumber(address));
      return answer.kind === 'type' ? answer.type : null;
    });
  }
  const mtrrs = compileGuestMtrrs(evaluator, state);
  return addresses.map((address) => mtrrs.typeOf(Math.floor(address / 4096)));
}

// ---- causes -------------------------------------------------------------------------------------

interface CauseKind {
  readonly words: string;
  readonly source: SourceId;
}

const CAUSES = {
  cpuid: {
    words: 'E=0 and no MTRRs in guest CPUID: UC up to 4.3, WB from 4.4 on',
    source: 'kvm/mtrr.c',
  },
  offFixed: {
    words: 'E=0, FE=1, below 1 MiB: up to 4.1 the fixed range counts',
    source: 'kvm/get_mtrr_type',
  },
  offDefault: {
    words: 'E=0, FE=1, from 1 MiB on: up to 4.1 the default type counts',
    source: 'kvm/get_mtrr_type',
  },
  off: {
    words: 'E=0: everything is WB up to 4.1, UC from 4.2 on',
    source: 'kvm/get_mtrr_type',
  },
  fixedOff: {
    words: 'FE=0, below 1 MiB: up to 4.1 the fixed range counts all the same',
    source: 'kvm/get_mtrr_type',
  },
  fixedSearch: {
    words: 'below 1 MiB: 4.2 and 4.3 do not find most fixed ranges',
    source: 'kvm/mtrr.c',
  },
  listOrder: {
    words: 'UC in a range of another type: 4.2 to 6.10 visit the higher base first and forget UC',
    source: 'kvm/mtrr.c',
  },
  mix: {
    words: 'ranges of two types overlap, none of them UC: UC up to 4.1, WB or WT from 4.2 on',
    source: 'kvm/mtrr.c',
  },
} as const satisfies Readonly<Record<string, CauseKind>>;

/** Why two evaluators differ. */
function causeOf(layout: Layout, address: number, a: Evaluator, b: Evaluator): CauseKind {
  const old = a === 'v1' || b === 'v1';
  const low = address < ONE_MIB;
  if (!layout.enabled) {
    if (old && layout.fixedEnabled) return low ? CAUSES.offFixed : CAUSES.offDefault;
    return layout.cpuidMtrr || old ? CAUSES.off : CAUSES.cpuid;
  }
  if (low) return old && !layout.fixedEnabled ? CAUSES.fixedOff : CAUSES.fixedSearch;
  const over = layout.ranges.filter((r) => address >= r.base && address < r.base + r.size);
  return over.some(({ type }) => type === 'UC') ? CAUSES.listOrder : CAUSES.mix;
}

// ---- the family ---------------------------------------------------------------------------------

const TITLE = 'layouts of the guest MTRRs';
const OUTSIDE = 'undefined';

/** Members with one cause that go from one type to another, and the first that `explain` can be asked. */
interface Pair {
  readonly before: string;
  readonly after: string;
  count: number;
  example: string;
  isAskable: boolean;
}

type Effects = ReadonlyMap<Answer, readonly string[]>;

/** The effective types for each guest PAT type, in the order of PAT_TYPES, by the answer of the evaluator. */
function effectsOf(rules: KvmRules): Effects {
  const answers: readonly Answer[] = ['UC', 'WC', 'WT', 'WP', 'WB', null];
  return new Map(
    answers.map((answer) => [
      answer,
      PAT_TYPES.map((pat) => (answer === null ? OUTSIDE : effectiveOf(rules, () => answer, pat))),
    ]),
  );
}

/** "UC- 12, WC 0": how many places differ where the guest PTE says another type. */
function otherPats(differing: readonly number[]): string {
  return PAT_TYPES.flatMap((pat, p) => (p === WB ? [] : [`${pat} ${differing[p]}`])).join(', ');
}

const WB = PAT_TYPES.indexOf('WB');

function unread({ name, rules }: Side): CauseKind {
  return {
    words: `${name} does not look at guest MTRRs`,
    source: rules.guestMtrr === null ? 'kvm/0a7b73559b39' : 'kvm/64d4d5217571',
  };
}

/**
 * Every layout within the bound, as both sides evaluate it, for a VM with non-coherent DMA. A member is a
 * layout and an address: one in each piece of memory that no range divides.
 */
export function guestMtrrLayouts(a: Side, b: Side): FamilyResult {
  const [evaluatorA, evaluatorB] = [evaluatorOf(a.rules), evaluatorOf(b.rules)];
  const all = layouts();
  const members = all.reduce((n, { addresses }) => n + addresses.length, 0);
  const scope = `${all.length} layouts at ${members} addresses: ${LAYOUTS_IN_WORDS}. EPT, RAM, a VM with non-coherent DMA, CR0.CD=0, a guest PTE that says WB`;
  const result = { id: 'guest-mtrr-layouts', title: TITLE, members } as const;
  if (evaluatorA === evaluatorB) {
    const why =
      evaluatorA === null
        ? 'neither side looks at guest MTRRs'
        : 'both sides evaluate guest MTRRs by the same code';
    return { ...result, bound: `${scope}; ${why}`, differing: 0, cases: [] };
  }
  const [effectsA, effectsB] = [effectsOf(a.rules), effectsOf(b.rules)];
  const nobody = evaluatorA === null ? unread(a) : evaluatorB === null ? unread(b) : null;
  const cause = (layout: Layout, address: number): CauseKind =>
    nobody ?? causeOf(layout, address, evaluatorA, evaluatorB);
  const collected = new Map<CauseKind, Pair[]>();
  const byPat = PAT_TYPES.map(() => 0);
  for (const layout of all) {
    const { addresses } = layout;
    const state = stateOf(layout);
    const before = answersOf(evaluatorA, state, addresses);
    const after = answersOf(evaluatorB, state, addresses);
    addresses.forEach((address, i) => {
      if (before[i] === after[i] && nobody === null) return;
      const from = effectsA.get(before[i] ?? null) ?? [];
      const to = effectsB.get(after[i] ?? null) ?? [];
      for (let p = 0; p < byPat.length; p++) {
        if (from[p] !== to[p]) byPat[p] = (byPat[p] as number) + 1;
      }
      const [was, is] = [from[WB] ?? OUTSIDE, to[WB] ?? OUTSIDE];
      if (was !== is) collect(collected, layout, address, cause(layout, address), [was, is]);
    });
  }
  return {
    ...result,
    bound: `${scope}; of a PTE that says another type differ ${otherPats(byPat)}`,
    differing: byPat[WB] ?? 0,
    cases: casesOf(collected),
  };
}

function collect(
  collected: Map<CauseKind, Pair[]>,
  layout: Layout,
  address: number,
  cause: CauseKind,
  [before, after]: readonly [string, string],
): void {
  const pairs = collected.get(cause) ?? [];
  collected.set(cause, pairs);
  const known = pairs.find((p) => p.before === before && p.after === after);
  const askable = isAskable(layout);
  if (known === undefined) {
    const example = layoutWords(layout, address);
    pairs.push({ before, after, count: 1, example, isAskable: askable });
    return;
  }
  known.count += 1;
  if (known.isAskable || !askable) return;
  known.example = layoutWords(layout, address);
  known.isAskable = true;
}

/** "UC 1592, WC 1122": the types of one side, the most frequent first; one type alone without its number. */
function typesOf(pairs: readonly Pair[], of: 'before' | 'after'): string {
  const counts = new Map<string, number>();
  for (const pair of pairs) counts.set(pair[of], (counts.get(pair[of]) ?? 0) + pair.count);
  const [only, ...more] = counts.keys();
  if (only !== undefined && more.length === 0) return only;
  return [...counts]
    .sort(([, x], [, y]) => y - x)
    .map(([type, count]) => `${type} ${count}`)
    .join(', ');
}

/** A case for each cause, the most frequent first; its example is one of its most frequent pair. */
function casesOf(collected: ReadonlyMap<CauseKind, readonly Pair[]>): readonly FamilyCase[] {
  const cases = [...collected].flatMap(([cause, found]): readonly FamilyCase[] => {
    const pairs = found.toSorted((x, y) => y.count - x.count);
    const askable = pairs.find((p) => p.isAskable) ?? pairs[0];
    if (askable === undefined) return [];
    return [
      {
        cause: cause.words,
        count: pairs.reduce((n, { count }) => n + count, 0),
        before: typesOf(pairs, 'before'),
        after: typesOf(pairs, 'after'),
        example: askable.example,
        source: cause.source,
      },
    ];
  });
  return cases.toSorted((x, y) => y.count - x.count);
}
