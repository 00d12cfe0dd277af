import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { collect } from '../host/collect.ts';
import { describedHost, type HostDescription } from '../host/described-host.ts';
import { TYPE_CODE } from '../x86/types.ts';
import { type Diagnosis, diagnose, doctorExitCode } from './diagnose.ts';
import { gather } from './gather.ts';
import type { RegionDiagnosis } from './region-diagnosis.ts';

/** What the machine's own KVM did with the memory that starts here. */
interface Truth {
  readonly region: string;
  readonly isMmio: boolean;
  readonly memtype?: number;
  readonly ipat?: boolean;
  readonly patBits?: number;
}

type Fixture = HostDescription & { readonly truth?: Readonly<Record<string, Truth>> };

function load(name: string): Fixture {
  const text = readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text) as Fixture;
}

async function examine(host: HostDescription, pid: number | null = null): Promise<Diagnosis> {
  return diagnose(gather(await collect(describedHost(host), pid)));
}

type Change = {
  readonly [K in 'files' | 'links' | 'directories']?: Readonly<Record<string, unknown>>;
} & { readonly kvm?: HostDescription['kvm']; readonly release?: string };

function changed(host: HostDescription, change: Change): HostDescription {
  return {
    ...host,
    uname: { ...host.uname, release: change.release ?? host.uname.release },
    files: { ...host.files, ...change.files } as HostDescription['files'],
    links: { ...host.links, ...change.links } as HostDescription['links'],
    directories: { ...host.directories, ...change.directories } as Readonly<
      Record<string, readonly string[] | null>
    >,
    ...(change.kvm === undefined ? {} : { kvm: change.kvm }),
  };
}

function regionNamed(d: Diagnosis, part: string): RegionDiagnosis {
  const found = d.vms.flatMap((vm) => vm.regions).find((r) => r.region.name.includes(part));
  if (found === undefined) throw new Error(`no region ${part}`);
  return found;
}

/** "WB>WB WC>WC+" of a region. */
function typesOf({ answers }: RegionDiagnosis): string {
  return answers.map((a) => `${a.asks}>${a.types.join('|')}`).join(' ');
}

/** Codes of the findings: certain ones, then the others with a question mark. */
function codesOf(d: Diagnosis): readonly string[] {
  return [...new Set(d.findings.map((f) => `${f.code}${f.certain ? '' : '?'}`))];
}

const SELF_SNOOP = load('ept-6.12-self-snoop');
const NPT = load('npt-6.12');
const PVM = load('pvm-6.18');

/** The test VMM of a fixture called QEMU, so that its options say that the quirk is in force. */
function asQemu(host: HostDescription, ...options: readonly string[]): HostDescription {
  const argv = ['qemu-system-x86_64', '-accel', 'kvm', ...options, ''];
  return changed(host, {
    links: { '/proc/100/exe': '/usr/bin/qemu-system-x86_64' },
    files: { '/proc/100/cmdline': argv.join('\0') },
  });
}

describe('against what the KVM of the machine did', () => {
  const names = ['npt-6.12', 'ept-6.12-self-snoop', 'ept-6.12-no-self-snoop', 'ept-6.1'];
  test.each(names)('%s: MMIO and leaf of every region', async (name) => {
    const host = load(name);
    const { vms } = await examine(asQemu(host));
    const regions = vms.flatMap((vm) => vm.regions);
    const compared = regions.flatMap(({ region, answers }) => {
      const truth = host.truth?.[region.start];
      if (truth === undefined) return [];
      for (const { leaf, isMmio } of answers) {
        expect({ [truth.region]: isMmio }).toEqual({ [truth.region]: truth.isMmio });
        if (leaf?.paging === 'ept') {
          expect({ [truth.region]: [TYPE_CODE[leaf.ept.memtype], leaf.ept.ipat] }).toEqual({
            [truth.region]: [truth.memtype, truth.ipat],
          });
        } else {
          expect({ [truth.region]: leaf }).toEqual({
            [truth.region]: { paging: 'npt', hostPat: 'WB', gPat: 'guest' },
          });
          expect(truth.patBits).toBe(0);
        }
      }
      return [truth.region];
    });
    expect(compared.length).toBeGreaterThanOrEqual(10);
    expect(compared).toContain('drm_vgem');
    expect(compared).toContain('devmem_rsv_sync');
  });
});

