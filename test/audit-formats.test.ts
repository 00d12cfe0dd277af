import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test } from 'vitest';
import { AUDIT_FORMATS } from '../src/cli/formats.ts';
import { memtype, type Ran, ROOT } from './console.ts';
import { xmlFaults } from './pictures.ts';

const TRACE = 'docs/examples/trace.txt';
const FACTS = 'docs/examples/trace.facts.yaml';
const scratch = mkdtempSync(join(tmpdir(), 'memtype-audit-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const TEXT = readFileSync(ROOT + TRACE, 'utf8');
const EXAMPLES = readdirSync(`${ROOT}docs/examples`)
  .filter((name) => /^(?:MT7\d\d|trace)\.txt$/.test(name))
  .map((name) => name.slice(0, -'.txt'.length));

function argsOf(example: string): readonly string[] {
  const facts = readdirSync(`${ROOT}docs/examples`).includes(`${example}.facts.yaml`);
  const path = `docs/examples/${example}`;
  return [`${path}.txt`, ...(facts ? ['--predict', `${path}.facts.yaml`] : [])];
}

function audit(args: readonly string[], input?: string): Ran {
  return memtype(['audit', ...args], input);
}

function written(name: string, data: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, data);
  return path;
}

interface Region {
  readonly gfnStart: number;
  readonly gfnEnd: number;
  readonly memtype: string | null;
  readonly ipat: boolean | null;
  readonly level: number;
}

interface Finding {
  readonly code: string;
  readonly at: { readonly place: number } | null;
  readonly line: string | null;
  readonly column: number;
  readonly length: number;
}

interface Audited {
  readonly file: string;
  readonly form: string;
  readonly events: number;
  readonly sptes: number;
  readonly counts: readonly { readonly installs: number }[];
  readonly regions: readonly Region[];
  readonly findings: readonly Finding[];
  readonly undetermined: readonly string[];
  readonly vms: readonly { readonly vm: number | null; readonly host: readonly object[] }[];
  readonly prediction: { readonly predicted: number; readonly mismatched: number } | null;
}

function json(args: readonly string[], input?: string): Audited {
  return JSON.parse(audit([...args, '--format', 'json'], input).stdout) as Audited;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
const validatorOf = (name: string) => ajv.compile(JSON.parse(memtype(['schema', name]).stdout));

/** RFC 4180. */
function parseCsv(text: string): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [, quoted, plain = '', end] of text.matchAll(
    /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g,
  )) {
    row.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

describe('every format', () => {
  test.each(AUDIT_FORMATS)('%s: the same trace gives the same bytes', (format) => {
    const [one, two] = [0, 1].map(() => audit([TRACE, '--format', format]));
    expect(one?.stderr).toBe('');
    expect(one?.status).toBe(0);
    expect(one?.stdout.length).toBeGreaterThan(200);
    expect(one?.stdout).toBe(two?.stdout);
  });

  test.each(EXAMPLES)('text of %s fits a terminal, and has no blank ends', (example) => {
    const { stdout } = audit(argsOf(example));
    const lines = stdout.split('\n');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines.filter((line) => /\s$/.test(line))).toEqual([]);
  });
});

describe('text', () => {
  test('marks what is meant', () => {
    for (const example of EXAMPLES) {
      const lines = audit(argsOf(example)).stdout.split('\n');
      lines.forEach((line, i) => {
        const caret = /^\s+\| ( *)(\^+)$/.exec(line);
        if (caret === null) return;
        const from = line.indexOf('^');
        const marked = lines[i - 1]?.slice(from, from + (caret[2] ?? '').length) ?? '';
        expect(marked, `${example}: ${lines[i - 1]}`).toMatch(/^\S.*\S$/);
      });
    }
  });

  test('a line with control characters does not reach the terminal as it is', () => {
    const path = written(
      'steer.txt',
      TEXT.replace('spte 860000000597cb77 (rwxu)', 'spte 860000000597cb77 (\u001b[2J)'),
    );
    const { stdout } = audit([path, '--predict', FACTS]);
    expect(stdout).toContain('860000000597cb77');
    expect(stdout).not.toContain('\u001b');
  });
});

describe('json', () => {
  const validate = validatorOf('audit');

  test.each(EXAMPLES)('of %s is as the schema says', (example) => {
    const found = json(argsOf(example));
    expect(validate(found), ajv.errorsText(validate.errors)).toBe(true);
    const installs = found.counts.reduce((sum, row) => sum + row.installs, 0);
    expect(installs).toBe(found.sptes);
  });

  test('a finding has the line of the file, and where in it', () => {
    const lines = TEXT.split('\n');
    const { findings } = json([TRACE, '--predict', FACTS]);
    expect(findings.map((f) => f.code)).toEqual(['MT701', 'MT703', 'MT713']);
    for (const { at, line, column, length } of findings) {
      expect(lines[(at?.place ?? 0) - 1]).toBe(line);
      expect(line?.slice(column - 1, column - 1 + length)).toMatch(/^\w+$/);
    }
  });

  test('of several traces is a line for each', () => {
    const { stdout } = audit([TRACE, 'docs/examples/MT704.txt', '--format', 'json']);
    const found = stdout.trimEnd().split('\n');
    expect(found.map((line) => (JSON.parse(line) as Audited).file)).toEqual([
      TRACE,
      'docs/examples/MT704.txt',
    ]);
  });
});

describe('regions', () => {
  const { regions } = json([TRACE]);

  test('are lines of JSONL as the schema says', () => {
    const validate = validatorOf('audit-region');
    const rows = audit([TRACE, '--format', 'jsonl'])
      .stdout.trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Region & { file: string; paging: string });
    for (const row of rows) expect(validate(row), ajv.errorsText(validate.errors)).toBe(true);
    expect(rows.map(({ file: _file, paging: _paging, ...region }) => region)).toEqual(regions);
  });

  test('are the same as CSV, whatever the file is called', () => {
    const path = written('a "trace", cut.txt', TEXT);
    const [head = [], ...rows] = parseCsv(audit([path, '--format', 'csv']).stdout);
    const column = (name: string) => rows.map((row) => row[head.indexOf(name)]);
    expect(rows.every((row) => row.length === head.length)).toBe(true);
    expect(new Set(column('file'))).toEqual(new Set([path]));
    expect(column('gfn_start')).toEqual(regions.map((r) => String(r.gfnStart)));
    expect(column('pages')).toEqual(regions.map((r) => String(r.gfnEnd - r.gfnStart)));
    expect(column('memtype')).toEqual(regions.map((r) => String(r.memtype)));
    expect(column('ipat')).toEqual(regions.map((r) => String(r.ipat)));
  });

  test('of several traces stand under one head', () => {
    const rows = parseCsv(audit([TRACE, TRACE, '--format', 'csv']).stdout);
    expect(rows).toHaveLength(2 * regions.length + 1);
  });
});

