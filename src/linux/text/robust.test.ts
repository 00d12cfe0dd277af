import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Parsed, renderDiagnostic } from '../../base/diagnostic.ts';
import { parseAmdgpuGem } from './amdgpu-gem.ts';
import { parseCpuinfo } from './cpuinfo.ts';
import { parseDmesg } from './dmesg.ts';
import { parseFirmwareMemmap } from './firmware-memmap.ts';
import { parseIomem } from './iomem.ts';
import { parsePageFlagRanges } from './kpageflags.ts';
import { parseMaps } from './maps.ts';
import { parseMemtypeList } from './memtype-list.ts';
import { parseMtrr } from './mtrr.ts';
import samples from './samples.json' with { type: 'json' };

interface Subject {
  readonly name: string;
  readonly seeds: readonly string[];
  readonly parse: (text: string, file: string) => Parsed<unknown>;
  /** Numbers of the lines that went into the value; null where lines may be read over. */
  readonly linesOf: ((text: string) => readonly number[]) | null;
}

function seedsOf(kind: keyof typeof samples): string[] {
  return samples[kind].map((sample) => sample.lines.map((line) => `${line}\n`).join(''));
}

const lineOf = (row: { readonly line: number }): number => row.line;

const SUBJECTS: readonly Subject[] = [
  {
    name: 'mtrr',
    seeds: seedsOf('mtrr'),
    parse: parseMtrr,
    linesOf: (text) => parseMtrr(text, 'f').value.ranges.map(lineOf),
  },
  {
    name: 'memtype list',
    seeds: seedsOf('memtypeList'),
    parse: parseMemtypeList,
    linesOf: (text) => parseMemtypeList(text, 'f').value.entries.map(lineOf),
  },
  {
    name: 'iomem',
    seeds: seedsOf('iomem'),
    parse: parseIomem,
    linesOf: (text) => parseIomem(text, 'f').value.entries.map(lineOf),
  },
  {
    name: 'firmware memmap',
    seeds: seedsOf('firmwareMemmap'),
    parse: parseFirmwareMemmap,
    linesOf: (text) => parseFirmwareMemmap(text, 'f').value.entries.map(lineOf),
  },
  {
    name: 'page flags',
    seeds: seedsOf('pageFlags'),
    parse: parsePageFlagRanges,
    linesOf: (text) => parsePageFlagRanges(text, 'f').value.ranges.map(lineOf),
  },
  {
    name: 'maps',
    seeds: seedsOf('maps'),
    parse: parseMaps,
    linesOf: (text) => parseMaps(text, 'f').value.vmas.map(lineOf),
  },
  { name: 'smaps', seeds: seedsOf('smaps'), parse: parseMaps, linesOf: null },
  {
    name: 'amdgpu_gem_info',
    seeds: [
      'pid     1204 command Xorg:\n\t\t0x00000001:      8294400 byte VRAM pin count 1 NO_CPU_ACCESS\n',
      'pid  4711 command a b:\n\t\t0x00000002:  4096 byte GTT exported as ino:31338 CPU_GTT_USWC\tread fence:x\n',
    ],
    parse: parseAmdgpuGem,
    linesOf: null,
  },
  { name: 'cpuinfo', seeds: seedsOf('cpuinfo'), parse: parseCpuinfo, linesOf: null },
  { name: 'dmesg', seeds: seedsOf('dmesg'), parse: parseDmesg, linesOf: null },
];

type Mutation = (text: string) => string;

/** A place in the text, as a fraction of its length. */
const place = fc.double({ min: 0, max: 1, noNaN: true });
const at = (text: string, where: number): number => Math.floor(where * text.length);

function editLines(text: string, where: number, edit: (line: string) => readonly string[]): string {
  const lines = text.split('\n');
  const index = Math.min(lines.length - 1, Math.floor(where * lines.length));
  return lines.flatMap((line, i) => (i === index ? edit(line) : [line])).join('\n');
}

const piece = fc.oneof(
  fc.string({ maxLength: 3 }),
  fc.constantFrom(
    '\0',
    '\0\0\0\0',
    '\r',
    '\t',
    ' ',
    '\ufeff',
    '\ufffd',
    'f'.repeat(20),
    '9'.repeat(25),
  ),
);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  place.map(
    (where): Mutation =>
      (text) =>
        text.slice(0, at(text, where)),
  ),
  fc.tuple(place, piece).map(
    ([where, put]): Mutation =>
      (text) => {
        const index = at(text, where);
        return text.slice(0, index) + put + text.slice(index + put.length);
      },
  ),
  fc.tuple(place, piece).map(
    ([where, put]): Mutation =>
      (text) => {
        const index = at(text, where);
        return text.slice(0, index) + put + text.slice(index);
      },
  ),
  place.map(
    (where): Mutation =>
      (text) =>
        editLines(text, where, () => []),
  ),
  place.map(
    (where): Mutation =>
      (text) =>
        editLines(text, where, (line) => [line, line]),
  ),
  fc.constant<Mutation>((text) => text.replaceAll('\n', '\r\n')),
);

