import { describe, expect, test } from 'vitest';
import { answers, shellFlags } from '../../../test/ask.ts';
import { compileGuestMtrrs } from '../../kvm/guest-mtrr.ts';
import { type HugeLevel, LEVELS, type Level, mappedLevel, PAGES_OF } from '../../kvm/huge-page.ts';
import { NAMED_POLICIES, proposalRules } from '../../kvm/policies.ts';
import { rulesFor } from '../../kvm/timeline.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import type { Side } from '../difference.ts';
import { pageOf } from '../kinds.ts';
import { PLATFORMS } from '../platforms.ts';
import { isMmioAt } from '../space/access.ts';
import type { ReadInput } from '../space/space.ts';
import { devices } from './devices.ts';
import type { FamilyResult, Scope } from './family.ts';
import { guestMtrrLayouts } from './guest-mtrr-layouts.ts';
import {
  BASE,
  firstPart,
  KINDS,
  mtrrState,
  pairsIn,
  scenesFor,
  settingsOf,
} from './huge-blocks.ts';
import { hugePages, mapperOf } from './huge-pages.ts';
import { layouts, ONE_MIB, stateOf } from './mtrr-layouts.ts';

const EVERYWHERE: Scope = { platforms: PLATFORMS, facts: {} };

function side(name: string): Side {
  const proposal = NAMED_POLICIES.find(({ id }) => id === name);
  const [rules] =
    proposal === undefined ? rulesFor(parseKernelVersion(name)) : [proposalRules(proposal)];
  if (rules === undefined) throw new Error(name);
  return { name, kernel: name, title: name, rules, notes: [] };
}

const FAMILIES: readonly ((a: Side, b: Side) => FamilyResult)[] = [
  guestMtrrLayouts,
  (a, b) => hugePages(a, b, EVERYWHERE),
  devices,
];
const NAMES = [
  '2.6.28',
  '2.6.30',
  '3.10',
  '3.13',
  '4.1',
  '4.2',
  '4.4',
  '5.19',
  '6.2',
  '6.10',
  '6.11',
  '7.3',
  'wc-as-mmio',
  'host-pat',
  'host-pat-slot',
  'xen',
];

describe('every family', () => {
  test.each(NAMES)('of %s and itself has nothing that differs', (name) => {
    for (const family of FAMILIES)
      expect(family(side(name), side(name))).toMatchObject({ differing: 0, cases: [] });
  });

  test('its cases add up, and turn round with the sides', () => {
    for (const [i, name] of NAMES.entries()) {
      const other = NAMES[(i + 5) % NAMES.length] ?? name;
      for (const family of FAMILIES) {
        const there = family(side(name), side(other));
        const back = family(side(other), side(name));
        const sum = (r: FamilyResult): number => r.cases.reduce((n, c) => n + c.count, 0);
        expect(sum(there)).toBe(there.differing);
        expect([back.differing, back.members]).toEqual([there.differing, there.members]);
        expect(there.differing).toBeLessThanOrEqual(there.members);
      }
    }
  });
});

