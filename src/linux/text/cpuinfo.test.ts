import { describe, expect, test } from 'vitest';
import { parseCpuinfo } from './cpuinfo.ts';
import samples from './samples.json' with { type: 'json' };

/** Vendor, family/model/stepping, physical bits, number of flags, and which of the six are set. */
type Expected = readonly [vendor: string, fms: string, bits: number, flags: number, set: string];

const GUEST = 'pat mtrr hypervisor svm';
const NESTED_61: Expected = ['amd', '23/1/2', 40, 67, GUEST];
const NESTED_73: Expected = ['amd', '23/1/2', 40, 68, GUEST];
const QEMU64: Expected = ['amd', '15/107/1', 40, 35, GUEST];
const MILAN_61: Expected = ['amd', '25/1/1', 40, 71, GUEST];
const MILAN: Expected = ['amd', '25/1/1', 40, 72, GUEST];
const PVM: Expected = ['amd', '25/17/1', 48, 105, 'pat mtrr hypervisor'];
const HASWELL: Expected = ['intel', '6/60/4', 40, 56, 'pat mtrr hypervisor'];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'guests/iommu-amd-612/proc_cpuinfo.txt': NESTED_73,
  'guests/iommu-intel-nosc-61/proc_cpuinfo.txt': NESTED_61,
  'guests/mt61/proc_cpuinfo.txt': QEMU64,
  'guests/nested61-npt0/proc_cpuinfo.txt': NESTED_61,
  'guests/nested61/proc_cpuinfo.txt': NESTED_61,
  'guests/nested73/proc_cpuinfo.txt': NESTED_73,
  'guests/nested73w/proc_cpuinfo.txt': NESTED_73,
  'guests/pc-256-6.1/proc_cpuinfo.txt': QEMU64,
  'guests/pc-cleanup-612/proc_cpuinfo.txt': HASWELL,
  'guests/pc-hsw-nopat-61/proc_cpuinfo.txt': HASWELL,
  'guests/pc-mtrrdebug-73/proc_cpuinfo.txt': ['intel', '6/60/4', 40, 55, 'pat mtrr hypervisor'],
  'guests/q35-skl-61/proc_cpuinfo.txt': ['intel', '6/94/3', 40, 59, 'pat mtrr hypervisor'],
  'host-local/proc_cpuinfo.txt': PVM,
  'realkvm/bochs-ept-6.1-skx/host/proc_cpuinfo': ['intel', '6/85/4', 40, 89, 'ss pat mtrr vmx'],
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/proc_cpuinfo': [
    'intel',
    '6/58/9',
    40,
    78,
    'ss pat mtrr vmx',
  ],
  'realkvm/bochs-ept-6.12-skx/host/proc_cpuinfo': ['intel', '6/85/4', 40, 88, 'ss pat mtrr vmx'],
  'realkvm/bochs-ept-6.12-snb/host/proc_cpuinfo': ['intel', '6/42/7', 40, 72, 'pat mtrr vmx'],
  'realkvm/bochs-ept-7.3-ivb/host/proc_cpuinfo': ['intel', '6/58/9', 40, 78, 'ss pat mtrr vmx'],
  'realkvm/bochs-shadow-6.12-skx/host/proc_cpuinfo': ['intel', '6/85/4', 40, 88, 'ss pat mtrr vmx'],
  'realkvm/pvm-shadow-6.18-ring3/host/proc_cpuinfo': PVM,
  'realkvm/qemu-npt-6.1/host/proc_cpuinfo': MILAN_61,
  'realkvm/qemu-npt-6.12-bulk/host/proc_cpuinfo': MILAN,
  'realkvm/qemu-npt-6.12/host/proc_cpuinfo': MILAN,
  'realkvm/qemu-npt-7.3/host/proc_cpuinfo': MILAN,
  'realkvm/qemu-shadow-amd-6.1/host/proc_cpuinfo': MILAN_61,
};

describe('samples', () => {
  const texts = new Map(
    samples.cpuinfo.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [vendor, fms, bits, flags, set]) => {
    const { value: cpu, problems } = parseCpuinfo(`${texts.get(name)?.join('\n')}\n`, name);
    expect(problems).toEqual([]);
    expect(cpu.vendor).toBe(vendor);
    expect(`${cpu.family}/${cpu.model}/${cpu.stepping}`).toBe(fms);
    expect(cpu.physicalBits).toBe(bits);
    expect(cpu.flags).toHaveLength(flags);
    expect(cpu.cpus).toBe(name.includes('pvm') || name.includes('host-local') ? 2 : 1);
    const named = { ss: cpu.selfSnoop, pat: cpu.pat, mtrr: cpu.mtrr, hypervisor: cpu.hypervisor };
    const all = Object.entries({ ...named, vmx: cpu.vmx, svm: cpu.svm });
    expect(
      all
        .filter(([, value]) => value)
        .map(([flag]) => flag)
        .join(' '),
    ).toBe(set);
    expect(all.every(([, value]) => value !== null)).toBe(true);
  });

  test('names', () => {
    const lines = texts.get('realkvm/bochs-ept-6.12-snb/host/proc_cpuinfo') ?? [];
    expect(parseCpuinfo(`${lines.join('\n')}\n`, 'f').value).toMatchObject({
      vendorId: 'GenuineIntel',
      modelName: 'Intel(R) Core(TM) i7-2600K CPU @ 3.40GHz',
    });
  });
});

