import { describe, expect, test } from 'vitest';
import { findRulePage } from '../src/report/rule-page.ts';
import '../src/rules.ts';
import { exitCodeOf } from '../src/resolve/resolution.ts';
import { VERDICTS } from '../src/resolve/verdicts/index.ts';
import { answer, answers, codes, shellFlags } from './ask.ts';

const FOUNDING = {
  cpu: 'intel',
  paging: 'ept',
  backing: 'ttm-wc',
  guest: 'WC',
  device: 'nosnoop',
} as const;

describe('the mail that founds the project', () => {
  test('6.8: WB+IPAT, stale, and 6.8 cannot be told otherwise', () => {
    const r = answer({ ...FOUNDING, kernel: '6.8' });
    expect(r.types).toEqual(['WB']);
    expect(r.world.result.leaf).toMatchObject({
      paging: 'ept',
      ept: { memtype: 'WB', ipat: true },
    });
    expect(codes(r, 'error')).toEqual(['MT101']);
    const fix = r.verdicts.find((v) => v.code === 'MT101')?.fix ?? '';
    expect(fix).toContain('KVM_X86_QUIRK_IGNORE_GUEST_PAT');
    expect(fix).toContain('6.16');
    expect(fix).toContain('6.12.78');
    expect(fix).toContain('6.8 cannot');
    expect(exitCodeOf(r)).toBe(1);
  });

  test('6.16 with the opt-out: WC, coherent', () => {
    const r = answer({ ...FOUNDING, kernel: '6.16', 'quirk-ignore-guest-pat': 'off' });
    expect(r.types).toEqual(['WC']);
    expect(codes(r, 'error', 'warning')).toEqual([]);
    expect(exitCodeOf(r)).toBe(0);
  });

  test('6.16 without self-snoop: the opt-out is refused, WB', () => {
    const r = answer({
      ...FOUNDING,
      kernel: '6.16',
      'quirk-ignore-guest-pat': 'off',
      'self-snoop': 'no',
    });
    expect(r.types).toEqual(['WB']);
    expect(codes(r, 'error', 'warning')).toEqual(expect.arrayContaining(['MT101', 'MT202']));
  });

  test.each([
    ['WC', 'WC', []],
    ['WB', 'UC', ['MT302']],
  ])('wc-as-mmio: EPT UC, IPAT=0, guest %s gets %s', (guest, type, findings) => {
    const r = answer({ ...FOUNDING, guest, policy: 'wc-as-mmio' });
    expect(r.types).toEqual([type]);
    expect(r.world.result.leaf).toMatchObject({
      paging: 'ept',
      ept: { memtype: 'UC', ipat: false },
    });
    expect(r.common.isMmio).toBe(true);
    expect(codes(r, 'error', 'warning')).toEqual(findings);
  });

  test.each(['WB', 'WC'])('host-pat: WC for a guest that asks %s', (guest) => {
    for (const more of [{}, { 'self-snoop': 'yes' }, { 'self-snoop': 'no' }]) {
      expect(answer({ ...FOUNDING, guest, policy: 'host-pat', ...more }).types).toEqual(['WC']);
    }
  });

  test('AMD: WB is stale, and the fix is in the guest', () => {
    const flags = { cpu: 'amd', paging: 'npt', guest: 'WB', backing: 'ttm-wc', device: 'nosnoop' };
    for (const more of [{}, { kernel: '6.8' }]) {
      const r = answer({ ...flags, ...more });
      expect(r.types).toEqual(['WB']);
      const stale = r.verdicts.find((v) => v.code === 'MT101');
      expect(stale?.certain).toBe(true);
      expect(stale?.fix).toContain('in the guest');
      expect(stale?.fix).toContain('Nothing in KVM needs to change');
    }
  });
});

describe('a BAR that the guest maps WB', () => {
  const bar = { backing: 'bar', guest: 'WB' };
  test('EPT: UC', () => {
    expect(answer({ ...bar, paging: 'ept', kernel: '6.8' }).types).toEqual(['UC']);
  });
  test.each([
    ['UC', 'UC'],
    ['WC', 'WC'],
    ['WB', 'WB'],
  ])('NPT: by the host MTRR %s', (mtrr, type) => {
    expect(answer({ ...bar, paging: 'npt', kernel: '6.8', 'host-mtrr': mtrr }).types).toEqual([
      type,
    ]);
  });
  test('4.2.0, EPT: as the guest MTRR says', () => {
    const r = answer({ ...bar, paging: 'ept', kernel: '4.2.0' });
    expect(r.types).toEqual(['UC', 'WC', 'WT', 'WP', 'WB']);
    expect(r.unknown).toContain('guest-mtrr');
    expect(exitCodeOf(r)).toBe(3);
    const wb = answer({ ...bar, paging: 'ept', kernel: '4.2.0', 'guest-mtrr': 'WB' });
    expect(wb.types).toEqual(['WB']);
    expect(codes(wb, 'error')).toEqual(['MT401']);
  });
});

