import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { u64 } from '../src/base/u64.ts';
import { readSpte } from '../src/kvm/spte-reading.ts';
import { spteSvg } from '../src/report/spte-svg.ts';
import { spteText } from '../src/report/spte-text.ts';
import type { SpteAnswer } from '../src/report/spte-words.ts';
import { memtype } from './console.ts';
import { spanOf, textsOf, xmlFaults } from './pictures.ts';

const CHANGED =
  ' qemu-system-x86-8397    [002] .....  1404.389391: kvm_tdp_mmu_spte_changed: as id 1 gfn 99 level 1 old_spte 600000455299b77 new_spte 5a0';
const SET =
  '            wcvm-30396   [000] ...1.  1611.893737: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 240fe7000';
const FIELDS =
  '            wcvm-30396   [000] ...1.  1611.893759: kvm_mmu_set_spte: gfn=0x40000 (262144) spte=0x2296dee67 (9285004903) sptep=0x240fe7000 (9680351232) level=(1) r=(1) x=(1) u=(1)';

function titles(stdout: string): readonly string[] {
  return stdout.split('\n').filter((line) => /^[0-9a-f]+: /.test(line));
}

describe('what is understood', () => {
  test.each([
    [
      '0x600000010e5b8f7',
      '600000010e5b8f7: EPT leaf, 2 MiB, WB, guest PAT ignored, frame 10e5b8f7',
    ],
    ['600000010e5b8f7', ''],
    ['600_0000_1234_5b77', '60000012345b77'],
  ])('%s', (value) => {
    const r = memtype(['spte', value]);
    expect(r.stderr).toBe('');
    expect(titles(r.stdout)).toHaveLength(1);
  });

  test('decimal digits are hexadecimal ones, and more than 16 are decimal', () => {
    expect(memtype(['spte', '5873825', '--paging', 'npt']).stdout).toContain(
      'read as hexadecimal, as the kernel prints it',
    );
    // 0x8000000000000000
    const r = memtype(['spte', '9223372036854775808', '--kernel', '6.12', '--paging', 'ept']);
    expect(r.stdout).toContain('8000000000000000: EPT empty');
    expect(r.stdout).toContain('read as decimal: it has more than 16 digits');
  });

  test('a line of a trace: old and new, gfn and level', () => {
    const r = memtype(['spte', CHANGED]);
    expect(titles(r.stdout)).toEqual([
      '600000455299b77: EPT leaf, 4 KiB, WB, guest PAT ignored, frame 455299',
      '5a0: EPT frozen: another CPU is changing it',
    ]);
    expect(r.stdout).toContain('old_spte of kvm_tdp_mmu_spte_changed, gfn 99, level 1');
    expect(r.stdout).toContain('address space 1 (SMM)');
    expect(r.status).toBe(0);
  });

  test.each([SET, FIELDS, SET.slice(SET.indexOf('gfn')), SET.slice(SET.indexOf('kvm_mmu'))])(
    '%s',
    (line) => {
      const r = memtype(['spte', line, '--kernel', '6.18', '--paging', 'shadow']);
      expect(titles(r.stdout)[0]).toBe(
        '2296dee67: shadow paging leaf, 4 KiB, PAT index 0 (WB), frame 2296de',
      );
    },
  );

  test('permissions that the line prints and the bits do not have', () => {
    const r = memtype(['spte', SET.replace('(rwxu)', '(r-xu)'), '--kernel', '6.18']);
    expect(r.status).toBe(1);
    expect(r.stdout).toContain('the line says (r-xu), the bits say (rwxu)');
  });

  test('standard input', () => {
    const r = memtype(
      ['spte', '-'],
      `# tracer: nop\n${SET}\n\n5a0\n x-1 [000] ..... 1.0: kvm_exit: vcpu 0\r\n`,
    );
    expect(titles(r.stdout)).toHaveLength(2);
    expect(r.stderr).toBe('1 line without an SPTE\n');
    expect(r.status).toBe(0);
  });
});