describe('an AMD host with NPT, 6.12', () => {
  test('the guest PAT is honoured, and nothing is wrong with what is mapped', async () => {
    const d = await examine(NPT);
    expect(d.facts.kvm.paging).toMatchObject({ known: true, value: 'npt' });
    expect(d.policy).toMatchObject({ word: 'after', subject: 'Linux 6.12.113+deb12-amd64' });
    expect(d.policy.rules?.map((r) => [r.vmx.id, r.svm.id])).toEqual([['E11', 'S3']]);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WC+ UC->CD UC>CD WT>WT WP>WP');
    expect(typesOf(regionNamed(d, 'BAR 0 of 0000:00:02.0'))).toBe(
      'WB>UC WC>WC UC->UC UC>UC WT>UC WP>UC',
    );
    expect(codesOf(d).filter((c) => !c.endsWith('?'))).toEqual([]);
  });

  test('VFIO behind VT-d without snoop control makes the VM non-coherent', async () => {
    const [vm] = (await examine(NPT)).vms;
    expect(vm?.vm.devices).toMatchObject([
      { name: '0000:00:03.0', kind: 'pci', unit: 'dmar0', snoop: { known: true, value: false } },
    ]);
    expect(vm?.coherency).toMatchObject({ noncoherent: [true], mayNotSnoop: [true] });
  });

  test('a BAR is typed by what the tracker has for its address', async () => {
    const d = await examine(NPT);
    const bars = d.vms.flatMap((vm) => vm.regions).filter((r) => r.region.name.startsWith('BAR'));
    const classes = bars.map(({ region }) => `${region.name.slice(0, 21)} ${region.backings}`);
    expect(classes).toEqual([
      'BAR 3 of a device ass bar',
      'BAR 1 of a device ass bar',
      'BAR 0 of a device ass bar',
      'BAR 0 of 0000:00:01.0 bar-wc',
      'BAR 0 of 0000:00:01.0 bar',
      'BAR 2 of 0000:00:02.0 bar',
      'BAR 2 of 0000:00:02.0 bar-wc',
      'BAR 2 of 0000:00:01.0 bar',
      'BAR 0 of 0000:00:02.0 bar',
    ]);
  });

  test('resource2_wc over an older UC- reservation is UC-: the list, not the file name', async () => {
    const d = await examine(NPT);
    const conflict = d.vms
      .flatMap((vm) => vm.regions)
      .find((r) => r.region.start === '0x7f70c7d80000');
    expect(conflict?.region.backings).toEqual(['bar']);
  });
});

describe('an Intel host with EPT, 6.12', () => {
  test('with self-snoop and QEMU as it is by default: forced WB, and the way out', async () => {
    const d = await examine(asQemu(SELF_SNOOP));
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
    expect(codesOf(d)).toContain('MT201?');
    const forced = d.findings.find((f) => f.code === 'MT201');
    expect(forced?.fix).toContain('honor-guest-pat=on');
    expect(doctorExitCode(d)).toBe(1);
    expect(d.findings.find((f) => f.code === 'MT401')).toMatchObject({
      certain: true,
      places: ['VM 100: physical memory at 0xa0000 through /dev/mem (VGA)'],
    });
  });

  test('with honor-guest-pat=on the guest has its own type', async () => {
    const d = await examine(asQemu(SELF_SNOOP, '-accel', 'kvm,honor-guest-pat=on'));
    const first = await examine(
      changed(asQemu(SELF_SNOOP), {
        files: { '/proc/100/cmdline': 'qemu\0-accel\0kvm,honor-guest-pat=on\0' },
      }),
    );
    expect(typesOf(regionNamed(first, 'vgem'))).toBe('WB>WB WC>WC UC->UC UC>UC WT>WT WP>WP');
    expect(codesOf(first)).not.toContain('MT201?');
    expect(d.vms[0]?.quirk).toEqual(['on']);
  });

  test('another VMM may have disabled the quirk: both answers, never one', async () => {
    const d = await examine(SELF_SNOOP);
    expect(d.vms[0]?.quirk).toEqual(['on', 'off']);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe(
      'WB>WB WC>WC|WB UC->UC|WB UC>UC|WB WT>WT|WB WP>WP|WB',
    );
    expect(doctorExitCode(d)).toBe(3);
  });

  test('without self-snoop: no way out, and aliases', async () => {
    const d = await examine(load('ept-6.12-no-self-snoop'));
    expect(d.facts.cpu).toMatchObject({ value: { family: 6, model: 42, usableSelfSnoop: false } });
    expect(d.policy.word).toBe('after');
    expect(d.vms[0]?.quirk).toEqual(['on']);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
    expect(regionNamed(d, 'vgem').answers[1]?.withVmm).toEqual({ code: 'MT103', certain: true });
    expect(codesOf(d)).toEqual(expect.arrayContaining(['MT103?', 'MT606', 'MT201?']));
    expect(d.findings.find((f) => f.code === 'MT201')?.fix).toContain('no self-snoop');
  });

  test('before the quirk: upgrade', async () => {
    const d = await examine(load('ept-6.1'));
    expect(d.policy.rules?.every((r) => !r.hasPatQuirk)).toBe(true);
    expect(d.policy.how).toContain('/proc/version: made from 6.1.192');
    expect(d.findings.find((f) => f.code === 'MT201')?.fix).toContain('exists from 6.16 on');
  });
});