describe('what is not known is not guessed', () => {
  test.each([
    [{ ...FOUNDING, kernel: '6.11-rc3' }, ['WC', 'WB'], ['self-snoop']],
    [
      { cpu: 'amd', paging: 'npt', kernel: '6.8', backing: 'ram' },
      ['WT', 'WP', 'WB', 'CD', 'WC+'],
      ['guest'],
    ],
    [
      { ...FOUNDING, kernel: '6.12.0-18-amd64', 'quirk-ignore-guest-pat': 'off' },
      ['WC', 'WB'],
      ['kernel'],
    ],
    [
      {
        ...FOUNDING,
        kernel: '5.14.0-503.el9.x86_64',
        'noncoherent-dma': 'yes',
        'guest-mtrr': 'UC',
        guest: 'WB',
      },
      ['UC', 'WB'],
      ['kernel'],
    ],
  ])('%j', (flags, types, unknown) => {
    const r = answer(flags);
    expect(r.types).toEqual(types);
    expect(r.unknown).toEqual(expect.arrayContaining(unknown));
    expect(exitCodeOf(r)).toBe(3);
  });

  test('nothing at all is known: every type is possible', () => {
    const r = answer({});
    expect(r.types).toEqual(['UC', 'WC', 'WT', 'WP', 'WB', 'CD', 'WC+']);
    expect(exitCodeOf(r)).toBe(3);
  });

  test('a capability word beats the version', () => {
    const flags = { ...FOUNDING, kernel: '6.12.0-18-amd64', 'quirk-ignore-guest-pat': 'off' };
    expect(answer({ ...flags, quirks2: '0x7ff' }).types).toEqual(['WC']);
  });
});

describe('named histories', () => {
  const nc = {
    cpu: 'intel',
    paging: 'ept',
    backing: 'ram',
    'noncoherent-dma': 'yes',
    'self-snoop': 'yes',
  };

  test('the list-order bug of 4.2 to 6.10 turns a UC hole into WB, and is named', () => {
    const hole = {
      ...nc,
      guest: 'WB',
      'guest-mtrr-ranges': 'WB 0-4G, UC 3G-4G',
      'guest-mtrr-default': 'UC',
      gpa: '0xd0000000',
    };
    for (const kernel of ['4.2.0', '4.4', '5.10', '6.10']) {
      const r = answer({ ...hole, kernel });
      expect([kernel, r.types]).toEqual([kernel, ['WB']]);
      expect(codes(r, 'warning')).toContain('MT211');
    }
    for (const kernel of ['2.6.32', '4.1']) {
      const r = answer({ ...hole, kernel });
      expect([kernel, r.types]).toEqual([kernel, ['UC']]);
      expect(codes(r, 'warning')).not.toContain('MT211');
    }
    expect(answer({ ...hole, kernel: '6.11' }).types).toEqual(['WB']);
  });

  test.each([
    ['6.6', { ipat: true, memtype: 'WB' }],
    ['6.8', { ipat: false, memtype: 'WB' }],
    ['6.12', { ipat: false, memtype: 'WB' }],
  ])('firmware phase, CR0.CD=1, on %s', (kernel, leaf) => {
    const r = answer({ ...nc, kernel, guest: 'WC', 'cr0-cd': '1', 'guest-mtrr': 'WC' });
    expect(r.world.result.leaf).toMatchObject({ paging: 'ept', ept: leaf });
  });

  test.each([
    ['3.19', 'UC'],
    ['4.2.8', 'WB'],
    ['3.17', 'WB'],
  ])('the zero page on %s is %s', (kernel, type) => {
    const r = answer({ cpu: 'intel', paging: 'ept', kernel, backing: 'zero', guest: 'WB' });
    expect(r.types).toEqual([type]);
  });

  test.each([
    ['4.14', 'UC'],
    ['4.16', 'WB'],
  ])('DAX on %s is %s', (kernel, type) => {
    expect(
      answer({ cpu: 'intel', paging: 'ept', kernel, backing: 'dax', guest: 'WB' }).types,
    ).toEqual([type]);
  });

  test.each([
    ['4.14.2', 'WT'],
    ['4.14.3', 'WC+'],
    ['4.15', 'WC+'],
  ])('AMD, a Linux guest asks WC on %s and gets %s', (kernel, type) => {
    expect(answer({ paging: 'npt', kernel, backing: 'ram', guest: 'WC' }).types).toEqual([type]);
  });

  test('the VGA hole is cacheable under the quirk, and says so', () => {
    const r = answer({
      cpu: 'intel',
      paging: 'ept',
      kernel: '6.12',
      backing: 'vga-hole',
      guest: 'UC',
    });
    expect(r.types).toEqual(['WB']);
    expect(codes(r, 'error')).toEqual(['MT401']);
  });

  test('a guest MTRR that only the guest kernel looked at is not blamed on KVM', () => {
    const r = answer({
      cpu: 'intel',
      paging: 'ept',
      kernel: '6.8',
      backing: 'memfd',
      'guest-request': 'WB',
      'guest-mtrr': 'UC',
    });
    expect(codes(r, 'warning')).toEqual(['MT201', 'MT220']);
  });

  test('Ubuntu took the rules of 6.16 into 6.8.0-136', () => {
    const at = (kernel: string): readonly string[] =>
      answer({ ...FOUNDING, kernel, 'quirk-ignore-guest-pat': 'off' }).types;
    expect(at('6.8.0-135-generic')).toEqual(['WB']);
    expect(at('6.8.0-136-generic')).toEqual(['WC']);
    expect(at('6.8.0-1030-aws')).toEqual(['WC', 'WB']);
  });
});

