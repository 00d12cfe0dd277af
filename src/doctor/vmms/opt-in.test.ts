import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { known, unknown } from '../fact.ts';
import { parseCrosvm } from './crosvm.ts';
import type { LibvirtDomain } from './libvirt.ts';
import { optInCommand } from './opt-in.ts';
import type { VmmOptions } from './options.ts';
import { parseQemu, qemuAsVmm } from './qemu.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-'));
afterAll(() => rmSync(directory, { recursive: true }));

function commands(line: string, domain: Partial<LibvirtDomain> | null = null): readonly string[] {
  const options = qemuAsVmm(parseQemu(['qemu-system-x86_64', ...line.split(' ')]), null);
  return of(options, domain as LibvirtDomain | null);
}

function of(options: VmmOptions, domain: LibvirtDomain | null): readonly string[] {
  const program = 'qemu-system-x86_64';
  return optInCommand({ options: known(options, 't'), libvirt: known(domain, 't'), program });
}

describe('a QEMU of the command line', () => {
  test.each([
    ['-enable-kvm', '# in place of -enable-kvm:'],
    ['-accel kvm', '# in place of -accel kvm:'],
    ['-accel kvm,honor-guest-pat=off', '# in place of -accel kvm:'],
    ['-machine q35,accel=kvm', '# leave accel= out of -machine, and add:'],
  ])('%s', (line, remark) => {
    expect(commands(line)).toEqual([remark, '-accel kvm,honor-guest-pat=on']);
  });

  test('nothing where it is on already, or there is no switch', () => {
    expect(commands('-accel kvm,honor-guest-pat=on')).toEqual([]);
    expect(commands('-accel kvm,honor-guest-pat=auto')).toEqual([]);
    expect(of(parseCrosvm(['crosvm', 'run']), null)).toEqual([]);
    const none = { options: unknown('t', 't'), libvirt: known(null, 't'), program: 'x' };
    expect(optInCommand(none)).toEqual([]);
  });
});

describe('a QEMU of libvirt', () => {
  const domain = { name: "o'neill vm", emulator: '/usr/libexec/qemu-kvm' };

  test('names the domain, as a shell reads it', () => {
    const lines = commands('-accel kvm', domain);
    expect(lines).toContain("virsh start 'o'\\''neill vm'");
    expect(lines[0]).toContain('exec /usr/libexec/qemu-kvm "$@"');
    const unnamed = commands('-accel kvm -mon chardev=charmonitor,id=monitor,mode=control');
    expect(unnamed).toContain('virsh start DOMAIN');
  });

  /** Runs the lines that make the wrapper, with another place and another program, and then the wrapper. */
  function wrapped(args: readonly string[]): readonly string[] {
    const path = join(directory, 'wrapper');
    const lines = commands('-accel kvm', { name: 'vm', emulator: '/usr/bin/printf' });
    const make = lines
      .filter((line) => !line.startsWith('virsh'))
      .join('\n')
      .replaceAll('/usr/local/bin/qemu-honor-guest-pat', path);
    execFileSync('sh', ['-c', make]);
    expect(readFileSync(path, 'utf8')).toMatch(/^#!\/bin\/sh\n/);
    return execFileSync(path, ['%s\\n', ...args], { encoding: 'utf8' })
      .split('\n')
      .slice(0, -1);
  }

  test.each([
    [
      ['-S', '-accel', 'kvm', '-m', '1'],
      ['-S', '-accel', 'kvm,honor-guest-pat=on', '-m', '1'],
    ],
    [
      ['-accel', 'kvm,dirty-ring-size=4096'],
      ['-accel', 'kvm,dirty-ring-size=4096,honor-guest-pat=on'],
    ],
    [
      ['-machine', 'none,accel=kvm:tcg', '-name', 'a  b', '*'],
      ['-machine', 'none,accel=kvm:tcg', '-name', 'a  b', '*'],
    ],
    [
      ['-accel', 'tcg'],
      ['-accel', 'tcg'],
    ],
    [
      ['-append', 'kvm', 'kvm'],
      ['-append', 'kvm', 'kvm'],
    ],
  ])('the wrapper: %j', (given, expected) => {
    expect(wrapped(given)).toEqual(expected);
  });
});
