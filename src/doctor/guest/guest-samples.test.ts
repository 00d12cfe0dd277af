import { describe, expect, test } from 'vitest';
import { codesOf, examine } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import samples from '../../linux/text/samples.json' with { type: 'json' };
import { PAT_TYPES } from '../../x86/types.ts';
import type { Diagnosis } from '../diagnosis/diagnose.ts';
import { ifKnown } from '../fact.ts';
import { hintsFor, ownMtrrs } from '../machine/own-mtrrs.ts';

/** A captured text; null where the file did not exist there. */
function sample(kind: keyof typeof samples, name: string): string | null {
  const found = samples[kind].find(({ names }) => names.includes(name));
  if (found === undefined) throw new Error(`no sample ${name}`);
  const text = found.lines.map((line) => `${line}\n`).join('');
  return text.startsWith('cat: ') ? null : text;
}

const LIST = '/sys/kernel/debug/x86/pat_memtype_list';

function without(files: Readonly<Record<string, string | null>>): Record<string, string> {
  const there = Object.entries(files).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return Object.fromEntries(there);
}

/** The standard VGA (1234:1111) of a guest, where its /proc/iomem has it at FD000000H. */
function standardVga(iomem: string): Pick<HostDescription, 'files' | 'links'> {
  const address = /fd000000-fdffffff : (\S+:\S+)$/m.exec(iomem)?.[1];
  if (address === undefined) return { files: {}, links: {} };
  const device = `/sys/bus/pci/devices/${address}`;
  const isBound = /fd000000-fdffffff : bochs-drm$/m.test(iomem);
  return {
    files: {
      [`${device}/vendor`]: '0x1234\n',
      [`${device}/device`]: '0x1111\n',
      [`${device}/class`]: '0x030000\n',
      [`${device}/resource`]: '0x00000000fd000000 0x00000000fdffffff 0x0000000000042208\n',
    },
    links: isBound ? { [`${device}/driver`]: '../../../bus/pci/drivers/bochs-drm' } : {},
  };
}

function guest(name: string, release: string): HostDescription {
  const iomem = sample('iomem', `guests/${name}/proc_iomem.txt`) ?? '';
  const vga = standardVga(iomem);
  const files = without({
    '/proc/cpuinfo': sample('cpuinfo', `guests/${name}/proc_cpuinfo.txt`),
    '/proc/mtrr': sample('mtrr', `guests/${name}/proc_mtrr.txt`),
    '/proc/iomem': iomem,
    [LIST]: sample('memtypeList', `guests/${name}/pat_memtype_list.txt`),
  });
  return {
    uname: { sysname: 'Linux', release, machine: 'x86_64' },
    files: { ...files, ...vga.files },
    links: vga.links,
    directories: { '/sys/module': ['printk'], '/sys/devices': ['pci0000:00'] },
    log: sample('dmesg', `guests/${name}/dmesg.txt`),
  };
}

function trackedOf(d: Diagnosis): string | null {
  const list = ifKnown(d.facts.tracked);
  if (list === null) return null;
  return PAT_TYPES.flatMap((type) => {
    const n = list.entries.filter((e) => e.type === type).length;
    return n === 0 ? [] : [`${n} ${type}`];
  }).join(' ');
}

function rangesOf(d: Diagnosis): string | null {
  const ranges = ifKnown(d.facts.firmware.mtrrs);
  if (ranges === null) return null;
  return ranges.map((r) => `${r.type} ${r.size / 2 ** 20}M at ${r.base / 2 ** 20}M`).join(', ');
}

function memoriesOf(d: Diagnosis): readonly string[] {
  return (d.guestSide?.blocks ?? []).flatMap(({ memory, alike }) =>
    memory === null ? [] : [memory, ...alike].map((m) => `${m.kind} ${m.device} ${m.reserved}`),
  );
}

const LINUX = 'WB WC UC- UC WB WP UC- WT';
const NO_PAT = 'WB WT UC- UC WB WT UC- UC';
const HOLE_2G = 'UC 2048M at 2048M';
const HOLE_3G = 'UC 1024M at 3072M';