const GPU_HOST = changed(SELF_SNOOP, {
  links: { '/sys/class/drm/card0/device/driver': '../../../bus/pci/drivers/amdgpu' },
});
const BLOB = ['-device', '{"driver":"virtio-vga-gl","blob":true,"hostmem":4294967296,"id":"v0"}'];

describe('virtio-gpu host blobs', () => {
  test('none mapped yet: the window that the options open is examined', async () => {
    const maps = 'Size: 0 kB\n7f0000000000-7f0020000000 rw-p 00000000 00:00 0\n';
    const files = { '/proc/100/maps': maps.slice(11), '/proc/100/smaps': { error: 'EIO' } };
    const d = await examine(changed(asQemu(GPU_HOST, '-m', '512', ...BLOB), { files }));
    const window = regionNamed(d, 'host blobs of virtio-vga-gl');
    expect(window).toMatchObject({
      prospective: true,
      region: { size: 2 ** 32, backings: ['memfd', 'ttm-cached', 'ttm-wc', 'bar-wc'] },
    });
    const stale = d.findings.find((f) => f.code === 'MT101');
    expect(stale).toMatchObject({
      certain: false,
      when: 'it is guest memory; backed by ttm-wc',
      given: 'the guest asks WC, as is usual for such memory',
    });
    expect(stale?.fix).toContain('honor-guest-pat=on');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('buffers of amdgpu: three classes, each with its own expectation', async () => {
    const d = await examine(asQemu(GPU_HOST));
    const { region } = regionNamed(d, 'amdgpu');
    expect(region.backings).toEqual(['ttm-cached', 'ttm-wc', 'bar-wc']);
    expect(region.isGuestMemory).toBe('perhaps');
    expect(codesOf(d)).toContain('MT101?');
  });

  test('up to 6.12 such pages may be refused', async () => {
    expect(codesOf(await examine(asQemu(GPU_HOST)))).toContain('MT501?');
  });
});

describe('assigned devices', () => {
  const vfio = {
    '/proc/100/fd/8': '/dev/vfio/2',
    '/sys/kernel/iommu_groups/2/devices/0000:00:03.0': 'x',
    '/sys/bus/pci/devices/0000:00:03.0/iommu': '../../virtual/iommu/dmar0',
    '/sys/bus/pci/devices/0000:00:03.0/driver': '../../bus/pci/drivers/vfio-pci',
  };
  const ecap = (value: string) => ({ '/sys/class/iommu/dmar0/intel-iommu/ecap': value });
  const told = { '/proc/100/fd/9': 'anon_inode:kvm-vfio' };

  test('VFIO without kvm-vfio, and nothing that makes it snoop', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('f00f4a\n') }));
    expect(d.findings.find((f) => f.code === 'MT601')).toMatchObject({
      certain: true,
      severity: 'warning',
      places: ['VM 100'],
    });
    expect(d.vms[0]?.coherency.noncoherent).toEqual([false]);
  });

  test('with snoop control it does not matter', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('f00fca\n') }));
    expect(codesOf(d)).not.toContain('MT601');
  });

  test('an ECAP that cannot be read: perhaps', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('junk') }));
    expect(codesOf(d)).toContain('MT601?');
    expect(d.unknowns.map((u) => u.what)).toContain(
      'VM 100: whether 0000:00:03.0 is made to snoop',
    );
  });

  test('KVM told: the whole VM is non-coherent, and honours the guest PAT', async () => {
    const links = { ...vfio, ...told };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links, files: ecap('29a00f0505e\n') }));
    expect(codesOf(d)).toContain('MT602');
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WC UC->UC UC>UC WT>WT WP>WP');
  });

  test('up to 6.10 the guest MTRRs count, which nobody outside knows', async () => {
    const links = { ...vfio, ...told };
    const old = changed(load('ept-6.1'), { links, files: ecap('f00f4a\n') });
    const d = await examine(old);
    expect(regionNamed(d, 'vgem').answers[0]).toMatchObject({
      asks: 'WB',
      types: ['UC', 'WC', 'WT', 'WP', 'WB'],
      unknown: ['guest-mtrr'],
    });
    expect(d.findings.find((f) => f.code === 'MT602')?.text).toContain('guest MTRRs');
  });

  test('a mediated device has no IOMMU: non-coherent from 6.2 on', async () => {
    const links = {
      ...told,
      '/proc/100/fd/8': '/dev/vfio/7',
      '/sys/kernel/iommu_groups/7/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001': 'x',
    };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links }));
    expect(d.vms[0]?.vm.devices[0]).toMatchObject({ kind: 'mdev' });
    expect(codesOf(d)).toEqual(expect.arrayContaining(['MT602', 'MT603']));
    const before = await examine(changed(load('ept-6.1'), { links }));
    expect(codesOf(before)).not.toContain('MT603');
  });

  test('shadow paging: a buffer for a device that does not snoop cannot be WC', async () => {
    const paging = { '/sys/module/kvm_intel/parameters/ept': 'N\n', ...ecap('f00f4a\n') };
    const maps =
      '7f0000000000-7f0020000000 rw-s 00000000 00:01 9    /memfd:memory-backend-memfd (deleted)\n';
    const files = { ...paging, '/proc/100/maps': maps, '/proc/100/smaps': { error: 'EIO' } };
    const links = { ...vfio, ...told };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links, files }));
    expect(d.findings.find((f) => f.code === 'MT101')).toMatchObject({
      certain: false,
      given: 'the guest asks WC for buffers of 0000:00:03.0',
      when: '0000:00:03.0 really reads or writes past the caches',
    });
    expect(doctorExitCode(d)).toBe(3);
  });

  test('6.1, AMD CPU, NPT, VT-d without snoop control: honoured, nothing wrong', async () => {
    const d = await examine(load('vfio-no-snoop-control-6.1'));
    expect(d.policy).toMatchObject({ word: 'before' });
    expect(d.policy.rules?.map((r) => r.noncoherent.id)).toEqual(['enforced-domain']);
    expect(d.vms[0]?.coherency.noncoherent).toEqual([true]);
    expect(d.findings.filter((f) => f.severity !== 'info')).toEqual([]);
    // It is itself a guest: the hypervisor below decides last.
    expect(doctorExitCode(d)).toBe(3);
  });
});

