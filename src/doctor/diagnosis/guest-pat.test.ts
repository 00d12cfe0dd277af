import { describe, expect, test } from 'vitest';
import { asQemu, changed, codesOf, examine, load } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import { doctorJson } from '../../report/doctor-json.ts';
import { doctorText } from '../../report/doctor-text.ts';

const EPT = load('ept-6.12-self-snoop');
const NPT = load('npt-6.12');

/** The machine without its VM, perhaps with another kernel and quirk word. */
function idle(host: HostDescription, release?: string, word?: number): HostDescription {
  const kvm = word === undefined ? host.kvm : { api: 12, '213': word };
  return changed(host, {
    directories: { '/proc': ['1', '2'] },
    files: { '/proc/version': '' },
    ...(kvm === undefined ? {} : { kvm }),
    ...(release === undefined ? {} : { release }),
  });
}

function flat(text: string): string {
  return text.replace(/\s+/g, ' ');
}

describe('whether the KVM of a host honours the guest PAT', () => {
  test.each([
    ['6.1.0', 0x7f],
    ['6.8.0', 0x7f],
    ['6.12.48', 0x1ff],
  ])('%s on Intel: never, and QEMU would not start with =on', async (release, word) => {
    const d = await examine(idle(EPT, release, word));
    expect(d.guestPat?.answer).toBe('never');
    const found = d.findings.find((f) => f.code === 'MT609');
    expect(found).toMatchObject({ certain: true, severity: 'info' });
    expect(found?.fix).toContain('6.12.78 or later of 6.12');
    expect(found?.fix).toContain('QEMU does not start with it here');
  });

  test.each([
    ['6.12.113', 0x7ff],
    ['6.16.0', 0x3ff],
    ['7.3.4', 0xfff],
  ])('%s on Intel with bit 9: for who asks', async (release, word) => {
    const d = await examine(idle(EPT, release, word));
    expect(d.guestPat?.answer).toBe('on request');
    expect(codesOf(d)).toEqual([]);
    const [verdict, ...lines] = doctorText(d).split('\n');
    expect(verdict).toContain('Nothing wrong found');
    expect(flat(lines.slice(0, 3).join(' '))).toContain('-accel kvm,honor-guest-pat=on');
    expect(doctorJson(d)).toMatchObject({ guestPat: { answer: 'on request' } });
  });

  test('a backported quirk tells by its bit, whatever the version', async () => {
    expect((await examine(idle(EPT, '6.8.0', 0x3ff))).guestPat?.answer).toBe('on request');
  });

  test('no self-snoop: never, and MT606 says why', async () => {
    const d = await examine(idle(load('ept-6.12-no-self-snoop')));
    expect(d.guestPat).toMatchObject({
      answer: 'never',
      how: 'a CPU with self-snoop; no kernel helps',
    });
    expect(codesOf(d)).toEqual(['MT606']);
    expect(flat(doctorText(d))).toContain('guest PAT: ignored, and no VMM can change that');
  });

  test.each([
    ['6.1.0', 0x7f, 'with =on QEMU would not start here'],
    ['6.12.48', 0x1ff, 'with =on QEMU would not start here'],
    ['6.18.0', 0x3ff, 'changes nothing on AMD'],
  ])('%s on AMD: always', async (release, word, how) => {
    const d = await examine(idle(NPT, release, word));
    expect(d.guestPat?.answer).toBe('always');
    expect(d.guestPat?.how).toContain(how);
    expect(codesOf(d)).not.toContain('MT609');
  });

  test('6.11-rc1 did it for every VM', async () => {
    expect((await examine(idle(EPT, '6.11.0-rc1', 0xff))).guestPat?.answer).toBe('always');
  });

  test('shadow paging: never', async () => {
    const files = { '/sys/module/kvm_intel/parameters/ept': 'N\n' };
    const d = await examine(changed(idle(EPT, '6.16.0', 0x1ff), { files }));
    expect(d.guestPat?.answer).toBe('never');
    expect(d.findings.find((f) => f.code === 'MT609')?.fix).toContain('ept=1');
  });

  test('/dev/kvm closed: what would tell', async () => {
    const d = await examine({ ...idle(EPT, '6.18.0'), kvm: null });
    expect(d.guestPat).toMatchObject({ answer: 'not known' });
    expect(d.guestPat?.how).toContain('group of /dev/kvm');
  });

  test('with a VM its own findings speak; without KVM there is no such question', async () => {
    const running = asQemu(changed(EPT, { release: '6.8.0', kvm: { api: 12, '213': 0x7f } }));
    expect(codesOf(await examine(running))).not.toContain('MT609');
    expect((await examine(load('bare-no-kvm'))).guestPat).toBeNull();
  });

  test('in a guest the hypervisor below decides last', async () => {
    const cpuinfo = String(EPT.files['/proc/cpuinfo']).replace(' cpuid ', ' cpuid hypervisor ');
    const d = await examine(
      changed(idle(EPT, '6.8.0', 0x7f), { files: { '/proc/cpuinfo': cpuinfo } }),
    );
    expect(codesOf(d)).toContain('MT609?');
  });
});
