import { describe, expect, test } from 'vitest';
import { changed, codesOf, examine, load } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import type { Diagnosis } from '../diagnosis/diagnose.ts';
import { exitCodeFor } from '../diagnosis/exit-code.ts';
import { ifKnown } from '../fact.ts';
import type { GuestBlock } from './guest-side.ts';

const OVMF = load('guest-ovmf-6.12');
const SEABIOS = load('guest-seabios-6.12');
const GPU = '/sys/bus/pci/devices/0000:00:01.0';
const FEATURES = '/sys/bus/virtio/devices/virtio0/features';

function blockOf(d: Diagnosis, kind: string): GuestBlock {
  const found = d.guestSide?.blocks.find((b) => b.memory?.kind === kind);
  if (found === undefined) throw new Error(`no block of ${kind}`);
  return found;
}

/** "WB>UC- cached RAM: WB UC" for each row. */
function rowsOf({ rows }: GuestBlock): readonly string[] {
  return rows.map(({ asks, grants, backing, outcomes }) => {
    const granted = [...new Set(grants.map((g) => g.type ?? 'refused'))].join('|');
    const types = outcomes.map((o) => `${o.types.join('|')}${o.isStale ? '!' : ''}`);
    return `${asks}>${granted} ${backing}: ${types.join(' ')}`;
  });
}

function finding(d: Diagnosis, code: string) {
  const found = d.findings.find((f) => f.code === code);
  if (found === undefined) throw new Error(`no finding ${code}`);
  return found;
}

function le(n: number, bytes: number): string {
  return Array.from({ length: bytes }, (_, i) => {
    const byte = Math.floor(n / 2 ** (8 * i)) % 256;
    return byte.toString(16).padStart(2, '0');
  }).join('');
}

/** A configuration space whose only capability is virtio's shared memory `id` in a BAR. */
function config(id: number, bar: number, offset: number, size: number, next = 0): string {
  const header = new Array<string>(64).fill('00');
  header[6] = '10';
  header[0x34] = '40';
  const head = ['09', le(next, 1), '18', '08', le(bar, 1), le(id, 1), '0000'];
  const low = [le(offset % 2 ** 32, 4), le(size % 2 ** 32, 4)];
  const high = [le(Math.floor(offset / 2 ** 32), 4), le(Math.floor(size / 2 ** 32), 4)];
  return `${[...header, ...head, ...low, ...high].join('')}${'00'.repeat(168)}`;
}

const BAR_4G = '0x000000e000000000 0x000000e0ffffffff 0x000000000014220c';
const UNUSED = '0x0000000000000000 0x0000000000000000 0x0000000000000000';

/** The captured guest with the device of a newer QEMU: a host-visible window of 4 GiB in BAR 4. */
function withWindow(host: HostDescription, bytes: Readonly<Record<string, string>> = {}) {
  const files = {
    [`${GPU}/resource`]: `${[UNUSED, UNUSED, UNUSED, UNUSED, BAR_4G, UNUSED].join('\n')}\n`,
    [FEATURES]: `0101${'0'.repeat(60)}\n`,
    '/sys/bus/pci/devices/0000:00:02.0/resource': `${UNUSED}\n`,
  };
  const shm = { [`${GPU}/config 0`]: config(1, 4, 0, 2 ** 32) };
  return { ...changed(host, { files }), bytes: { ...host.bytes, ...shm, ...bytes } };
}

const INTEL = '/proc/cpuinfo';
const NO_LIST = { '/sys/kernel/debug/x86/pat_memtype_list': null };

function onIntel(host: HostDescription): HostDescription {
  const cpuinfo = String(host.files[INTEL]).replace('AuthenticAMD', 'GenuineIntel');
  return changed(host, { files: { [INTEL]: cpuinfo.replace(' svm', '').replace(' npt', '') } });
}

