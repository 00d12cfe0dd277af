import { must } from '../../base/assert.ts';
import { u64FromNumber } from '../../base/u64.ts';
import type { SourceId } from '../../cite/sources.ts';
import type { FactValues } from '../../facts/facts.ts';
import { compileGuestMtrrs, type GuestMtrrState, type GuestMtrrs } from '../../kvm/guest-mtrr.ts';
import {
  HUGE_PAGE,
  type HugeLevel,
  type Level,
  mappedLevel,
  PAGES_OF,
} from '../../kvm/huge-page.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { compileMtrrs, mtrrLookup } from '../../x86/mtrr.ts';
import type { MtrrType } from '../../x86/types.ts';
import type { Side } from '../difference.ts';
import { pageOf } from '../kinds.ts';
import { isMmioAt, leafAt } from '../space/access.ts';
import { type Restriction, wayOf } from '../space/fold.ts';
import type { ReadInput, SweepInput } from '../space/space.ts';
import type { FamilyCase, FamilyResult, Scope } from './family.ts';
import {
  BASE,
  type Boundary,
  firstPart,
  type GuestMtrrPlan,
  KINDS,
  mtrrState,
  pairsIn,
  type Scene,
  type Setting,
  scenesFor,
  settingsOf,
} from './huge-blocks.ts';

// ---- one side -----------------------------------------------------------------------------------

/** What becomes of a block: how the page before the boundary is mapped, and pages with a wrong type. */
interface Mapped {
  /** Null: the kernel reads uninitialised memory. */
  readonly level: Level | null;
  readonly wrong: number;
}

/** One side in one setting, for any two kinds by their numbers. */
interface Mapping {
  readonly map: (first: number, second: number) => Mapped;
  /** The leaf of a kind by itself, in either part of the block. */
  readonly leaves: readonly [first: readonly string[], second: readonly string[]];
}

/** The facts of a VM in which nothing is out of the ordinary. */
const ORDINARY: { readonly [K in SweepInput]?: FactValues[K] } = {
  'slot-noncoherent': false,
  'quirk-ignore-guest-pat': 'on',
  'quirk-cd-nw-cleared': 'on',
  'cr0-cd': false,
  'self-snoop': true,
  guest: 'WB',
  'guest-layout': 'linux',
};

const PAGES: readonly Restriction[] = KINDS.map(pageOf);

function readerFor(kind: number, scene: Scene, guestMtrr: MtrrType): ReadInput {
  const page = must(PAGES[kind], 'a kind');
  const values: { readonly [K in SweepInput]?: unknown } = {
    ...ORDINARY,
    'noncoherent-dma': scene.noncoherent,
    'assigned-device': scene.noncoherent,
    'slot-host-memtype': scene.flagged,
    'guest-mtrr': guestMtrr,
  };
  return (key) => (page[key] === undefined ? values[key] : page[key][0]) as never;
}

/** A function of a few words, asked once for each. */
function remembered<A extends readonly (string | number | boolean)[], R>(
  f: (...args: A) => R,
): (...args: A) => R {
  const known = new Map<string, R>();
  return (...args) => {
    const key = args.join(' ');
    const found = known.get(key);
    if (found !== undefined) return found;
    const result = f(...args);
    known.set(key, result);
    return result;
  };
}

/** Whether the rules go by the type of the VMM's mapping rather than by the one that the host tracks. */
function readsVmm(rules: KvmRules, scene: Scene): boolean {
  const asked = new Set<SweepInput>();
  const read = readerFor(0, { ...scene, flagged: true }, 'WB');
  leafAt(rules, 'ept', (key) => {
    asked.add(key);
    return read(key);
  });
  return asked.has('vmm-mapping');
}

/** Guest MTRRs as these rules evaluate them; as the manual does for those that have no code of their own. */
function evaluated(
  { guestMtrr }: KvmRules,
  state: GuestMtrrState,
): Pick<GuestMtrrs, 'typeOf' | 'consistent'> {
  if (guestMtrr !== null) return compileGuestMtrrs(guestMtrr, state);
  const mtrrs = compileMtrrs({ ...state, physBits: state.maxphyaddr });
  return {
    typeOf: (gfn) => {
      const answer = mtrrLookup(mtrrs, u64FromNumber(gfn * 4096));
      return answer.kind === 'type' ? answer.type : null;
    },
    consistent: () => null,
  };
}

