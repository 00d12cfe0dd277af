import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InternalError, must } from '../../base/assert.ts';
import type { Facts } from '../../facts/facts.ts';
import { decide, type EptChoice, eptLeaf, type VmxInputs } from '../../kvm/decision.ts';
import type { PfnInputs } from '../../kvm/mmio.ts';
import { PROPOSALS, proposalRules } from '../../kvm/policies.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { decodedByHost } from '../../kvm/svm.ts';
import { ALL_KERNEL_RULES } from '../../kvm/timeline.ts';
import { openSets, question } from '../../resolve/question.ts';
import { resolveWorld } from '../../resolve/world.ts';
import { eptEffective } from '../../x86/ept.ts';
import { EFFECTIVE_TYPES, type EffectiveType, type MtrrType } from '../../x86/types.ts';
import {
  type ReadInput,
  SWEEP_INPUTS,
  SWEEP_POINTS,
  SWEEP_VALUES,
  SWEEP_WAYS,
  type SweepInput,
  type SweepWay,
} from './space.ts';
import { type SweepRow, sweep, typeAt, typeTable } from './sweep.ts';

const ROWS = sweep();
const ALL_RULES = [...ALL_KERNEL_RULES, ...PROPOSALS.map(proposalRules)];

/** One value for each input. */
type Point = Readonly<Record<SweepInput, unknown>>;

function reader(point: Point): ReadInput {
  return (key) => point[key] as never;
}

const point: fc.Arbitrary<Point> = fc.record(
  Object.fromEntries(
    SWEEP_INPUTS.map((key) => [key, fc.constantFrom<unknown>(...SWEEP_VALUES[key])]),
  ),
) as fc.Arbitrary<Point>;

/** The table that the sweep has for a set of rules. */
function tableOf(rules: KvmRules, way: SweepWay): ReturnType<typeof typeTable> {
  const row = must(
    ROWS.find((r) => r.rules.includes(rules) || r.rules.some(({ id }) => id === rules.id)),
    rules.id,
  );
  return row.tables[way];
}

const CPU = { ept: 'intel', npt: 'amd', 'shadow-intel': 'intel', 'shadow-amd': 'amd' } as const;

/** What `explain` says at a point. Its pages are no tails of compound pages. */
function explained(rules: KvmRules, way: SweepWay, given: Point): EffectiveType {
  const facts = {
    ...Object.fromEntries(Object.entries(given).map(([key, value]) => [key, [value]])),
    cpu: [CPU[way]],
    paging: [way.startsWith('shadow') ? 'shadow' : way],
    backing: ['ram'],
    device: ['none'],
  } as Facts;
  const q = question({ facts, rules: [rules], subject: null });
  const pick = (): never => {
    throw new InternalError('nothing is left to choose');
  };
  return resolveWorld(q, openSets(q), { pick }).result.type;
}

/** The EPT way of a page in a compound page, with nothing but the decision lists and the manual. */
function decided(rules: KvmRules, read: ReadInput): EffectiveType {
  const tail = read('compound') !== 'no';
  const head = tail ? read('compound') === 'tail-of-reserved' : read('page-reserved');
  const pfn: PfnInputs = {
    pfn_valid: () => read('pfn-valid'),
    is_zero_pfn: () => read('zero-page'),
    page_tail: () => tail,
    head_reserved: () => head,
    page_reserved: () => read('page-reserved'),
    pat_enabled: () => read('host-pat'),
    host_memtype: () => read('host-memtype'),
    e820_ram: () => read('e820-ram'),
    host_mtrr_not_wb: () => read('host-mtrr') !== 'WB',
  };
  const on = (key: 'quirk-ignore-guest-pat' | 'quirk-cd-nw-cleared'): boolean => read(key) === 'on';
  const vmx: VmxInputs = {
    is_mmio: () => decide(rules.mmio.kvm_is_mmio_pfn, pfn).decision.returns,
    noncoherent_dma: () => read('noncoherent-dma'),
    cr0_cd: () => read('cr0-cd'),
    quirk_cd_nw_cleared: () => on('quirk-cd-nw-cleared'),
    quirk_ignore_guest_pat: () => on('quirk-ignore-guest-pat') || !read('self-snoop'),
    self_snoop: () => read('self-snoop'),
    guest_mtrr: () => read('guest-mtrr'),
    host_memtype: () => read('host-memtype').replace('UC-', 'UC') as MtrrType,
    host_mtrr: () => read('host-mtrr'),
    slot_noncoherent: () => read('slot-noncoherent'),
    slot_host_memtype: () => read('slot-host-memtype'),
    vmm_mapping: () => read('vmm-mapping').replace('UC-', 'UC') as MtrrType,
    assigned_device: () => read('assigned-device'),
  };
  const { returns } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, vmx).decision;
  const leaf = eptLeaf(returns, vmx);
  const asked = read('guest');
  const pat = rules.vmxLoadsGuestPat ? asked : decodedByHost(asked, read('guest-layout'));
  return eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type;
}

