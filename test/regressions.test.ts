import { describe, expect, test } from 'vitest';
import { exitCodeOf } from '../src/resolve/resolution.ts';
import { MappingRefused } from '../src/resolve/world.ts';
import { answer, codes, type Flags } from './ask.ts';

const TTM = { backing: 'ttm-wc', device: 'nosnoop' } as const;
const RAM = { backing: 'ram', device: 'none' } as const;
const EPT = { cpu: 'intel', paging: 'ept' } as const;
const NPT = { cpu: 'amd', paging: 'npt' } as const;

/** What a reader of the answers once found wrong: flags, types, findings for certain, exit code. */
const ONCE_WRONG: readonly (readonly [
  string,
  Flags,
  readonly string[],
  readonly string[],
  number,
])[] = [
  [
    'a page that KVM calls MMIO is still cached on AMD',
    { ...NPT, ...TTM, kernel: '6.8', policy: 'wc-as-mmio', guest: 'WB' },
    ['WB'],
    ['MT101', 'MT103'],
    1,
  ],
  [
    'the capability word says that the opt-out is refused',
    {
      ...EPT,
      ...TTM,
      kernel: '6.18',
      guest: 'WC',
      'quirk-ignore-guest-pat': 'off',
      quirks2: '0x5ff',
    },
    ['WB'],
    ['MT101', 'MT201', 'MT202'],
    1,
  ],
  [
    'the capability word says that the kernel has no quirk',
    {
      ...EPT,
      ...TTM,
      kernel: '6.12.0-18-amd64',
      guest: 'WC',
      'self-snoop': 'yes',
      'quirk-ignore-guest-pat': 'off',
      quirks2: '0x7f',
    },
    ['WB'],
    ['MT101', 'MT201', 'MT202'],
    1,
  ],
  [
    'an alias is not fine while self-snoop is not known',
    { ...EPT, kernel: '6.8', backing: 'ttm-wc', guest: 'WB', device: 'snoop' },
    ['WB'],
    [],
    3,
  ],
  [
    'a GPU that may not snoop is asked about',
    { ...EPT, kernel: '6.16', backing: 'i915-dmabuf', guest: 'WB' },
    ['WB'],
    [],
    3,
  ],
  [
    'WC on a BAR is decoded as WT on old AMD',
    { ...NPT, kernel: '4.9', backing: 'bar-wc', guest: 'WC' },
    ['UC'],
    ['MT203'],
    1,
  ],
  [
    'a guest without PAT asks no MTRRs',
    {
      ...NPT,
      kernel: '6.8',
      backing: 'memfd',
      'guest-pat': 'no',
      'guest-request': 'WB',
      'guest-mtrr': 'UC',
    },
    ['WB'],
    [],
    0,
  ],
  [
    'AMD does not cope with a WC alias of WB',
    { ...NPT, kernel: '6.16', backing: 'ttm-wc', guest: 'WB', device: 'snoop' },
    ['WB'],
    ['MT103'],
    1,
  ],
  [
    'before 2.6.29 the PAT in force is the one of the host',
    {
      ...EPT,
      kernel: '2.6.27',
      backing: 'ram',
      guest: 'WT',
      'guest-layout': 'reset',
      'self-snoop': 'yes',
    },
    ['WC'],
    [],
    0,
  ],
  [
    'a proposal keeps the other rules of the kernel it is put on',
    { ...EPT, ...TTM, policy: 'honor-guest-pat', kernel: '6.16', 'self-snoop': 'yes', guest: 'WC' },
    ['WC'],
    [],
    0,
  ],
  [
    'device memory that the host MTRR leaves WB is a machine-check risk on AMD too',
    { ...NPT, kernel: '6.12', backing: 'bar', guest: 'WB', 'host-mtrr': 'WB', device: 'none' },
    ['WB'],
    ['MT401'],
    1,
  ],
  [
    'RAM of a guest asks no guest MTRR',
    {
      ...NPT,
      kernel: '6.8',
      firmware: 'none',
      'guest-place': 'ram',
      'guest-request': 'WB',
      ...RAM,
    },
    ['WB'],
    [],
    0,
  ],
  [
    'UC by the page tables looks into the caches, without self-snoop too',
    { ...EPT, kernel: '6.12', 'self-snoop': 'no', 'noncoherent-dma': 'yes', guest: 'UC', ...RAM },
    ['UC'],
    ['MT301'],
    1,
  ],
  [
    'WC does not',
    { ...EPT, kernel: '6.12', 'self-snoop': 'no', 'noncoherent-dma': 'yes', guest: 'WC', ...RAM },
    ['WC'],
    ['MT103'],
    1,
  ],
  [
    'nor does the UC- of the VMM conflict with a cached guest: it is CD on AMD',
    { ...NPT, kernel: '6.8', backing: 'nvidia-sysmem', guest: 'WB', device: 'snoop' },
    ['WB'],
    [],
    0,
  ],
  [
    'the UC hole of an SEV-SNP guest is there from 6.18 on only: both',
    {
      ...NPT,
      kernel: '6.12',
      confidential: 'snp',
      firmware: 'seabios',
      'guest-place': 'low-bar',
      'guest-request': 'WB',
      backing: 'memfd',
      device: 'none',
    },
    ['WB', 'CD'],
    [],
    3,
  ],
];

