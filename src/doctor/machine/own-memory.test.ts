import { describe, expect, test } from 'vitest';
import { changed, codesOf, examine, load } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import type { Diagnosis } from '../diagnosis/diagnose.ts';

const SEABIOS = load('guest-seabios-6.12');

function finding(d: Diagnosis, code: string) {
  const found = d.findings.find((f) => f.code === code);
  if (found === undefined) throw new Error(`no finding ${code}`);
  return found;
}

function machine(release: string, flags: string, log: readonly string[]): HostDescription {
  return {
    uname: { sysname: 'Linux', release, machine: 'x86_64' },
    files: {
      '/proc/cpuinfo': `processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: pat ${flags}\n`,
      '/proc/mtrr': { error: 'EIO' },
    },
    links: {},
    directories: { '/sys/module': ['printk'] },
    log: log.map((line) => `${line}\n`).join(''),
  };
}

const PAT = 'x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT';

describe('MTRRs that are off', () => {
  test('on a machine without a hypervisor: the firmware', async () => {
    const d = await examine(machine('6.8.0', 'mtrr', ['MTRRs disabled by BIOS', PAT]));
    expect(finding(d, 'MT631')).toMatchObject({
      certain: true,
      places: ['this machine'],
      agents: ['firmware', 'kernel'],
      fix: expect.stringContaining('bit 11 (E) of MTRRdefType'),
    });
  });

  const SNP = [
    'Hypervisor detected: Microsoft Hyper-V',
    'MTRRs disabled (not available)',
    PAT,
    'Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP',
  ];

  test('an encrypted guest of Hyper-V: its kernel has a state of its own from 6.5 on', async () => {
    const fixOf = async (release: string, log: readonly string[]) =>
      finding(await examine(machine(release, 'hypervisor', log)), 'MT631').fix;
    expect(await fixOf('6.2.0-rc3', SNP)).toContain('Linux 6.5 or later');
    expect(await fixOf('6.2.0-rc3', SNP.slice(0, 3))).toContain('Have the VMM show MTRRs');
    expect(await fixOf('6.5.0', SNP)).toContain('Have the VMM show MTRRs');
  });
});

describe('MTRRs that nobody set up: on, UC by default, no range', () => {
  const host = { ...changed(SEABIOS, { files: { '/proc/mtrr': '' } }) };
  const blank = { ...host, log: `MTRR default type: uncachable\n${PAT}\n` };

  test('RAM is only worth a remark in a guest, and memmap= no advice', async () => {
    const { severity, certain, fix } = finding(await examine(blank), 'MT630');
    expect([severity, certain]).toEqual(['info', false]);
    expect(fix).not.toContain('memmap');
    expect(fix).toContain('MTRRdefType 806H');
  });

  test('a shared-memory BAR: no address is better than another', async () => {
    expect(finding(await examine(blank), 'MT634').fix).toContain('a default type WB');
    expect(finding(await examine(SEABIOS), 'MT634').fix).toContain('above 4 GiB');
  });
});

describe('a PAT with WC in another slot than that of Linux', () => {
  const dom0 = (driver: string, layout: string) => ({
    ...machine('6.6.48', 'hypervisor', [
      'Hypervisor detected: Xen PV',
      `x86/PAT: Configuration [0-7]: ${layout}`,
    ]),
    links: { '/sys/class/drm/card0/device/driver': `../../../bus/pci/drivers/${driver}` },
  });
  const XEN = 'WB  WT  UC- UC  WC  WP  UC  UC';

  test("Xen's: Linux maps WC all the same, NVIDIA may not find it", async () => {
    const d = await examine(dom0('nvidia', XEN));
    expect(codesOf(d)).toEqual(['MT224?']);
    expect(finding(d, 'MT224').text).toContain('WC is in slot 4');
    expect(d.guestSide?.blocks[0]?.rows[0]?.grants).toEqual([{ type: 'WC', by: null }]);
    expect(codesOf(await examine(dom0('i915', XEN)))).toEqual([]);
  });

  test('that of Linux, or none with WC', async () => {
    const linux = 'WB  WC  UC- UC  WB  WP  UC- WT';
    expect(codesOf(await examine(dom0('nvidia', linux)))).toEqual([]);
    const reset = 'WB  WT  UC- UC  WB  WT  UC- UC';
    expect(codesOf(await examine(dom0('nvidia', reset)))).toEqual(['MT222']);
  });
});