/** virtio-gpu host blobs under seven policies: B = backing, P = policy. Blank: not asked. */
const MATRIX = `
  backing      guest  P0   P1   P3   P4   P5   P6
  ttm-wc       WC     WB   WC   WC+  WB   WC   WC
  ttm-wc       WB     WB   WB   WB   WB   UC   WC
  i915-wc      WC     WB   WC   -    WB   WB   WC
  i915-dmabuf  WB     WB   WB   -    WB   WB   WB
  memfd        WB     WB   WB   WB   WB   WB   WB
  memfd        UC-    WB   UC   CD   WB   WB   UC
  bar-wc       WC     WC   WC   WC   UC   WC   WC
  bar          WB     UC   UC   UC   UC   UC   UC
  bar          UC-    UC   UC   UC   UC   UC   UC
`;

const POLICIES: Readonly<Record<string, Record<string, string>>> = {
  P0: { cpu: 'intel', paging: 'ept', 'self-snoop': 'yes', kernel: '6.16' },
  P1: {
    cpu: 'intel',
    paging: 'ept',
    'self-snoop': 'yes',
    kernel: '6.16',
    'quirk-ignore-guest-pat': 'off',
  },
  P3: { cpu: 'amd', paging: 'npt', kernel: '6.16' },
  P4: { cpu: 'intel', paging: 'shadow', 'self-snoop': 'yes', kernel: '6.16' },
  P5: { cpu: 'intel', paging: 'ept', 'self-snoop': 'yes', policy: 'wc-as-mmio' },
  P6: { cpu: 'intel', paging: 'ept', 'self-snoop': 'yes', policy: 'host-pat' },
};

describe('virtio-gpu host blobs', () => {
  const [head = [], ...rows] = MATRIX.trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const cells = rows.flatMap(([backing = '', guest = '', ...types]) =>
    types.map((type, i) => ({ backing, guest, policy: head[i + 2] ?? '', type })),
  );
  test.each(cells.filter((c) => c.type !== '-'))(
    '$backing mapped $guest under $policy is $type',
    (cell) => {
      const r = answer({ ...POLICIES[cell.policy], backing: cell.backing, guest: cell.guest });
      expect(r.types).toEqual([cell.type]);
    },
  );
});

describe('verdicts', () => {
  test.each(VERDICTS.map((v) => [v.code, v] as const))(
    '%s is brought about by its own example',
    (code, v) => {
      const r = answer(shellFlags(v.example));
      const found = r.verdicts.find((x) => x.code === code);
      expect(found?.certain).toBe(true);
      expect(found?.agents.length).toBeGreaterThan(0);
      expect(found?.severity).toBe(v.severity);
    },
  );

  test('codes are in order and never twice', () => {
    const all = VERDICTS.map((v) => v.code);
    expect(all).toEqual([...new Set(all)].sort());
  });

  test.each(VERDICTS.map((v) => v.example))('every step of "%s" has a page', (example) => {
    for (const r of answers(shellFlags(example))) {
      for (const step of r.steps)
        expect([step.rule, findRulePage(step.rule)?.id]).not.toContain(undefined);
    }
  });
});
