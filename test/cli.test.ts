import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test } from 'vitest';
import { VERDICTS } from '../src/resolve/verdicts/index.ts';
import { memtype } from './console.ts';

const scratch = mkdtempSync(join(tmpdir(), 'memtype-test-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

const FOUNDING =
  '--cpu intel --kernel 6.8 --paging ept --backing ttm-wc --guest WC --device nosnoop'.split(' ');

describe('explain', () => {
  test('a case file and the flags say the same thing', () => {
    const flags = memtype(['explain', ...FOUNDING]);
    const yaml = memtype(['explain', 'cases/founding-mail.yaml']);
    expect(yaml).toEqual(flags);
    expect(flags.status).toBe(1);
  });

  test('JSON with comments, from standard input', () => {
    const json =
      '{\n // a comment\n "cpu": "intel", "kernel": "6.8", /* another */ "paging": "ept",\n "backing": "ttm-wc", "guest": "WC", "device": "nosnoop"\n}\n';
    expect(memtype(['explain', '-'], json).stdout).toBe(memtype(['explain', ...FOUNDING]).stdout);
  });

  test('a flag replaces the word of the file', () => {
    const r = memtype([
      'explain',
      'cases/founding-mail.yaml',
      '--device',
      'snoop',
      '--format',
      'json',
    ]);
    expect(JSON.parse(r.stdout).verdicts.map((v: { code: string }) => v.code)).not.toContain(
      'MT101',
    );
  });

  test('text fits 80 columns, mail 72', () => {
    for (const v of VERDICTS) {
      const args = [...v.example.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
      for (const [format, width] of [
        ['text', 80],
        ['mail', 72],
      ] as const) {
        const { stdout } = memtype(['explain', ...args, '--format', format]);
        const wide = stdout.split('\n').filter((line) => line.length > width);
        expect(wide, v.code).toEqual([]);
      }
    }
  });

  test('the same input gives byte-identical output', () => {
    for (const format of ['text', 'json', 'svg', 'mail']) {
      const args = ['explain', '--kernel', '6.8', '--format', format];
      expect(memtype(args)).toEqual(memtype(args));
    }
  });

  test('JSON keeps to its published schema', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const validate = ajv.compile(JSON.parse(memtype(['schema', 'explain']).stdout));
    const lines = [
      ...VERDICTS.map((v) => v.example),
      '',
      '--kernel 6.12.0-1-amd64',
      '--policy host-pat --paging shadow',
      '--kernel 6.8,6.16 --paging ept',
    ];
    for (const line of lines) {
      const args = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
      const json = JSON.parse(memtype(['explain', ...args, '--format', 'json']).stdout);
      expect(validate(json), `${line}: ${ajv.errorsText(validate.errors)}`).toBe(true);
    }
  });

  test('a case file keeps to its published schema', () => {
    const ajv = new Ajv2020({ strict: false });
    const validate = ajv.compile(JSON.parse(memtype(['schema', 'case']).stdout));
    expect(validate({ cpu: 'intel', guest: ['WC', 'WB'], 'cr0-cd': true, kernel: '6.8' })).toBe(
      true,
    );
    expect(validate({ gest: 'WC' })).toBe(false);
    expect(validate({ guest: 'WD' })).toBe(false);
  });

  test('several kernels and policies side by side', () => {
    const r = memtype([
      'explain',
      '--kernel',
      '6.8',
      '--kernel',
      '6.16',
      '--policy',
      'host-pat',
      ...FOUNDING.filter((_, i) => i < 2 || i > 3),
    ]);
    expect(r.stdout.split('\n')[0]).toMatch(/6\.8 +6\.16 +host-pat/);
    expect(r.stdout.split('\n')[1]).toMatch(/^effective type +WB +WB +WC$/);
  });
});

const BAD_CASES: readonly (readonly [string, string, string])[] = [
  ['unknown.yaml', 'cpu: intel\ngest: WC\n', 'unknown.yaml:2:1'],
  ['value.yaml', 'cpu: intel\nguest:   WD\n', 'value.yaml:2:10'],
  ['list.yaml', 'guest: [WC, XX]\n', 'list.yaml:1:13'],
  ['kernel.yaml', 'kernel: banana\n', 'kernel.yaml:1:9'],
  ['backing.yaml', 'backing: tmm-wc\n', 'did you mean ttm-wc'],
  ['syntax.yaml', 'cpu: [intel\nguest: WC\n', 'syntax.yaml:'],
  ['twice.yaml', 'guest: WC\nguest: WB\n', 'twice.yaml:2:1'],
  ['array.yaml', '- a\n- b\n', 'array.yaml:1:1'],
  ['empty.yaml', '', 'is empty'],
  ['nested.yaml', 'guest: {a: b}\n', 'nested.yaml:1:8'],
  ['missing.yaml', 'guest:\n', 'missing'],
  ['anchor.yaml', 'a: &x WC\nguest: *x\n', 'anchor.yaml:'],
  [
    'range.yaml',
    'guest-mtrr-ranges: WB 0-3G\nguest-mtrr-default: UC\ngpa: 1G\n',
    'range.yaml:1:20',
  ],
  ['comment.json', '{ "guest": "WD" } // no\n', 'comment.json:1:12'],
];

describe('bad input is refused with its place', () => {
  test.each(BAD_CASES)('%s', (name, content, where) => {
    const r = memtype(['explain', file(name, content)]);
    expect(r.status).toBe(2);
    expect(r.stdout).toBe('');
    expect(r.stderr).toContain(where);
    expect(r.stderr).toMatch(/^error: /);
  });

  test('binary, UTF-16, a directory, no file', () => {
    for (const path of [
      file(
        'binary',
        Uint8Array.from({ length: 512 }, (_, i) => (i * 37) & 0xff),
      ),
      file('utf16', Uint8Array.from([0xff, 0xfe, 0x63, 0, 0x70, 0])),
      scratch,
      join(scratch, 'none'),
    ]) {
      const r = memtype(['explain', path]);
      expect([r.status, r.stdout]).toEqual([2, '']);
      expect(r.stderr).toMatch(/^error: /);
    }
  });

  test.each([
    [['explain', '--guest', 'XX'], 'one of WB WC UC- UC WT WP'],
    [['explain', '--kernel', '6.8 or so'], 'cannot follow a kernel version'],
    [['explain', '--kernel', '2.4.20'], 'before 2.6.26-rc2'],
    [['explain', '--policy', 'host-pta'], 'did you mean host-pat'],
    [['explain', '--cpu', 'amd', '--paging', 'ept'], 'does not go with'],
    [['explain', '--cpu', '15/6'], 'intel:15/6'],
    [['explain', '--cpu', '6/42', '--self-snoop', 'yes'], 'erratum'],
    [['explain', '--gpa', '1G'], 'guest-mtrr-ranges'],
    [['explain', '--quirks2', 'seven'], 'capability word'],
    [['explain', '--format', 'xml'], 'xml'],
    [['explane'], 'explain'],
    [['rule', 'MT999'], 'no rule'],
    [['conform', '/nonexistent'], 'cannot read'],
    [['schema', 'nothing'], 'one of case, scenario, capture, explain, diff'],
  ])('%j', (args, message) => {
    const r = memtype(args);
    expect(r.status).toBe(2);
    expect(r.stderr).toContain(message);
  });

  test('no arguments: the help', () => {
    const r = memtype([]);
    expect(r.status).toBe(0);
    expect(r.stdout).toContain('explain');
  });
});

describe('conform', () => {
  test('every golden row', () => {
    const r = memtype(['conform', 'vectors/kvm', 'vectors/x86']);
    expect(r.stdout).toMatch(/total: 38 files, 18596 rows, 0 mismatches\n$/);
    expect(r.status).toBe(0);
  });

  test('a wrong row is found, shown with its steps, and fails the run', () => {
    const row =
      '{"is_mmio":0,"noncoherent_dma":0,"cr0_cd":0,"quirk_cd_nw_cleared":0,"self_snoop":0,"quirk_ignore_guest_pat":0,"guest_mtrr":0,"spte_bits":112,"memtype":6,"ipat":1}';
    const directory = join(scratch, 'v6.16');
    const path = join(directory, 'vmx_get_mt_mask.held-out.jsonl');
    rmSync(directory, { recursive: true, force: true });
    return import('node:fs').then(({ mkdirSync }) => {
      mkdirSync(directory);
      writeFileSync(path, `${row}\n`);
      const r = memtype(['conform', directory]);
      expect(r.status).toBe(1);
      expect(r.stdout).toContain(`${path}: 1 rows, 1 mismatches`);
      expect(r.stdout).toContain('E11, line 3');
      writeFileSync(path, '{"is_mmio":0}\n');
      expect(memtype(['conform', directory]).status).toBe(1);
      writeFileSync(path, 'garbage\n');
      expect(memtype(['conform', directory]).status).toBe(2);
    });
  });
});

describe('pages', () => {
  test.each([
    'MT101',
    'E8',
    'S3',
    'ttm-wc',
    'x86/ept-combine',
    'kvm_is_mmio_pfn/5.2',
    'vmx_get_mt_mask/E11:2',
  ])('rule %s', (code) => {
    const r = memtype(['rule', code]);
    expect(r.status).toBe(0);
    expect(r.stdout).toContain('sources:');
    expect(r.stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  test.each(['rule', 'policies', 'sources'])('%s lists, as text and as JSON', (command) => {
    expect(memtype([command]).status).toBe(0);
    expect(JSON.parse(memtype([command, '--format', 'json']).stdout).schemaVersion).toBe(1);
  });
});