test('a value that no kernel in question writes', () => {
  const r = memtype(['spte', '600000455299b57', '--paging', 'ept', '--kernel', '6.1']);
  expect(r.status).toBe(1);
  expect(r.stdout).toContain('bits 5:3: type 2 is reserved, an EPT misconfiguration');
});

test('a type that only guest MTRRs make, and one that nothing makes', () => {
  expect(memtype(['spte', '600000012345b0f', '--kernel', '6.1']).stdout).toContain(
    'Only the MTRRs of the guest make this type',
  );
  const r = memtype(['spte', '8600000012345b0f', '--kernel', '6.16']);
  expect(r.stdout).toContain('a modified kernel');
  expect(r.status).toBe(0);
});

test.each([
  [['spte', 'zz12'], 'value 1:1:1'],
  [['spte', '0x12g4'], '^'],
  [['spte', '0x'], 'there are no digits'],
  [['spte', ''], 'the value is empty'],
  [['spte', '12345678123456781'.repeat(2)], '64 bits'],
  [['spte', '0x12345678123456789'], '64 bits'],
  [['spte', '5a0', '--paging', 'eptt'], 'did you mean ept?'],
  [['spte', '5a0', '--level', '6'], 'no level "6"'],
  [['spte', '5a0', '--kernel', 'new'], 'not a kernel version'],
  [['spte', 'kvm_exit: vcpu 0 reason X'], 'no spte, old_spte or new_spte'],
  [['spte', 'gfn 1 spte 12345678123456781 level 1'], '64 bits'],
  [['spte', 'gfn 1 spte 1 level 9'], 'there is no level 9'],
  [['spte', SET, '--level', '2'], 'says level 1'],
  [['spte', '-', '-'], 'given twice'],
])('%j is refused', (args, expected) => {
  const r = memtype(args);
  expect(r.status).toBe(2);
  expect(r.stdout).toBe('');
  expect(r.stderr).toContain(expected);
});

test('JSON keeps to its published schema', () => {
  const ajv = new Ajv2020({ allowUnionTypes: true });
  const validate = ajv.compile(JSON.parse(memtype(['schema', 'spte']).stdout));
  const values = [
    '600000455299b77',
    'f805000f116',
    '8000040400057',
    '0',
    '5a0',
    '2c583e907',
    '77',
    CHANGED,
  ];
  const json = JSON.parse(memtype(['spte', ...values, '--format', 'json']).stdout);
  expect(validate(json), JSON.stringify(validate.errors)).toBe(true);
  expect(json.sptes).toHaveLength(values.length + 1);
  expect(json.sptes[0].readings[0].leaf).toMatchObject({
    memtype: 'WB',
    ipat: true,
    pfn: 0x455299,
  });
});

const anyAnswer = fc
  .record({
    hi: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    lo: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    paging: fc.constantFrom('ept', 'npt', 'shadow', null),
    level: fc.constantFrom(null, 1, 2, 4),
  })
  .map(({ hi, lo, paging, level }): SpteAnswer => {
    const value = u64(hi, lo);
    const question = { paging, kernel: null, level, printed: null } as const;
    return { text: '', how: null, origin: null, value, question, ...readSpte(value, question) };
  });

test('text fits 80 columns, and pictures are well-formed, with nothing outside of them', () => {
  fc.assert(
    fc.property(anyAnswer, (answer) => {
      expect(
        spteText([answer])
          .split('\n')
          .filter((line) => line.length > 80),
      ).toEqual([]);
      const svg = spteSvg([answer]);
      expect(xmlFaults(svg)).toEqual([]);
      const outside = textsOf(svg).filter((t) => t.style === '' && spanOf(t, 'start', 13)[1] > 800);
      expect(outside.map((t) => t.words)).toEqual([]);
    }),
  );
});
