import { describe, expect, test } from 'vitest';
import { flushesOwnCpu, wbinvdRule } from '../src/kvm/wbinvd.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import { runOf, scenarioIn, textOf } from './runs.ts';

const upload = (steps: string, facts = ''): string => `cpu: intel
self-snoop: yes
paging: ept
kernel: 6.8
firmware: seabios
backing: memfd
guest: WB
device: nosnoop
${facts}
programs:
  p:
    blob: [x]
    guest: [${steps}, ring bell]
    gpu: [wait bell, load x -> seen]
    never: gpu.seen = 0
`;

describe('WBINVD and INVD of a guest', () => {
  test.each([
    // KVM skips it where no DMA is non-coherent: the line stays in the cache.
    ['6.8', 'store x 1, wbinvd', 'x'],
    ['6.16', 'store x 1, wbinvd', 'x'],
    ['6.8', 'vmm attach, store x 1, wbinvd', 'ok'],
    // The guest's own CPU is left out from 2.6.38 until 5.12.
    ['4.14', 'vmm attach, store x 1, wbinvd', 'x'],
    ['5.4', 'vmm attach, store x 1, wbinvd', 'x'],
    ['5.12', 'vmm attach, store x 1, wbinvd', 'ok'],
  ])('%s: %s is %s', (kernel, steps, result) => {
    const one = runOf(scenarioIn(upload(steps)), 'p', { kernel });
    expect(one.result).toBe(result);
    const words = result === 'ok' ? 'flushes the caches of its CPUs' : 'flushes nothing';
    expect(textOf(scenarioIn(upload(steps)), one)).toMatch(
      new RegExp(`wbinvd exits: KVM\\s+${words}`),
    );
  });

  test('INVD loses nothing', () => {
    const text = upload('store x 1, invd, load x -> r').replace(
      'never: gpu.seen = 0',
      'never: guest.r = 0',
    );
    expect(runOf(scenarioIn(text), 'p').result).toBe('ok');
  });

  test('by version', () => {
    const rules = ['2.6.35', '2.6.36', '2.6.38', '5.12-rc4', '5.12-rc5', '7.3'];
    expect(rules.map((v) => wbinvdRule(parseKernelVersion(v)))).toEqual([
      'skips',
      'all',
      'other-cpus',
      'other-cpus',
      'all',
      'all',
    ]);
    for (const v of rules) expect(flushesOwnCpu('invd', parseKernelVersion(v), true)).toBe(false);
  });
});
