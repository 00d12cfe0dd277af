import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

/**
 * The rooms from the ground floor up. A room may use itself and the rooms named, nothing else: see
 * ARCHITECTURE.md.
 */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  base: [],
  cite: ['base'],
  x86: ['base', 'cite'],
  machine: ['base', 'cite', 'x86'],
  litmus: ['base', 'cite', 'x86', 'machine'],
  explore: ['base', 'cite', 'machine', 'litmus'],
  facts: ['base', 'cite', 'x86'],
  linux: ['base', 'cite', 'x86'],
  peers: ['base', 'cite', 'x86', 'linux'],
  kvm: ['base', 'cite', 'x86', 'linux'],
  trace: ['base', 'cite', 'x86', 'linux', 'kvm'],
  platform: ['base', 'cite', 'facts', 'x86', 'linux'],
  resolve: ['base', 'cite', 'facts', 'x86', 'linux', 'platform', 'kvm'],
  conform: ['base', 'cite', 'x86', 'linux', 'peers', 'kvm'],
  compare: ['base', 'cite', 'facts', 'x86', 'linux', 'platform', 'kvm', 'resolve'],
  doctor: ['base', 'cite', 'facts', 'x86', 'linux', 'platform', 'kvm', 'resolve', 'trace'],
  audit: [
    'base',
    'cite',
    'facts',
    'x86',
    'linux',
    'platform',
    'kvm',
    'trace',
    'resolve',
    'compare',
  ],
  scenario: [
    'base',
    'cite',
    'facts',
    'x86',
    'linux',
    'platform',
    'kvm',
    'machine',
    'trace',
    'resolve',
  ],
  report: [
    'base',
    'cite',
    'facts',
    'x86',
    'linux',
    'platform',
    'kvm',
    'resolve',
    'compare',
    'doctor',
    'audit',
    'machine',
    'litmus',
    'explore',
    'scenario',
  ],
  host: ['base', 'doctor', 'linux', 'kvm', 'trace', 'machine', 'explore'],
  cli: [
    'base',
    'cite',
    'facts',
    'x86',
    'linux',
    'peers',
    'platform',
    'kvm',
    'resolve',
    'compare',
    'conform',
    'doctor',
    'report',
    'host',
    'trace',
    'audit',
    'machine',
    'litmus',
    'explore',
    'scenario',
  ],
};

/** Rooms that may touch Node. */
const OUTER = new Set(['host', 'cli']);

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly text: string;
}

function filesUnder(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesUnder(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const FILES: readonly SourceFile[] = filesUnder(SRC).map((path) => {
  const [first = ''] = relative(SRC, path).split('/');
  return {
    path: relative(SRC, path),
    room: first.endsWith('.ts') ? '' : first,
    text: readFileSync(path, 'utf8'),
  };
});
const PRODUCT = FILES.filter((f) => !f.path.endsWith('.test.ts'));

const IMPORT =
  /(?:^|\n)\s*(?:import|export)[^'"`;]*?from\s*['"]([^'"]+)['"]|import\s*\(\s*['"]([^'"]+)['"]|import\s*['"]([^'"]+)['"]/g;

function importsOf(file: SourceFile): readonly string[] {
  return [...file.text.matchAll(IMPORT)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

function roomOf(file: SourceFile, specifier: string): string {
  const target = join(dirname(file.path), specifier);
  const [first = ''] = target.split('/');
  return first.endsWith('.ts') ? '' : first;
}

describe('the house', () => {
  test('has only the rooms that are drawn', () => {
    const rooms = new Set(PRODUCT.map((f) => f.room).filter((room) => room !== ''));
    expect([...rooms].filter((room) => MAY_USE[room] === undefined)).toEqual([]);
  });

  test('imports go one way', () => {
    const wrong = PRODUCT.filter((f) => f.room !== '').flatMap((f) =>
      importsOf(f)
        .filter((i) => i.startsWith('.'))
        .map((i) => roomOf(f, i))
        .filter(
          (to) =>
            to !== f.room &&
            !(MAY_USE[f.room] ?? []).includes(to) &&
            !(f.room === 'cli' && to === ''),
        )
        .map((to) => `${f.path} -> ${to || 'src/'}`),
    );
    expect(wrong).toEqual([]);
  });

  test('the core knows no Node, no package, no clock, no randomness', () => {
    const forbidden =
      /\bDate\b|\bMath\b(?!\.(?:abs|ceil|floor|imul|log2|max|min|round|trunc|clz32)\b)|\bglobalThis\b|\bimport\s*\(|\brequire\s*\(/;
    const wrong = PRODUCT.filter((f) => !OUTER.has(f.room)).flatMap((f) => [
      ...importsOf(f)
        .filter((i) => !i.startsWith('.'))
        .map((i) => `${f.path} imports ${i}`),
      ...f.text
        .split('\n')
        .flatMap((line, i) =>
          forbidden.test(line.replace(/^\s*(?:\*|\/\*\*|\/\/).*$/, ''))
            ? [`${f.path}:${i + 1} ${line.trim()}`]
            : [],
        ),
    ]);
    expect(wrong).toEqual([]);
  });

  test('the library imports neither the machine nor the command line', () => {
    const outside = PRODUCT.filter((f) => f.room === '').flatMap((f) =>
      importsOf(f)
        .map((i) => roomOf(f, i))
        .filter((room) => OUTER.has(room)),
    );
    expect(outside).toEqual([]);
  });

  test('no file is past 400 lines, but for tables and tests', () => {
    const long = PRODUCT.filter(
      (f) => f.text.split('\n').length > 401 && !f.path.startsWith('cite/sources/'),
    );
    expect(long.map((f) => f.path)).toEqual([]);
  });

  test('no function is past 70 lines', () => {
    const long = PRODUCT.flatMap((f) => longFunctions(f));
    expect(long).toEqual([]);
  });

  test('every module with a rule is loaded with the register', () => {
    const loaded = importsOf(
      FILES.find((f) => f.path === 'rules.ts') ?? { path: '', room: '', text: '' },
    );
    const missing = PRODUCT.filter((f) =>
      /^(?:export const \w+ = | {2}\S+: )?rule\(\{/m.test(f.text),
    )
      .map((f) => `./${f.path}`)
      .filter((path) => !loaded.includes(path));
    expect(missing).toEqual([]);
  });

  test('nothing is left open', () => {
    const open = FILES.flatMap((f) =>
      f.text
        .split('\n')
        .flatMap((line, i) => (/\b(?:TODO|FIXME|XXX)\b/.test(line) ? [`${f.path}:${i + 1}`] : [])),
    );
    expect(open).toEqual([]);
  });
});

/** Functions declared at the left margin, from their first line to the closing brace there. */
function longFunctions(file: SourceFile): readonly string[] {
  const lines = file.text.split('\n');
  return lines.flatMap((line, start) => {
    const name = /^(?:export )?(?:async )?function (\w+)/.exec(line)?.[1];
    if (name === undefined) return [];
    const length = lines.slice(start).indexOf('}');
    return length > 70 ? [`${file.path}: ${name} has ${length} lines`] : [];
  });
}
