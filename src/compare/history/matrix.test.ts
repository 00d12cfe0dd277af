import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { NAMED_POLICIES } from '../../kvm/policies.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { rulesFor } from '../../kvm/timeline.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { PLATFORM_IDS, type PlatformId, platformsOf } from '../platforms.ts';
import { accessAt } from '../space/access.ts';
import { givenBy, wayOf } from '../space/fold.ts';
import { type ReadInput, SWEEP_INPUTS, SWEEP_VALUES } from '../space/space.ts';
import { exitCodeOfMatrix, type Matrix, type MatrixCell, matrix } from './matrix.ts';

const known = new Map<PlatformId, Matrix>();

function on(id: PlatformId): Matrix {
  const found = known.get(id) ?? matrix(must(platformsOf(id)[0], id));
  known.set(id, found);
  return found;
}

const EPT = on('intel-ept');
const NPT = on('amd-npt');

function cell(m: Matrix, row: string, column: string): MatrixCell {
  return must(
    m.cells.find((c) => c.row === row && c.column === column),
    `${row} x ${column}`,
  );
}

/** "6.16+host-pat" */
function rulesOf(kernel: string): KvmRules {
  const [version = '', added] = kernel.split('+');
  const [rules, other] = rulesFor(parseKernelVersion(version));
  if (rules === undefined || other !== undefined) throw new Error(`${version} is not settled`);
  const proposal = NAMED_POLICIES.find(({ id }) => id === added);
  return proposal?.apply(rules) ?? rules;
}

const rulesBy = new Map<string, KvmRules>();

function rulesIn(kernel: string): KvmRules {
  const rules = rulesBy.get(kernel) ?? rulesOf(kernel);
  rulesBy.set(kernel, rules);
  return rules;
}

describe('the matrix', () => {
  test.each(PLATFORM_IDS)('of %s has a cell for each two sides', (id) => {
    const m = on(id);
    const names = m.sides.map((side) => side.id);
    const wanted = names.flatMap((row, i) => names.slice(0, i).map((column) => `${row} ${column}`));
    expect(m.cells.map(({ row, column }) => `${row} ${column}`).sort()).toEqual(wanted.sort());
    expect(new Set([...names, ...m.missing.map((x) => x.id)]).size).toBe(
      names.length + m.missing.length,
    );
    for (const { differing } of m.cells) {
      expect(differing).toBeGreaterThanOrEqual(0);
      expect(differing).toBeLessThanOrEqual(m.points);
    }
  });

  test('compares the kernels nearest to each other, and a proposal with the kernel under it', () => {
    expect(cell(EPT, 'E9', 'E8')).toMatchObject({ rowIn: '6.11-rc1', columnIn: '6.10' });
    expect(cell(EPT, 'E11', 'E10')).toMatchObject({ rowIn: '6.16', columnIn: '6.15' });
    expect(cell(EPT, 'E7', 'E6')).toMatchObject({ rowIn: '4.3-rc5', columnIn: '4.3-rc3' });
    expect(cell(EPT, 'host-pat', 'E8')).toMatchObject({ rowIn: '6.10+host-pat', columnIn: '6.10' });
    expect(cell(EPT, 'host-pat', 'wc-as-mmio').columnIn).toBe('6.16+wc-as-mmio');
  });

  test('has nothing where nothing can differ', () => {
    // Before 2.6.29-rc6 nobody asks whether a page is MMIO.
    for (const era of ['E0', 'E1', 'E2']) expect(cell(EPT, 'wc-as-mmio', era).differing).toBe(0);
    // The proposal is what 6.11-rc had.
    expect(cell(EPT, 'honor-guest-pat', 'E9').differing).toBe(0);
    expect(EPT.alike).toEqual([]);
    expect(on('intel-ept-noss').alike).toEqual([['E9', 'E10', 'E11']]);
    expect(on('intel-shadow').alike.map((group) => group.length)).toEqual([12]);
    expect(on('amd-shadow').alike.map((group) => group.at(-1))).toEqual(['E5', 'E11']);
    expect(cell(NPT, 'slot-flag', 'S3').differing).toBe(0);
  });

  test('counts the revert before 6.11 as it is counted by hand', () => {
    // Of pages with a struct page, a quarter is reserved and not the zero page, and three quarters of those
    // are without PAT or tracked UC, UC- or WC; of the others, half are in no RAM of the e820.
    const notMmio = (1 / 2) * (1 - (1 / 4) * (3 / 4)) + (1 / 2) * (1 / 2);
    // No non-coherent DMA, and a guest that does not map it WB anyway.
    expect(cell(EPT, 'E10', 'E9').differing).toBe(EPT.points * notMmio * (1 / 2) * (5 / 6));
  });

  test('of a confidential platform has what runs there only', () => {
    const tdx = on('tdx');
    expect(tdx.sides.filter(({ kind }) => kind === 'era').map(({ id }) => id)).toEqual(['E11']);
    expect(tdx.missing).toHaveLength(11);
    expect(on('snp').sides[0]).toMatchObject({ id: 'S3', title: '6.11 to 7.3' });
  });

  test('comes out the same every time', () => {
    expect(JSON.stringify(matrix(NPT.platform))).toBe(JSON.stringify(NPT));
  });

  test('ends with 1 where anything differs', () => {
    expect(exitCodeOfMatrix(EPT)).toBe(1);
    const cells = EPT.cells.filter(({ differing }) => differing === 0);
    expect(exitCodeOfMatrix({ ...EPT, cells })).toBe(0);
  });
});

describe('a cell', () => {
  /** A point of the space. */
  const point = fc.record(
    Object.fromEntries(
      SWEEP_INPUTS.map((key) => [key, fc.constantFrom<unknown>(...SWEEP_VALUES[key])]),
    ),
  );

  function differsAt(m: Matrix, { rowIn, columnIn }: MatrixCell, p: object): boolean {
    const given = givenBy(m.platform);
    const all = p as Readonly<Record<string, unknown>>;
    const read: ReadInput = (key) => (given[key]?.[0] ?? all[key]) as never;
    const [a, b] = [rowIn, columnIn].map(
      (kernel) => accessAt(rulesIn(kernel), wayOf(m.platform), read).code,
    );
    return a !== b;
  }

  test('with nothing in it differs at no point', () => {
    const zeros = [EPT, NPT].flatMap((m) =>
      m.cells.filter((c) => c.differing === 0).map((c) => [m, c] as const),
    );
    fc.assert(
      fc.property(fc.constantFrom(...zeros), point, ([m, c], p) => !differsAt(m, c, p)),
      { numRuns: 1000 },
    );
  });

  test('has about the share of points that differ in a sample', () => {
    const some = [
      [EPT, cell(EPT, 'E3', 'E2')],
      [EPT, cell(EPT, 'E9', 'E8')],
      [EPT, cell(EPT, 'host-pat', 'E11')],
      [NPT, cell(NPT, 'S3', 'S2')],
    ] as const;
    const sample = fc.sample(point, 2000);
    for (const [m, c] of some) {
      const share = sample.filter((p) => differsAt(m, c, p)).length / sample.length;
      expect(Math.abs(share - c.differing / m.points)).toBeLessThan(0.05);
    }
  });
});
