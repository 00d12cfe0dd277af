import { describe, expect, test } from 'vitest';
import { batchesOf } from '../../test/audit-batches.ts';
import { Audit, type AuditOptions, type AuditResult } from './audit.ts';
import { auditFindings } from './findings.ts';
import { inferences } from './infer.ts';
import { vmsByNames } from './vms.ts';

function audited(lines: readonly string[], options: AuditOptions = {}): AuditResult {
  const audit = new Audit(options);
  for (const batch of batchesOf(lines.join('\n'))) audit.push(batch);
  return audit.result();
}

/** A line as ftrace prints it with record-tgid. */
function line(task: string, time: number, event: string): string {
  return `  ${task} [000] .....  ${time.toFixed(6)}: ${event}`;
}

const set = (gfn: string, spte: string, level = 1) =>
  `kvm_mmu_set_spte: gfn ${gfn} spte ${spte} (rwxu) level ${level} at 1000`;
const changed = (gfn: string, level: number, before: string, now: string, asId = 0) =>
  `kvm_tdp_mmu_spte_changed: as id ${asId} gfn ${gfn} level ${level} old_spte ${before} new_spte ${now}`;

describe('VMs', () => {
  const two = [
    line('qemu-11 (     10)', 1, set('100', '6000000029c4b77')),
    line('qemu-21 (     20)', 2, set('100', '6000000039c4b37')),
    line('khugepaged-99 (     99)', 3, changed('100', 1, '6000000029c4b77', '0')),
  ];

  test('are told apart by process', () => {
    const { vms, told, ambiguous } = audited(two);
    expect(told).toBe('tgid');
    expect(vms.map((vm) => [vm.id, vm.sptes])).toEqual([
      [10, 1],
      [20, 1],
    ]);
    // A thread of the kernel took a page away, and both VMs have that page.
    expect(ambiguous).toBe(1);
  });

  test('are told apart by what is known of threads', () => {
    const owners = new Map([
      [11, 10],
      [21, 20],
    ]);
    const plain = two.map((text) => text.replace(/ \(\s*\d+\)/, ''));
    expect(audited(plain, { owners }).vms.map((vm) => vm.id)).toEqual([10, 20]);
    expect(audited(plain)).toMatchObject({ told: 'one', vms: [{ id: null, sptes: 2 }] });
  });

  test('are known by the first entry that they fill, or by what is known of the thread', () => {
    const first = [
      line('qemu-11 (     10)', 1, changed('100', 2, '0', '8875907')),
      line('qemu-11 (     10)', 1, changed('100', 1, '0', '6000000029c4b77')),
      line('qemu-11 (     10)', 1, set('100', '6000000029c4b77')),
    ];
    expect(audited(first)).toMatchObject({ vms: [{ id: 10, events: 3 }], ambiguous: 0 });
    const owned = [line('qemu-11', 1, changed('100', 1, '6000000029c4b77', '0')), ...first];
    const owners = new Map([[11, 10]]);
    expect(audited(owned, { owners })).toMatchObject({
      vms: [{ id: 10, events: 4 }],
      ambiguous: 0,
    });
    // A thread of the kernel, before any VM is known.
    const early = line('kswapd0-9 (      9)', 1, changed('100', 1, '6000000029c4b77', '0'));
    expect(audited([early, ...first])).toMatchObject({
      vms: [{ id: 10, events: 3 }],
      ambiguous: 1,
    });
  });

  test('are told apart by the names of their threads', () => {
    const names = new Map([
      [101, 'CPU 0/KVM'],
      [102, 'CPU 1/KVM'],
      [201, 'CPU 0/KVM'],
      [202, 'vhost-77'],
    ]);
    const { owners, least } = vmsByNames(names);
    expect([...owners]).toEqual([
      [101, 101],
      [102, 101],
      [201, 201],
    ]);
    expect(least).toBe(2);
    const events = [
      line('CPU 1/KVM-102', 1, set('100', '6000000029c4b77')),
      line('CPU 0/KVM-201', 2, set('100', '6000000039c4b37')),
      line('CPU 0/KVM-101', 2, set('101', '6000000029c5b77')),
      line('qemu-kvm-99', 3, changed('101', 1, '6000000029c5b77', '0')),
    ];
    const { vms, told } = audited(events, { names });
    expect(told).toBe('names');
    expect(vms.map((vm) => [vm.id, vm.sptes, vm.regions.length])).toEqual([
      [101, 2, 1],
      [201, 1, 1],
    ]);
  });

  test.each([
    [['CPU 0/KVM', 'CPU 1/KVM', 'CPU 2/KVM'], 1, 3],
    // Two VMs that were started at once.
    [['CPU 0/KVM', 'CPU 0/KVM', 'CPU 1/KVM', 'CPU 1/KVM'], 2, 0],
    // The first vCPU of one of them did nothing.
    [['CPU 1/KVM', 'CPU 0/KVM', 'CPU 1/KVM'], 2, 0],
    [['crosvm_vcpu0', 'crosvm_vcpu1', 'crosvm_vcpu0'], 2, 3],
    [['vcpu0', 'fc_vcpu 0', 'vcpu1', 'fc_vcpu 1'], 2, 4],
    [['kvm-vcpu-0', 'kvm-vcpu-0'], 2, 2],
    [['qemu-system-x86', 'qemu-system-x86', 'VCPU-0'], 0, 0],
  ])('%j: so many VMs at least, so many threads told', (all, least, told) => {
    const names = new Map(all.map((name, i) => [i + 1, name]));
    const found = vmsByNames(names);
    expect([found.least, found.owners.size]).toEqual([least, told]);
  });

  test('have a second address space for SMM', () => {
    const [vm] = audited([
      line('q-1', 1, changed('100', 1, '0', '6000000029c4b77', 1)),
      line('q-1', 1, set('100', '6000000029c4b77')),
      line('q-1', 2, set('200', '6000000029c5b77')),
    ]).vms;
    expect(vm?.regions.map((r) => [r.gfnStart, r.asId])).toEqual([
      [0x200, 0],
      [0x100, 1],
    ]);
  });
});