describe('the host-visible window of a virtio-gpu', () => {
  test('OVMF 2022.11 puts the 64-bit window under UC: cached blobs become UC-', async () => {
    const d = await examine(withWindow(OVMF));
    const block = blockOf(d, 'host-blobs');
    expect(block.memory).toMatchObject({
      device: '0000:00:01.0',
      bar: 4,
      start: 0xe000000000,
      size: 2 ** 32,
      hints: ['UC'],
      isInferred: false,
      reserved: [],
    });
    expect(rowsOf(block)).toEqual([
      'WB>UC- ttm-cached: CD WB',
      'WB>UC- ttm-wc: CD WB!',
      'WB>UC- bar-wc: UC UC',
      'WC>WC ttm-cached: WC+ WB',
      'WC>WC ttm-wc: WC+ WB!',
      'WC>WC bar-wc: WC UC',
      'UC->UC- ttm-cached: CD WB',
      'UC->UC- ttm-wc: CD WB!',
      'UC->UC- bar-wc: UC UC',
    ]);
    expect(finding(d, 'MT220')).toMatchObject({
      certain: true,
      places: ['this machine, as a guest: BAR 4 of 0000:00:01.0'],
      agents: ['firmware', 'guest kernel'],
      fix: expect.stringContaining('edk2 pull request 13129'),
      commands: ['echo "disable=1" > /proc/mtrr'],
    });
    expect(d.undetermined).toEqual([
      'what the virtio-gpu memory of this guest gets: the host decides',
    ]);
  });

  test('on Intel: hidden by default, slow where the guest PAT counts', async () => {
    const block = blockOf(await examine(onIntel(withWindow(OVMF))), 'host-blobs');
    expect(rowsOf(block).slice(0, 3)).toEqual([
      'WB>UC- ttm-cached: WB UC UC WB',
      'WB>UC- ttm-wc: WB! UC UC WB!',
      'WB>UC- bar-wc: UC UC UC UC',
    ]);
  });

  test('on Intel the host decides whether it counts: no certain problem', async () => {
    const d = await examine(onIntel(withWindow(OVMF)));
    expect(finding(d, 'MT220')).toMatchObject({
      certain: false,
      when: 'the host honours the guest PAT (IGNORE_GUEST_PAT disabled, or non-coherent DMA)',
    });
    expect(exitCodeFor(d, 'undetermined')).toBe(3);
    const vga = finding(await examine(onIntel(SEABIOS)), 'MT221');
    expect([vga.certain, vga.when]).toEqual([false, expect.stringMatching(/^the host honours/)]);
    const cpuinfo = String(OVMF.files[INTEL]).replace('AuthenticAMD', 'CentaurHauls');
    const other = await examine(changed(withWindow(OVMF), { files: { [INTEL]: cpuinfo } }));
    expect(finding(other, 'MT220').when).toContain('NPT always does');
    const hyperV = onIntel(withWindow(OVMF));
    const log = String(hyperV.log).replace(/Hypervisor detected: KVM/g, '');
    const under = await examine({
      ...hyperV,
      log: `Hypervisor detected: Microsoft Hyper-V\n${log}`,
    });
    expect(finding(under, 'MT220').when).toBe('the hypervisor honours the guest PAT');
  });

  test('MTRRs that are off leave RAM of a known type, wherever it is', async () => {
    const cpuinfo = String(onIntel(OVMF).files[INTEL]).replace(' mtrr', '');
    const files = { [INTEL]: cpuinfo, '/proc/iomem': null, '/proc/mtrr': null };
    const host = changed(onIntel(OVMF), { files });
    const d = await examine({ ...host, log: 'MTRRs disabled by BIOS\n' });
    expect(d.guestSide?.hosts[2]?.name).toBe('EPT+MTRR');
    expect(d.guestSide?.requests.find((r) => r.asks === 'UC-')?.types[2]).toEqual(['UC']);
  });

  test('SeaBIOS leaves what is above 4 GiB under the WB default: nothing is wrong', async () => {
    const d = await examine(withWindow(load('guest-seabios-high-6.12')));
    expect(blockOf(d, 'host-blobs').memory?.hints).toEqual(['WB']);
    expect(rowsOf(blockOf(d, 'host-blobs'))[0]).toBe('WB>WB ttm-cached: WB WB');
    expect(codesOf(d)).toEqual([]);
  });

  test('without root only 64 bytes of the configuration: the large BAR, and said so', async () => {
    const short = { [`${GPU}/config 0`]: config(1, 4, 0, 2 ** 32).slice(0, 128) };
    const d = await examine(withWindow(OVMF, short));
    expect(blockOf(d, 'host-blobs').memory).toMatchObject({ bar: 4, isInferred: true });
    expect(finding(d, 'MT220')).toMatchObject({
      certain: false,
      when: 'this BAR is the host-visible window',
    });
    expect(d.unknowns.map((u) => u.what)).toContain('the host-visible window of 0000:00:01.0');
  });

  test('a device that did not negotiate blobs has no such mapping', async () => {
    const d = await examine(changed(withWindow(OVMF), { files: { [FEATURES]: '0'.repeat(64) } }));
    expect(codesOf(d)).not.toContain('MT220');
    expect(d.undetermined).toEqual([]);
  });

  test('a window of another id is no host-visible one, and mapped by whoever', async () => {
    const dax = { [`${GPU}/config 0`]: config(0, 4, 2 ** 30, 2 ** 31) };
    const d = await examine(withWindow(OVMF, dax));
    expect(blockOf(d, 'shm').memory).toMatchObject({ start: 0xe040000000, size: 2 ** 31 });
    expect(finding(d, 'MT220').text).toContain('DAX');
  });

  test('what blobs got is read off the tracked list', async () => {
    const list = '/sys/kernel/debug/x86/pat_memtype_list';
    const entry = (at: string, type: string) => `PAT: [mem 0x${at}0000-0x${at}8000] ${type}\n`;
    const entries = [entry('e00001', 'uncached-minus'), entry('e00002', 'write-combining')];
    const text = `PAT memtype list:\n${entries.join('')}`;
    const d = await examine(changed(withWindow(OVMF), { files: { [list]: text } }));
    expect(blockOf(d, 'host-blobs').memory?.reserved).toEqual(['UC-', 'WC']);
  });

  test.each([
    ['a loop of capabilities', config(1, 4, 0, 4096, 0x40)],
    ['a window larger than its BAR', config(1, 4, 2 ** 32, 2 ** 32)],
    ['a BAR that is not there', config(1, 3, 0, 2 ** 30)],
    ['no hexadecimal', 'zz'.repeat(256)],
    ['all ones', 'ff'.repeat(256)],
  ])('%s: no window beyond what fits', async (_, hex) => {
    const d = await examine(withWindow(OVMF, { [`${GPU}/config 0`]: hex }));
    const windows = d.guestSide?.blocks.filter((b) => b.memory?.kind === 'host-blobs') ?? [];
    for (const { memory } of windows) expect(memory?.size).toBe(4096);
  });
});

