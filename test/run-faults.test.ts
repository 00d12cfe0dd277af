import { expect, test } from 'vitest';
import { runOf, scenarioFile } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');

/** The trace lines of stage 8, by what KVM did. */
function faultsOf(scenario: typeof BLOB, name: string, said: Record<string, string> = {}) {
  const { events } = runOf(scenario, name, said);
  return events.flatMap((e) =>
    e.kind === 'stage' && e.step === 8 && e.trace.length > 0
      ? [{ what: e.what, faults: e.trace.filter((l) => l.startsWith('kvm_page_fault')) }]
      : [],
  );
}

test('the page is touched first as the program touches it', () => {
  const codes = (name: string): unknown =>
    faultsOf(BLOB, name)
      .filter((f) => f.what.startsWith('maps the blob'))
      .flatMap((f) => f.faults.map((l) => / error_code (\w+)/.exec(l)?.[1]));
  // EPT: bit 0 a read, bit 1 a write; L1 stores first, L2 loads.
  expect(codes('L1')).toEqual(['0x182']);
  expect(codes('L2')).toEqual(['0x181']);
});

test.each([
  ['ept', {}],
  ['npt', { cpu: 'amd', paging: 'npt' }],
  ['shadow', { paging: 'shadow' }],
])('%s: faults of page tables and code stand apart', (_, said) => {
  const [first, ...rest] = [...faultsOf(BLOB, 'L1', said)].sort((a, b) =>
    a.what.localeCompare(b.what),
  );
  expect(first?.what).toMatch(/^maps the blob/);
  expect(first?.faults).toHaveLength(1);
  expect(first?.faults[0]).toContain('address 0x0000001800000000');
  expect(rest.map((f) => f.what)).toEqual(["maps the guest's page tables and code"]);
  expect(rest.flatMap((f) => f.faults).join('\n')).not.toContain('0x0000001800000000');
});

test('a store to the zero page is a write from its first fault on', () => {
  const zero = scenarioFile('zero-page.yaml');
  const program = zero.programs.find((p) => p.name === 'write');
  const [first] = program?.parts[0]?.instructions ?? [];
  expect(first?.op).toBe('store');
  const faults = faultsOf(zero, 'write').filter((f) => f.what.startsWith('maps the blob'));
  // The copy that the write takes invalidates the fault that asked for it, which comes again.
  const codes = faults.flatMap((f) => f.faults.map((l) => / error_code (\w+)/.exec(l)?.[1] ?? ''));
  expect(codes.length).toBeGreaterThan(0);
  for (const code of codes) expect(Number(code) & 3).toBe(2);
});