describe('what is taken away', () => {
  const mapped = [
    line('q-1', 1, changed('200', 2, '0', '8875907')),
    line('q-1', 1, changed('200', 1, '0', '6000000029c4b77')),
    line('q-1', 1, set('200', '6000000029c4b77')),
  ];

  test('is no longer mapped', () => {
    const [vm] = audited([
      ...mapped,
      line('q-1', 2, changed('200', 1, '6000000029c4b77', '5a0')),
    ]).vms;
    expect(vm?.regions).toEqual([]);
  });

  test('a table goes with what it holds', () => {
    const [vm] = audited([...mapped, line('q-1', 2, changed('200', 2, '8875907', '0'))]).vms;
    expect(vm?.regions).toEqual([]);
  });

  test('a table of an address space that is no longer in use takes nothing with it', () => {
    const [vm] = audited([
      ...mapped,
      line('q-1', 2, 'kvm_mmu_zap_all_fast: kvm: mmu_valid_gen 0 used_mmu_pages 5'),
      line('q-1', 3, changed('200', 2, '0', '9999907')),
      line('q-1', 3, changed('200', 1, '0', '6000000029c4b37')),
      line('q-2', 4, changed('200', 2, '8875907', '0')),
      line('q-2', 4, changed('200', 1, '6000000029c4b77', '5a0')),
    ]).vms;
    expect(vm?.regions).toMatchObject([{ gfnStart: 0x200, memtype: 'WB', ipat: false }]);
    expect(vm?.state.tornDown).toBe(1);
  });

  test('a huge page that is split leaves small ones of its type', () => {
    const [vm] = audited([
      line('q-1', 1, changed('200', 2, '0', '8600000006400bf7')),
      line('q-1', 2, changed('200', 2, '8600000006400bf7', '8000000007e58907')),
      line('q-1', 3, changed('210', 1, '8600000006410b77', '0')),
    ]).vms;
    expect(vm?.regions.map((r) => [r.gfnStart, r.gfnEnd, r.level, r.memtype])).toEqual([
      [0x200, 0x210, 1, 'WB'],
      [0x211, 0x400, 1, 'WB'],
    ]);
  });
});

