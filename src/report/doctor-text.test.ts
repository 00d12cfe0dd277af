import { describe, expect, test } from 'vitest';
import { examine, HOSTS, load } from '../../test/hosts.ts';
import { doctorExitCode } from '../doctor/diagnosis/diagnose.ts';
import type { HostDescription } from '../host/described-host.ts';
import { doctorJson } from './doctor-json.ts';
import { doctorText, MAIL_WIDTH } from './doctor-text.ts';
import { bytes } from './doctor-words.ts';

describe('the text', () => {
  test.each(HOSTS)('%s: 80 columns, no blanks at line ends, plain ASCII', async (name) => {
    const text = doctorText(await examine(load(name)));
    for (const line of text.split('\n')) {
      expect(line.length, line).toBeLessThanOrEqual(80);
      expect(line).toBe(line.trimEnd());
    }
    expect(text).toMatch(/^[\n -~]*$/);
    expect(text.endsWith('\n') && !text.endsWith('\n\n')).toBe(true);
  });

  test('verdict, then fixes, then the tables, the machine, and what is not known', async () => {
    const text = doctorText(await examine(load('ept-6.12-no-self-snoop')));
    const order = [
      'problems found',
      '  fix    ',
      '  where  ',
      'VIRTUAL MACHINES',
      'THIS MACHINE',
      'WHAT COULD NOT BE KNOWN',
    ].map((part) => text.indexOf(part));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order).not.toContain(-1);
  });

  test('who reads three lines knows the verdict and the fix', async () => {
    for (const name of HOSTS) {
      const d = await examine(load(name));
      const [first = '', second = '', third = ''] = doctorText(d).split('\n');
      expect(first).toMatch(
        /^(?:\d+ problems? found|Undetermined: |Nothing wrong |There is no KVM)/,
      );
      if (!first.includes('found,') && !first.includes('problem')) continue;
      expect(second).toMatch(/^(?:possible )?(?:error|warning|info) MT\d+: /);
      expect(third).toMatch(/^ {2}fix {4}\S/);
    }
  });

  test.each(HOSTS)('%s: a mail has 72 columns', async (name) => {
    const lines = doctorText(await examine(load(name)), MAIL_WIDTH).split('\n');
    expect(lines.filter((line) => line.length > MAIL_WIDTH)).toEqual([]);
  });

  test('commands stand below the fix, whole', async () => {
    const d = await examine(load('guest-nopat'));
    const long = `virsh dumpxml vm | sed ${'x'.repeat(100)}`;
    const commands = [long, '-accel kvm,honor-guest-pat=on', 'printf a \\\n  > b'];
    const text = doctorText({ ...d, findings: d.findings.map((f) => ({ ...f, commands })) }, 72);
    const lines = text.split('\n');
    const at = lines.indexOf(`    ${long}`);
    expect(lines.slice(at, at + 5)).toEqual([
      `    ${long}`,
      '    -accel kvm,honor-guest-pat=on',
      '    printf a \\',
      '      > b',
      expect.stringMatching(/^ {2}where {2}/),
    ]);
    expect(lines.findIndex((l) => l.startsWith('  fix'))).toBeLessThan(at);
  });

  test('the table of a VM on a KVM-PVM host', async () => {
    const text = doctorText(await examine(load('pvm-6.18')));
    expect(text).toContain(
      [
        '  memfd memory-backend-memfd, 512 MiB',
        '    is     guest memory: named so by the VMM',
        '    host   WB (class memfd); one page looked up: WB',
        '  anonymous memory, 16 MiB',
        '    is     guest memory, most likely: a block of RAM as QEMU lays them out, e.g.',
        '           video memory',
        '    host   WB (class ram); one page looked up: WB',
        '    KVM    shadow PTE WB (guest PAT ignored)',
        "    guest asks          gets  with the VMM's  with a device  with a device",
        '                              own mapping     that snoops    that does not',
        '    WB WC UC- UC WT WP  WB    coherent        coherent       stale MT101',
      ].join('\n'),
    );
  });

  test.each([
    ['pvm-6.18', 'Nothing wrong found (1 VM, 2 memory regions): all WB, whatever the guest asks.'],
    ['bare-no-kvm', 'There is no KVM on this machine and no VM: nothing to examine.'],
    ['guest-nopat', '1 problem found (no VM was seen).'],
  ])('%s: %s', async (name, headline) => {
    expect(doctorText(await examine(load(name))).split('\n')[0]).toBe(headline);
  });
});

describe('the JSON', () => {
  test.each(HOSTS)('%s: says what the text says, and nothing of a command line', async (name) => {
    const d = await examine(load(name));
    const json = JSON.parse(JSON.stringify(doctorJson(d))) as Record<string, unknown>;
    expect(json).toMatchObject({
      schemaVersion: 1,
      exitCode: doctorExitCode(d),
      undetermined: d.undetermined,
      unknown: d.unknowns,
    });
    expect(Object.keys(json)).toEqual([
      'schemaVersion',
      'exitCode',
      'findings',
      'undetermined',
      'machine',
      'policy',
      'guestPat',
      'vms',
      'guestSide',
      'trace',
      'unknown',
      'problems',
    ]);
    expect(JSON.stringify(json)).not.toContain('-display');
  });

  test('every fact has where it came from, or why it is not known', async () => {
    const facts: Record<string, unknown>[] = [];
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      if ('known' in value) facts.push(value);
      Object.values(value).forEach(visit);
    };
    for (const name of HOSTS) visit(doctorJson(await examine(load(name))));
    expect(facts.length).toBeGreaterThan(100);
    for (const fact of facts) {
      const said = fact['known'] === true ? [fact['from']] : [fact['why'], fact['remedy']];
      expect(said.every((s) => typeof s === 'string' && s !== '')).toBe(true);
    }
  });
});

test.each([
  [1, '1 B'],
  [4096, '4 KiB'],
  [2 ** 29, '512 MiB'],
  [2 ** 30 * 1.5, '1.5 GiB'],
])('%d bytes', (n, words) => {
  expect(bytes(n)).toBe(words);
});

test('a process known by its name is no VM in the headline, and MT501 is shown', async () => {
  const host = load('ept-6.12-self-snoop');
  const links = {
    ...host.links,
    '/proc/100/exe': '/usr/bin/qemu-system-x86_64',
    '/sys/class/drm/card0/device/driver': '../drivers/amdgpu',
  };
  const print = async (more: Partial<HostDescription>): Promise<string> =>
    doctorText(await examine({ ...host, links, ...more }));
  const optionsOf = async (more: Partial<HostDescription>) => {
    const json = doctorJson(await examine({ ...host, links, ...more }));
    return (json as { vms: { qemu: { value: unknown } }[] }).vms[0]?.qemu.value;
  };
  expect(await print({})).toContain('possible error MT501');
  const hidden = { directories: { ...host.directories, '/proc/100/fd': null } };
  const closed = await print(hidden);
  expect(closed).toContain('no VM was seen; 1 process');
  expect(closed).not.toMatch(/default machine|SeaBIOS|RAM 128 MiB/);
  expect(await optionsOf({})).toMatchObject({ ram: 2 ** 27, firmware: 'SeaBIOS' });
  expect(await optionsOf(hidden)).toMatchObject({ ram: null, firmware: null });
});