describe("a guest's own MTRRs", () => {
  test('a default that is not known leaves the finding possible', async () => {
    const mtrr = 'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n';
    const d = await examine(changed(withWindow(OVMF), { files: { '/proc/mtrr': mtrr } }));
    expect(blockOf(d, 'host-blobs').memory?.hints).toEqual(['UC', 'WC', 'WT', 'WP', 'WB']);
    expect(finding(d, 'MT220')).toMatchObject({
      certain: false,
      when: 'the MTRRs are not WB there',
    });
  });

  test('MTRRs off, 6.12: even the tables of the firmware are UC-', async () => {
    const d = await examine(load('guest-no-mtrr-6.12'));
    expect(codesOf(d)).toEqual(['MT221', 'MT631']);
    expect(ifKnown(d.facts.pat)).toMatchObject({ enabled: true });
    expect(ifKnown(d.facts.tracked)?.entries.map((e) => e.type)).not.toContain('WB');
    expect(blockOf(d, 'bochs').memory?.hints).toEqual(['disabled']);
  });

  test.each([
    ['6.1.7', true],
    ['6.1.8', false],
    ['6.1.32', false],
    ['6.1.33', true],
    ['6.2.0-rc3', true],
    ['6.2.0-rc4', false],
    ['6.2.0-rc8', false],
    ['6.2.0', true],
    ['6.2.16', true],
  ])('%s with MTRRs off: WB becomes UC- %s', async (release, isChanged) => {
    const files = { '/proc/version': '' };
    const d = await examine(changed(load('guest-no-mtrr-6.12'), { release, files }));
    expect(codesOf(d).includes('MT631')).toBe(isChanged);
  });

  test('MTRRs off and a window: the VMM has to show them', async () => {
    const cpuinfo = String(OVMF.files[INTEL]).replace(' mtrr', '');
    const files = { [INTEL]: cpuinfo, '/proc/mtrr': { error: 'EIO' } };
    const host = { ...changed(withWindow(OVMF), { files }), log: 'MTRRs disabled by BIOS\n' };
    const found = finding(await examine(host), 'MT220');
    expect([found.certain, found.fix]).toEqual([true, expect.stringContaining('MTRRdefType 806H')]);
  });

  test('a TDX guest: the kernel replaced them, WB above 4 GiB', async () => {
    const cpuinfo = String(OVMF.files[INTEL]).replace(' hypervisor', ' hypervisor tdx_guest');
    const log = `${OVMF.log}[    0.0] MTRRs set to read-only\n`;
    const d = await examine({ ...changed(withWindow(OVMF), { files: { [INTEL]: cpuinfo } }), log });
    expect(d.facts.confidential).toMatchObject({ value: 'tdx' });
    expect(d.guestSide?.hosts.map((h) => h.name)).toEqual(['EPT+PAT']);
    expect(blockOf(d, 'host-blobs').memory?.hints).toEqual(['WB']);
    expect(codesOf(d)).not.toContain('MT220');
  });

  test('SEV-SNP is told by the boot log', async () => {
    const line = 'Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP\n';
    const d = await examine({ ...OVMF, log: `${OVMF.log}${line}` });
    expect(d.facts.confidential).toMatchObject({ value: 'snp' });
    expect(d.guestSide?.hosts.map((h) => h.name)).toEqual(['NPT']);
  });

  test('ivshmem in the hole below 4 GiB, and above it', async () => {
    const low = await examine(SEABIOS);
    expect(codesOf(low)).toEqual(['MT221', 'MT634']);
    expect(rowsOf(blockOf(low, 'ivshmem'))).toEqual([
      'WB>UC- memfd: CD WB',
      'WC>WC memfd: WC+ WB',
      'UC->UC- memfd: CD WB',
    ]);
    const high = await examine(load('guest-seabios-high-6.12'));
    expect([codesOf(high), blockOf(high, 'ivshmem').memory?.hints]).toEqual([[], ['WB']]);
  });
});

