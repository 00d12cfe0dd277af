import { describe, expect, test } from 'vitest';
import { cite } from '../../cite/sources.ts';
import { SPANS } from '../../kvm/timeline.ts';
import { BESIDE, MAINLINE, RELEASES } from './releases.ts';
import {
  exitCodeOfTimeline,
  type SideBranch,
  type Stretch,
  type Timeline,
  timeline,
} from './timeline.ts';

/** "cpu=intel guest=WC,WB" */
function ask(line: string): Timeline {
  return timeline(
    line.split(' ').map((part) => {
      const [key = '', values = ''] = part.split('=');
      return { key, words: values.split(';').map((text) => ({ text })) };
    }),
  );
}

/** The commits (or code) of a stretch, as the register names them. */
const sources = ({ causes }: Stretch | SideBranch): string => causes.map((c) => c.source).join(' ');

/** "kernels: types, leaf", then the commits that began it. */
function told(all: readonly (Stretch | SideBranch)[]): readonly string[] {
  return all.map((s) => {
    const { types, leaf } = s.answer;
    const by = sources(s);
    return `${s.kernels}: ${types.join('|')}, ${leaf ?? 'differs'}${by === '' ? '' : ` < ${by}`}`;
  });
}

const EPT = 'cpu=intel paging=ept self-snoop=yes';

describe('mainline', () => {
  test('reads in order, every release once, and stable series stand beside it', () => {
    const froms = MAINLINE.map(({ from }) => from.text);
    expect(froms[0]).toBe('2.6.26-rc2');
    expect(froms.filter((v) => /^[3-9]\.\d+\.\d/.test(v))).toEqual([]);
    expect(MAINLINE.map(({ to }) => to?.text ?? null)).toEqual([...froms.slice(1), null]);
    const beside = BESIDE.flatMap(({ runs }) => runs.map(({ from }) => from.text));
    for (const { from } of SPANS) {
      if (!froms.includes(from.text)) expect(beside).toContain(from.text);
    }
    expect(froms).toContain('4.15-rc1');
    expect(RELEASES.at(0)?.text).toBe('2.6.26');
    expect(RELEASES.at(-1)?.text).toBe('7.3');
    expect(RELEASES).toHaveLength(99);
  });
});