/** Read off the files by hand; counts of the tracked list by grep. */
const GUESTS: readonly {
  readonly name: string;
  readonly release: string;
  readonly pat: string;
  readonly mtrrs: string;
  readonly tracked: string | null;
  readonly memories: readonly string[];
  readonly codes: readonly string[];
}[] = [
  {
    name: 'iommu-amd-612',
    release: '6.12.113+deb12-amd64',
    pat: LINUX,
    mtrrs: HOLE_3G,
    tracked: '8 UC- 2 WB',
    memories: [],
    codes: [],
  },
  {
    name: 'iommu-intel-nosc-61',
    release: '6.1.0-56-amd64',
    pat: LINUX,
    mtrrs: HOLE_3G,
    tracked: '8 UC- 2 WB',
    memories: [],
    codes: [],
  },
  {
    name: 'mt61',
    release: '6.1.0-56-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '2 UC- 2 WB',
    memories: ['bar 0000:00:02.0 '],
    codes: [],
  },
  {
    name: 'nested61',
    release: '6.1.0-56-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '6 UC- 2 WB',
    memories: ['bochs 0000:00:02.0 UC-,UC-'],
    codes: ['MT221'],
  },
  {
    name: 'nested61-npt0',
    release: '6.1.0-56-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '6 UC- 2 WB',
    memories: ['bochs 0000:00:02.0 UC-,UC-'],
    codes: ['MT221'],
  },
  {
    name: 'nested73',
    release: '7.3.4+deb13-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '4 UC- 1 WC 2 WB',
    memories: ['bochs 0000:00:02.0 WC'],
    codes: [],
  },
  {
    name: 'nested73w',
    release: '7.3.4+deb13-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '4 UC- 1 WC 2 WB',
    memories: ['bochs 0000:00:02.0 WC'],
    codes: [],
  },
  {
    name: 'pc-256-6.1',
    release: '6.1.0-56-cloud-amd64',
    pat: LINUX,
    mtrrs: HOLE_2G,
    tracked: '2 UC- 2 WB',
    memories: ['bar 0000:00:02.0 '],
    codes: [],
  },
  {
    name: 'pc-cleanup-612',
    release: '6.12.113+deb12-amd64',
    pat: LINUX,
    mtrrs: HOLE_3G,
    tracked: '2 UC- 2 WB',
    memories: ['bar 0000:00:02.0 '],
    codes: [],
  },
  {
    name: 'pc-hsw-nopat-61',
    release: '6.1.0-56-amd64',
    pat: NO_PAT,
    mtrrs: HOLE_3G,
    tracked: null,
    memories: ['bochs 0000:00:02.0 null'],
    codes: ['MT222'],
  },
  {
    name: 'pc-mtrrdebug-73',
    release: '7.3.4+deb13-amd64',
    pat: LINUX,
    mtrrs: HOLE_3G,
    tracked: '3 UC- 1 WC 2 WB',
    memories: ['bochs 0000:00:02.0 WC'],
    codes: [],
  },
  {
    name: 'q35-skl-61',
    release: '6.1.0-56-amd64',
    pat: LINUX,
    mtrrs: HOLE_3G,
    tracked: '6 UC- 2 WB',
    memories: ['bochs 0000:00:01.0 UC-,UC-'],
    codes: ['MT221?'],
  },
];

describe('captured guests', () => {
  test('all of them are in the table', () => {
    const names = samples.mtrr.flatMap(({ names: all }) => all);
    const guests = names.filter((n) => n.startsWith('guests/')).map((n) => n.split('/')[1]);
    expect(GUESTS.map((g) => g.name)).toEqual([...new Set(guests)].sort());
  });

  test.each(GUESTS)('$name', async ({ name, release, ...expected }) => {
    const d = await examine(guest(name, release));
    expect({
      pat: ifKnown(d.facts.pat)?.layout?.join(' '),
      mtrrs: rangesOf(d),
      tracked: trackedOf(d),
      memories: memoriesOf(d),
      codes: codesOf(d),
    }).toEqual(expected);
    // SeaBIOS sets a WB default; only mtrr=debug prints it, from the UC hole it follows.
    expect(d.facts.firmware.mtrrDefault).toMatchObject({
      value: 'WB',
      from: name === 'pc-mtrrdebug-73' ? '/dev/kmsg' : expect.stringContaining('inferred'),
    });
    expect(d.facts.firmware.oddMtrrs).toEqual([]);
    expect(d.guestSide).not.toBeNull();
  });

  test('the KVM-PVM host, as a guest: nothing is listed, so that the default is open', async () => {
    const d = await examine({
      uname: { sysname: 'Linux', release: '6.18.44', machine: 'x86_64' },
      files: without({
        '/proc/cpuinfo': sample('cpuinfo', 'host-local/proc_cpuinfo.txt'),
        '/proc/mtrr': '',
        '/proc/iomem': sample('iomem', 'host-local/proc_iomem.txt'),
        [LIST]: sample('memtypeList', 'host-local/pat_memtype_list.txt'),
      }),
      links: {},
      directories: { '/sys/module': ['printk'] },
      log: sample('dmesg', 'host-local/dmesg-memtype.txt'),
    });
    expect(rangesOf(d)).toBe('');
    expect(d.facts.firmware.mtrrDefault.known).toBe(false);
    expect(ifKnown(d.facts.hypervisor)).toBe('KVM');
    expect(codesOf(d)).toEqual([]);
  });
});