describe('sarif', () => {
  interface Result {
    readonly ruleId: string;
    readonly ruleIndex: number;
    readonly kind: string;
    readonly level: string;
    readonly message: { readonly text: string };
    readonly locations: readonly {
      readonly physicalLocation: {
        readonly artifactLocation: { readonly uri: string };
        readonly region?: {
          readonly startLine: number;
          readonly startColumn: number;
          readonly endColumn: number;
          readonly snippet: { readonly text: string };
        };
      };
    }[];
  }

  test.each(EXAMPLES)('of %s has the shape of a log', (example) => {
    const { stdout } = audit([...argsOf(example), '--format', 'sarif']);
    const log = JSON.parse(stdout) as {
      version: string;
      runs: { tool: { driver: { rules: { id: string }[] } }; results: Result[] }[];
    };
    expect(log.version).toBe('2.1.0');
    const [run] = log.runs;
    const rules = run?.tool.driver.rules.map((rule) => rule.id) ?? [];
    expect(run?.results.length).toBeGreaterThan(0);
    for (const { ruleId, ruleIndex, kind, level, message, locations } of run?.results ?? []) {
      expect(rules[ruleIndex]).toBe(ruleId);
      expect(message.text).toMatch(/\S/);
      expect(kind === 'open' ? level === 'none' : kind === 'fail' && level !== 'none').toBe(true);
      const region = locations[0]?.physicalLocation.region;
      if (region === undefined) continue;
      const { startLine, startColumn, endColumn, snippet } = region;
      const file = readFileSync(`${ROOT}docs/examples/${example}.txt`, 'utf8');
      expect(file.split('\n')[startLine - 1]).toBe(snippet.text);
      expect(endColumn).toBeGreaterThan(startColumn);
      expect(endColumn).toBeLessThanOrEqual(snippet.text.length + 1);
    }
  });
});