describe('guest MTRR layouts', () => {
  const found = (a: string, b: string): FamilyResult => guestMtrrLayouts(side(a), side(b));
  const caseWith = (r: FamilyResult, words: string): FamilyResult['cases'][number] | undefined =>
    r.cases.find(({ cause }) => cause.includes(words));

  test('what is known of the evaluators', () => {
    const old = found('4.1', '4.4');
    expect(caseWith(old, 'visit the higher base first')).toMatchObject({
      before: 'UC',
      after: 'WB',
      example: '--guest-mtrr-ranges "WB 4G-8G, UC 5G-6G" --guest-mtrr-default WB --gpa 5G',
    });
    expect(caseWith(old, 'none of them UC')).toMatchObject({ before: 'UC', after: 'WB' });
    expect(caseWith(old, 'everything is WB up to 4.1')).toMatchObject({
      before: 'WB',
      after: 'UC',
    });
    expect(caseWith(old, 'FE=0, below 1 MiB')).toBeDefined();
    expect(caseWith(found('4.2', '4.4'), '4.2 and 4.3 do not find')).toBeDefined();
    expect(found('4.2', '4.4').cases).toHaveLength(2);
    expect(found('6.6', '6.10').differing).toBe(0);
    expect(found('6.11', '7.3').differing).toBe(0);
    const gone = found('6.10', '6.11');
    expect(gone.cases).toHaveLength(1);
    expect(gone.cases[0]).toMatchObject({
      cause: '6.11 does not look at guest MTRRs',
      after: 'WB',
    });
  });

  test.each([
    ['4.1', '4.4'],
    ['4.4', '4.1'],
    ['4.2', '4.4'],
    ['6.10', '6.11'],
    ['6.11', '6.10'],
  ])('examples of %s and %s are what explain answers', (a, b) => {
    const askable = found(a, b).cases.filter(({ example }) => example.startsWith('--'));
    expect(askable.length).toBeGreaterThan(0);
    for (const { example, before, after } of askable) {
      const rest =
        '--cpu intel --paging ept --self-snoop yes --backing ram --noncoherent-dma yes --guest WB';
      const [was, is] = [a, b].map((kernel) => {
        const [answer] = answers(shellFlags(`--kernel ${kernel} ${rest} ${example}`));
        return answer?.types ?? [];
      });
      // An undefined answer leaves every type open.
      const fits = (types: readonly string[] | undefined, said: string): boolean =>
        types?.length === 1 ? said.includes(types[0] ?? '-') : said.includes('undefined');
      expect([example, fits(was, before), fits(is, after)]).toEqual([example, true, true]);
      expect(was).not.toEqual(is);
    }
  });

  test('no piece of memory is left out, and none is looked at twice', () => {
    for (const { ranges, addresses, enabled } of layouts()) {
      if (!enabled || addresses.every((address) => address < ONE_MIB)) continue;
      const over = (address: number): string =>
        ranges.map((r) => (address >= r.base && address < r.base + r.size ? 1 : 0)).join('');
      const high = addresses.filter((address) => address >= ONE_MIB);
      const edges = [
        ONE_MIB,
        ...ranges.flatMap((r) => [Math.max(r.base, ONE_MIB), r.base + r.size]),
      ];
      expect(new Set(high.map(over))).toEqual(new Set(edges.map(over)));
    }
  });

  test('firmware that writes UC ranges over a WB default has the same from 2.6.29 to 6.10', () => {
    for (const layout of layouts()) {
      const plain =
        layout.enabled &&
        layout.defaultType === 'WB' &&
        layout.ranges.every(({ type }) => type === 'UC');
      if (!plain) continue;
      const [v1, v2] = (['v1', 'v2'] as const).map((v) => compileGuestMtrrs(v, stateOf(layout)));
      for (const address of layout.addresses) {
        if (address < ONE_MIB) continue;
        expect(v1?.typeOf(address / 4096)).toBe(v2?.typeOf(address / 4096));
      }
    }
  });
});

