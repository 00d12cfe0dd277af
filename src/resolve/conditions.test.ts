import { expect, test } from 'vitest';
import type { Facts } from '../facts/facts.ts';
import { rulesOfPolicy } from '../kvm/policies.ts';
import { question } from './question.ts';
import { resolve } from './resolution.ts';

/** "fact: values" of a verdict. */
function conditions(code: string, facts: Facts, policy = 'E11'): readonly string[] | undefined {
  const r = resolve(question({ facts, rules: rulesOfPolicy(policy), subject: policy }));
  const found = r.verdicts.find((v) => v.code === code);
  return found?.when.map(({ fact, values }) => `${fact}: ${values.join()}`);
}

const BLOB: Facts = {
  cpu: ['intel'],
  paging: ['ept'],
  'self-snoop': [true],
  backing: ['xe-wc'],
  guest: ['WC'],
};

test('a fact that makes no difference is no condition', () => {
  const facts: Facts = { ...BLOB, 'noncoherent-dma': [true, false], device: ['snoop', 'nosnoop'] };
  expect(conditions('MT101', facts)).toEqual(['noncoherent-dma: no', 'device: nosnoop']);
  expect(conditions('MT201', facts)).toEqual(['noncoherent-dma: no']);
});

test('one that is looked at in some worlds only', () => {
  const facts: Facts = {
    ...BLOB,
    guest: ['WB'],
    device: ['snoop', 'nosnoop'],
    vmm: ['crosvm', 'crosvm-noncoherent-dma'],
    'map-info': ['cached'],
    'first-map-info': ['cached', 'wc'],
  };
  expect(conditions('MT101', facts, 'slot-flag')).not.toContain('first-map-info: cached,wc');
  const asksWc: Facts = { ...facts, guest: ['WC'], 'map-info': ['wc'] };
  expect(conditions('MT101', asksWc, 'slot-flag')).toContain('first-map-info: cached');
});
