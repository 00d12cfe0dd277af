import { expect, test } from 'vitest';
import { hinges } from '../src/scenario/hinges.ts';
import { runOf, scenarioFile, scenarioIn, textOf } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');
const VFIO = scenarioFile('vfio-attach-remove.yaml');

function flat(scenario: typeof BLOB, name: string, said: Record<string, string> = {}): string {
  return textOf(scenario, runOf(scenario, name, said)).replace(/\s+/g, ' ');
}

test('a type that changes on the way is named, with the event that changed it', () => {
  const leaves = flat(VFIO, 'leaves');
  expect(leaves).toContain('VIOLATED');
  expect(leaves).toMatch(
    /It is about the first touch, WC; from event (\d+) on the guest's accesses are WB. Event (\d+) mapped it anew/,
  );
  expect(leaves).not.toContain('what fails here is in the program');
  const [, event] = /Event (\d+) mapped it anew/.exec(leaves) ?? [];
  expect(leaves).toMatch(new RegExp(` ${event} KVM maps the blob: EPT WB\\+IPAT`));
  const remapped = flat(VFIO, 'remapped', { kernel: '6.1' });
  expect(remapped).toContain('HOLDS');
  expect(remapped).toMatch(/It is about the first touch, WB; from event \d+ .* are WC/);
});

test('lines that the host did not flush are not the fault of the program', () => {
  const dirty = flat(BLOB, 'dirty', { kernel: '6.11-rc3' });
  expect(dirty).toContain('The host left the lines that it cleared in its caches');
  expect(dirty).not.toContain('what fails here is in the program');
  expect(flat(BLOB, 'L5', { kernel: '6.11-rc3' })).toContain('what fails here is in the program');
});

test('a verdict that the program does not meet is said to be that', () => {
  for (const name of ['L4', 'L6', 'L9', 'L11'])
    expect(flat(BLOB, name)).toMatch(/This program does not exercise MT101/);
  expect(flat(BLOB, 'L1')).not.toContain('does not exercise');
});

const READ_BY_HOST = scenarioIn(`cpu: intel
self-snoop: no
paging: ept
kernel: 6.16
firmware: seabios
backing: ttm-wc
guest: WC
device: none
programs:
  p:
    blob: [x]
    guest: [store x 1, ring done]
    host: [wait done, load x -> seen]
    never: host.seen = 0
`);

test('a result that hangs on a contested switch says on which', () => {
  const one = runOf(READ_BY_HOST, 'p');
  expect(one.result).toBe('ok');
  expect(hinges(one)).toEqual([{ name: 'busSnoop', on: true }]);
  expect(textOf(READ_BY_HOST, one).replace(/\s+/g, ' ')).toContain(
    'Contested: with the switch busSnoop off (here on) some schedule violates it',
  );
});