/** What a WB request learns of three ranges: WB, another type, or "?" where the default decides. */
const MTRRS: Readonly<Record<string, string>> = {
  'amdgfx-2021-chachani-badbios.txt': 'WB ? WP',
  'dpdk-ntb-guide.txt': 'WB ? ?',
  'gateway-4.19-i386.txt': 'odd',
  'lkml-2003-supermicro-x5dal-g.txt': 'WB UC WB',
  'lkml-2005-mccloskey-2.6.11.txt': 'WB ? ?',
  'lkml-2006-punnoor-athlon64.txt': 'WB UC WB',
  'lkml-2023-bp-6.3.txt': 'WB ? WB',
  'lkml-2023-bp-guest.txt': 'WB ? ?',
  'martins3-13900k.txt': 'WB UC WB',
  'martins3-n100.txt': 'WB UC WB',
  'memory-notes-10regs.txt': 'WB UC WB',
  'pfc-sample-records.txt': 'WB ? ?',
  'ubuntuforums-2008-coffeebreath.txt': 'WB ? ?',
  'ubuntuforums-2009-jonrite.txt': 'WB ? ?',
  'ubuntuforums-2013-aljosa-64M.txt': 'WB ? WB',
  'ubuntuforums-fixmtrr.txt': 'WB ? WB',
  'ubuntuforums-sgerke-2009.txt': 'WB ? WB',
};

/** 1 MiB to 512 MiB; 16 MiB where emulators put the VGA; 16 MiB from 4 GiB on. */
const PROBES = [
  [2 ** 20, 2 ** 29],
  [0xfd000000, 0xfe000000],
  [2 ** 32, 2 ** 32 + 2 ** 24],
] as const;

const CPU = 'processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: mtrr pat\n';

function machine(mtrr: string, more: Readonly<Record<string, string>> = {}): HostDescription {
  return {
    uname: { sysname: 'Linux', release: '6.12.80', machine: 'x86_64' },
    files: { '/proc/cpuinfo': CPU, '/proc/cmdline': 'quiet\n', '/proc/mtrr': mtrr, ...more },
    links: {},
    directories: { '/sys/module': ['printk'] },
    log: null,
  };
}

describe('captured MTRRs', () => {
  test('all of them are in the table', () => {
    const names = samples.mtrr.flatMap(({ names: all }) => all);
    const public_ = names.filter((n) => n.startsWith('mtrr/')).map((n) => n.slice('mtrr/'.length));
    expect(Object.keys(MTRRS).sort()).toEqual(public_.filter((n) => n !== 'eio.txt').sort());
  });

  test.each(Object.entries(MTRRS))('%s: %s', async (name, expected) => {
    const { facts } = await examine(machine(sample('mtrr', `mtrr/${name}`) ?? ''));
    const own = ownMtrrs(facts);
    const words = PROBES.map(([start, end]) => {
      const hints = hintsFor(own, start, end);
      return hints?.length === 1 ? hints[0] : '?';
    });
    expect(own === null ? 'odd' : words.join(' ')).toBe(expected);
  });
});

/** Counted with grep. `complete`: with the first line and no gap. */
const LISTS: Readonly<Record<string, readonly [counts: string, complete: boolean]>> = {
  'ena-dpdk-grep.txt': ['2 WC', false],
  'ivtv-alias-grep.txt': ['2 UC-', false],
  'kernel-doc-pat.txt': ['15 UC-', true],
  'lkml-2019-ceier-degraded.txt': ['21 UC- 14 WB', true],
  'lkml-2019-ceier-good.txt': ['19 UC- 2 WC 14 WB', true],
  'martins3-2403nix-kvmguest.txt': ['55 UC- 2 WB', true],
  'martins3-n100.txt': ['51 UC- 1 WC 38 WB', true],
  'pat-notes-elided-new.txt': ['3 UC 5 UC- 1 WC 3 WB', false],
  'yobbo-3.3.1-pentium-m.txt': ['13 UC- 2 WB', true],
};

