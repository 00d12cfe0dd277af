import { describe, expect, test } from 'vitest';
import type { Paging } from '../../facts/facts.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { known, unknown } from '../fact.ts';
import type { CpuFacts, HostFacts, KvmFacts } from '../host-facts.ts';
import { type Policy, policyOf } from './policy.ts';

const NO = unknown('test', 'test');

function policy(
  release: string,
  quirks2: number | null,
  paging: Paging,
  selfSnoop: boolean | null,
  stable: string | null = null,
  slotFlag: { readonly 236: number; readonly 239: number } | null = null,
): Policy {
  const version = parseKernelVersion(release);
  const kvm = {
    quirks2: quirks2 === null ? NO : known(quirks2, 'test'),
    paging: known(paging, 'test'),
    slotFlag: {
      236: slotFlag === null ? NO : known(slotFlag[236], 'test'),
      239: slotFlag === null ? NO : known(slotFlag[239], 'test'),
    },
  } as KvmFacts;
  const facts: Pick<HostFacts, 'kernel' | 'kvm' | 'cpu'> = {
    kernel: known(
      {
        release,
        version,
        stable: stable === null ? null : { version: parseKernelVersion(stable), from: 'test' },
      },
      'test',
    ),
    kvm,
    cpu: known({ usableSelfSnoop: selfSnoop } as CpuFacts, 'test'),
  };
  return policyOf(facts);
}

/** Eras of the possible rules, and whether the quirk exists. */
function eras({ rules }: Policy): string {
  const named = (rules ?? []).map((r) => `${r.vmx.id}${r.hasPatQuirk ? 'q' : ''}`);
  return [...new Set(named)].join(' ');
}

describe('the quirk word and the version', () => {
  test.each([
    ['6.12.113', 0x7ff, 'ept', true, 'E11q', 'version'],
    ['6.12.113', 0x5ff, 'ept', false, 'E11q', 'version'],
    ['6.18.44', 0x5ff, 'shadow', null, 'E11q', 'version'],
    ['7.3.4', 0xdff, 'shadow', null, 'E11q', 'version'],
    ['6.14.3', 0x1ff, 'ept', true, 'E10', 'version'],
    ['6.14.3', 0x1ff, 'ept', false, 'E10', 'version'],
    ['6.1.0', 0x7f, 'npt', null, 'E7', 'version'],
    ['5.15.0', 0, 'ept', true, 'E7', 'version'],
    ['6.12.113', null, 'ept', true, 'E11q', 'version'],
  ] as const)('%s %s %s %s', (release, word, paging, selfSnoop, expected, trust) => {
    const p = policy(release, word, paging, selfSnoop);
    expect([eras(p), p.trust]).toEqual([expected, trust]);
  });

  test('a vendor kernel that took the quirk: newer than it says', () => {
    const p = policy('6.6.9', 0x7ff, 'ept', true);
    expect(eras(p)).toBe('E11q');
    expect(p.trust).toBe('guess');
    expect(p.how).toContain(
      'the version alone would say otherwise: this KVM is newer than its kernel',
    );
  });

  test('a new kernel without the quirk: said, not hidden', () => {
    const p = policy('6.18.1', 0x1ff, 'ept', true);
    expect(eras(p)).toBe('E11q');
    expect(p.trust).toBe('guess');
  });
});

describe('the version, where it hides the patch level', () => {
  test('Debian: /proc/version tells', () => {
    const hidden = policy('6.12.0-1-amd64', null, 'ept', true);
    expect(eras(hidden)).toBe('E10 E11q');
    expect(hidden.trust).toBe('guess');
    const told = policy('6.12.0-1-amd64', null, 'ept', true, '6.12.90');
    expect(eras(told)).toBe('E11q');
  });

  test('Ubuntu 6.8.0-136 has the rules of 6.16 in spite of its base', () => {
    expect(eras(policy('6.8.0-136-generic', null, 'ept', true, '6.8.12'))).toBe('E11q');
    expect(eras(policy('6.8.0-100-generic', null, 'ept', true, '6.8.12'))).toBe('E8');
  });

  test('RHEL: every later rule is possible, until the quirk word tells', () => {
    const wide = policy('5.14.0-503.el9.x86_64', null, 'ept', true);
    expect(eras(wide).split(' ').length).toBeGreaterThan(3);
    const settled = policy('5.14.0-503.el9.x86_64', 0x7ff, 'ept', true);
    expect([eras(settled), settled.trust, settled.word]).toEqual(['E11q', 'capability', 'after']);
    expect(eras(policy('5.14.0-503.el9.x86_64', 0x7f, 'ept', true))).not.toContain('q');
  });

  test('newer than anything read: assumed unchanged, and said', () => {
    const p = policy('8.1.0', 0xfff, 'ept', true);
    expect(p.how.join()).toContain('newer than the newest kernel read');
  });

  test('a kernel before KVM had EPT', () => {
    expect(policy('2.6.20', null, 'shadow', null).rules).toBeNull();
  });
});

describe('the memslot flag of ChromeOS kernels', () => {
  const CROS = '6.6.46-05020-g8d2f8ad2f2c0';

  test.each([
    [CROS, { 236: 1, 239: 0 }, 'slot-flag'],
    [CROS, { 236: 0, 239: 0 }, 'E7'],
    ['6.12.46-05020-g8d2f8ad2f2c0', { 236: 1, 239: 0 }, 'E10'],
    ['6.12.46-05020-g8d2f8ad2f2c0', { 236: 1, 239: 1 }, 'slot-flag'],
    ['5.14.0-503.el9', { 236: 1, 239: 0 }, 'no slot-flag'],
  ] as const)('%s, %j: %s', (release, caps, expected) => {
    const p = policy(release, null, 'ept', true, null, caps);
    expect(eras(p).includes('slot-flag')).toBe(expected === 'slot-flag');
    expect(p.how.join().includes('ChromeOS')).toBe(expected === 'slot-flag');
    if (expected.startsWith('E')) expect(eras(p)).toBe(expected);
  });
});