describe('svg', () => {
  test.each(EXAMPLES)('of %s is well-formed, and stays within its width', (example) => {
    const { stdout } = audit([...argsOf(example), '--format', 'svg']);
    expect(xmlFaults(stdout)).toEqual([]);
    for (const [, x, width] of stdout.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g))
      expect(Number(x) + Number(width)).toBeLessThanOrEqual(1000);
  });

  test('its legend counts the pages', () => {
    const { stdout } = audit([TRACE, '--format', 'svg']);
    const pages = [...stdout.matchAll(/: (\d+) pages?, /g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
    const { regions } = json([TRACE]);
    expect(pages).toBe(regions.reduce((sum, r) => sum + r.gfnEnd - r.gfnStart, 0));
  });

  test('is of one trace', () => {
    expect(audit([TRACE, TRACE, '--format', 'svg']).status).toBe(2);
  });
});

describe('exit codes', () => {
  const CODES: Readonly<Record<string, number>> = { MT707: 0, MT713: 0 };
  const OPEN = new Set(['MT708', 'MT709', 'MT710', 'MT712', 'MT714', 'MT715', 'MT716', 'MT717']);

  test.each(EXAMPLES)('%s', (example) => {
    const expected = CODES[example] ?? (OPEN.has(example) ? 3 : 1);
    expect(audit(argsOf(example)).status).toBe(expected);
  });

  test('of several the gravest counts; one that is no trace gives 2, and the rest is read', () => {
    const noTrace = written('garbage.txt', 'lorem ipsum\ndolor sit amet\n');
    expect(audit(['docs/examples/MT713.txt', 'docs/examples/MT710.txt']).status).toBe(3);
    expect(audit(['docs/examples/MT710.txt', 'docs/examples/MT704.txt']).status).toBe(1);
    const ran = audit([noTrace, 'docs/examples/MT704.txt']);
    expect(ran.status).toBe(2);
    expect(ran.stdout).toContain('MT704');
    expect(ran.stderr).toContain('no trace');
  });

  test('--fail-on', () => {
    expect(audit(['docs/examples/MT702.txt', '--fail-on', 'never']).status).toBe(0);
    expect(audit(['docs/examples/MT713.txt', '--fail-on', 'info']).status).toBe(1);
    expect(audit([...argsOf('MT705'), '--fail-on', 'error']).status).toBe(0);
    expect(audit([...argsOf('MT710'), '--fail-on', 'warning']).status).toBe(0);
  });
});

describe('input', () => {
  const own = json([TRACE]);
  const same = ({ events, sptes, counts, regions, findings }: Audited) => ({
    events,
    sptes,
    counts,
    regions,
    findings,
  });

  test('standard input and gzip give the same', () => {
    const zipped = written('trace.gz', gzipSync(TEXT));
    expect(same(json(['-'], TEXT))).toEqual(same(own));
    expect(same(json([], TEXT))).toEqual(same(own));
    expect(same(json([zipped]))).toEqual(same(own));
    expect(json([zipped]).form).toBe('text, gzip');
  });

  test('a binary trace gives what its text gives', () => {
    const folder = `${ROOT}src/trace/fixtures/`;
    const unpacked = (name: string) => gunzipSync(readFileSync(`${folder}${name}`));
    const binary = written('nested.dat', unpacked('nested61.v7.dat.gz'));
    const text = written('nested.txt', unpacked('nested61.txt.gz'));
    const [a, b] = [json([binary]), json([text])];
    expect(a.form).toBe('trace.dat 7');
    expect(a.sptes).toBeGreaterThan(50);
    expect(a.counts.map((row) => row.installs)).toEqual(b.counts.map((row) => row.installs));
    const shape = ({ gfnStart, gfnEnd, level }: Region) => [gfnStart, gfnEnd, level];
    expect(a.regions.map(shape)).toEqual(b.regions.map(shape));
    expect(json([`${folder}nested61.v7.dat.gz`]).regions.map(shape)).toEqual(a.regions.map(shape));
  });

  test('a line that is cut is said, and the rest read', () => {
    const cut = TEXT.slice(0, TEXT.lastIndexOf('spte 86') + 9);
    const found = json([written('cut.txt', cut)]);
    expect(found.sptes).toBeGreaterThanOrEqual(own.sptes - 1);
    expect(audit([written('cut.txt', cut)]).stdout).toContain('1 line that is cut');
  });

  test('a packed file that ends too early is said', () => {
    const zipped = gzipSync(TEXT.repeat(200));
    const found = json([written('cut.gz', zipped.subarray(0, zipped.length >> 1))]);
    expect(found.sptes).toBeGreaterThan(0);
    expect(found.undetermined.join()).toContain('cannot be unpacked');
  });

  test('bytes among the lines are said, and the rest read', () => {
    const bytes = Buffer.concat([
      Buffer.from(TEXT),
      Buffer.from([0, 1, 2, 255, 0, 10]),
      Buffer.from(TEXT),
    ]);
    const ran = audit([written('bytes.txt', bytes)]);
    expect(ran.stdout).toContain('1 line with bytes that no text has');
    expect(ran.status).toBe(3);
  });

  test.each([
    ['no text at all', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 255))],
    ['a program', readFileSync(process.execPath).subarray(0, 200_000)],
    ['prose', 'It was the best of times.\n'],
  ])('%s is no trace', (name, data) => {
    const ran = audit([written('none', data)]);
    expect(ran.status, name).toBe(2);
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toMatch(/^error: .* is no trace: /);
  });

  test('another set of events, and none, are undetermined', () => {
    const other = '  sleep-9 [000] d..2. 5.1: sched_switch: prev_comm=sleep prev_pid=9\n';
    expect(audit([written('other.txt', other)]).status).toBe(3);
    expect(audit([written('empty.txt', '')]).status).toBe(3);
  });

  test('what cannot be read is said', () => {
    const ran = audit(['no/such/file']);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain('no such file');
    expect(audit([TRACE, '--kernel', 'newest']).status).toBe(2);
    expect(audit([TRACE, '--predict', 'docs/examples/host.json']).status).toBe(2);
  });
});

