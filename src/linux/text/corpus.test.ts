import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Parsed } from '../../base/diagnostic.ts';
import { parseCpuinfo } from './cpuinfo.ts';
import { parseDmesg } from './dmesg.ts';
import { parseFirmwareMemmap } from './firmware-memmap.ts';
import { parseIomem } from './iomem.ts';
import { parsePageFlagRanges } from './kpageflags.ts';
import { parseMaps } from './maps.ts';
import { parseMemtypeList } from './memtype-list.ts';
import { parseMtrr } from './mtrr.ts';
import samples from './samples.json' with { type: 'json' };

/** A folder of captured files, laid out like the one that samples.json was taken from. */
const { MEMTYPE_SAMPLES: folder } = process.env;

interface Kind {
  readonly kind: keyof typeof samples;
  readonly files: RegExp;
  readonly parse: (text: string, file: string) => Parsed<unknown>;
}

const KINDS: readonly Kind[] = [
  { kind: 'mtrr', files: /^mtrr\/|\/proc_mtrr(?:\.txt)?$/, parse: parseMtrr },
  { kind: 'memtypeList', files: /pat_memtype_list(?:\/|\.txt$|$)/, parse: parseMemtypeList },
  { kind: 'iomem', files: /\/proc_iomem(?:\.txt)?$/, parse: parseIomem },
  { kind: 'cpuinfo', files: /\/proc_cpuinfo(?:\.txt)?$/, parse: parseCpuinfo },
  { kind: 'dmesg', files: /^dmesg\/|\/dmesg(?:-memtype)?\.txt$/, parse: parseDmesg },
  { kind: 'firmwareMemmap', files: /\/firmware_memmap$/, parse: parseFirmwareMemmap },
  { kind: 'pageFlags', files: /\/kpageflags_with_memtype_bits$/, parse: parsePageFlagRanges },
  { kind: 'maps', files: /\/proc_self_maps$|\/proc-maps-memfd\.txt$/, parse: parseMaps },
  { kind: 'smaps', files: /\/proc_self_smaps$/, parse: parseMaps },
];

/** Files that hold the error of a tool instead of a content. */
const REFUSED: Readonly<Record<string, string>> = {
  'mtrr/eio.txt': 'what cat printed on a kernel with MTRRs disabled',
  'guests/pc-hsw-nopat-61/pat_memtype_list.txt': 'booted with nopat: there is no such file',
  'realkvm/pvm-shadow-6.18-ring3/host/sys_kernel_debug_x86_pat_memtype_list':
    'debugfs was not mounted',
};

/** In samples.json these are cut down to the lines that matter. */
const SHORTENED = /^guests\/[^/]+\/dmesg\.txt$|\/proc_self_smaps$/;

function filesOf(root: string, files: RegExp): string[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  return names.filter((name) => files.test(name)).sort();
}

describe.skipIf(folder === undefined)('every file below MEMTYPE_SAMPLES', () => {
  const root = (folder ?? '').replace(/\/+$/, '');

  describe.each(KINDS)('$kind', ({ kind, files, parse }) => {
    test('none is in error, unless it holds an error', () => {
      const names = filesOf(root, files);
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) {
        const { problems } = parse(readFileSync(join(root, name), 'utf8'), name);
        const errors = problems.filter((problem) => problem.severity === 'error');
        expect([name, errors.length]).toEqual([name, name in REFUSED ? 1 : 0]);
      }
    });

    test('samples.json holds what the files hold', () => {
      for (const { names, lines } of samples[kind]) {
        for (const name of names.filter((candidate) => !SHORTENED.test(candidate))) {
          const text = lines.map((line) => `${line}\n`).join('');
          expect([name, text]).toEqual([name, readFileSync(join(root, name), 'utf8')]);
        }
      }
    });
  });
});
