import { describe, expect, test } from 'vitest';
import { asQemu, changed, codesOf, load } from '../../../test/hosts.ts';
import { collect } from '../../host/collect.ts';
import { describedHost, type HostDescription } from '../../host/described-host.ts';
import { doctorText } from '../../report/doctor-text.ts';
import { reduceTrace, TRACED_PAGES_MAX } from '../../trace/reduce.ts';
import { type Diagnosis, diagnose, doctorExitCode } from '../diagnosis/diagnose.ts';
import { gather } from '../gather.ts';
import { frameRuns, runBytes } from './trace-facts.ts';

/** Of a real run on 6.12.113 with EPT: anonymous memory, memfd, a BAR, vgem, the VGA hole. */
const FORCED = `# tracer: nop
           kvmmt-179     [000] ...1.    16.399792: kvm_mmu_spte_requested: gfn 40000 pfn 2bee level 1
           kvmmt-179     [000] ...1.    16.399793: kvm_tdp_mmu_spte_changed: as id 0 gfn 0 level 2 old_spte 8000000000000000 new_spte 8000000007e64907
           kvmmt-179     [000] ...1.    16.399794: kvm_mmu_set_spte: gfn 40000 spte 8600000002beeb77 (rwxu) level 1 at 7e62000
           kvmmt-179     [000] ...1.    16.399819: kvm_mmu_set_spte: gfn 41000 spte 8600000006400bf7 (rwxu) level 2 at 7e63040
           kvmmt-179     [000] ...1.    16.399848: kvm_mmu_spte_requested: gfn 43000 pfn 339a level 1
           kvmmt-179     [000] ...1.    16.399849: kvm_mmu_set_spte: gfn 43000 spte 860000000339ab77 (rwxu) level 1 at 7e60000
           kvmmt-179     [000] ...1.    16.399897: kvm_mmu_spte_requested: gfn 46000 pfn c0000 level 1
           kvmmt-179     [000] ...1.    16.399898: kvm_mmu_set_spte: gfn 46000 spte 86000000c0000b07 (rwxu) level 1 at 7e5d000
           kvmmt-179     [000] ...1.    16.399953: kvm_mmu_spte_requested: gfn 49000 pfn 597c level 1
           kvmmt-179     [000] ...1.    16.399954: kvm_mmu_set_spte: gfn 49000 spte 860000000597cb77 (rwxu) level 1 at 7e58000
`;
const VGA = `           kvmmt-179     [000] ...1.    16.400002: kvm_mmu_spte_requested: gfn 4c000 pfn a0 level 1
           kvmmt-179     [000] ...1.    16.400003: kvm_mmu_set_spte: gfn 4c000 spte 86000000000a0b77 (rwxu) level 1 at 7e55000
`;
/** The same VM after it has disabled KVM_X86_QUIRK_IGNORE_GUEST_PAT. */
const HONOURED = `           kvmmt-179     [000] ...1.    16.526403: kvm_mmu_set_spte: gfn 40000 spte 8600000002beeb37 (rwxu) level 1 at 7e31000
           kvmmt-179     [000] ...1.    16.526504: kvm_mmu_set_spte: gfn 46000 spte 86000000c0000b07 (rwxu) level 1 at 7e5e000
           kvmmt-179     [000] ...1.    16.526558: kvm_mmu_set_spte: gfn 49000 spte 860000000597cb37 (rwxu) level 1 at 7e59000
`;

/** KPF_ARCH: the frame of vgem is WC. A BAR has no struct page. All others: WB. */
const FLAGS: Readonly<Record<number, string>> = {
  22908: '2c40040040000000',
  786432: '0000100000000000',
};
const WB = '3848000000000000';

function hostWith(host: HostDescription, trace: string, tasks: readonly string[]): HostDescription {
  const runs = frameRuns(trace, 'ept');
  const bytes = Object.fromEntries(
    runs.map((run) => {
      const frames = Array.from({ length: run.count }, (_, i) => FLAGS[run.first + i] ?? WB);
      return [`/proc/kpageflags ${runBytes(run).offset}`, frames.join('')];
    }),
  );
  return { ...changed(host, { directories: { '/proc/100/task': tasks } }), bytes };
}

async function traced(
  host: HostDescription,
  text: string,
  tasks = ['100', '179'],
): Promise<Diagnosis> {
  const trace = reduceTrace(text).text;
  return diagnose(
    gather(await collect(describedHost(hostWith(host, trace, tasks)), null, { trace })),
  );
}

const HOST = load('ept-6.12-self-snoop');
const rowsOf = (d: Diagnosis) =>
  d.traces[0]?.rows.map((r) => `${r.host}: ${r.installed} ${r.pages}`);

