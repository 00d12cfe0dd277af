import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../base/diagnostic.ts';
import { u64, u64FromNumber } from '../base/u64.ts';
import { rangeMsrs } from '../facts/layout.ts';
import { compareVersions, parseKernelVersion } from '../linux/version.ts';
import { compileMtrrs, mtrrLookup } from '../x86/mtrr.ts';
import { MTRR_TYPES, TYPE_CODE } from '../x86/types.ts';
import { ERAS } from './eras/index.ts';
import { compileGuestMtrrs, type GuestMtrrVersion } from './guest-mtrr.ts';
import { makesNoncoherent, type NoncoherentRuleId } from './noncoherent.ts';
import { POLICY_NAMES, rulesOfPolicy } from './policies.ts';
import {
  disabledAtCreation,
  enableCap,
  KVM_CAP_DISABLE_QUIRKS2,
  QUIRK,
  QUIRKS_6_16,
  quirkCaps,
} from './quirks.ts';
import { rulesFor, SPANS, spanOf } from './timeline.ts';

const eraAt = (version: string): readonly string[] => [
  ...new Set(rulesFor(parseKernelVersion(version)).map((r) => r.vmx.id)),
];

describe('the version axis', () => {
  test.each([
    ['2.6.26', 'E0'],
    ['2.6.27.10', 'E0'],
    ['2.6.28', 'E1'],
    ['2.6.29-rc3', 'E2'],
    ['2.6.29', 'E3'],
    ['2.6.32.61', 'E4'],
    ['3.10.0', 'E4'],
    ['3.13', 'E5'],
    ['4.1', 'E5'],
    ['4.2', 'E6'],
    ['4.2.3', 'E6'],
    ['4.2.4', 'E7'],
    ['4.3-rc2', 'E6'],
    ['4.3', 'E7'],
    ['6.6.99', 'E7'],
    ['6.7-rc1', 'E8'],
    ['6.10.14', 'E8'],
    ['6.11-rc7', 'E9'],
    ['6.11', 'E10'],
    ['6.12.77', 'E10'],
    ['6.12.78', 'E11'],
    ['6.13', 'E10'],
    ['6.15.9', 'E10'],
    ['6.16-rc1', 'E11'],
    ['7.3.4', 'E11'],
    ['v6.8', 'E8'],
    ['6.12.113+deb12-amd64', 'E11'],
    ['6.18.44-kvm-pvm', 'E11'],
    ['Linux version 6.8.1 (a@b) #1 SMP', 'E8'],
    ['6.8.0-101-generic', 'E8'],
    ['6.8.0-140-generic', 'E11'],
    ['6.8.0-136.136~22.04.1-generic', 'E11'],
    ['Linux version 6.8.0-136-generic (a@b) (gcc) #1 SMP', 'E11'],
    ['6.11.0-0.rc3.30.fc42.x86_64', 'E9'],
    ['6.11.0-061100rc3-generic', 'E9'],
    ['6.11~rc3-1~exp1', 'E9'],
    ['6.12.80-061280-generic', 'E11'],
    ['6.12.8-1-default', 'E10'],
    ['6.12.8-200.fc41.x86_64', 'E10'],
  ])('%s is %s', (version, era) => {
    expect(eraAt(version)).toEqual([era]);
  });

  test.each([
    ['6.12.0-18-amd64', ['E10', 'E11']],
    ['6.1.0-56-cloud-amd64', ['E7']],
    ['5.15.0-91-generic', ['E7']],
    ['4.2.0-0.bpo.1-amd64', ['E6', 'E7']],
    ['6.1.0-0.deb11.13-amd64', ['E7']],
    ['5.3.18-24.107-default', ['E7', 'E8', 'E9', 'E10', 'E11']],
    ['6.4.0-150600.23.25-default', ['E7', 'E8', 'E9', 'E10', 'E11']],
    ['4.3-rc4', ['E6', 'E7']],
    ['5.14.0-503.11.1.el9_5.x86_64', ['E7', 'E8', 'E9', 'E10', 'E11']],
  ])('%s may be any of %j', (version, eras) => {
    expect(eraAt(version)).toEqual(eras);
  });

  test('before EPT there is no era', () => {
    expect(spanOf(parseKernelVersion('2.6.25'))).toBeNull();
  });

  test('any text is a version or an InputError', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^\d{1,4}\.\d{1,4}[\w.+~-]{0,30}$/)),
        (text) => {
          try {
            rulesFor(parseKernelVersion(text));
          } catch (error) {
            expect(error).toBeInstanceOf(InputError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('the order of versions is an order', () => {
    const ordered = [
      '2.6.26-rc2',
      '2.6.26',
      '2.6.27',
      '2.6.32.61',
      '2.6.39',
      '3.0',
      '4.2-rc4',
      '4.2',
      '4.2.8',
      '4.3-rc1',
      '6.12.78',
      '6.13-rc1',
      '6.13',
      '7.0',
    ];
    const versions = ordered.map(parseKernelVersion);
    expect(versions.toSorted(compareVersions).map((v) => v.text)).toEqual(ordered);
  });

  test('spans follow each other without a gap, and differ', () => {
    SPANS.forEach((span, i) => {
      const next = SPANS[i + 1];
      expect(span.to?.text ?? null).toBe(next?.from.text ?? null);
      if (next === undefined) return;
      const shape = (s: typeof span): string =>
        JSON.stringify(s.rules.map(({ id: _, kernels: __, ...r }) => r));
      expect(shape(span)).not.toBe(shape(next));
    });
  });

  test('every policy name stands for rules, and every era for kernels', () => {
    for (const name of POLICY_NAMES) expect(rulesOfPolicy(name).length).toBeGreaterThan(0);
    expect(rulesOfPolicy('e8')).toEqual(rulesOfPolicy('E8'));
    expect(ERAS.map((e) => e.id)).toEqual(Array.from({ length: 12 }, (_, i) => `E${i}`));
  });
});

describe('eras as decision lists', () => {
  test('end with the final return, and every condition is asked by name', () => {
    for (const era of ERAS) {
      const last = era.vmx_get_mt_mask.at(-1);
      expect(last?.when).toBeNull();
      expect(era.vmx_get_mt_mask.slice(0, -1).every((d) => d.when !== null)).toBe(true);
    }
  });
});

describe('guest MTRRs', () => {
  /** Ranges as firmware writes them: a power of two, aligned to it. */
  const layout = fc.array(
    fc.record({
      type: fc.constantFrom(...MTRR_TYPES),
      bits: fc.integer({ min: 20, max: 33 }),
      at: fc.integer({ min: 0, max: 63 }),
    }),
    { maxLength: 6 },
  );

  test.each<[GuestMtrrVersion, boolean]>([
    ['v1', true],
    ['v2', false],
  ])('%s agrees with the manual where ranges do not overlap; UC holes: %s', (version, holes) => {
    fc.assert(
      fc.property(layout, fc.constantFrom(...MTRR_TYPES), fc.nat(2 ** 22), (parts, def, gfn) => {
        const ranges = parts.map(({ type, bits, at }) => ({
          type,
          base: (at * 2 ** bits) % 2 ** 36,
          size: 2 ** bits,
        }));
        const variable = ranges.map((r) => rangeMsrs(r, 40));
        const defType = (1 << 11) | TYPE_CODE[def];
        const fixed = Array.from({ length: 11 }, () => u64(0, 0));
        const page = gfn + 256;
        const manual = mtrrLookup(
          compileMtrrs({ defType, fixed, variable, physBits: 40 }),
          u64FromNumber(page * 4096),
        );
        const hits = ranges.filter(
          (r) => page * 4096 >= r.base && page * 4096 < r.base + r.size,
        ).length;
        if (manual.kind !== 'type' || (!holes && hits > 1)) return;
        const kvm = compileGuestMtrrs(version, {
          defType,
          fixed,
          variable,
          maxphyaddr: 40,
          cpuidMtrr: true,
        });
        expect(kvm.typeOf(page)).toBe(manual.type);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('quirks', () => {
  const host = { tdpEnabled: true, selfSnoop: true, valid: QUIRKS_6_16 };
  test('real kernels answer the capability as computed', () => {
    const word = (more: Partial<Parameters<typeof quirkCaps>[0]>): number =>
      quirkCaps({ ...host, vendor: 'intel', ...more }).supported;
    expect(word({ valid: 0x7ff })).toBe(0x7ff);
    expect(word({ valid: 0x7ff, selfSnoop: false })).toBe(0x5ff);
    expect(word({ valid: 0xfff, selfSnoop: false })).toBe(0xdff);
    expect(word({ vendor: 'amd', valid: 0x7ff, tdpEnabled: false })).toBe(0x5ff);
    expect(word({ vendor: 'amd', valid: 0xfff })).toBe(0xfff);
  });
  test('a refused call changes nothing', () => {
    const caps = quirkCaps({ ...host, vendor: 'intel', selfSnoop: false });
    const born = disabledAtCreation(caps, false);
    const { ret, disabled } = enableCap(
      KVM_CAP_DISABLE_QUIRKS2,
      caps,
      born,
      QUIRK.IGNORE_GUEST_PAT,
    );
    expect([ret, disabled]).toEqual([-22, born]);
  });
});

describe('non-coherent DMA', () => {
  const coherent = { vendor: 'intel', snoopControl: true, allUnitsSnoop: true } as const;
  const iGpu = { vendor: 'intel', snoopControl: false, allUnitsSnoop: false } as const;
  const besideIGpu = { vendor: 'intel', snoopControl: true, allUnitsSnoop: false } as const;
  const mdev = { vendor: 'intel', snoopControl: null, allUnitsSnoop: true } as const;
  const amd = { vendor: 'amd', snoopControl: null, allUnitsSnoop: true } as const;
  test.each<[NoncoherentRuleId, readonly boolean[]]>([
    ['none', [false, false, false, false, false]],
    ['legacy-domain', [false, true, true, false, false]],
    ['any-vfio-group', [true, true, true, true, true]],
    ['vfio-cc-iommu', [false, true, true, false, false]],
    ['enforced-domain', [false, true, false, false, false]],
    ['enforced-device', [false, true, false, true, true]],
  ])('%s', (id, expected) => {
    expect([coherent, iGpu, besideIGpu, mdev, amd].map((d) => makesNoncoherent(id, d))).toEqual(
      expected,
    );
  });
});

describe('capability 236', () => {
  test.each([
    ['6.6.46', false],
    ['6.10', false],
    ['6.11', true],
    ['6.12.78', true],
    ['7.3.4', true],
  ])('%s has KVM_CAP_PRE_FAULT_MEMORY: %s', (version, has) => {
    const rules = rulesFor(parseKernelVersion(version));
    expect(rules.map((r) => r.hasPreFault)).toEqual(rules.map(() => has));
  });
});

describe('pages without a reference count', () => {
  // Commit f8be156be163 and its way into the stable series; gone with the page references of 6.13.
  test.each([
    ['4.19.198', false],
    ['4.19.199', true],
    ['4.20', false],
    ['5.4', false],
    ['5.4.129', true],
    ['5.10', false],
    ['5.10.47', true],
    ['5.12.13', false],
    ['5.13-rc7', false],
    ['5.13', true],
    ['5.15', true],
    ['5.19', true],
    ['6.1', true],
    ['6.12.113', true],
    ['6.13', false],
    ['7.3.4', false],
  ])('%s refuses them: %s', (version, refuses) => {
    const rules = rulesFor(parseKernelVersion(version));
    expect(rules.map((r) => r.needsRefcountedPages)).toEqual(rules.map(() => refuses));
  });
});
