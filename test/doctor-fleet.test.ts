import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runFleet } from '../src/cli/fleet.ts';
import { captureJson } from '../src/doctor/capture/capture-file.ts';
import { memtype, ROOT } from './console.ts';
import { captured, HOSTS } from './hosts.ts';

const MAIN = `${ROOT}dist/bin/main.js`;
const scratch = mkdtempSync(join(tmpdir(), 'memtype-fleet-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const path = (name: string): string => join(scratch, name);
const ORIGIN = { tool: 'memtype test', by: 'node', masked: [] } as const;

/** Ten of each host, and three files that are no captures. */
const NAMES = Array.from({ length: 10 }, (_, i) => HOSTS.map((h) => path(`${i}-${h}.json`))).flat();
const BROKEN = ['empty', 'cut', 'newer'].map((name) => path(`${name}.json`));
const ALL = [...NAMES, ...BROKEN];

beforeAll(async () => {
  for (const host of HOSTS) {
    const text = captureJson(await captured(host), ORIGIN);
    for (let i = 0; i < 10; i++) writeFileSync(path(`${i}-${host}.json`), text);
  }
  writeFileSync(path('empty.json'), '');
  writeFileSync(path('cut.json'), '{"memtypeCapture": 1,\n "texts": {');
  writeFileSync(path('newer.json'), '{"memtypeCapture": 9}');
});

interface Row {
  readonly kind: string;
  readonly file: string;
  readonly verdict: string;
}

const lines = (text: string): readonly string[] => text.trimEnd().split('\n');
const rows = (text: string): readonly Row[] => lines(text).map((line) => JSON.parse(line));
const filesOf = (text: string): readonly string[] =>
  rows(text)
    .filter((r) => r.kind === 'host')
    .map((r) => r.file);

const host = (name: string): string => path(`0-${name}.json`);

describe('many files', () => {
  test('a line a host in the order given, with its verdict, then the summary', () => {
    const files = [
      host('pvm-6.18'),
      host('ept-6.1'),
      host('ept-6.12-self-snoop'),
      path('cut.json'),
    ];
    const { stdout, stderr, status } = memtype(['doctor', ...files]);
    const [first = '', second = '', third = '', fourth = ''] = lines(stdout);
    expect(first).toMatch(/pvm-6\.18\.json +ok +E11 +shadow +-$/);
    expect(second).toMatch(/ept-6\.1\.json +problem +E7 +ept +MT401 MT201 MT302\?$/);
    expect(third).toMatch(/self-snoop\.json +undetermined +E11 +ept +MT401\? MT201\? MT302\?$/);
    expect(fourth).toMatch(/cut\.json +error +2:\d+: /);
    expect(stdout).toContain(
      '4 files: 1 with problems, 1 undetermined, 1 with nothing wrong, 1 that',
    );
    expect(stderr).toBe('');
    expect(status).toBe(2);
  });

  test('each line says what the report of its file says', () => {
    const { stdout } = memtype(['doctor', ...NAMES.slice(0, HOSTS.length), '--format', 'json']);
    for (const [i, line] of lines(stdout).slice(0, -1).entries()) {
      const row = JSON.parse(line);
      const one = JSON.parse(memtype(['doctor', NAMES[i] ?? '', '--format', 'json']).stdout);
      expect(row).toMatchObject({
        exitCode: one.exitCode,
        findings: one.findings,
        undetermined: one.undetermined,
      });
    }
  });

  test.each([
    [['pvm-6.18', 'bare-no-kvm'], 'undetermined', 0],
    [['pvm-6.18', 'ept-6.12-self-snoop'], 'undetermined', 3],
    [['ept-6.12-self-snoop', 'ept-6.1'], 'undetermined', 1],
    [['ept-6.12-self-snoop', 'guest-nopat'], 'error', 0],
    [['ept-6.12-self-snoop', 'guest-nopat'], 'warning', 1],
    [['ept-6.1', 'guest-nopat'], 'never', 0],
  ])('%j, --fail-on %s: %d', (names, failOn, code) => {
    const args = ['doctor', ...names.map(host), '--fail-on', failOn];
    expect(memtype(args).status).toBe(code);
    expect(memtype([...args, path('empty.json')]).status).toBe(2);
  });

  test('a directory, a named pipe that nobody writes to, and no file are lines, too', () => {
    const pipe = path('pipe');
    const made = spawnSync('sh', ['-c', 'mkfifo "$1"', 'sh', pipe]).status === 0;
    const files = [scratch, path('no-such.json'), ...(made ? [pipe] : []), host('pvm-6.18')];
    const { stdout, status } = memtype(['doctor', ...files]);
    expect(lines(stdout).filter((l) => / error +/.test(l))).toHaveLength(made ? 3 : 2);
    expect(stdout).toMatch(/ error +cannot read .*: there is no such file/);
    expect(stdout).toMatch(/pvm-6\.18\.json +ok/);
    expect(status).toBe(2);
  });

  test('a named pipe whose writer comes later is read to its end', async () => {
    const pipe = path('late');
    if (spawnSync('sh', ['-c', 'mkfifo "$1"', 'sh', pipe]).status !== 0) return;
    const feed = '(sleep 0.5; { sleep 0.3; cat "$1"; } > "$2") & exec "$3" "$4" doctor "$2"';
    const argv = ['-c', feed, 'sh', host('pvm-6.18'), pipe, process.execPath, MAIN];
    const r = spawnSync('sh', argv, { encoding: 'utf8', timeout: 10_000 });
    expect({ stderr: r.stderr, status: r.status }).toEqual({ stderr: '', status: 0 });
    expect(r.stdout).toBe(memtype(['doctor', host('pvm-6.18')]).stdout);
  });

  test('an empty name, one that is not UTF-8, one that turns the line', () => {
    expect(memtype(['doctor', '']).stderr).toBe('error: the name of a file is empty\n');
    const turned = memtype(['doctor', path('\u202e.json'), path('a')]);
    expect(turned.stdout).not.toContain('\u202e');
    const list = path('latin1');
    writeFileSync(list, Buffer.from([0x61, 0xe4, 0x0a]));
    expect(memtype(['doctor', '--files-from', list]).stdout).toContain('its name is not UTF-8');
  });

  test('what is of one host is refused', () => {
    for (const [args, why] of [
      [['--format', 'markdown', ...ALL], 'is of one host'],
      [['--pid', '1', ...ALL], '--pid is of this machine'],
      [['--pid', '1', host('pvm-6.18')], '--pid is of this machine'],
      [['--shard', '3/3', ...ALL], 'not a shard'],
      [['--shard', '1', ...ALL], 'not a shard'],
      [['--files-from', '-', ...ALL], 'both'],
      [['--summarize', '--shard', '0/1'], '--summarize'],
      [['--shard', '0/1'], 'no file'],
    ] as const) {
      const { stdout, stderr, status } = memtype(['doctor', ...args], '');
      expect(stderr).toContain(why);
      expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    }
  });
});

describe('lists of names', () => {
  test('a line each, or NUL-separated with line feeds in names; blank ones are passed over', () => {
    const odd = path('a\nb.json');
    symlinkSync(host('pvm-6.18'), odd);
    const byLine = memtype(
      ['doctor', '--files-from', '-'],
      `\n${host('ept-6.1')}\n${host('pvm-6.18')}`,
    );
    expect(byLine.stdout).toContain('2 files: 1 with problems');
    const list = path('list');
    writeFileSync(list, `${host('ept-6.1')}\0${odd}\0`);
    const byNul = memtype(['doctor', '--files-from', list, '--format', 'json']);
    expect(filesOf(byNul.stdout)).toEqual([host('ept-6.1'), odd]);
    expect(memtype(['doctor', '--files-from', list]).stdout).toContain('a\ufffdb.json');
  });

  test('an empty list, none, and what is no list are told', () => {
    expect(memtype(['doctor', '--files-from', '-'], '')).toMatchObject({ stdout: '', status: 2 });
    const missing = memtype(['doctor', '--files-from', path('nothing')]);
    expect(missing.stderr).toContain('there is no such file');
    const zero = memtype(['doctor', '--files-from', '/dev/zero']);
    expect(zero.stderr).toContain('no list of file names');
  });

  test('a host is printed as soon as its name is there', async () => {
    const child = spawn(process.execPath, [MAIN, 'doctor', '--files-from', '-']);
    const next = (): Promise<string> =>
      new Promise((done) => child.stdout.once('data', (data: Buffer) => done(data.toString())));
    child.stdin.write(`${host('ept-6.1')}\n`);
    expect(await next()).toContain('ept-6.1.json');
    child.stdin.write(`${host('pvm-6.18')}\n`);
    expect(await next()).toContain('pvm-6.18.json');
    const ended = new Promise((done) => child.once('exit', done));
    child.stdin.end();
    expect(await ended).toBe(1);
  });
});

describe('parts', () => {
  const list = `${ALL.join('\n')}\n`;
  const json = (...args: readonly string[]): string =>
    memtype(['doctor', '--files-from', '-', '--format', 'json', ...args], list).stdout;

  test.each([1, 2, 7])(
    '%d parts are disjoint, complete, and add up',
    (n) => {
      const parts = Array.from({ length: n }, (_, i) => json('--shard', `${i}/${n}`));
      const seen = parts.flatMap(filesOf);
      expect(new Set(seen).size).toBe(seen.length);
      expect([...seen].sort()).toEqual([...ALL].sort());
      const whole = lines(json()).at(-1);
      const together = memtype(['doctor', '--summarize', '-', '--format', 'json'], parts.join(''));
      expect(together.stdout).toBe(`${whole}\n`);
      expect(together.status).toBe(2);
      const text = memtype(['doctor', '--summarize'], [...parts].reverse().join('')).stdout;
      expect(memtype(['doctor', ...ALL]).stdout.endsWith(text)).toBe(true);
    },
    120_000,
  );

  test('more parts than files: some are empty, and that is no failure', () => {
    const files = [host('pvm-6.18'), host('bare-no-kvm')];
    const parts = [0, 1, 2].map((i) => memtype(['doctor', ...files, '--shard', `${i}/3`]));
    expect(parts.map((p) => p.status)).toEqual([0, 0, 0]);
    expect(parts[2]?.stdout).toContain('0 files:');
  });

  test('metrics of the parts are those of one run', () => {
    const file = path('lines.jsonl');
    writeFileSync(file, json());
    const one = memtype(['doctor', ...ALL, '--format', 'prometheus']).stdout;
    expect(memtype(['doctor', '--summarize', file, '--format', 'prometheus']).stdout).toBe(one);
  });

  test('a part that was cut short is noticed', () => {
    const parts = [json('--shard', '0/2'), json('--shard', '1/2')];
    const cut = lines(parts[1] ?? '').slice(0, -1);
    const r = memtype(['doctor', '--summarize'], `${parts[0]}${cut.join('\n')}\n`);
    expect(r.stderr).toContain('a run was cut short');
    expect(r.status).toBe(2);
  });

  test('nothing is no sum', () => {
    const empty = path('none.jsonl');
    writeFileSync(empty, '\n');
    const part = path('part.jsonl');
    writeFileSync(part, json('--shard', '0/1'));
    for (const [args, input] of [
      [['-'], ''],
      [[], ''],
      [[empty], undefined],
      [[part, empty], undefined],
    ] as const) {
      for (const format of ['text', 'sarif']) {
        const r = memtype(['doctor', '--summarize', ...args, '--format', format], input);
        expect(r.stderr).toContain('has no lines of doctor');
        expect(r.status).toBe(2);
        if (args.length < 2) expect(r.stdout).toBe('');
      }
    }
  });

  test('a part that is missing, or there twice, is noticed', () => {
    const files = ['pvm-6.18', 'bare-no-kvm'].map(host);
    const of = (...args: readonly string[]): string =>
      memtype(['doctor', ...files, '--format', 'json', ...args]).stdout;
    const parts = [0, 1, 2].map((i) => of('--shard', `${i}/3`));
    const sum = (...texts: readonly (string | undefined)[]) =>
      memtype(['doctor', '--summarize'], texts.join(''));
    expect(JSON.parse(parts[2] ?? '')).toMatchObject({ kind: 'summary', shard: '2/3' });
    expect(sum(...parts)).toMatchObject({ stderr: '', status: 0 });
    const missing = sum(parts[0], parts[1]);
    expect(missing.stderr).toContain('no summary of part 2/3');
    expect(missing.status).toBe(2);
    const empty = sum(...parts, parts[2]);
    expect(empty.stderr).toContain('more than one summary of part 2/3');
    expect(empty.status).toBe(2);
    const whole = sum(of(), of());
    expect(whole.stderr).toContain(`more than one line of ${files[0]}, ${files[1]}`);
    expect(whole.status).toBe(2);
    // As written before summaries named their part.
    const old = of().replace(',"shard":null', '');
    expect(sum(old)).toMatchObject({ stderr: '', status: 0 });
  });

  test.each([
    'x',
    '{}',
    '[]',
    '{"schemaVersion":2}',
    '{"schemaVersion":1,"kind":"host","verdict":"ok"}',
  ])('%s is no line of doctor', (line) => {
    const r = memtype(['doctor', '--summarize'], `\n${line}\n`);
    expect(r.stderr).toContain('--> standard input:2:1');
    expect(r.status).toBe(2);
  });

  test('exit codes of the sum are those of one run', () => {
    for (const [names, code] of [
      [['pvm-6.18', 'bare-no-kvm'], 0],
      [['pvm-6.18', 'npt-6.12'], 3],
      [['ept-6.1', 'npt-6.12'], 1],
    ] as const) {
      const { stdout } = memtype(['doctor', ...names.map(host), '--format', 'json']);
      expect(memtype(['doctor', '--summarize'], stdout).status).toBe(code);
    }
  });
});

describe('memory', () => {
  const COUNT = 250;
  const HEAP_MB = 64;

  test.each(['json', 'prometheus'])(
    `${COUNT} captures of half a MB each, ${HEAP_MB} MB of heap: %s`,
    async (format) => {
      const directory = path(`large-${format}`);
      mkdirSync(directory);
      const large = join(directory, 'large');
      const c = await captured('ept-6.12-self-snoop');
      // A kernel's name that is a piece of the text: what keeps it, keeps the text.
      const release = `${c.uname.release}-${'x'.repeat(40)}`;
      const log = { ok: true, text: `${'x'.repeat(79)}\n`.repeat(6500), cut: false } as const;
      writeFileSync(large, captureJson({ ...c, uname: { ...c.uname, release }, log }, ORIGIN));
      const names = Array.from({ length: COUNT }, (_, i) => join(directory, `host-${i}.json`));
      for (const name of names) symlinkSync(large, name);
      const args = [`--max-old-space-size=${HEAP_MB}`, MAIN, 'doctor', '--files-from', '-'];
      const r = spawnSync(process.execPath, [...args, '--format', format], {
        input: names.join('\n'),
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      });
      expect(r.stderr).toBe('');
      expect(r.status).toBe(3);
    },
    120_000,
  );
});

test('who watches a long run sees how far it is', async () => {
  let shown = '';
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 600;
    return now;
  });
  const io = {
    write: () => {},
    error: (text: string) => {
      shown += text;
    },
  };
  const options = { format: 'text', failOn: 'never' } as const;
  await runFleet(NAMES.slice(0, 5), options, io);
  expect(shown).toBe('');
  await runFleet(NAMES.slice(0, 5), options, { ...io, watched: true });
  clock.mockRestore();
  expect(shown).toMatch(/^(?:\r\d+ files, \d+ a second *)+\r *\r$/);
});
