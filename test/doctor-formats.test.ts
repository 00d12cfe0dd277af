import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureJson } from '../src/doctor/capture/capture-file.ts';
import { DOCTOR_FINDINGS } from '../src/doctor/findings.ts';
import { VERDICTS } from '../src/resolve/verdicts/index.ts';
import { memtype } from './console.ts';
import { parseExposition, type Sample } from './exposition.ts';
import { captured, HOSTS } from './hosts.ts';

const scratch = mkdtempSync(join(tmpdir(), 'memtype-formats-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const fileOf = (host: string): string => join(scratch, `${host}.json`);
const FILES = HOSTS.map(fileOf);

const ORIGIN = { tool: 'memtype test', by: 'node', masked: [] } as const;

beforeAll(async () => {
  for (const host of HOSTS) writeFileSync(fileOf(host), captureJson(await captured(host), ORIGIN));
});

function doctor(...args: readonly string[]): string {
  return memtype(['doctor', ...args]).stdout;
}

const ajv = new Ajv2020({ strict: false });

function schemaOf(what: string): ValidateFunction {
  return ajv.compile(JSON.parse(memtype(['schema', what]).stdout));
}

function expectValid(validate: ValidateFunction, value: unknown, name: string): void {
  expect(validate(value), `${name}: ${ajv.errorsText(validate.errors)}`).toBe(true);
}

describe('JSON keeps to its published schema', () => {
  test('doctor, of every captured host and of this machine', () => {
    const validate = schemaOf('doctor');
    for (const file of FILES) {
      expectValid(validate, JSON.parse(doctor(file, '--format', 'json')), file);
    }
    expectValid(validate, JSON.parse(doctor('--format', 'json')), 'this machine');
  });

  test('the schema of doctor refuses what is none', () => {
    const validate = schemaOf('doctor');
    const good = JSON.parse(doctor(FILES[1] ?? '', '--format', 'json'));
    for (const bad of [
      { ...good, exitCode: 2 },
      { ...good, findings: [{ ...good.findings[0], code: 'MT999' }] },
      { ...good, machine: { ...good.machine, cpu: { known: true, from: 'x' } } },
      { ...good, machine: { ...good.machine, pat: { known: false, why: 'x' } } },
      { ...good, policy: undefined },
    ]) {
      expect(validate(JSON.parse(JSON.stringify(bad)))).toBe(false);
    }
  });

  test('doctor of many, line by line', () => {
    const validate = schemaOf('fleet');
    const lines = doctor(...FILES, 'nothing.json', '--format', 'json')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(HOSTS.length + 2);
    for (const line of lines) expectValid(validate, JSON.parse(line), line);
  });

  test('capture files', async () => {
    const validate = schemaOf('capture');
    for (const host of HOSTS) {
      expectValid(validate, JSON.parse(captureJson(await captured(host), ORIGIN)), host);
    }
    expect(validate({ memtypeCapture: 2 })).toBe(false);
    expect(validate({ memtypeCapture: 1, texts: { '/proc/mtrr': 5 } })).toBe(false);
  });

  test.each([
    ['rule', ['rule']],
    ['rule', ['rule', 'MT101']],
    ['policies', ['policies']],
    ['sources', ['sources']],
    ['conform', ['conform', 'vectors/x86/ept-combine.json.gz']],
  ])('%s', (what, args) => {
    const printed = JSON.parse(memtype([...args, '--format', 'json']).stdout);
    expectValid(schemaOf(what), printed, what);
    expect(schemaOf(what)({ schemaVersion: 1 })).toBe(false);
  });
});

// ---- SARIF ------------------------------------------------------------------------------------

/** What OASIS SARIF 2.1.0 demands of the parts that are used here, closed against any other. */
const text = { type: 'object', properties: { text: { type: 'string', minLength: 1 } } };
const message = { ...text, required: ['text'], additionalProperties: false };
const level = { enum: ['none', 'note', 'warning', 'error'] };
const closed = (properties: object, required: readonly string[]): object => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const SARIF = closed(
  {
    $schema: { type: 'string', format: 'uri' },
    version: { const: '2.1.0' },
    runs: {
      type: 'array',
      minItems: 1,
      items: closed(
        {
          tool: closed(
            {
              driver: closed(
                {
                  name: { type: 'string' },
                  semanticVersion: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+' },
                  rules: {
                    type: 'array',
                    uniqueItems: true,
                    items: closed(
                      {
                        id: { type: 'string' },
                        shortDescription: message,
                        fullDescription: message,
                        help: message,
                        defaultConfiguration: closed({ level }, []),
                        properties: { type: 'object' },
                      },
                      ['id'],
                    ),
                  },
                },
                ['name'],
              ),
            },
            ['driver'],
          ),
          results: {
            type: 'array',
            items: closed(
              {
                ruleId: { type: 'string' },
                ruleIndex: { type: 'integer', minimum: -1 },
                kind: {
                  enum: ['notApplicable', 'pass', 'fail', 'review', 'open', 'informational'],
                },
                level,
                message,
                locations: {
                  type: 'array',
                  items: closed(
                    {
                      physicalLocation: closed(
                        { artifactLocation: closed({ uri: { type: 'string' } }, []) },
                        [],
                      ),
                      logicalLocations: {
                        type: 'array',
                        uniqueItems: true,
                        items: closed(
                          {
                            name: { type: 'string' },
                            fullyQualifiedName: { type: 'string' },
                            kind: { type: 'string' },
                          },
                          [],
                        ),
                      },
                    },
                    [],
                  ),
                },
                properties: { type: 'object' },
              },
              ['message'],
            ),
          },
        },
        ['tool'],
      ),
    },
  },
  ['version', 'runs'],
);

interface Result {
  readonly ruleId: string;
  readonly ruleIndex: number;
  readonly kind: string;
  readonly level: string;
  readonly locations: readonly {
    readonly physicalLocation?: { readonly artifactLocation: { readonly uri: string } };
    readonly logicalLocations?: readonly { readonly fullyQualifiedName: string }[];
  }[];
}

function sarifOf(...args: readonly string[]): { rules: { id: string }[]; results: Result[] } {
  const log = JSON.parse(doctor(...args, '--format', 'sarif'));
  expectValid(new Ajv2020({ strict: false, validateFormats: false }).compile(SARIF), log, 'SARIF');
  const [run] = log.runs;
  return { rules: run.tool.driver.rules, results: run.results };
}

function expectSound({ rules, results }: ReturnType<typeof sarifOf>): void {
  for (const r of results) {
    expect(rules[r.ruleIndex]?.id).toBe(r.ruleId);
    // 3.27.10: a level other than "none" belongs to results of kind "fail".
    expect(r.kind === 'fail').toBe(r.level !== 'none');
  }
}

describe('SARIF', () => {
  test('the rules are all verdicts', () => {
    const codes = [...VERDICTS, ...Object.values(DOCTOR_FINDINGS)].map((v) => v.code);
    const ids = sarifOf(FILES[0] ?? '').rules.map((r) => r.id);
    expect(ids).toEqual([...codes, 'undetermined', 'unreadable']);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(HOSTS)('%s: one result a finding and one an open question', (host) => {
    const log = sarifOf(fileOf(host));
    const json = JSON.parse(doctor(fileOf(host), '--format', 'json'));
    expectSound(log);
    expect(log.results).toHaveLength(json.findings.length + json.undetermined.length);
    expect(log.results.filter((r) => r.kind === 'fail').map((r) => r.ruleId)).toEqual(
      json.findings
        .filter((f: { certain: boolean }) => f.certain)
        .map((f: { code: string }) => f.code),
    );
  });

  test('places of a VM are logical locations', () => {
    const names = sarifOf(fileOf('ept-6.1')).results.flatMap((r) =>
      r.locations.flatMap((l) => l.logicalLocations?.map((x) => x.fullyQualifiedName) ?? []),
    );
    expect(names).toContain('VM 100/physical memory at 0xa0000 through /dev/mem (VGA)');
  });

  test('of many hosts each result names its file', () => {
    const log = sarifOf(...FILES, join(scratch, 'no such #1.json'));
    expectSound(log);
    const uris = new Set(
      log.results.flatMap((r) => r.locations.map((l) => l.physicalLocation?.artifactLocation.uri)),
    );
    expect(uris.has(undefined)).toBe(false);
    expect(
      [...uris].some((u) => u?.startsWith('file:///') && u.endsWith('/no%20such%20%231.json')),
    ).toBe(true);
    expect(log.results.filter((r) => r.ruleId === 'unreadable')).toHaveLength(1);
  });
});

// ---- Prometheus -------------------------------------------------------------------------------

function metrics(...args: readonly string[]): readonly Sample[] {
  return parseExposition(doctor(...args, '--format', 'prometheus'));
}

const sampleOf = (samples: readonly Sample[], name: string, labels: object = {}): unknown =>
  samples.find(
    (s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v),
  )?.value;

describe('Prometheus', () => {
  test.each(HOSTS)('%s: in the text format, and what JSON says', (host) => {
    const samples = metrics(fileOf(host));
    const json = JSON.parse(doctor(fileOf(host), '--format', 'json'));
    expect(sampleOf(samples, 'memtype_up')).toBe(1);
    expect(sampleOf(samples, 'memtype_doctor_exit_code')).toBe(json.exitCode);
    expect(sampleOf(samples, 'memtype_undetermined')).toBe(json.undetermined.length);
    const codes = samples.filter((s) => s.name === 'memtype_findings').map((s) => s.labels['code']);
    expect([...new Set(codes)].sort()).toEqual(
      [...new Set(json.findings.map((f: { code: string }) => f.code))].sort(),
    );
    const pids = samples.filter((s) => s.name === 'memtype_vm_info').map((s) => s.labels['pid']);
    expect(pids).toEqual(json.vms.map((v: { pid: number }) => String(v.pid)));
  });

  test('many hosts, the unreadable among them; equal base names are told apart', () => {
    const odd = join(scratch, 'odd "name"\\\n.json');
    writeFileSync(odd, 'x');
    const [first = '', ...others] = FILES;
    const samples = metrics(...FILES, first, odd);
    const up = samples.filter((s) => s.name === 'memtype_up');
    expect(up.map((s) => s.labels['host'])).toEqual([
      first,
      ...others.map((f) => basename(f)),
      `${first}#2`,
      'odd "name"\\\ufffd.json',
    ]);
    expect(up.at(-1)?.value).toBe(0);
    expect(samples.every((s) => s.labels['host'] !== undefined)).toBe(true);
  });

  test('labels do not depend on the order of the files; what is not shown is replaced', () => {
    const names = ['x/y.json', 'y.json', 'x/z.json', 'a\u202e\u001b[2J\u0007.json', 'a\ufffd.json'];
    const hosts = (files: readonly string[]): ReadonlyMap<string, unknown> => {
      const up = metrics(...files).filter((s) => s.name === 'memtype_up');
      return new Map(files.map((file, i) => [file, up[i]?.labels['host']]));
    };
    const labels = hosts(names);
    expect([...labels.values()]).toEqual([
      'x/y.json',
      'y.json',
      'z.json',
      'a\ufffd\ufffd[2J\ufffd.json',
      'a\ufffd.json',
    ]);
    for (const [file, label] of hosts([...names].reverse())) expect(label).toBe(labels.get(file));
  });

  test('the parser of this test refuses what a scraper would', () => {
    for (const bad of [
      'a 1\n',
      '# TYPE a gauge\na{x="1} 1\n',
      '# TYPE a gauge\na{x="1"} one\n',
      '# TYPE a gauge\na 1\na 1\n',
      '# TYPE a gauge\n# TYPE b gauge\na 1\nb 1\na{x="2"} 1\n',
      '# TYPE a gauge\n# TYPE a gauge\na 1\n',
      '# TYPE a gauge\na{x="\\t"} 1\n',
      '# TYPE a gauge\na 1',
    ]) {
      expect(() => parseExposition(bad), bad).toThrow();
    }
  });
});

// ---- Markdown, mail, determinism --------------------------------------------------------------

describe('Markdown', () => {
  test.each(HOSTS)('%s: verdict first, closed blocks, the facts in a table', (host) => {
    const page = doctor(fileOf(host), '--format', 'markdown');
    const headline = doctor(fileOf(host)).split('\n')[0]?.split(' (')[0] ?? '';
    expect(page.startsWith(`**${headline}`)).toBe(true);
    expect(page.match(/^```/gm)?.length ?? 0).toSatisfy((n: number) => n % 2 === 0);
    expect(page.match(/<details>/g)?.length).toBe(page.match(/<\/details>/g)?.length);
    expect(page).toMatch(/^\| kernel \| \d/m);
    expect(page).toMatch(/^memtype \d+\.\d+\.\d+/m);
    for (const row of page.split('\n').filter((line) => line.startsWith('| '))) {
      expect(row.replaceAll('\\|', '').split('|')).toHaveLength(4);
    }
  });

  test('UUIDs are replaced, the same by the same', async () => {
    const text = captureJson(await captured('vfio-no-snoop-control-6.1'), ORIGIN);
    const uuid = '01234567-89ab-cdef-0123-456789abcdef';
    const file = join(scratch, 'uuid.json');
    writeFileSync(file, text.replaceAll('6.1.0-', `6.1.0-${uuid}-`));
    const page = doctor(file, '--format', 'markdown');
    expect(page).not.toContain(uuid);
    expect(page).toContain('UUID-1');
    expect(page).not.toContain('UUID-2');
  });
});

test.each(['text', 'mail', 'json', 'markdown', 'sarif', 'prometheus'])(
  '%s: the same input gives byte-identical output',
  (format) => {
    const args = [fileOf('npt-6.12'), '--format', format];
    expect(doctor(...args)).toBe(doctor(...args));
  },
);

describe('--fail-on', () => {
  const exit = (host: string, failOn: string): number | null =>
    memtype(['doctor', fileOf(host), '--fail-on', failOn]).status;
  test.each([
    ['ept-6.1', { error: 1, warning: 1, info: 1, undetermined: 1, never: 0 }],
    ['guest-nopat', { error: 0, warning: 1, info: 1, undetermined: 1, never: 0 }],
    ['ept-6.12-self-snoop', { error: 0, warning: 0, info: 0, undetermined: 3, never: 0 }],
    ['pvm-6.18', { error: 0, warning: 0, info: 0, undetermined: 0, never: 0 }],
  ])('%s', (host, codes) => {
    const got = Object.fromEntries(Object.keys(codes).map((word) => [word, exit(host, word)]));
    expect(got).toEqual(codes);
    expect(memtype(['doctor', fileOf(host)]).status).toBe(codes.undetermined);
  });
});