/** One side, in any setting. */
export function mapperOf(rules: KvmRules, scenes: readonly Scene[]): (setting: Setting) => Mapping {
  const [anyScene] = scenes;
  if (anyScene === undefined) throw new RangeError('no scene');
  const hostType = readsVmm(rules, anyScene) ? 'vmm-mapping' : 'host-memtype';
  const isMmio = KINDS.map((_, kind) => isMmioAt(rules, readerFor(kind, anyScene, 'WB')));
  /** Both have one host type, and are both host MMIO or both not. */
  const alike = KINDS.map((_, x) =>
    KINDS.map(
      (__, y) => isMmio[x] === isMmio[y] && PAGES[x]?.[hostType]?.[0] === PAGES[y]?.[hostType]?.[0],
    ),
  );
  const mtrrsOf = remembered((plan: GuestMtrrPlan, level: HugeLevel, boundary: Boundary) =>
    evaluated(rules, mtrrState(plan, level, boundary)),
  );
  const leavesOf = remembered((at: number, guestMtrr: MtrrType): readonly string[] => {
    const scene = must(scenes[at], 'a scene');
    const way = wayOf(scene.platform);
    return KINDS.map((_, kind) => leafAt(rules, way, readerFor(kind, scene, guestMtrr)));
  });
  return ({ scene, level: host, plan, boundary }) => {
    const mtrrs = mtrrsOf(plan, host, boundary);
    const part = firstPart(host, boundary);
    // The block of 2M around the last page of the first kind; a boundary in the middle of 1G divides none.
    const smaller = Math.floor((part - 1) / PAGES_OF['2M']) * PAGES_OF['2M'];
    const start = (level: HugeLevel): number => (level === host ? 0 : smaller);
    const isDivided = (level: HugeLevel): boolean => start(level) + PAGES_OF[level] > part;
    const { paging } = scene.platform;
    const levelIf = (areAlike: boolean): Level | null =>
      mappedLevel(
        rules.hugeFlagged ? [rules.hugePage, 'one-host-type-in-flagged-slots'] : rules.hugePage,
        {
          ept: () => paging === 'ept',
          tdp: () => paging !== 'shadow',
          noncoherent_dma: () => scene.noncoherent,
          slot_host_memtype: () => scene.flagged,
          mtrr_consistent: (level) => mtrrs.consistent(BASE + start(level), PAGES_OF[level]),
          one_host_type: (level) => areAlike || !isDivided(level),
        },
        host,
      );
    const levels = { alike: levelIf(true), different: levelIf(false) };
    const typeAt = (page: number): MtrrType => mtrrs.typeOf(BASE + page) ?? 'UC';
    const at = scenes.indexOf(scene);
    const leaves = [leavesOf(at, typeAt(part - 1)), leavesOf(at, typeAt(part))] as const;
    return {
      leaves,
      map: (first, second) => {
        const level = alike[first]?.[second] === true ? levels.alike : levels.different;
        const right =
          level === null ||
          level === '4K' ||
          leaves[0][first] === leaves[1][second] ||
          !isDivided(level);
        return { level, wrong: right ? 0 : start(level) + PAGES_OF[level] - part };
      },
    };
  };
}

// ---- causes -------------------------------------------------------------------------------------

interface Cause {
  readonly words: string;
  readonly source: SourceId;
}

const CAUSES = {
  gap: {
    words: 'two adjacent ranges of one guest MTRR type: 4.2 to 6.10 take them for a gap and split',
    source: 'kvm/range-consistency',
  },
  guestMtrr: {
    words: 'guest MTRRs differ within the block, and only one side splits it for that',
    source: 'kvm/d5e90a699875',
  },
  hostType: {
    words: 'the pages have two types on the host, and only one side splits the block for that',
    source: 'memtype/ideal',
  },
  firstPage: {
    words: 'only one side has two types for these pages, and the first page decides for all',
    source: 'pr/dosemu2-2813',
  },
} as const satisfies Readonly<Record<string, Cause>>;

/** How one side does in one setting, with what an example needs of it. */
interface Outcome extends Mapped {
  readonly leaves: Mapping['leaves'];
}

const LEVEL_RANK: Readonly<Record<Level, number>> = { '4K': 0, '2M': 1, '1G': 2 };