describe('the paging mode', () => {
  test.each([
    [[set('100', '6000000029c4b77')], 'ept', 'layout B: Linux 5.13 to 6.8'],
    [[set('100', '90a00000062c6f77')], 'ept', 'layout C: Linux 7.2 and later'],
    [[set('100', '29c4f77')], 'ept', 'layout A: Linux to 5.12'],
    [[set('100', '1003eb27e67')], 'pages', 'layout B or C: Linux 5.13 and later'],
    [[changed('100', 1, '1003eb27e67', '5a0')], 'npt', 'layout B: Linux 5.13 to 6.8'],
    [
      [set('100', '11a468e67'), 'kvm_mmu_prepare_zap_page: sp gen 0 gfn 1021 l1 4-byte'],
      'shadow',
      'layout B or C: Linux 5.13 and later',
    ],
  ])('%j', (events, paging, layout) => {
    const result = audited(events.map((event) => line('q-1', 1, event)));
    expect(result.paging).toBe(paging);
    expect(inferences(result).find((i) => i.about === 'software bits')?.text).toBe(layout);
  });
});

test('PAT, MTRRs and CR0.CD are those that the guest wrote last', () => {
  const [vm] = audited([
    line('q-1', 1, 'kvm_msr: msr_write 277 = 0x7040600070406'),
    line('q-1', 2, 'kvm_msr: msr_write 277 = 0x407050600070106'),
    line('q-1', 2, 'kvm_msr: msr_write 2ff = 0xc06 (#GP)'),
    line('q-1', 2, 'kvm_msr: msr_read 2ff = 0xc06'),
    line('q-1', 3, 'kvm_cr: cr_write 0 = 0xc0010033'),
  ]).vms;
  expect(vm?.state.guest.pat).toMatchObject({ place: 2, times: 2, time: 2 });
  expect(vm?.state.guest.mtrrs).toEqual([]);
  expect(vm?.state.guest.cd).toBe(true);
});

test('counts have a row for each kind of leaf that kvm_mmu_set_spte printed', () => {
  const { counts, sptes, events } = audited([
    line('q-1', 1, set('100', '6000000029c4b77')),
    line('q-1', 1, set('101', '6000000029c5b77')),
    line('q-1', 2, set('400', '86000000c0000b07')),
    line('q-1', 3, set('600', '8600000006400bf7', 2)),
  ]);
  expect({ sptes, events }).toEqual({ sptes: 4, events: 4 });
  expect(counts).toMatchObject([
    { paging: 'ept', memtype: 'UC', ipat: false, level: 1, installs: 1 },
    { paging: 'ept', memtype: 'WB', ipat: true, level: 1, installs: 2 },
    { paging: 'ept', memtype: 'WB', ipat: true, level: 2, installs: 1 },
  ]);
});

describe('entries that disagree', () => {
  test('the finding names the page of its line, whichever page of the region came first', () => {
    const result = audited([
      line('q-1', 1, set('100', '6000000029c4b77')),
      line('q-1', 2, set('202', '6000000029c5b37')),
      line('q-1', 3, set('201', '6000000029c6b37')),
      line('q-1', 4, set('200', '6000000029c7b37')),
    ]);
    expect(result.vms[0]?.regions).toMatchObject([
      { gfnStart: 0x100 },
      { gfnStart: 0x200, gfnEnd: 0x203, since: { place: 2 } },
    ]);
    const found = auditFindings(result).find(({ code }) => code === 'MT705');
    expect(found).toMatchObject({ at: { place: 2 }, mark: 'gfn 202' });
    expect(found?.text).toContain('the first of them gfn 0x202');
  });
});