describe('once wrong', () => {
  test.each<readonly [string, Flags]>([
    ['--paging npt does not go with', { ...NPT, confidential: 'tdx' }],
    ['--paging ept does not go with', { ...EPT, confidential: 'snp' }],
    ['--paging shadow does not go with', { paging: 'shadow', confidential: 'tdx' }],
    ['KVM runs TDX guests from 6.16 on', { kernel: '6.8', confidential: 'tdx' }],
    [
      'both say whether the quirk is in force',
      { vmm: 'qemu-11', 'honor-guest-pat': 'on', 'quirk-ignore-guest-pat': 'on' },
    ],
  ])('refused: %s', (message, flags) => {
    expect(() => answer(flags)).toThrow(message);
  });

  test('what may be wrong comes before a remark that is certain', () => {
    const r = answer({ kernel: '6.12', ...EPT, backing: 'nvidia-sysmem', guest: 'WB' });
    expect(r.verdicts[0]).toMatchObject({ code: 'MT101', certain: false });
    expect(r.verdicts.slice(1).some((v) => v.certain && v.severity === 'info')).toBe(true);
  });

  test.each(ONCE_WRONG)('%s', (_name, flags, types, findings, exit) => {
    const r = answer(flags);
    expect(r.types).toEqual(types);
    expect([...codes(r, 'error', 'warning')].sort()).toEqual([...findings].sort());
    expect(exitCodeOf(r)).toBe(exit);
  });

  test('a refused mapping has no type', () => {
    const flags = {
      ...NPT,
      kernel: '6.8',
      backing: 'ram',
      'guest-request': 'WC',
      'guest-reservation': 'WB',
    };
    expect(() => answer(flags)).toThrow(MappingRefused);
  });

  test.each<[string, Flags]>([
    ['several models', { cpu: '6/42,6/143', kernel: '6.16' }],
    [
      'bit 9 without EPT or NPT',
      { cpu: 'intel', paging: 'shadow', kernel: '6.16', quirks2: '0x7ff' },
    ],
    ['bit 9 without self-snoop', { ...EPT, 'self-snoop': 'no', kernel: '6.16', quirks2: '0x3ff' }],
    ['EPT on AMD among others', { cpu: 'amd', paging: 'ept,npt' }],
    ['two words on what the guest maps', { guest: 'WB', 'guest-request': 'WC' }],
    ['a width without ranges', { 'phys-bits': '99' }],
    [
      'a range past the width',
      { 'guest-mtrr-ranges': 'WB 0-1T', 'guest-mtrr-default': 'UC', gpa: '0', 'phys-bits': '36' },
    ],
    ['the capability word with a policy', { policy: 'E7', quirks2: '0x3ff' }],
  ])('%s is refused', (_name, flags) => {
    expect(() => answer(flags)).toThrow();
  });

  test('advice begins with what the guest itself asks', () => {
    const fix = (flags: Flags): string =>
      answer({ ...TTM, guest: 'WB', ...flags }).verdicts.find((v) => v.code === 'MT101')?.fix ?? '';
    expect(fix({ ...EPT, kernel: '6.16', 'self-snoop': 'yes' })).toMatch(
      /^The guest itself asks WB/,
    );
    expect(fix({ ...NPT, kernel: '4.9' })).toMatch(/^The guest itself asks WB/);
    expect(fix({ ...EPT, kernel: '6.8', 'self-snoop': 'no', guest: 'WC' })).toMatch(
      /^This CPU has no self-snoop/,
    );
  });

  test('each line of an era cites what brought it', () => {
    const leaf = answer({ ...EPT, kernel: '6.8', backing: 'ram' }).steps.find((s) =>
      s.rule.startsWith('vmx_'),
    );
    expect(leaf?.source).toContain('522c68c4416d');
  });
});