describe('the history of one access', () => {
  test('WC memory of a GPU, in a guest that wants WC: lost in 2.6.28, back for seven candidates', () => {
    const t = ask(`${EPT} backing=ttm-wc guest=WC guest-mtrr=WB device=nosnoop`);
    expect(told(t.stretches)).toEqual([
      '2.6.26-rc2 to 2.6.28-rc4: WC, EPT WB, IPAT=0',
      '2.6.28-rc5 to 2.6.28: WB, EPT WB+IPAT < kvm/928d4bf747e9',
      '2.6.29 to 2.6.30: WB, EPT WB+IPAT < kvm/64d4d5217571',
      '2.6.31 to 5.13-rc: WB, EPT WB+IPAT < kvm/522c68c4416d',
      '5.13 to 6.10: WB, EPT WB+IPAT < kvm/f8be156be163',
      '6.11-rc: WC, EPT WB, IPAT=0 < kvm/377b2f359d1f',
      '6.11 to 6.12: WB, EPT WB+IPAT < kvm/9d70f3fec144',
      '6.13 to 7.3: WB, EPT WB+IPAT < mail/kvm-no-refcount',
    ]);
    expect(t.stretches.map(({ answer }) => answer.errors.includes('MT101'))).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
      true,
      true,
    ]);
    expect(t.branches.map((b) => [b.kernels, b.as?.kernels])).toEqual([
      ['4.19.199 and later 4.19.y', '5.13 to 6.10'],
      ['5.4.129 and later 5.4.y', '5.13 to 6.10'],
      ['5.10.47 and later 5.10.y', '5.13 to 6.10'],
      ['5.12.14 and later 5.12.y', '5.13 to 6.10'],
    ]);
    expect(exitCodeOfTimeline(t)).toBe(1);
  });

  test('the opt-out brings it back from 6.16 on, in 6.12.78, and in one kernel of Ubuntu', () => {
    const t = ask(`${EPT} backing=vgem-wc guest=WC quirk-ignore-guest-pat=off`);
    expect(told(t.stretches).slice(-2)).toEqual([
      '6.11 to 6.15: WB, EPT WB+IPAT < kvm/9d70f3fec144',
      '6.16 to 7.3: WC, EPT WB, IPAT=0 < kvm/c9c1e20b4c7d',
    ]);
    expect(told(t.branches)).toEqual([
      'Ubuntu 6.8.0-136-generic and later: WC, EPT WB, IPAT=0 < kvm/c9c1e20b4c7d',
      '6.12.78 and later 6.12.y: WC, EPT WB, IPAT=0 < kvm/c9c1e20b4c7d',
    ]);
    expect(t.branches.map((b) => b.as)).toEqual([
      { kernels: '6.16 to 7.3', exactly: true },
      { kernels: '6.16 to 7.3', exactly: true },
    ]);
    const ttm = ask(`${EPT} backing=ttm-wc guest=WC quirk-ignore-guest-pat=off`).branches.at(-1);
    expect(ttm?.kernels).toBe('6.12.78 and later 6.12.y');
    expect(ttm?.as).toEqual({ kernels: '6.16 to 7.3', exactly: false });
  });

  test('the frame buffer of bochs-drm, mapped UC-: slow in the candidates of 6.11 only', () => {
    const t = ask(`${EPT} backing=ram guest=UC- guest-mtrr=WB workload=writes`);
    const slow = t.stretches.filter(({ answer }) => answer.types.join() === 'UC');
    expect(slow.map(({ kernels }) => kernels)).toEqual(['2.6.26-rc2 to 2.6.28-rc4', '6.11-rc']);
    expect(slow.every(({ answer }) => answer.warnings.includes('MT301'))).toBe(true);
    expect(told(t.stretches).at(-1)).toMatch(/^6\.11 to 7\.3: WB.*9d70f3fec144$/);
  });

  test('the shared zero page: four changes of kvm_is_mmio_pfn()', () => {
    const t = ask(`${EPT} backing=zero guest=WB guest-mtrr=WB`);
    const told1 = told(t.stretches).filter((line) => /^(?:2.6.29-rc6|3|4)/.test(line));
    expect(told1).toEqual([
      '2.6.29-rc6 to 3.17-rc: UC, EPT UC, IPAT=0 < kvm/2aaf69dcee86',
      '3.17 to 3.18-rc: WB, EPT WB+IPAT < kvm/85c8555ff07e',
      '3.18 to 4.1: UC, EPT UC, IPAT=0 < kvm/bf4bea8e9a90',
      '4.2-rc1: UC|WB, differs < kvm/fd717f11015f',
      '4.2-rc2 to 6.10: WB, EPT WB+IPAT < kvm/d1fe9219551e',
    ]);
    expect(t.stretches.filter((s) => s.unsettled).map((s) => s.kernels)).toEqual(['4.2-rc1']);
  });

  test('a BAR that the guest maps cached: machine checks in 4.2', () => {
    const t = ask(`${EPT} backing=bar guest=WB guest-mtrr=WB`);
    const wb = t.stretches.filter(({ answer }) => answer.types.join() === 'WB');
    expect(wb.map(({ kernels }) => kernels)).toEqual([
      '2.6.26-rc2 to 2.6.28-rc4',
      '2.6.28-rc5 to 2.6.29-rc5',
      '4.2-rc4 to 4.3-rc3',
    ]);
    expect(wb.every(({ answer }) => answer.errors.includes('MT401'))).toBe(true);
    const open = t.stretches.filter((s) => s.unsettled).map((s) => [s.kernels, sources(s)]);
    expect(open).toEqual([
      ['4.2-rc1 to 4.2-rc3', 'kvm/fd717f11015f'],
      ['4.3-rc4', 'kvm/606decd67049'],
    ]);
    expect(told(t.branches)).toEqual([
      '4.2.4 and later 4.2.y: UC, EPT UC, IPAT=0 < kvm/606decd67049',
    ]);
    expect(t.branches[0]?.as?.kernels).toBe('4.3-rc5 to 7.3');
  });

  test('WC on AMD: not passed on, imitated as IPAT, and honoured since 4.15 and 4.14.3', () => {
    const t = ask('cpu=amd paging=npt backing=ram guest=WC');
    expect(told(t.stretches)).toEqual([
      '2.6.26-rc2 to 4.1: WT, NPT leaf WB, guest PAT not passed on',
      '4.2-rc1 to 4.2-rc3: WT|WB, differs < kvm/3c2e7f7de324',
      '4.2-rc4 to 4.3-rc3: WB, NPT leaf WB, guest PAT replaced by all WB',
      '4.3-rc4: WT|WB, differs < kvm/fc07e76ac7ff',
      '4.3-rc5 to 4.14: WT, NPT leaf WB, guest PAT not passed on',
      '4.15 to 7.3: WC+, NPT leaf WB, guest PAT honoured < kvm/15038e147247',
    ]);
    expect(told(t.branches)).toEqual([
      '4.2.4 and later 4.2.y: WT, NPT leaf WB, guest PAT not passed on < kvm/fc07e76ac7ff',
      '4.14.3 and later 4.14.y: WC+, NPT leaf WB, guest PAT honoured < kvm/15038e147247',
    ]);
  });

  test('a guest that relies on MTRRs for non-coherent DMA loses them in 6.11', () => {
    const t = ask(`${EPT} noncoherent-dma=yes guest-mtrr=UC guest=WB backing=ram`);
    expect(told(t.stretches).slice(2)).toEqual([
      '2.6.29 to 2.6.30: UC, EPT UC+IPAT < kvm/64d4d5217571',
      '2.6.31 to 6.10: UC, EPT UC, IPAT=0 < kvm/522c68c4416d',
      '6.11 to 7.3: WB, EPT WB, IPAT=0 < kvm/0a7b73559b39',
    ]);
  });

  test('the firmware phase: the quirk in 4.2, without IPAT in 6.7', () => {
    const t = ask(`${EPT} noncoherent-dma=yes guest-mtrr=UC guest=WC backing=ram cr0-cd=1`);
    expect(told(t.stretches).slice(3)).toEqual(
      [
        '2.6.31 to 4.1: WC, EPT UC, IPAT=0 < kvm/522c68c4416d',
        '4.2-rc1 to 4.2-rc3: WC|WB, differs < kvm/b18d5431acc7 kvm/fb279950ba02',
        '4.2-rc4 to 6.6: WB, EPT WB+IPAT < kvm/fb279950ba02',
        '6.7 to 7.3: WC, EPT WB, IPAT=0 < kvm/c9f65a3f2d92',
      ].map((line, i) => (i === 2 ? line.replace(/ <.*/, '') : line)),
    );
  });

  test('the same with the quirk disabled: UC from 4.2 to 6.10', () => {
    const t = ask(
      `${EPT} noncoherent-dma=yes guest-mtrr=WB guest=WC backing=ram cr0-cd=1 quirk-cd-nw-cleared=off`,
    );
    const uc = t.stretches.filter((s) => s.answer.leaf === 'EPT UC+IPAT');
    expect(uc.map(({ kernels }) => kernels)).toEqual(['4.2-rc4 to 6.10']);
    const open = t.stretches.find((s) => s.unsettled);
    expect(open === undefined ? '' : sources(open)).toBe('kvm/b18d5431acc7');
    expect(told(t.stretches).at(-1)).toBe('6.11 to 7.3: WC, EPT WB, IPAT=0 < kvm/e1548088ff54');
  });
});

