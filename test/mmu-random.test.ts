import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Audit } from '../src/audit/audit.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import { batchesOf } from './audit-batches.ts';
import { lines, PAGES, Pair, type Step } from './mmu-pair.ts';

const KERNELS = ['5.10', '5.15', '6.1', '6.8', '6.11-rc3', '6.12', '6.12.100', '6.17', '7.3'];

const gfn = fc.oneof(
  fc.integer({ min: 0, max: PAGES - 1 }),
  fc.constantFrom(0, 5, 511, 512, 700, 1024, 1030, 1536, 1540),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('touch' as const), gfn, write: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('noncoherent' as const, 'cd' as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('quirk-cd' as const, 'quirk-pat' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ at: fc.integer({ min: 0, max: 31 }), order: fc.integer({ min: 4, max: 9 }) })
      .map(({ at, order }) => {
        const pages = 2 ** order;
        return { do: 'mtrr' as const, start: Math.floor((at * 64) / pages) * pages, pages };
      }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'mtrr-off' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('protect' as const), gfn, writable: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('discard' as const), gfn }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('slot' as const),
      to: fc.constantFrom('gone' as const, 'there' as const, 'logged' as const),
    }),
  },
);

const run = fc.record({
  kernel: fc.constantFrom(...KERNELS),
  isEpt: fc.boolean(),
  selfSnoop: fc.boolean(),
  steps: fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }),
});

test('the tables are those of a model that keeps single pages', () => {
  let checked = 0;
  fc.assert(
    fc.property(run, ({ kernel, isEpt, selfSnoop, steps }) => {
      const pair = new Pair(kernel, isEpt, selfSnoop);
      for (const what of steps) {
        pair.run(what);
        expect(lines(pair.mapped())).toEqual(lines(pair.pages));
        checked += pair.pages.size;
      }
    }),
    { numRuns: 120 },
  );
  expect(checked).toBeGreaterThan(1e6);
});

test('no translation in the TLB is older than the tables', () => {
  fc.assert(
    fc.property(run, ({ kernel, isEpt, selfSnoop, steps }) => {
      const pair = new Pair(kernel, isEpt, selfSnoop);
      for (const what of steps) {
        pair.run(what);
        const now = pair.mapped();
        for (const [page, entry] of pair.vcpu.tlb.entries())
          expect(now.get(page)?.pfn).toBe(entry.pfn);
      }
    }),
    { numRuns: 100 },
  );
});

test('audit of the trace of a simulated VM finds the map that the VM has', () => {
  fc.assert(
    fc.property(run, ({ kernel, isEpt, selfSnoop, steps }) => {
      const pair = new Pair(kernel, isEpt, selfSnoop);
      for (const what of steps) pair.run(what);
      const audit = new Audit({
        paging: isEpt ? 'ept' : 'npt',
        kernel: parseKernelVersion(kernel),
      });
      for (const batch of batchesOf(pair.writer.text())) audit.push(batch);
      const found = new Map<number, string>();
      for (const vm of audit.result().vms)
        for (const region of vm.regions)
          for (let page = region.gfnStart; page < region.gfnEnd; page += 1) {
            const { memtype, ipat, level } = region;
            const type = memtype === null ? '' : `${memtype}${ipat === true ? ' ipat' : ''}`;
            found.set(page, `${level} ${type}`);
          }
      const expected = [...pair.mapped()].map(
        ([page, m]) => [page, `${m.level} ${m.type}`] as const,
      );
      expect([...found].sort((a, b) => a[0] - b[0])).toEqual(expected.sort((a, b) => a[0] - b[0]));
    }),
    { numRuns: 150 },
  );
});