describe('a PAT without WC, and why', () => {
  const reasons = [
    ['guest-no-mtrr-6.1', 'kernels before 6.2', 'Linux 6.2 or later'],
    ['guest-no-pat-6.12', '(virtual) CPU has no PAT', 'without -pat'],
    ['guest-nopat', 'booted with nopat', 'without nopat'],
  ] as const;
  test.each(reasons)('%s: %s', async (name, why, fix) => {
    const found = finding(await examine(load(name)), 'MT222');
    expect(found.certain).toBe(true);
    expect(found.text).toContain(why);
    expect(found.fix).toContain(fix);
  });

  test('6.1 without MTRRs tracks types, and yet has no WC', async () => {
    const { facts } = await examine(load('guest-no-mtrr-6.1'));
    expect(ifKnown(facts.pat)).toMatchObject({
      enabled: true,
      layout: ['WB', 'WT', 'UC-', 'UC', 'WB', 'WT', 'UC-', 'UC'],
      off: 'MTRRs off',
    });
  });

  test('a TDX guest keeps what its firmware left, up to 6.8', async () => {
    const cpuinfo = String(OVMF.files[INTEL]).replace(' hypervisor', ' hypervisor tdx_guest');
    const log = 'x86/PAT: Configuration [0-7]: WB  WT  UC- UC  WB  WT  UC- UC  \n';
    const inside = (release: string, log: string) => {
      const files = { [INTEL]: cpuinfo, '/proc/version': '' };
      return examine({ ...changed(OVMF, { release, files }), log });
    };
    expect(finding(await inside('6.6.1', log), 'MT222')).toMatchObject({
      certain: true,
      text: expect.stringContaining('TDX'),
      fix: expect.stringContaining('Linux 6.9 or later'),
    });
    const unread = await inside('6.6.1', '');
    expect(finding(unread, 'MT222').when).toContain('see "x86/PAT: Configuration" in dmesg');
    expect(codesOf(await inside('6.9.0', ''))).not.toContain('MT222?');
  });

  test('"no nopat" is not nopat', async () => {
    const cpuinfo = String(OVMF.files[INTEL]).replace(' hypervisor', ' hypervisor tdx_guest');
    const files = { [INTEL]: cpuinfo, '/proc/version': '', ...NO_LIST };
    const d = await examine({ ...changed(OVMF, { release: '6.6.1', files }), log: '' });
    expect(finding(d, 'MT222').fix).not.toContain('nopat');
  });

  test('a PAT MSR of 0 is no layout: the kernel has that of its log', async () => {
    const log = [
      'x86/PAT: PAT support disabled by the firmware.',
      'x86/PAT: Configuration [0-7]: WB  WT  UC- UC  WB  WT  UC- UC',
    ];
    const bytes = { ...OVMF.bytes, '/dev/cpu/0/msr 631': '0'.repeat(16) };
    const host = changed(OVMF, { files: NO_LIST });
    const d = await examine({ ...host, log: `${log.join('\n')}\n`, bytes });
    expect(ifKnown(d.facts.pat)?.layout?.slice(0, 2)).toEqual(['WB', 'WT']);
    expect(finding(d, 'MT222').text).toContain('the PAT MSR reads 0');
  });

  test.each([
    ['x86/PAT: PAT MSR is 0, disabled.', ''],
    ['x86/PAT: Configuration [0-7]: WB  WT  UC- UC  WB  WT  UC- UC', '0'.repeat(16)],
  ])('%s: the MSR of 0 is the cause', async (line, msr) => {
    const bytes = { ...OVMF.bytes, '/dev/cpu/0/msr 631': msr };
    const d = await examine({ ...changed(OVMF, { files: NO_LIST }), log: `${line}\n`, bytes });
    expect(finding(d, 'MT222').text).toContain('the PAT MSR reads 0');
  });
});