describe('a timeline', () => {
  test('with nothing that changed ends with 0, and with nothing that is settled with 3', () => {
    const never = ask('cpu=intel paging=shadow backing=ram guest=WC');
    expect(told(never.stretches)).toEqual([
      '2.6.26-rc2 to 7.3: WB, shadow PTE WB, guest PAT ignored',
    ]);
    expect(exitCodeOfTimeline(never)).toBe(0);
    const open = ask('cpu=intel guest=WC');
    expect(exitCodeOfTimeline(open)).toBe(3);
    expect(open.unknown).toContain('backing');
    expect(open.unknown).not.toContain('kernel');
  });

  test('says where KVM runs no such guest', () => {
    const t = ask('confidential=tdx backing=ram guest=WC');
    const [first, second] = t.stretches;
    expect(first?.kernels).toBe('2.6.26-rc2 to 6.15');
    expect(first?.answer.refused?.by).toBe('kvm');
    expect(second?.answer.types).toEqual(['WC']);
    expect(second?.causes).toEqual([]);
    expect(t.branches).toEqual([]);
  });

  test('refuses facts that name a kernel', () => {
    for (const named of ['kernel=6.8', 'policy=E8', 'quirks2=0x3ff']) {
      expect(() => ask(`${EPT} ${named}`)).toThrow(/a timeline asks every kernel/);
    }
    expect(() => ask('cpu=amd paging=ept')).toThrow(/does not go with/);
  });

  test('is the same every time, and every source has a citation', () => {
    const line = 'cpu=amd paging=npt backing=zero guest=WC cr0-cd=1 quirk-cd-nw-cleared=off';
    expect(JSON.stringify(ask(line))).toBe(JSON.stringify(ask(line)));
    for (const { causes } of ask(line).stretches) {
      for (const { source } of causes) expect(cite(source)).toMatch(/\w/);
    }
  });
});