describe('a trace, joined with the page flags', () => {
  test('shows the founding bug', async () => {
    const d = await traced(HOST, FORCED);
    expect(rowsOf(d)).toEqual(['WB: WB+IPAT 3', 'WC: WB+IPAT 1', 'device: UC 1']);
    const found = d.findings.find((f) => f.code === 'MT620');
    expect(found).toMatchObject({ severity: 'error', certain: true, places: ['VM 100'] });
    expect(found?.text).toBe(
      '1 of 5 pages that the trace has: gfn 0x49000 is pfn 0x597c, WC on the host, and KVM maps it WB+IPAT.',
    );
    expect(found?.fix).toMatch(/honor-guest-pat=on/);
    expect(doctorExitCode(d)).toBe(1);
    expect(doctorText(d)).toContain('    WC           WB+IPAT        1      49000/597c');
  });

  test('settles the quirk of a VMM whose options do not tell', async () => {
    const before = await traced(HOST, '');
    expect(before.vms[0]?.quirk).toEqual(['on', 'off']);
    expect((await traced(HOST, FORCED)).vms[0]?.quirk).toEqual(['on']);
    const honoured = await traced(HOST, HONOURED);
    expect(honoured.vms[0]?.quirk).toEqual(['off']);
    expect(codesOf(honoured)).not.toContain('MT620');
    expect(rowsOf(honoured)).toEqual(['WB: WB 1', 'WC: WB 1', 'device: UC 1']);
  });

  test('of both states the last one counts', async () => {
    expect((await traced(HOST, FORCED + HONOURED)).vms[0]?.quirk).toEqual(['off']);
    expect((await traced(HOST, HONOURED + FORCED)).vms[0]?.quirk).toEqual(['on']);
  });

  test('beats what the options say', async () => {
    const qemu = asQemu(HOST, '-accel', 'kvm,honor-guest-pat=on');
    expect((await traced(qemu, FORCED)).vms[0]?.quirk).toEqual(['on']);
  });

  test('shows device memory mapped cacheable', async () => {
    const d = await traced(HOST, VGA);
    expect(d.findings.find((f) => f.code === 'MT623')?.text).toContain(
      'gfn 0x4c000 is pfn 0xa0, device',
    );
  });

  test('RAM mapped UC is a finding of its own', async () => {
    const d = await traced(HOST, FORCED.replaceAll('2beeb77', '2beeb07'));
    expect(d.findings.find((f) => f.code === 'MT622')?.text).toMatch(
      /^1 of 5 pages .* maps it UC\.$/,
    );
  });

  test('of threads that run no VM here nothing is certain', async () => {
    const d = await traced(HOST, FORCED, ['100']);
    expect(d.traces.map((t) => t.vm)).toEqual([null]);
    expect(d.findings.find((f) => f.code === 'MT620')?.certain).toBe(false);
    expect(d.vms[0]?.quirk).toEqual(['on', 'off']);
  });

  test('without page flags it is said what is missing', async () => {
    const trace = reduceTrace(FORCED).text;
    const d = diagnose(gather(await collect(describedHost(HOST), null, { trace })));
    expect(codesOf(d)).not.toContain('MT620');
    expect(d.unknowns.map((u) => u.what)).toContain(
      'the type on the host of 5 of 5 pages of the trace',
    );
  });

  test('where another hypervisor is below nothing of it is certain', async () => {
    const cpuinfo = String(HOST.files['/proc/cpuinfo']).replace(/^flags.*$/m, '$& hypervisor');
    const d = await traced(changed(HOST, { files: { '/proc/cpuinfo': cpuinfo } }), FORCED);
    expect(d.findings.filter((f) => f.code === 'MT620').every((f) => !f.certain)).toBe(true);
  });
});

describe('the reduced trace', () => {
  test('is its own reduction', () => {
    const once = reduceTrace(FORCED + VGA + HONOURED).text;
    expect(reduceTrace(once).text).toBe(once);
  });

  test('keeps the last pages, and says how many it left out', () => {
    const pages = TRACED_PAGES_MAX + 10;
    const lines = Array.from({ length: pages }, (_, i) => {
      const gfn = i.toString(16);
      return `a-1 [000] ..... 1.0: kvm_mmu_set_spte: gfn ${gfn} spte 6000001${gfn.padStart(5, '0')}b77 (rwxu) level 1 at 0`;
    });
    const reduced = reduceTrace(lines.join('\n'));
    expect(reduced.counts).toEqual({ events: pages, unreadable: 0, dropped: 10 });
    expect(reduced.pages[0]?.gfn).toBe(10);
    expect(reduceTrace(reduced.text).counts).toEqual(reduced.counts);
  });

  test('a large page stands once, whatever page inside of it was asked for', async () => {
    const text = [
      'a-179 [000] ..... 1.0: kvm_mmu_spte_requested: gfn 4104d pfn 644d level 2',
      'a-179 [000] ..... 1.0: kvm_mmu_set_spte: gfn 41000 spte 8600000006400bf7 (rwxu) level 2 at 0',
    ].join('\n');
    expect(rowsOf(await traced(HOST, text))).toEqual(['WB: WB+IPAT 1']);
  });

  test('names of tasks are not kept', () => {
    expect(reduceTrace(FORCED).text).not.toContain('kvmmt');
  });
});