function mutated(seeds: readonly string[]): fc.Arbitrary<string> {
  const mutations = fc.array(mutation, { maxLength: 5 });
  return fc
    .tuple(fc.constantFrom(...seeds), mutations)
    .map(([seed, steps]) => steps.reduce((text, step) => step(text), seed));
}

function sourceLines(text: string): string[] {
  const lines = text.replace(/^\ufeff/, '').split('\n');
  return lines.map((line) => line.replace(/\r+$/, ''));
}

const OF_THE_WHOLE = /^this is UTF-16 text|^there are only NUL bytes|^nothing in /;

/** Every problem has a help, points into its own line, and can be shown. */
function checkProblems(text: string, { problems }: Parsed<unknown>): void {
  const lines = sourceLines(text);
  for (const problem of problems) {
    expect(problem.help).toBeTruthy();
    expect(renderDiagnostic(problem)).toContain('help: ');
    if (OF_THE_WHOLE.test(problem.message) || problem.source === '') continue;
    const { line, column, length } = problem.place ?? { line: 0, column: 0, length: 0 };
    expect(problem.source).toBe(lines[line - 1]);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(length).toBeGreaterThanOrEqual(1);
    expect(column - 1 + length).toBeLessThanOrEqual(problem.source?.length ?? 0);
  }
}

/** Every line that is not blank is in the value, in a problem, or the header; none is in error and in the value. */
function checkAccount(text: string, parsed: Parsed<unknown>, inValue: readonly number[]): void {
  if (parsed.problems.some((problem) => OF_THE_WHOLE.test(problem.message))) return;
  const reported = new Set(parsed.problems.map((problem) => problem.place?.line));
  const errors = new Set(
    parsed.problems.filter((p) => p.severity === 'error').map((problem) => problem.place?.line),
  );
  expect(inValue.filter((line) => errors.has(line))).toEqual([]);
  const known = new Set(inValue);
  const lost = sourceLines(text).filter((line, index) => {
    const blank = line.trim() === '' || line.trim() === 'PAT memtype list:';
    return !blank && !known.has(index + 1) && !reported.has(index + 1);
  });
  expect(lost).toEqual([]);
}

describe.each(SUBJECTS)('$name', ({ seeds, parse, linesOf }) => {
  test('mutated samples: no throw, every line accounted for', () => {
    fc.assert(
      fc.property(mutated(seeds), (text) => {
        const parsed = parse(text, 'f');
        checkProblems(text, parsed);
        if (linesOf !== null) checkAccount(text, parsed, linesOf(text));
      }),
      { numRuns: 300 },
    );
  });

  test('any text at all', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        checkProblems(text, parse(text, 'f'));
      }),
    );
  });
});

const LONG = 19_000;

/** Lines that begin like ours and then make a backtracking pattern work. */
const HEADS = [
  '',
  'reg00: base=0x0 (',
  'PAT: [mem 0x0-0x1] ',
  '0x0-0x1 ',
  'pfn 0x0-0x1 flags ',
  '0-1 : ',
  '0-1 rw-s 0 00:00 0 ',
  'flags : ',
  'VmFlags:',
  'Rss:',
  'MTRR map: ',
  'DMI: ',
  'DMAR: ',
  'e820: update [mem 0x0-0x1] ',
  'BIOS-e820: [mem 0x0-0x1] ',
  'x:1 conflicting memory types ',
  'x:1 map pfn RAM range req ',
  'x86/PAT: memtype_reserve failed ',
  '[    0.000000] ',
  'kernel: ',
];
const UNITS = [
  ' ',
  '0',
  'a',
  ':',
  '-',
  '(',
  ' ==> ',
  ':1 ',
  '[ 0.0] ',
  'x:1 conflicting memory types ',
];
const NASTY = HEADS.flatMap((head) =>
  UNITS.map((unit) => `${head}${unit.repeat(LONG / unit.length)}!`),
);

/** Far more than any of these needs, and far less than a quadratic reader would take. */
const TIME_MAX_MS = 5_000;

describe.each(SUBJECTS)('$name is fast', ({ seeds, parse }) => {
  function timeOf(text: string): number {
    const start = performance.now();
    parse(text, 'f');
    return performance.now() - start;
  }

  test('on lines that make patterns backtrack', () => {
    expect(timeOf(`${NASTY.join('\n')}\n`)).toBeLessThan(TIME_MAX_MS);
  });

  test('on one line of 10 MB', () => {
    expect(timeOf('x'.repeat(10 ** 7))).toBeLessThan(TIME_MAX_MS);
    expect(timeOf(' '.repeat(10 ** 7))).toBeLessThan(TIME_MAX_MS);
    expect(timeOf(`${'\r'.repeat(10 ** 7)}x`)).toBeLessThan(TIME_MAX_MS);
    expect(timeOf('\0'.repeat(10 ** 7))).toBeLessThan(TIME_MAX_MS);
  });

  test('on 50,000 lines', () => {
    const longest = seeds.reduce((a, b) => (a.length > b.length ? a : b));
    const lines = longest.split('\n').length;
    expect(timeOf(longest.repeat(Math.ceil(50_000 / lines)))).toBeLessThan(TIME_MAX_MS);
  });
});