describe('the frame buffer of the standard VGA', () => {
  test('without the list the version decides', async () => {
    const list = { '/sys/kernel/debug/x86/pat_memtype_list': null };
    const old = await examine(changed(SEABIOS, { files: list }));
    expect(finding(old, 'MT221')).toMatchObject({
      certain: false,
      when: 'the driver is the one of kernels up to 6.12',
    });
    const files = { ...list, '/proc/version': '' };
    const newer = await examine(changed(SEABIOS, { release: '6.13.0', files }));
    expect(codesOf(newer)).not.toContain('MT221?');
    expect(blockOf(newer, 'bochs').rows.map((r) => r.asks)).toEqual(['WC']);
  });
});

describe('memory of any machine', () => {
  const ram = '00100000-7fffffff : System RAM\n100000000-17fffffff : System RAM\n';
  /** As on the amd-gfx list, 2021-03-16; the map of RAM is made up to fit it. */
  const slow =
    'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n' +
    'reg01: base=0x100000000 ( 4096MB), size=   16MB, count=1: write-protect\n';
  const machine = (vendor: string, mtrr: string, log: string | null): HostDescription => ({
    uname: { sysname: 'Linux', release: '5.11.0', machine: 'x86_64' },
    files: {
      '/proc/cpuinfo': `processor\t: 0\nvendor_id\t: ${vendor}\nflags\t\t: mtrr pat\n`,
      '/proc/mtrr': mtrr,
      '/proc/iomem': ram,
    },
    links: {},
    directories: { '/sys/module': ['printk'] },
    log,
  });

  test('slow RAM: write-protect over the first 16 MiB above 4 GiB', async () => {
    const d = await examine(machine('AuthenticAMD', slow, null));
    expect(finding(d, 'MT630')).toMatchObject({
      certain: true,
      text: 'RAM at 0x100000000-0x100ffffff is WP by the MTRRs.',
      fix: expect.stringContaining('memmap=16384K$0x100000000'),
    });
  });

  test('AMD: what no register covers above 4 GiB may be WB by TOP_MEM2', async () => {
    const [wb] = slow.split('\n');
    const block = 'MTRR default type: uncachable\n';
    const covered = `${block}TOM2: 0000000180000000 aka 6144M\n`;
    const low = `${wb}\n`;
    expect(codesOf(await examine(machine('AuthenticAMD', low, covered)))).toEqual([]);
    expect(codesOf(await examine(machine('AuthenticAMD', low, null)))).toEqual([]);
    expect(codesOf(await examine(machine('AuthenticAMD', low, block)))).toEqual(['MT630']);
    expect(codesOf(await examine(machine('GenuineIntel', low, covered)))).toEqual(['MT630']);
    expect(codesOf(await examine(machine('GenuineIntel', low, null)))).toEqual([]);
  });

  test('in a guest it only matters where the host counts its MTRRs', async () => {
    const mtrr = `${OVMF.files['/proc/mtrr']}reg02: base=0x010000000 (  256MB), size=   16MB, count=1: write-through\n`;
    const d = await examine(changed(OVMF, { files: { '/proc/mtrr': mtrr } }));
    expect(finding(d, 'MT630')).toMatchObject({
      certain: false,
      when: "the host counts this guest's MTRRs",
    });
  });

  test('ivshmem bound to vfio-pci: user space gets UC-', async () => {
    const d = await examine(load('guest-vfio-6.12'));
    expect(codesOf(d)).toEqual(['MT632']);
    expect(rowsOf(blockOf(d, 'vfio'))).toEqual(['UC->UC- bar: UC UC']);
  });
});
