import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type U64, u64FromHex } from '../base/u64.ts';
import { decodeSpte, type SpteFlavour, spteLayouts } from '../kvm/spte.ts';
import { decodePageFlags, parsePageFlagRanges } from '../linux/text/kpageflags.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { reduceTrace } from './reduce.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;
const real = join(folder, 'realkvm');

/** What one real kernel installed, and what an independent reading of its source expects. */
interface Row {
  readonly region: string | null;
  readonly gfn: string;
  readonly level: number;
  readonly spte: string;
  readonly expected?: {
    readonly memtype?: string | number;
    readonly ipat?: boolean | number;
    readonly pat0?: boolean;
  };
}

function text(path: string): string {
  const file = existsSync(path) ? path : `${path}.gz`;
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

function json<T>(path: string): T {
  return JSON.parse(text(path)) as T;
}

interface Meta {
  readonly kernel: string;
  readonly vendor: string;
  readonly tdp: boolean;
}

function hex(value: string): U64 {
  const found = u64FromHex(value);
  if (found === null) throw new Error(value);
  return found;
}

function flavourOf({ vendor, tdp }: Meta): SpteFlavour {
  return vendor === 'kvm_intel' && tdp ? 'ept' : 'npt';
}

const RUNS =
  folder === '' ? [] : readdirSync(real).filter((run) => existsSync(join(real, run, 'meta.json')));

describe.skipIf(folder === '')('traces and SPTEs of real kernels', () => {
  test.each(RUNS)('%s: every leaf is as expected', (run) => {
    const directory = join(real, run);
    const meta = json<Meta>(join(directory, 'meta.json'));
    const flavour = flavourOf(meta);
    const [layout = 'B'] = spteLayouts(parseKernelVersion(meta.kernel));
    const files = readdirSync(directory).filter((f) =>
      /^sptes-(?!bulk-summary).*\.json(?:\.gz)?$/.test(f),
    );
    const wrong: string[] = [];
    for (const file of files) {
      for (const row of json<readonly Row[]>(join(directory, file.replace(/\.gz$/, '')))) {
        const spte = decodeSpte(hex(row.spte), flavour, layout, row.level);
        const { expected } = row;
        if (expected === undefined) continue;
        const right =
          spte.kind === 'leaf' &&
          (flavour === 'ept'
            ? spte.memtype === expected.memtype && Number(spte.ipat) === Number(expected.ipat)
            : spte.patIndex === 0);
        if (!right) wrong.push(`${file} ${row.spte} ${JSON.stringify(expected)}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

interface Region {
  readonly gpa: string;
  readonly size: string;
}

const FLAGS = 'host/kpageflags_with_memtype_bits';
const ORDINARY = ['anon4k', 'thp', 'hugetlb2m', 'memfd', 'zeropage', 'romslot'];

/** Of the guest pages that a trace has: how many lie in a region, and how many of them the host made WC. */
function joined(
  run: string,
  scenario: string,
): { vgem: number; vgemWc: number; ram: number; ramWc: number } {
  const directory = join(real, run);
  const meta = json<Meta>(join(directory, 'meta.json'));
  const version = parseKernelVersion(meta.kernel);
  const regions = json<Readonly<Record<string, Region>>>(join(directory, 'regions.json'));
  const flagged = parsePageFlagRanges(
    text(join(directory, 'host/kpageflags_with_memtype_bits')),
    'kpageflags',
  ).value.ranges;
  const typeOf = (pfn: number) => {
    const range = flagged.find((r) => r.startPfn <= pfn && pfn < r.endPfn);
    return decodePageFlags(range?.flags ?? { hi: 0, lo: 0 }, version).memtype;
  };
  const inside = (gfn: number, names: readonly string[]) =>
    names.some((name) => {
      const region = regions[name];
      if (region === undefined) return false;
      const first = Number(region.gpa) / 4096;
      return gfn >= first && gfn < first + Number(region.size) / 4096;
    });
  const [layout = 'B'] = spteLayouts(version);
  const found = { vgem: 0, vgemWc: 0, ram: 0, ramWc: 0 };
  for (const { gfn, leaf } of reduceTrace(text(join(directory, `trace-${scenario}.txt`))).pages) {
    const spte = leaf && decodeSpte(leaf.spte, flavourOf(meta), layout, leaf.level);
    if (spte?.kind !== 'leaf') continue;
    const isWc = typeOf(spte.pfn) === 'WC' ? 1 : 0;
    if (inside(gfn, ['drm_vgem'])) {
      found.vgem += 1;
      found.vgemWc += isWc;
    } else if (inside(gfn, ORDINARY)) {
      found.ram += 1;
      found.ramWc += isWc;
    }
  }
  return found;
}

describe.skipIf(folder === '')('joined with /proc/kpageflags', () => {
  test('every vgem page is WC, every page of ordinary RAM is WB', () => {
    const table = RUNS.filter((run) => existsSync(join(real, run, FLAGS))).flatMap((run) =>
      readdirSync(join(real, run))
        .flatMap((file) => /^trace-(\w+)\.txt/.exec(file)?.[1] ?? [])
        .map((scenario) => ({ run: `${run} ${scenario}`, ...joined(run, scenario) })),
    );
    const sum = (key: 'vgem' | 'vgemWc' | 'ram' | 'ramWc') =>
      table.reduce((n, row) => n + row[key], 0);
    expect(table.filter((row) => row.vgem !== row.vgemWc || row.ramWc !== 0)).toEqual([]);
    expect({ runs: table.length, vgem: sum('vgem'), ram: sum('ram') }).toEqual({
      runs: 89,
      vgem: 342,
      ram: 17060,
    });
  });

  // Slots: 1 anonymous, 2 memfd, 4 vgem, 5 bochs (TTM). Up to 6.12 KVM refuses the tail pages of a TTM buffer;
  // the first write to drm shmem is emulated in 7.3, so that nested73w has no entry of slots 4 and 5.
  test.each([
    ['nested61', { '1 WB': 3, '2 WB': 3, '4 WC': 3, '5 WB': 1 }],
    ['nested61-npt0', { '1 WB': 3, '2 WB': 3, '4 WC': 3, '5 WB': 1 }],
    ['nested73', { '1 WB': 3, '2 WB': 3, '4 WC': 3, '5 WB': 3 }],
    ['nested73w', { '1 WB': 3, '2 WB': 3 }],
  ])('%s', (guest, expected) => {
    const directory = join(folder, 'guests', guest);
    const pages = reduceTrace(text(join(directory, 'trace.txt'))).pages;
    const frames = new Map(pages.map((p) => [p.gfn, p.requested?.pfn ?? null]));
    const version = parseKernelVersion(guest.includes('73') ? '7.3.4' : '6.1.192');
    const counts: Record<string, number> = {};
    const rows = text(join(directory, 'wcvm_run.txt')).matchAll(
      /^KPF slot (\d+) gfn (\w+) pfn (\w+) kpageflags (\w+)/gm,
    );
    for (const [, slot, gfn = '', pfn = '', flags = ''] of rows) {
      expect(frames.get(Number.parseInt(gfn, 16))).toBe(Number.parseInt(pfn, 16));
      const key = `${slot} ${decodePageFlags(hex(flags), version).memtype}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    expect(counts).toEqual(expected);
  });
});
