import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { u64, u64FromHex } from '../src/base/u64.ts';
import { compileGuestMtrrs } from '../src/kvm/guest-mtrr.ts';
import { rulesFor } from '../src/kvm/timeline.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import { answer } from './ask.ts';
import { ROOT } from './console.ts';

const FIXED = ['250', '258', '259', '268', '269', '26a', '26b', '26c', '26d', '26e', '26f'];

/** The guest's MTRR type of a gfn as the kernel evaluates it; null when this kernel does not. */
function guestMtrr(kernel: string, msrs: ReadonlyMap<string, string>, gfn: string): string | null {
  const [rules] = rulesFor(parseKernelVersion(kernel));
  if (rules === undefined || rules.guestMtrr === null) return null;
  const msr = (name: string) => u64FromHex(msrs.get(name) ?? '0') ?? u64(0, 0);
  const variable = Array.from({ length: 8 }, (_, i) => ({
    base: msr((0x200 + 2 * i).toString(16)),
    mask: msr((0x201 + 2 * i).toString(16)),
  }));
  const state = {
    defType: msr('2ff').lo,
    fixed: FIXED.map(msr),
    variable,
    maxphyaddr: 40,
    cpuidMtrr: true,
  };
  return compileGuestMtrrs(rules.guestMtrr, state).typeOf(Number(gfn));
}

test('every leaf SPTE that real kernels installed is predicted', () => {
  const lines = readFileSync(`${ROOT}vectors/text/real-kvm.txt`, 'utf8').trim().split('\n');
  const layouts = new Map<string, ReadonlyMap<string, string>>();
  let sptes = 0;
  const wrong: string[] = [];
  for (const line of lines.filter((l) => !l.startsWith('#'))) {
    const words = line.split(' ');
    if (words[0] === 'mtrr') {
      layouts.set(
        words[1] ?? '',
        new Map(words.slice(2).map((w) => w.split('=') as [string, string])),
      );
      continue;
    }
    const [
      kernel = '',
      cpu = '',
      ss = '',
      quirks2 = '',
      paging = '',
      backing = '',
      nc = '',
      cd = '',
      qcd = '',
      qpat = '',
      mtrr = '',
      gfn = '',
      leaf,
      ipat,
      count,
    ] = words;
    const type = mtrr === '-' ? 'UC' : guestMtrr(kernel, layouts.get(mtrr) ?? new Map(), gfn);
    const r = answer({
      kernel,
      cpu,
      quirks2,
      paging,
      backing,
      'self-snoop': ss,
      'noncoherent-dma': nc,
      'cr0-cd': cd,
      'quirk-cd-nw-cleared': qcd,
      'quirk-ignore-guest-pat': qpat,
      guest: 'WB',
      ...(type === null ? {} : { 'guest-mtrr': type }),
    });
    const installed = r.world.result.leaf;
    const got =
      installed.paging === 'ept'
        ? `${installed.ept.memtype} ${Number(installed.ept.ipat)}`
        : `${installed.hostPat === 'WB' ? 'index0' : installed.hostPat} -`;
    if (r.common.leaf === null || got !== `${leaf} ${ipat}`) wrong.push(`${line}: ${got}`);
    sptes += Number(count);
  }
  expect(wrong).toEqual([]);
  expect(sptes).toBe(4848);
});