function causeOf({ plan }: Setting, a: Side, b: Side, before: Mapped, after: Mapped): Cause {
  if (before.level === after.level) return CAUSES.firstPage;
  const isBefore = LEVEL_RANK[before.level ?? '4K'] < LEVEL_RANK[after.level ?? '4K'];
  const { hugePage, hugeFlagged } = (isBefore ? a : b).rules;
  const byType = HUGE_PAGE[hugePage].limit?.agrees === 'one_host_type';
  if (byType || hugeFlagged) return CAUSES.hostType;
  return plan === 'one guest MTRR type by two ranges' ? CAUSES.gap : CAUSES.guestMtrr;
}

function mappedWords({ level, wrong }: Mapped, host: Level): string {
  if (level === null) return 'undefined';
  return `${level === host ? 'one mapping' : 'split'}${wrong > 0 ? ', wrong types' : ''}`;
}

function exampleWords(
  { scene, level, plan, boundary }: Setting,
  [first, second]: readonly [number, number],
  sides: readonly Outcome[],
): string {
  const [one, other] = [KINDS[first], KINDS[second]].map((kind) => kind?.id ?? '');
  const kinds = first === second ? one : `${one}, ${other} ${boundary}`;
  const [before, after] = sides.map(({ level: mapped, wrong, leaves }) =>
    wrong === 0
      ? (mapped ?? 'undefined')
      : `${mapped}, ${wrong} pages ${leaves[0][first]} instead of ${leaves[1][second]}`,
  );
  const dma = scene.noncoherent ? 'non-coherent DMA' : 'no non-coherent DMA';
  const flag = scene.flagged ? ', flagged memslot' : '';
  return `${level} of ${kinds}; ${plan}; ${scene.platform.paging}, ${dma}${flag}: ${before}; then ${after}`;
}

interface Collected {
  count: number;
  readonly before: Map<string, number>;
  readonly after: Map<string, number>;
  readonly example: string;
}

function tally(map: Map<string, number>): string {
  const [only, ...more] = map.keys();
  if (only !== undefined && more.length === 0) return only;
  return [...map]
    .toSorted(([, x], [, y]) => y - x)
    .map(([words, n]) => `${words} ${n}`)
    .join('; ');
}

function count(map: Map<string, number>, words: string): void {
  map.set(words, (map.get(words) ?? 0) + 1);
}

const BOUND =
  `blocks of 2M and 1G that the host maps as one: of two of ${KINDS.length} kinds of page, every ordered pair, the ` +
  'second after the first page, from the middle on, or at the last page; under one guest MTRR type, under ' +
  'another from the same boundary on, and under one type by two ranges; EPT, NPT and shadow paging, with ' +
  'and without non-coherent DMA, quirks on, self-snoop. Whether a host ever maps such a block as one is ' +
  'not asked';

/**
 * Blocks whose 4K pages are of two kinds, or lie under two guest MTRR types: the level at which each side
 * maps them, and how many pages then have another leaf than by themselves.
 */
export function hugePages(a: Side, b: Side, scope: Scope): FamilyResult {
  const scenes = scenesFor([a, b], scope);
  const [mapperA, mapperB] = [a, b].map(({ rules }) => mapperOf(rules, scenes));
  const collected = new Map<Cause, Collected>();
  let members = 0;
  for (const setting of settingsOf(scenes)) {
    const pairs = pairsIn(setting);
    members += pairs.length;
    const [here, there] = [mapperA?.(setting), mapperB?.(setting)];
    if (here === undefined || there === undefined) continue;
    for (const pair of pairs) {
      const [before, after] = [here.map(...pair), there.map(...pair)];
      if (before.level === after.level && before.wrong === after.wrong) continue;
      const cause = causeOf(setting, a, b, before, after);
      const known = collected.get(cause) ?? {
        count: 0,
        before: new Map(),
        after: new Map(),
        example: exampleWords(setting, pair, [
          { ...before, leaves: here.leaves },
          { ...after, leaves: there.leaves },
        ]),
      };
      known.count += 1;
      count(known.before, mappedWords(before, setting.level));
      count(known.after, mappedWords(after, setting.level));
      collected.set(cause, known);
    }
  }
  const cases = [...collected].map(
    ([{ words, source }, found]): FamilyCase => ({
      cause: words,
      count: found.count,
      before: tally(found.before),
      after: tally(found.after),
      example: found.example,
      source,
    }),
  );
  return {
    id: 'huge-pages',
    title: 'huge pages over pages of two kinds',
    bound: BOUND,
    members,
    differing: cases.reduce((n, c) => n + c.count, 0),
    cases: cases.toSorted((x, y) => y.count - x.count),
  };
}