describe('huge pages', () => {
  /** Each block page by page: what each is by itself, and how KVM would map the whole. */
  function pageByPage(name: string, take: (n: number) => boolean): void {
    const { rules } = side(name);
    const scenes = scenesFor([side(name)], EVERYWHERE);
    const mapper = mapperOf(rules, scenes);
    let n = 0;
    for (const setting of settingsOf(scenes)) {
      const { scene, level: host, plan, boundary } = setting;
      const mapping = mapper(setting);
      const part = firstPart(host, boundary);
      const mtrrs =
        rules.guestMtrr === null
          ? null
          : compileGuestMtrrs(rules.guestMtrr, mtrrState(plan, host, boundary));
      for (const [first, second] of pairsIn(setting)) {
        if (!take(n++)) continue;
        const kindAt = (page: number): number => (page < part ? first : second);
        const leafAt = (page: number): string =>
          mapping.leaves[page < part ? 0 : 1][kindAt(page)] ?? '';
        const pages = (start: number, level: Level): readonly number[] =>
          Array.from({ length: PAGES_OF[level] }, (_, i) => start + i);
        const startOf = (page: number, level: Level): number => page - (page % PAGES_OF[level]);
        const hostFacts = (page: number): string => {
          const facts = pageOf(KINDS[kindAt(page)] ?? (KINDS[0] as never));
          const read: ReadInput = (key) => facts[key]?.[0] as never;
          const type = name === 'host-pat-tracked' ? facts['host-memtype'] : facts['vmm-mapping'];
          return `${type?.[0]} ${isMmioAt(rules, read)}`;
        };
        const levelAt = (page: number): Level | null =>
          mappedLevel(
            rules.hugeFlagged ? [rules.hugePage, 'one-host-type-in-flagged-slots'] : rules.hugePage,
            {
              ept: () => scene.platform.paging === 'ept',
              tdp: () => scene.platform.paging !== 'shadow',
              noncoherent_dma: () => scene.noncoherent,
              slot_host_memtype: () => scene.flagged,
              mtrr_consistent: (l) =>
                mtrrs?.consistent(BASE + startOf(page, l), PAGES_OF[l]) ?? null,
              one_host_type: (l: HugeLevel) =>
                new Set(
                  [startOf(page, l), part - 1, part, startOf(page, l) + PAGES_OF[l] - 1]
                    .filter((p) => p >= startOf(page, l) && p < startOf(page, l) + PAGES_OF[l])
                    .map(hostFacts),
                ).size === 1,
            },
            host,
          );
        const level = levelAt(part - 1);
        let wrong = 0;
        for (let page = 0; page < PAGES_OF[host]; ) {
          const here = levelAt(page) ?? '4K';
          expect(LEVELS.indexOf(here)).toBeLessThanOrEqual(LEVELS.indexOf(host));
          const start = startOf(page, here);
          if (here !== '4K')
            wrong += pages(start, here).filter((p) => leafAt(p) !== leafAt(start)).length;
          // Pages that are mapped one by one have their own types: on to the next block.
          page = here === '4K' ? startOf(page, '2M') + PAGES_OF['2M'] : start + PAGES_OF[here];
        }
        expect([name, plan, boundary, first, second, mapping.map(first, second)]).toEqual([
          name,
          plan,
          boundary,
          first,
          second,
          { level, wrong },
        ]);
      }
    }
  }

  test.each([
    '4.1',
    '4.4',
    '6.10',
    '7.3',
    'wc-as-mmio',
    'host-pat',
    'host-pat-tracked',
    'host-pat-slot',
  ])('%s, page by page', (name) => {
    pageByPage(name, (n) => n % 331 === 0);
  });

  test('what is known of the rules', () => {
    const seed = hugePages(side('6.8'), side('wc-as-mmio'), EVERYWHERE);
    expect(seed.cases).toHaveLength(1);
    expect(seed.cases[0]?.example).toBe(
      '2M of ram, ttm-wc after the first page; one guest MTRR type; ept, no non-coherent DMA: 2M; then 2M, 511 pages EPT WB+IPAT instead of EPT UC',
    );
    const ideal = hugePages(side('6.16'), side('host-pat'), EVERYWHERE);
    expect(ideal.cases.map(({ after }) => after)).toEqual(['split']);
    const limits = hugePages(side('5.19'), side('6.0'), EVERYWHERE);
    expect(limits.cases.map(({ before }) => before.startsWith('split'))).toEqual([true, true]);
    expect(hugePages(side('6.11'), side('7.3'), EVERYWHERE).differing).toBe(0);
  });
});

describe('devices', () => {
  test.each([
    ['3.12', '3.13', 5],
    ['3.13', '3.15', 5],
    ['5.18', '5.19', 1],
    ['6.1', '6.2', 3],
    ['6.2', '7.3', 0],
  ])('%s and %s: %i of 7', (a, b, differing) => {
    expect(devices(side(a), side(b))).toMatchObject({ members: 7, differing });
  });

  test('from 5.19 on the integrated GPU makes no other device non-coherent', () => {
    expect(devices(side('5.18'), side('5.19')).cases).toMatchObject([
      {
        before: 'non-coherent',
        after: 'coherent',
        example: 'intel, ECAP.SC=1, all units ECAP.SC=1: no',
      },
    ]);
  });
});