describe('the space', () => {
  it('has the size that the documentation says', () => {
    expect(SWEEP_POINTS).toBe(1_061_683_200);
    expect(ROWS).toHaveLength(28);
    expect(ROWS.reduce((n, row) => n + row.tuples, 0)).toBe(1_803_619);
  });

  it('is counted exactly: a code for each tuple, and every tuple in one column', () => {
    for (const { tables, tuples, types } of ROWS) {
      let cells = 0;
      for (const way of SWEEP_WAYS) {
        const { inputs, codes } = tables[way];
        const product = inputs.reduce((n, key) => n * SWEEP_VALUES[key].length, 1);
        expect(codes).toHaveLength(product);
        expect(SWEEP_POINTS % product).toBe(0);
        cells += product;
      }
      expect(tuples).toBe(cells);
      expect(EFFECTIVE_TYPES.reduce((n, type) => n + types[type], 0)).toBe(cells);
    }
  });
});

/** A text that is the same for two tables only when they are alike. */
function look(tables: SweepRow['tables']): string {
  return SWEEP_WAYS.map(
    (way) => `${tables[way].inputs.join()}=${tables[way].codes.join('')}`,
  ).join();
}

describe('the rows', () => {
  const looks = ROWS.map(({ tables }) => look(tables));

  it('hold every set of rules once, and no two are alike', () => {
    const ids = ROWS.flatMap((row) => row.rules.map((rules) => rules.id));
    expect([...ids].sort()).toEqual(ALL_RULES.map(({ id }) => id).sort());
    expect(new Set(looks).size).toBe(ROWS.length);
  });

  it('put together only what answers alike', () => {
    for (const [i, row] of ROWS.entries()) {
      for (const rules of row.rules) {
        const tables = SWEEP_WAYS.map((way) => [way, typeTable(rules, way)]);
        expect(look(Object.fromEntries(tables)) === looks[i], rules.id).toBe(true);
      }
    }
  });

  it('come out the same every time', () => {
    expect(
      sweep()
        .map(({ tables }) => look(tables))
        .join() === looks.join(),
    ).toBe(true);
  });
});

describe('a tuple', () => {
  const rules = fc.constantFrom(...ALL_RULES);

  it('has the type that explain gives', () => {
    fc.assert(
      fc.property(rules, fc.constantFrom(...SWEEP_WAYS), point, (r, way, p) => {
        const single = { ...p, compound: 'no' };
        expect(typeAt(tableOf(r, way), reader(single))).toBe(explained(r, way, single));
      }),
      { numRuns: 2000 },
    );
  });

  it('has the type that the decision lists and the manual give, compound pages included', () => {
    fc.assert(
      fc.property(rules, point, (r, p) => {
        expect(typeAt(tableOf(r, 'ept'), reader(p))).toBe(decided(r, reader(p)));
      }),
      { numRuns: 4000 },
    );
  });
});