describe('a KVM-PVM host', () => {
  test('is named plainly: software KVM, shadow paging, every type WB', async () => {
    const d = await examine(PVM);
    expect(d.facts.kvm).toMatchObject({
      flavour: { value: 'kvm_pvm' },
      paging: { value: 'shadow', from: 'kvm_pvm: KVM in software, without EPT or NPT' },
      quirks2: { value: 0x5ff },
    });
    expect(d.policy).toMatchObject({ word: 'after' });
    expect(d.vms).toHaveLength(1);
    expect(d.vms[0]?.regions.map((r) => [r.region.name, r.region.size])).toEqual([
      ['memfd memory-backend-memfd', 2 ** 29],
      ['anonymous memory', 2 ** 24],
    ]);
    for (const region of d.vms[0]?.regions ?? []) {
      expect(typesOf(region)).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
      expect(region.region.sample).toMatchObject({ known: true, value: { memtype: 'WB' } });
    }
    expect([d.findings, d.undetermined, doctorExitCode(d)]).toEqual([[], [], 0]);
  });

  test('is a guest, too', async () => {
    const { guestSide } = await examine(PVM);
    expect(guestSide?.hosts.map((h) => h.name)).toEqual(['NPT', 'shadow']);
    expect(guestSide?.requests).toEqual([
      { asks: 'WC', types: [['WC+'], ['WB']] },
      { asks: 'UC-', types: [['CD'], ['WB']] },
    ]);
  });

  test('--pid of the VMM, and of another process', async () => {
    expect((await examine(PVM, 317)).vms).toHaveLength(1);
    const other = await examine(PVM, 1);
    expect([other.vms, doctorExitCode(other)]).toEqual([[], 0]);
  });

  test('a page of its RAM that is WC on the host is a finding', async () => {
    const bytes = Object.entries(PVM.bytes ?? {}).map(([key, hex]) =>
      key.startsWith('/proc/kpageflags') ? [key, '2840000040000000'] : [key, hex],
    );
    const d = await examine({ ...PVM, bytes: Object.fromEntries(bytes) });
    expect(codesOf(d)).toEqual(['MT607']);
    expect(doctorExitCode(d)).toBe(1);
  });
});

