import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { u64 } from '../src/base/u64.ts';
import { rangeMsrs } from '../src/facts/layout.ts';
import { compileGuestMtrrs } from '../src/kvm/guest-mtrr.ts';
import { MTRR_ENABLE } from '../src/x86/mtrr.ts';
import { type MtrrType, TYPE_CODE } from '../src/x86/types.ts';
import { UNDEFINED_PLUGS } from '../src/x86/undefined.ts';
import { ROOT } from './console.ts';

interface Overlap {
  readonly types: readonly MtrrType[];
  readonly architectural: string;
  readonly bochs: string;
  readonly xen: string;
  readonly kvm61: string;
  readonly linux73: string;
}

const rows = JSON.parse(
  gunzipSync(readFileSync(`${ROOT}vectors/x86/mtrr-overlap-compare.json.gz`)).toString('utf8'),
) as readonly Overlap[];
const undefinedRows = rows.filter((row) => row.architectural === 'UNDEFINED');

describe('overlaps that the manuals leave undefined', () => {
  test('are many', () => {
    expect(undefinedRows.length).toBe(64);
  });

  test.each(undefinedRows)('$types', ({ types, xen, kvm61, linux73, bochs }) => {
    expect(UNDEFINED_PLUGS.linux.choose()).toBe(linux73);
    expect(UNDEFINED_PLUGS['kvm-v2'].choose()).toBe(kvm61);
    expect(UNDEFINED_PLUGS.xen.choose(types)).toBe(xen);
    expect(bochs).toBe('INVALID');
    const variable = types.map((type) => rangeMsrs({ type, base: 0x10000000, size: 0x10000 }, 46));
    const v1 = compileGuestMtrrs('v1', {
      defType: MTRR_ENABLE | TYPE_CODE.WB,
      fixed: Array.from({ length: 11 }, () => u64(0, 0)),
      variable,
      maxphyaddr: 46,
      cpuidMtrr: true,
    });
    expect(UNDEFINED_PLUGS['kvm-v1'].choose()).toBe(v1.typeOf(0x10000));
  });
});