const CPU = [
  'processor\t: 0',
  'vendor_id\t: GenuineIntel',
  'cpu family\t: 6',
  'model\t\t: 85',
  'model name\t: X',
  'stepping\t: 4',
  'flags\t\t: ss pat mtrr',
  'address sizes\t: 46 bits physical, 48 bits virtual',
];

function text(...cpus: readonly (readonly string[])[]): string {
  return cpus.map((lines) => `${lines.join('\n')}\n\n`).join('');
}

function changed(from: string, to: string): string[] {
  return CPU.map((line) => line.replace(from, to));
}

describe('vendors', () => {
  test.each([
    ['GenuineIntel', 'intel'],
    ['AuthenticAMD', 'amd'],
    ['HygonGenuine', 'amd'],
    ['CentaurHauls', 'other'],
    ['  Shanghai  ', 'other'],
  ])('%s', (id, vendor) => {
    const { value, problems } = parseCpuinfo(text(changed('GenuineIntel', id)), 'f');
    expect({ id: value.vendorId, vendor: value.vendor }).toEqual({ id: id.trim(), vendor });
    expect(problems).toEqual([]);
  });
});

describe('processors that differ', () => {
  test.each([
    ['family', changed(': 6', ': 15'), 'cpu family differs in processor 3', 21],
    ['model', changed('85', '86'), 'model differs in processor 3', 22],
    ['flags', changed('ss pat', 'pat'), 'flags differs in processor 3', 25],
    [
      'no flags',
      CPU.filter((line) => !line.startsWith('flags')),
      'flags is missing in processor 3',
      7,
    ],
  ])('%s', (_, third, message, line) => {
    const { value, problems } = parseCpuinfo(text(CPU, CPU, third), 'f');
    expect(value).toMatchObject({ family: 6, model: 85, cpus: 3, selfSnoop: true });
    expect(problems).toMatchObject([{ severity: 'warning', place: { line } }]);
    expect(problems[0]?.message).toContain(message);
  });

  test('the order of flags means nothing', () => {
    expect(parseCpuinfo(text(CPU, changed('ss pat mtrr', 'mtrr pat ss ss')), 'f').problems).toEqual(
      [],
    );
  });
});

describe('what can be wrong', () => {
  test('without flags every flag is unknown, not absent', () => {
    const { value, problems } = parseCpuinfo(text(CPU.slice(0, 6)), 'f');
    const { flags, selfSnoop, pat, mtrr, hypervisor, vmx, svm } = value;
    expect([flags, selfSnoop, pat, mtrr, hypervisor, vmx, svm]).toEqual(Array(7).fill(null));
    expect(problems).toMatchObject([
      { severity: 'error', message: 'the first processor has no flags' },
    ]);
  });

  test('another architecture', () => {
    const arm =
      'processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n';
    const { value, problems } = parseCpuinfo(arm, 'f');
    expect(value).toMatchObject({
      vendor: null,
      vendorId: null,
      family: null,
      flags: null,
      cpus: 1,
    });
    expect(problems[0]?.message).toBe(
      'the first processor has no vendor_id, cpu family, model, flags',
    );
  });

  test.each([
    ['cpu family\t: 6', 'cpu family\t: six', 'family'],
    ['model\t\t: 85', 'model\t\t: 99999999999999999999', 'model'],
    ['46 bits', '99 bits', 'physicalBits'],
    ['46 bits', 'many bits', 'physicalBits'],
  ] as const)('%j as %j', (from, to, field) => {
    const { value, problems } = parseCpuinfo(text(changed(from, to)), 'f');
    expect(value[field]).toBeNull();
    expect(problems).toMatchObject([{ severity: 'error' }]);
  });

  test('a line without colon, a refused read, an empty file', () => {
    expect(parseCpuinfo(`${text(CPU)}garbage\n`, 'f').problems).toMatchObject([
      { severity: 'error', place: { line: 10, column: 1, length: 7 }, source: 'garbage' },
    ]);
    const refused = parseCpuinfo('cat: /proc/cpuinfo: Permission denied\n', 'f').problems;
    expect(refused).toMatchObject([
      { message: '/proc/cpuinfo could not be read: Permission denied' },
    ]);
    expect(parseCpuinfo('', 'f').problems).toMatchObject([{ severity: 'error' }]);
  });

  test('a beginning that is missing', () => {
    const { value, problems } = parseCpuinfo(text(CPU.slice(1)), 'f');
    expect(value.cpus).toBe(0);
    expect(problems.filter((p) => p.severity === 'warning')).toHaveLength(7);
    expect(problems.filter((p) => p.severity === 'error')).toHaveLength(1);
  });
});
