import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseKernelVersion } from '../../linux/version.ts';
import { decodeSpte } from '../spte.ts';
import { SPTE_EDITIONS } from '../spte-editions.ts';
import { mappingFields } from '../spte-mapping.ts';
import { rulesFor } from '../timeline.ts';
import { vmConfig } from './config.ts';
import { pagesOf } from './host-memory.ts';
import { SpteMaker } from './spte-maker.ts';
import type { VmConfig } from './vm.ts';

const KERNEL_OF = {
  'A-5.3': '5.3',
  'A-5.4': '5.10',
  'B-5.13': '6.1',
  'B-6.11': '6.12',
  'C-7.2': '7.3',
} as const;

interface Case {
  readonly config: VmConfig;
  readonly level: number;
  readonly pfn: number;
  readonly hostWritable: boolean;
  readonly mmuWritable: boolean;
  readonly exec: boolean;
  readonly type: number;
}

const aCase: fc.Arbitrary<Case> = fc
  .record({
    edition: fc.constantFrom(...SPTE_EDITIONS),
    isEpt: fc.boolean(),
    adBits: fc.boolean(),
    cacheBits: fc.constantFrom(null, 36, 39, 44, 46),
    level: fc.integer({ min: 1, max: 3 }),
    frame: fc.integer({ min: 0, max: 2 ** 34 }),
    hostWritable: fc.boolean(),
    mmuWritable: fc.boolean(),
    exec: fc.boolean(),
    type: fc.constantFrom(0x30, 0x70, 0, 0x40, 0x08, 0x20, 0x28),
  })
  .map(({ edition, isEpt, adBits, cacheBits, frame, level, type, ...more }) => {
    const kernel = parseKernelVersion(KERNEL_OF[edition.id]);
    const [rules] = rulesFor(kernel);
    if (rules === undefined) throw new Error(edition.id);
    const config = vmConfig({
      kernel,
      rules,
      edition,
      vendor: isEpt ? 'intel' : 'amd',
      paging: isEpt ? 'ept' : 'npt',
      adBits: adBits || !isEpt,
      l1tfCacheBits: isEpt ? cacheBits : null,
    });
    const pfn = frame - (frame % pagesOf(level));
    return { config, level, pfn, type: isEpt ? type : 0, ...more };
  });

function make(maker: SpteMaker, c: Case): SpteMaker {
  return maker.leaf({
    pfn: c.pfn,
    level: c.level,
    access: c.exec ? maker.accessAll : maker.accessAll & ~1,
    hostWritable: c.hostWritable,
    mmuWritable: c.mmuWritable,
    prefetch: false,
    type: c.type,
  });
}

test('every leaf and table reads back, and no bit of it is one that no kernel writes', () => {
  fc.assert(
    fc.property(aCase, (c) => {
      const { edition, paging } = c.config;
      const flavour = paging === 'ept' ? 'ept' : 'npt';
      const maker = new SpteMaker(c.config);
      const value = { ...make(maker, c) };
      const leaf = decodeSpte(value, flavour, edition.layout, c.level);
      expect(leaf).toMatchObject({
        kind: 'leaf',
        pfn: c.pfn,
        writable: c.hostWritable && c.mmuWritable,
        executable: c.exec,
        hostWritable: c.hostWritable,
        mmuWritable: c.hostWritable && c.mmuWritable,
      });
      const wrong = (level: number, isLeaf: boolean, hi: number, lo: number) =>
        mappingFields({ value: { hi, lo }, paging, edition, level }, isLeaf).flatMap((field) =>
          field.wrong === null ? [] : [`${field.name}: ${field.wrong}`],
        );
      expect(wrong(c.level, true, value.hi, value.lo)).toEqual([]);
      const table = maker.table(c.pfn);
      const [hi, lo] = [table.hi, table.lo];
      expect(decodeSpte({ hi, lo }, flavour, edition.layout, c.level + 1)).toMatchObject({
        kind: 'table',
        pfn: c.pfn,
      });
      expect(wrong(c.level + 1, false, hi, lo)).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});

test('a huge page and its small ones are of one type, and tile it', () => {
  fc.assert(
    fc.property(aCase, fc.integer({ min: 0, max: 511 }), (c, index) => {
      fc.pre(c.level > 1);
      const { edition, paging } = c.config;
      const flavour = paging === 'ept' ? 'ept' : 'npt';
      const maker = new SpteMaker(c.config);
      const { hi, lo } = { ...make(maker, c) };
      const big = decodeSpte({ hi, lo }, flavour, edition.layout, c.level);
      const small = maker.small(hi, lo, c.level, index);
      const found = decodeSpte(
        { hi: small.hi, lo: small.lo },
        flavour,
        edition.layout,
        c.level - 1,
      );
      expect(found).toEqual({ ...big, pfn: c.pfn + index * pagesOf(c.level - 1) });
    }),
    { numRuns: 1000 },
  );
});

// Higher ones may look like a guard against L1TF to who does not know the host.
test('an MMIO entry keeps gfn and generation', () => {
  fc.assert(
    fc.property(aCase, fc.nat(2 ** 19 - 1), fc.nat(), (c, gfn, number) => {
      const { edition, paging } = c.config;
      const maker = new SpteMaker(c.config);
      const generation = (number * 2) % maker.generations;
      const { hi, lo } = maker.mmio(gfn, maker.accessAll, generation);
      const flavour = paging === 'ept' ? 'ept' : 'npt';
      expect(decodeSpte({ hi, lo }, flavour, edition.layout, 1)).toMatchObject({
        kind: 'mmio',
        gfn,
      });
      expect(maker.generationOf(hi, lo)).toBe(generation);
    }),
    { numRuns: 1000 },
  );
});