describe('beside the trace', () => {
  test('facts predict every entry', () => {
    const { prediction, sptes } = json([TRACE, '--predict', FACTS]);
    expect(prediction).toMatchObject({ predicted: sptes, mismatched: 0 });
  });

  test('the folder and the two files of a program that makes VMs are facts', () => {
    const folder = 'vectors/audit/qemu-npt-6.12';
    const [name = ''] = readdirSync(ROOT + folder).filter((n) => n.startsWith('trace-'));
    const trace = `${folder}/${name}`;
    const one = json([trace, '--predict', folder]);
    expect(one.prediction).toMatchObject({ predicted: one.sptes, mismatched: 0 });
    const two = ['--predict', `${folder}/regions.json`, '--predict', `${folder}/meta.json`];
    expect(json([trace, ...two]).prediction).toEqual(one.prediction);
    const half = audit([trace, '--predict', `${folder}/meta.json`]);
    expect(half.status).toBe(2);
    expect(half.stderr).toContain('memslots');
  });

  test('a capture of the host says what its frames are, and whose threads they are', () => {
    const { findings, vms } = json([TRACE, '--host', 'docs/examples/MT620.yaml']);
    expect(findings.map((f) => f.code)).toContain('MT701');
    expect(vms.map((vm) => vm.vm)).toEqual([100]);
    expect(vms[0]?.host).toContainEqual(
      expect.objectContaining({ host: { kind: 'ram', memtype: 'WC' }, memtype: 'WB', ipat: true }),
    );
  });
});
