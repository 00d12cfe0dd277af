import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { captureJson } from '../src/doctor/capture/capture-file.ts';
import { memtype, ROOT } from './console.ts';
import { parseExposition } from './exposition.ts';
import { captured, HOSTS } from './hosts.ts';

const MAIN = `${ROOT}dist/bin/main.js`;
const DOCUMENT = readFileSync(`${ROOT}docs/fleet.md`, 'utf8');
const scratch = mkdtempSync(join(tmpdir(), 'memtype-fleet-docs-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The blocks of the document in one language. */
function blocks(language: string): readonly string[] {
  const found = [
    ...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')),
  ];
  return found.map((m) => m[1] ?? '');
}

function block(language: string, part: string): string {
  const found = blocks(language).find((b) => b.includes(part));
  if (found === undefined) throw new Error(`no ${language} block with ${part}`);
  return found;
}

const data = join(scratch, 'data');
const bin = join(scratch, 'bin');
const ENVIRONMENT = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };

const run = (
  command: readonly string[],
  cwd: string,
  more: Readonly<Record<string, string>> = {},
) =>
  spawnSync(command[0] ?? '', command.slice(1), {
    cwd,
    encoding: 'utf8',
    env: { ...ENVIRONMENT, ...more },
  });

const shell = (text: string, cwd: string) => run(['sh', '-c', text], cwd);
const isThere = (program: string): boolean => shell(`command -v ${program}`, scratch).status === 0;

beforeAll(async () => {
  mkdirSync(join(data, 'captures', 'rack1'), { recursive: true });
  mkdirSync(bin);
  writeFileSync(join(bin, 'memtype'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(join(bin, 'memtype'), 0o755);
  const origin = { tool: 'memtype test', by: 'node', masked: [] } as const;
  for (const host of HOSTS) {
    const text = captureJson(await captured(host), origin);
    for (const i of [1, 2, 3]) {
      writeFileSync(join(data, 'captures', 'rack1', `${host}-${i}.json`), text);
    }
  }
});

/** What one run says of all of them. */
function whole(): string {
  return shell(`find captures -name '*.json' | sort | memtype doctor --files-from -`, data).stdout;
}

const summaryOf = (text: string): string => text.slice(text.indexOf('\n\n') + 1);

describe('Kubernetes', () => {
  interface Job {
    readonly kind: string;
    readonly spec: {
      readonly completions: number;
      readonly parallelism: number;
      readonly completionMode: string;
      readonly template: {
        readonly spec: {
          readonly containers: readonly {
            readonly command: readonly string[];
            readonly env: readonly { readonly name: string; readonly value: string }[];
          }[];
        };
      };
    };
  }
  const manifest = block('yaml', 'kind: Job');
  const job = parse(manifest) as Job;
  const [container] = job.spec.template.spec.containers;

  test('the command of each pod, and the line after them, give what one run gives', () => {
    const env = Object.fromEntries(container?.env.map((e) => [e.name, e.value]) ?? []);
    expect(job).toMatchObject({ kind: 'Job', spec: { completionMode: 'Indexed' } });
    expect(env['SHARDS']).toBe(String(job.spec.completions));
    for (let i = 0; i < job.spec.completions; i++) {
      const r = run(container?.command ?? [], data, { ...env, JOB_COMPLETION_INDEX: String(i) });
      expect({ status: r.status, stderr: r.stderr }).toEqual({ status: 0, stderr: '' });
    }
    expect(readdirSync(join(data, 'lines'))).toHaveLength(job.spec.completions);
    const lines = shell('cat lines/*.jsonl', data).stdout.trimEnd().split('\n');
    const files = lines.map((l) => JSON.parse(l)).filter((l) => l.kind === 'host');
    expect(files.map((l) => l.file).sort()).toEqual(
      HOSTS.flatMap((h) => [1, 2, 3].map((i) => `captures/rack1/${h}-${i}.json`)).sort(),
    );
    const sum = shell(block('sh', 'lines/*.jsonl'), data);
    expect(sum.stdout).toBe(summaryOf(whole()));
    expect(sum.status).toBe(1);
  }, 60_000);

  test('a pod fails where a file cannot be read, and leaves no lines', () => {
    const cwd = join(scratch, 'bad');
    mkdirSync(join(cwd, 'captures'), { recursive: true });
    writeFileSync(join(cwd, 'captures', 'a.json'), '{');
    const env = { JOB_COMPLETION_INDEX: '0', SHARDS: '1' };
    expect(run(container?.command ?? [], cwd, env).status).toBe(2);
    expect(readdirSync(join(cwd, 'lines'))).toEqual(['0.jsonl.part']);
  });

  // Decodes the manifest into the types of the API, for which it needs no cluster: what the API does not
  // know is lost on the way.
  test.skipIf(!isThere('kubectl'))(
    'the API has every field of the manifest (needs kubectl)',
    () => {
      const file = join(scratch, 'job.yaml');
      writeFileSync(file, manifest);
      const typed = run(
        ['kubectl', 'set', 'env', '--local', '-f', file, 'A=b', '-o', 'json'],
        scratch,
      );
      expect(typed.stderr).toBe('');
      expect(JSON.parse(typed.stdout)).toMatchObject({
        ...job,
        spec: {
          ...job.spec,
          template: {
            spec: {
              ...job.spec.template.spec,
              containers: [
                { ...container, env: [...(container?.env ?? []), { name: 'A', value: 'b' }] },
              ],
            },
          },
        },
      });
    },
  );
});

describe('GNU parallel', () => {
  const isGnu = (): boolean =>
    shell('parallel --version', scratch).stdout.startsWith('GNU parallel');
  test.skipIf(!isThere('parallel') || !isGnu())(
    'its lines give what one run gives (needs GNU parallel)',
    () => {
      const ran = shell(block('sh', 'parallel --pipe'), data);
      expect(ran.stdout).toBe(summaryOf(whole()));
    },
  );

  test('the commands that parallel starts give what one run gives, in any order', () => {
    const [first = '', second = ''] = block('sh', 'parallel --pipe').split('\n');
    const [, started = ''] = /parallel --pipe -N 500 (.*) > hosts\.jsonl$/.exec(first) ?? [];
    const blocksOf5 = `find captures -name '*.json' | split -l 5 - names. && for n in names.*; do ${started} < $n; done > hosts.jsonl`;
    shell(blocksOf5, data);
    const sum = shell(second, data);
    expect(sum.stdout).toBe(summaryOf(whole()));
  });
});

describe('Ansible', () => {
  const plays = parse(block('yaml', 'ansible.builtin.script')) as readonly {
    readonly hosts: string;
    readonly tasks: readonly Readonly<Record<string, unknown>>[];
  }[];

  test('the playbook is YAML, two plays, each task with a name and one module', () => {
    expect(
      parseAllDocuments(block('yaml', 'ansible.builtin.script'), { strict: true }),
    ).toHaveLength(1);
    expect(plays.map((p) => p.hosts)).toEqual(['hypervisors', 'localhost']);
    for (const task of plays.flatMap((p) => p.tasks)) {
      expect(task['name']).toBeTypeOf('string');
      expect(Object.keys(task).filter((k) => k.startsWith('ansible.builtin.'))).toHaveLength(1);
    }
  });

  test('its line for doctor runs, with the return codes that the playbook expects', () => {
    const task = plays[1]?.tasks[0] ?? {};
    const r = shell(String(task['ansible.builtin.shell']), data);
    expect(r.stdout).toBe(whole());
    expect(r.status).toBe(1);
    expect(task['failed_when']).toBe('doctor.rc not in [0, 3]');
  });
});

describe('the textfile collector', () => {
  const [, command = ''] = / root (cd .*)$/m.exec(block('cron', 'textfile')) ?? [];
  const directory = join(scratch, 'textfile');
  const here = (memtypeIs: string): string =>
    command
      .replace('/var/lib/node_exporter/textfile', directory)
      .replace(/memtype doctor/, memtypeIs);

  test('the cron line leaves one whole file, and none where doctor fails', () => {
    mkdirSync(directory);
    expect(shell(here('memtype doctor'), scratch).status).toBe(0);
    expect(readdirSync(directory)).toEqual(['memtype.prom']);
    const samples = parseExposition(readFileSync(join(directory, 'memtype.prom'), 'utf8'));
    expect(samples.find((s) => s.name === 'memtype_up')?.value).toBe(1);
    shell(here('memtype doctor /nonexistent'), scratch);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('the table of metrics is that of the program', () => {
    const told = [...DOCUMENT.matchAll(/^\| `(memtype_\w+)` \|/gm)].map((m) => m[1]);
    const files = HOSTS.map((h) => join(data, 'captures', 'rack1', `${h}-1.json`));
    const printed = files.flatMap((f) =>
      parseExposition(memtype(['doctor', f, '--format', 'prometheus']).stdout).map((s) => s.name),
    );
    expect([...new Set(printed)].sort()).toEqual([...told].sort());
  });
});