describe('machines without VMs', () => {
  test('no KVM at all', async () => {
    const d = await examine(load('bare-no-kvm'));
    expect(d.facts.kvm.present).toMatchObject({ known: true, value: false });
    expect([d.findings, d.undetermined, d.vms, d.guestSide]).toEqual([[], [], [], null]);
    expect(doctorExitCode(d)).toBe(0);
  });

  test('a guest booted with nopat', async () => {
    const d = await examine(load('guest-nopat'));
    expect(d.facts.pat).toMatchObject({ value: { enabled: false } });
    expect(d.findings).toMatchObject([{ code: 'MT222', certain: true, severity: 'warning' }]);
    expect(d.guestSide?.requests[0]).toEqual({ asks: 'WC', types: [['WB'], ['UC'], ['WB']] });
    expect(doctorExitCode(d)).toBe(1);
  });

  test('a guest with a virtio-gpu: only the host can tell', async () => {
    const gpu = '/sys/bus/virtio/devices/virtio0';
    const files = { [`${gpu}/device`]: '0x0010\n', [`${gpu}/features`]: '0001\n' };
    const d = await examine(changed(PVM, { files, directories: { '/proc': ['1', '2'] } }));
    expect(d.facts.virtioGpus).toMatchObject({ value: [{ name: 'virtio0', blob: true }] });
    expect(doctorExitCode(d)).toBe(3);
  });

  test('somebody holds the KVM module, but his process cannot be seen', async () => {
    const closed = changed(SELF_SNOOP, {
      directories: { '/proc/100/fd': null, '/proc/1/fd': null },
      files: {
        '/proc/1/cmdline': 'init\0',
        '/proc/100/cmdline': 'secret\0',
        '/proc/100/maps': null,
      },
    });
    const d = await examine({ ...closed, links: { ...closed.links, '/proc/100/exe': '/bin/x' } });
    expect(d.undetermined).toEqual([
      'whether a VM runs: 2 of 3 processes could not be looked into',
    ]);
    expect(doctorExitCode(d)).toBe(3);
    const idle = changed(closed, { files: { '/proc/modules': 'kvm_intel 417792 0 - Live 0x0\n' } });
    expect(doctorExitCode(await examine(idle))).toBe(0);
  });

  test('a QEMU of another user is known by its name, and said so', async () => {
    const d = await examine(
      changed(asQemu(SELF_SNOOP), {
        directories: { '/proc/100/fd': null },
        files: { '/proc/100/maps': null, '/proc/100/smaps': null },
      }),
    );
    expect(d.vms).toMatchObject([{ vm: { pid: 100, evidence: 'name', vmm: 'qemu' }, regions: [] }]);
    expect(d.undetermined).toContain('VM 100: whether it is one, and its memory');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('everything denied: all of it unknown, and exit 3', async () => {
    const nothing: HostDescription = {
      uname: { sysname: 'Linux', release: '6.12.0', machine: 'x86_64' },
      files: Object.fromEntries(Object.keys(NPT.files).map((path) => [path, null])),
      links: {},
      directories: { '/proc': null, '/sys/module': null, '/sys/class/iommu': null },
      kvm: null,
      log: null,
    };
    const d = await examine(nothing);
    expect(d.facts.cpu.known).toBe(false);
    expect(d.unknowns.map((u) => u.what)).toEqual(
      expect.arrayContaining(['CPU', 'PAT', 'variable MTRRs', 'which VMs run', 'IOMMU units']),
    );
    expect(d.unknowns.every((u) => u.why !== '' && u.remedy !== '')).toBe(true);
    expect(d.undetermined).toEqual(['whether VMs run: the processes could not be listed']);
    expect(doctorExitCode(d)).toBe(3);
  });
});

describe('nopat on a host', () => {
  test('is a finding, and every reserved page is MMIO', async () => {
    const files = { ...SELF_SNOOP.files, '/proc/cmdline': 'root=/dev/sda nopat' };
    delete (files as Record<string, unknown>)['/sys/kernel/debug/x86/pat_memtype_list'];
    const d = await examine({ ...asQemu(SELF_SNOOP), files, log: '' });
    expect(d.findings.find((f) => f.code === 'MT604')).toMatchObject({ certain: true });
    expect(regionNamed(d, '0xf0000').answers[0]).toMatchObject({ isMmio: true, types: ['UC'] });
  });
});

/** One mapping, and nothing else, in the test VMM called QEMU. */
function mapping(host: HostDescription, line: string, ...options: readonly string[]) {
  const files = { '/proc/100/maps': `${line}\n`, '/proc/100/smaps': { error: 'EIO' } };
  return changed(asQemu(host, ...options), { files });
}

describe('guest RAM', () => {
  const file = '7f0000000000-7f0020000000 rw-p 00000000 08:01 9    /srv/ram.img';
  const backend = 'memory-backend-file,id=m,size=512M,mem-path=/srv/ram.img';

  test('a private mapping of the file counts', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-m', '512', '-object', backend));
    expect(regionNamed(d, 'a private mapping of a file').region.isGuestMemory).toBe('named');
    const bySize = await examine(mapping(SELF_SNOOP, file, '-m', '512'));
    expect(regionNamed(bySize, 'private').region.isGuestMemory).toBe('size');
  });

  test('RAM that is in no mapping is said, and left open', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-m', '8G'));
    expect(d.vms[0]?.vm.missingRam).toEqual([2 ** 33]);
    expect(d.undetermined.join()).toContain('RAM of 8192 MiB');
    expect(d.unknowns.map((u) => u.what)).toContain('VM 100: its RAM of 8192 MiB');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('-readconfig: unknown, and no default', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-readconfig', '/vm.cfg'));
    expect(d.vms[0]?.vm.qemu.known).toBe(false);
    expect([d.vms[0]?.quirk, d.vms[0]?.vm.missingRam]).toEqual([['on', 'off'], []]);
  });

  test('a TDX guest has the quirk disabled from birth', async () => {
    const options = ['-object', 'tdx-guest,id=t', '-machine', 'q35,confidential-guest-support=t'];
    expect((await examine(mapping(SELF_SNOOP, file, ...options))).vms[0]?.quirk).toEqual(['off']);
  });

  test('a hugetlb memfd', async () => {
    const memfd =
      '7f0000000000-7f0020000000 rw-s 00000000 00:01 9    /memfd:memory-backend-memfd (deleted)';
    const option = 'memory-backend-memfd,id=m,size=512M,hugetlb=on';
    const d = await examine(mapping(SELF_SNOOP, memfd, '-object', option));
    expect(regionNamed(d, 'memfd').region.backings).toEqual(['hugetlb']);
  });
});

describe('host MTRRs', () => {
  const bar = (at: string) =>
    `7f0000000000-7f0000100000 rw-s ${at} 00:0f 5    /sys/devices/pci0000:00/0000:00:02.0/resource0`;

  test.each([
    [
      'in a UC range',
      'fe000000',
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n',
      ['UC'],
    ],
    [
      'by the default',
      '4000000000',
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n',
      ['WB'],
    ],
    [
      'default not known',
      '4000000000',
      'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n',
      ['WB', 'UC', 'WC', 'WT', 'WP'],
    ],
  ])('%s', async (_, at, mtrr, types) => {
    const host = changed(mapping(NPT, bar(at)), { files: { '/proc/mtrr': mtrr } });
    expect(regionNamed(await examine(host), 'BAR 0').region.page.hostMtrr).toEqual(types);
  });
});

describe('what is below, beside and hidden', () => {
  test('NPT on a guest: the hypervisor below decides last', async () => {
    const d = await examine(NPT);
    expect(d.findings.filter((f) => f.certain && f.severity !== 'info')).toEqual([]);
    expect(d.undetermined.join()).toContain('the hypervisor below decides last');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('a guest of Hyper-V gets no table of KVM hosts', async () => {
    const d = await examine({ ...PVM, log: 'Hypervisor detected: Microsoft Hyper-V\n' });
    expect(d.guestSide).toMatchObject({ notKvm: 'Microsoft Hyper-V', hosts: [], requests: [] });
  });

  test('no log: PAT by cpuinfo and command line; neither: both', async () => {
    const files = { ...SELF_SNOOP.files };
    delete (files as Record<string, unknown>)['/sys/kernel/debug/x86/pat_memtype_list'];
    const d = await examine({ ...SELF_SNOOP, files, log: null });
    expect(d.facts.pat).toMatchObject({ known: true, value: { enabled: true } });
    const bare = asQemu({ ...SELF_SNOOP, files, log: null });
    const unsure = await examine(changed(bare, { files: { '/proc/cmdline': null } }));
    expect(unsure.facts.pat.known).toBe(false);
    expect(regionNamed(unsure, '0x20000000').undetermined).toContain('host-pat');
  });

  test('without a sysfs nothing is "none"', async () => {
    const { iommu, gpus, vfioBound } = (await examine(load('bare-no-kvm'))).facts;
    expect([iommu.known, gpus.known, vfioBound.known]).toEqual([false, false, false]);
    const host = changed(load('bare-no-kvm'), { directories: { '/sys/devices': [] } });
    expect((await examine(host)).facts.iommu).toMatchObject({ known: true, value: [] });
  });

  test('--pid without rights asks about that process only', async () => {
    const host = changed(SELF_SNOOP, { directories: { '/proc/100/fd': null } });
    const d = await examine(host, 100);
    expect(d.undetermined.join()).not.toContain('whether more');
    expect(d.unknowns.map((u) => u.what)).not.toContain('which VMs other users run');
  });

  test('an odd MTRR row is no plain fact', async () => {
    const mtrr =
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n' +
      'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n';
    const d = await examine(changed(NPT, { files: { '/proc/mtrr': mtrr } }));
    expect(d.facts.firmware.mtrrs.known).toBe(true);
    expect(d.facts.firmware.oddMtrrs).toEqual([2]);
  });
});

describe('why a VM is coherent or not', () => {
  const links = (unit: string) => ({
    '/proc/100/fd/8': '/dev/vfio/2',
    '/proc/100/fd/9': 'anon_inode:kvm-vfio',
    '/sys/kernel/iommu_groups/2/devices/0000:00:03.0': 'x',
    '/sys/bus/pci/devices/0000:00:03.0/iommu': `../../virtual/iommu/${unit}`,
    '/sys/bus/pci/devices/0000:00:03.0/driver': '../../bus/pci/drivers/vfio-pci',
  });

  test('up to 5.18 by any unit, which is named', async () => {
    const files = {
      '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00fca\n',
      '/sys/class/iommu/dmar1/intel-iommu/ecap': 'f00f4a\n',
    };
    const change = { links: links('dmar0'), files, release: '5.15.100', kvm: { api: 12, 213: 0 } };
    const host = changed(SELF_SNOOP, { ...change });
    const d = await examine(changed(host, { files: { '/proc/version': '' } }));
    expect(d.vms[0]?.coherency.why).toContain('dmar1 has no snoop control');
  });

  test('AMD: what KVM believes is not what the hardware does', async () => {
    const host = changed(NPT, {
      links: { ...links('ivhd0'), '/sys/class/iommu/ivhd0/device': 'x' },
    });
    const [vm] = (await examine(host)).vms;
    expect(vm?.coherency).toMatchObject({ noncoherent: [false], mayNotSnoop: [true, false] });
    expect(vm?.coherency.why).toContain('AMD-Vi');
  });
});