describe('captured lists of tracked types', () => {
  test.each(Object.entries(LISTS))('%s', async (name, [counts, complete]) => {
    const list = sample('memtypeList', `pat_memtype_list/${name}`) ?? '';
    const d = await examine(machine('', { [LIST]: list }));
    expect([trackedOf(d), ifKnown(d.facts.tracked)?.complete]).toEqual([counts, complete]);
    expect(codesOf(d)).toEqual([]);
  });

  test('a BAR of the ENA device with WC over it, under vfio-pci: patched, or a leftover', async () => {
    const list = sample('memtypeList', 'pat_memtype_list/ena-dpdk-grep.txt') ?? '';
    const device = '/sys/bus/pci/devices/0000:00:06.0';
    const host = machine('', {
      [LIST]: list,
      [`${device}/vendor`]: '0x1d0f\n',
      [`${device}/device`]: '0xec20\n',
      [`${device}/class`]: '0x020000\n',
      [`${device}/resource`]: '0x00000000fe800000 0x00000000fe8fffff 0x0000000000042208\n',
    });
    const links = { [`${device}/driver`]: '../../../bus/pci/drivers/vfio-pci' };
    const d = await examine({ ...host, links });
    expect(codesOf(d)).toEqual(['MT633?', 'MT632']);
  });
});

/** [PAT layout, default MTRR type] by what stands in the log; "-" where it does not say. */
const LOGS: Readonly<Record<string, readonly [pat: string, mtrr: string]>> = {
  'ami-core2-2.6.3x.txt': ['-', 'UC'],
  'chachani-mtrr.txt': ['-', '-'],
  'conflict-gma500.txt': ['-', '-'],
  'conflict-old-wording.txt': ['-', '-'],
  'conflict-vfio-ioremap.txt': ['-', '-'],
  'dmar-rpl-igpu-no-snoop-control.txt': ['-', '-'],
  'hpe-dl325-epyc.txt': [LINUX, 'UC'],
  'inconsistent-variable-5.10.txt': ['-', '-'],
  'lenovo-x13-7.x-e820-wording.txt': [LINUX, '-'],
  'map-pfn-ram-range.txt': ['-', '-'],
  'memtype-warn-decoy.txt': ['-', '-'],
  'mtrr-type-mismatch.txt': ['-', '-'],
  'mtrrmap-adl-insyde.txt': [LINUX, '-'],
  'mtrrs-disabled-by-bios.txt': [LINUX, 'off'],
  'no-pat-p3-6.x.txt': [NO_PAT, '-'],
  'openssd-4.x-mtrr-pat.txt': [LINUX, '-'],
  'qemu-pc-guest-4.x.txt': [LINUX, 'WB'],
  'xen-pv-dom0.txt': ['WB WT UC- UC WC WP UC UC', '-'],
  'zfsonlinux-3.x-patmsr.txt': ['-', 'UC'],
};

describe('captured boot logs', () => {
  test.each(Object.entries(LOGS))('%s', async (name, [pat, mtrr]) => {
    const log = sample('dmesg', `dmesg/${name}`);
    const { facts } = await examine({ ...machine(''), files: { '/proc/cpuinfo': CPU }, log });
    const { mtrrDefault } = facts.firmware;
    expect([
      ifKnown(facts.pat)?.layout?.join(' ') ?? '-',
      mtrrDefault.known ? (mtrrDefault.value ?? 'off') : '-',
    ]).toEqual([pat, mtrr]);
  });
});

/** Mappings that the logs say were refused, counted by hand, each range once. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'conflict-gma500.txt': ['bf800000 WC UC-'],
  'conflict-old-wording.txt': ['80000000 UC- WC'],
  'conflict-vfio-ioremap.txt': ['fe00000000 WC UC-', 'b0000000 WC UC-'],
  'map-pfn-ram-range.txt': [],
};

describe('captured conflicts', () => {
  test.each(Object.entries(REFUSED))('%s', async (name, expected) => {
    const d = await examine({ ...machine(''), log: sample('dmesg', `dmesg/${name}`) });
    const found = ifKnown(d.facts.conflicts)?.map((c) =>
      [c.start.toString(16), c.found, c.existing].join(' '),
    );
    expect(found).toEqual(expected);
    expect(codesOf(d)).toEqual(expected.length > 0 ? ['MT635'] : []);
    if (expected.length > 0) expect(d.findings[0]?.fix).toContain('debugpat');
  });

  test('the BAR and its driver are named', async () => {
    const device = '/sys/bus/pci/devices/0000:01:00.0';
    const host = machine('', {
      [`${device}/vendor`]: '0x10de\n',
      [`${device}/device`]: '0x1b80\n',
      [`${device}/class`]: '0x030000\n',
      [`${device}/resource`]: '0x00000000b0000000 0x00000000bfffffff 0x000000000014220c\n',
    });
    const d = await examine({
      ...host,
      links: { [`${device}/driver`]: '../../../../bus/pci/drivers/vfio-pci' },
      log: sample('dmesg', 'dmesg/conflict-vfio-ioremap.txt'),
    });
    const found = d.findings.find((f) => f.code === 'MT635');
    expect(found?.text).toContain('0xb0000000-0xbfffffff (BAR 0 of 0000:01:00.0, vfio-pci)');
    expect(found?.fix).toContain('vfio-pci.ids=');
  });
});
