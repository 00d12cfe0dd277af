import { describe, expect, test } from 'vitest';
import { InputError } from '../src/base/diagnostic.ts';
import { answer, codes } from './ask.ts';

/** A host blob of amdgpu (USWC), handed out by Venus, on an Intel CPU with self-snoop. */
const BLOB = {
  cpu: 'intel',
  'self-snoop': 'yes',
  paging: 'ept',
  backing: 'ttm-wc',
  device: 'nosnoop',
  'map-info-from': 'venus',
} as const;

const fixOf = (r: ReturnType<typeof answer>, code: string): string =>
  r.verdicts.find((v) => v.code === code)?.fix ?? '';

const textOf = (r: ReturnType<typeof answer>, code: string): string =>
  r.verdicts.find((v) => v.code === code)?.text ?? '';

function thrown(run: () => unknown): InputError {
  try {
    run();
  } catch (error) {
    if (error instanceof InputError) return error;
  }
  throw new Error('expected an InputError');
}

describe('the VMM decides about the quirk', () => {
  test.each([
    ['qemu-10', {}, 'WB', ['MT101']],
    ['qemu-11', {}, 'WB', ['MT101']],
    ['qemu-11', { 'honor-guest-pat': 'off' }, 'WB', ['MT101']],
    ['qemu-11', { 'honor-guest-pat': 'on' }, 'WC', []],
    ['qemu-11', { 'honor-guest-pat': 'auto' }, 'WC', []],
    ['crosvm', {}, 'WB', ['MT101']],
    ['libkrun', {}, 'WB', ['MT101']],
  ])('%s %o on 6.16: %s', (vmm, more, type, errors) => {
    const r = answer({ ...BLOB, kernel: '6.16', vmm, ...more });
    expect(r.types).toEqual([type]);
    expect(codes(r, 'error')).toEqual(errors);
  });

  test.each([
    ['6.14', { 'self-snoop': 'yes' }, ['MT101', 'MT240']],
    ['6.16', { 'self-snoop': 'no' }, ['MT101', 'MT240']],
    ['6.12.78', { 'self-snoop': 'yes' }, []],
  ])('honor-guest-pat=on on %s %o', (kernel, more, errors) => {
    const flags = { ...BLOB, kernel, vmm: 'qemu-11', 'honor-guest-pat': 'on', ...more };
    expect(codes(answer(flags), 'error').filter((c) => c !== 'MT103')).toEqual(errors);
    const auto = answer({ ...flags, 'honor-guest-pat': 'auto' });
    expect(codes(auto, 'error')).not.toContain('MT240');
  });

  test('on AMD the bit is offered from 6.16 on, and the option changes nothing else', () => {
    const amd = { ...BLOB, cpu: 'amd', paging: 'npt', vmm: 'qemu-11', 'honor-guest-pat': 'on' };
    const { 'self-snoop': _, ...flags } = amd;
    expect(codes(answer({ ...flags, kernel: '6.8' }), 'error')).toEqual(['MT240']);
    expect(codes(answer({ ...flags, kernel: '6.16' }), 'error')).toEqual([]);
  });

  test('a VMM without a switch is told so, with what has one', () => {
    const r = answer({ ...BLOB, kernel: '6.16', vmm: 'libkrun' });
    expect(fixOf(r, 'MT101')).toContain('libkrun (krunvm, muvm): it has no switch');
    expect(fixOf(r, 'MT101')).toContain('honor-guest-pat=on');
  });

  test('what is said of the quirk itself goes before what the VMM is known to do', () => {
    const shim = { ...BLOB, kernel: '7.1', vmm: 'crosvm', 'quirk-ignore-guest-pat': 'off' };
    expect(answer(shim).types).toEqual(['WC']);
  });

  test('a TDX guest has the quirk disabled from birth', () => {
    expect(answer({ ...BLOB, kernel: '6.16', confidential: 'tdx' }).types).toEqual(['WC']);
  });
});

describe("crosvm's memslot flag", () => {
  const flag = { ...BLOB, vmm: 'crosvm-noncoherent-dma' };
  const RETRY = { vmm: 'crosvm-noncoherent-dma-retry' };

  test('a ChromeOS kernel honours the guest PAT in flagged slots', () => {
    expect(answer({ ...flag, policy: 'slot-flag' }).types).toEqual(['WC']);
    const cached = { ...flag, policy: 'slot-flag', backing: 'memfd', device: 'none' };
    const ring = answer({ ...cached, 'map-info-from': 'shmem' });
    expect(ring.world.result.leaf).toMatchObject({ ept: { memtype: 'WB', ipat: true } });
  });

  test('the first blob decides, up to 2024-09-20', () => {
    const r = answer({ ...flag, policy: 'slot-flag', 'first-map-info': 'cached' });
    expect(r.types).toEqual(['WB']);
    expect(codes(r, 'error', 'warning')).toEqual(['MT101', 'MT201', 'MT243']);
  });

  test.each([
    ['4.19', 'intel', 'ept', []],
    ['6.8', 'intel', 'ept', []],
    ['6.10', 'amd', 'npt', []],
    ['6.11', 'intel', 'ept', ['MT241']],
    ['6.16', 'intel', 'ept', ['MT241']],
    ['6.16', 'amd', 'npt', ['MT241']],
    ['6.16', 'intel', 'shadow', []],
  ])('it is set only where KVM reports 236 or 239: %s, %s, %s', (kernel, cpu, paging, found) => {
    const { 'self-snoop': _, ...amd } = flag;
    const r = answer({ ...(cpu === 'amd' ? amd : flag), kernel, cpu, paging });
    expect(r.verdicts.map((v) => v.code).filter((c) => /^MT24/.test(c))).toEqual(found);
    const retry = answer({ ...(cpu === 'amd' ? amd : flag), ...RETRY, kernel, cpu, paging });
    const dropped = paging === 'ept' && found.length > 0 ? ['MT242'] : [];
    expect(retry.verdicts.map((v) => v.code).filter((c) => /^MT24/.test(c))).toEqual(dropped);
  });

  test('under NPT nothing is lost without it', () => {
    const { 'self-snoop': _, ...amd } = { ...flag, cpu: 'amd', paging: 'npt', kernel: '6.16' };
    const r = answer(amd);
    expect(r.types).toEqual(['WC+']);
    expect(fixOf(r, 'MT241')).toContain('here KVM honours the guest PAT without it');
    expect(fixOf(r, 'MT241')).not.toContain('self-snoop');
  });

  test('upstream it is the making of the window that fails: by its first blob', () => {
    const { 'map-info-from': _, ...blob } = { ...flag, kernel: '6.16' };
    const found = (own: string, first: string, vmm = blob.vmm): readonly string[] =>
      answer({ ...blob, vmm, 'map-info': own, 'first-map-info': first })
        .verdicts.map((v) => v.code)
        .filter((c) => /^MT24/.test(c));
    expect(found('wc', 'cached')).toEqual([]);
    expect(found('cached', 'wc')).toEqual(['MT241']);
    expect(found('wc', 'cached', RETRY.vmm)).toEqual(['MT242']);
  });

  test('from 2024-09-20 on no first blob decides', () => {
    const first = { ...flag, ...RETRY, policy: 'slot-flag', 'first-map-info': 'cached' };
    const r = answer(first);
    expect(r.types).toEqual(['WC']);
    expect(r.verdicts.map((v) => v.code)).not.toContain('MT243');
  });

  test('upstream KVM: EINVAL, or WB without a word', () => {
    expect(codes(answer({ ...flag, kernel: '6.16' }), 'error')).toEqual(['MT101', 'MT241']);
    const retry = answer({ ...flag, vmm: 'crosvm-noncoherent-dma-retry', kernel: '6.16' });
    expect(codes(retry, 'error', 'warning')).toEqual(['MT101', 'MT201', 'MT242']);
  });
});

describe('the firmware decides about cached blobs', () => {
  const cached = {
    cpu: 'amd',
    paging: 'npt',
    kernel: '6.16',
    backing: 'ttm-cached',
    device: 'snoop',
    'map-info': 'cached',
    'guest-place': 'hostmem-bar',
  };

  test.each([
    ['seabios', 'WB', []],
    ['ovmf', 'CD', ['MT220', 'MT301']],
    ['ovmf-hostmem-wb', 'WB', []],
    ['none', 'CD', ['MT220', 'MT301']],
  ])('%s: %s', (firmware, type, warnings) => {
    const r = answer({ ...cached, firmware });
    expect(r.types).toEqual([type]);
    expect(codes(r, 'warning')).toEqual(warnings);
  });

  test('a VMM that boots the kernel itself writes the plan', () => {
    const r = answer({ ...cached, vmm: 'libkrun' });
    expect(r.types).toEqual(['WB']);
    expect(r.assumptions).toContainEqual({
      fact: 'firmware',
      value: 'default-wb',
      why: expect.stringContaining('is taken to boot the kernel itself, without a firmware'),
    });
  });

  test.each([
    ['firecracker', 'default-wb', 'Firecracker 1.14.0'],
    ['cloud-hypervisor', 'default-wb', 'cloud-hypervisor of 2019-08-01'],
    ['crosvm', 'crosvm', 'crosvm of 2019-11-27'],
  ])('%s of before wrote none, and the answer stays open', (vmm, plan, from) => {
    const r = answer({ ...cached, vmm });
    expect(r.types).toEqual(['WB', 'CD']);
    expect(r.unknown).toEqual(['firmware']);
    expect(codes(r, 'warning')).toEqual([]);
    expect(r.assumptions).toContainEqual({
      fact: 'firmware',
      value: `${plan} or none`,
      why: expect.stringContaining(`MTRRs are written by ${from}`),
    });
    expect(answer({ ...cached, vmm, firmware: plan }).types).toEqual(['WB']);
  });

  test('that KVM takes MTRRs which are off for UC is said to rest on CPUID', () => {
    const off = {
      cpu: 'intel',
      'self-snoop': 'yes',
      paging: 'ept',
      'noncoherent-dma': 'yes',
      firmware: 'none',
      'guest-place': 'ram',
      guest: 'WB',
      backing: 'memfd',
      device: 'none',
    };
    const stated = (kernel: string): readonly string[] =>
      answer({ ...off, kernel })
        .assumptions.filter((a) => a.fact === 'guest-mtrr')
        .map((a) => a.value);
    expect(answer({ ...off, kernel: '6.6' }).types).toEqual(['UC']);
    expect(stated('6.6')).toEqual(['UC']);
    expect(stated('4.1')).toEqual([]);
    expect(stated('6.11')).toEqual([]);
  });

  test('Intel by default hides it; opted out, it is slow', () => {
    const intel = { ...cached, cpu: 'intel', paging: 'ept', 'self-snoop': 'yes', firmware: 'ovmf' };
    expect(answer(intel).types).toEqual(['WB']);
    expect(answer({ ...intel, 'quirk-ignore-guest-pat': 'off' }).types).toEqual(['UC']);
  });

  test('a WC request does not ask the MTRRs', () => {
    const wc = { ...cached, firmware: 'ovmf', backing: 'ttm-wc', 'map-info': 'wc' };
    expect(answer(wc).types).toEqual(['WC+']);
  });

  test('a place that is not known is a question', () => {
    const { 'guest-place': _, ...open } = cached;
    const r = answer({ ...open, firmware: 'ovmf' });
    expect(r.types).toEqual(['WB', 'CD']);
    expect(r.unknown).toContain('guest-place');
  });

  test('KVM up to 6.10 with non-coherent DMA goes by the plan: crosvm before it wrote one', () => {
    const igd = {
      cpu: 'intel',
      'self-snoop': 'yes',
      paging: 'ept',
      kernel: '4.19',
      backing: 'memfd',
      guest: 'WB',
      'noncoherent-dma': 'yes',
      'guest-place': 'ram',
    };
    expect(answer({ ...igd, firmware: 'none' }).types).toEqual(['UC']);
    expect(answer({ ...igd, vmm: 'crosvm' }).types).toEqual(['UC', 'WB']);
    expect(answer({ ...igd, vmm: 'crosvm', firmware: 'crosvm' }).types).toEqual(['WB']);
  });
});

describe('who maps it in the guest', () => {
  const amd = { cpu: 'amd', paging: 'npt', kernel: '6.8', backing: 'ttm-wc', device: 'nosnoop' };

  test.each([
    ['virtio-wl', 'WB', ['MT101', 'MT103']],
    ['own-page-tables-wb', 'WB', ['MT101', 'MT103']],
  ])('%s asks %s whatever the host says', (driver, type, errors) => {
    const r = answer({ ...amd, 'guest-driver': driver, 'guest-mtrr': 'WB' });
    expect(r.types).toEqual([type]);
    expect(codes(r, 'error')).toEqual(errors);
  });

  test('its own page tables ask no MTRR', () => {
    const r = answer({ ...amd, 'guest-driver': 'own-page-tables-wb', 'guest-mtrr': 'UC' });
    expect(r.types).toEqual(['WB']);
  });

  test('bochs: UC- by an earlier ioremap(), WC by ioremap_wc()', () => {
    const vram = { cpu: 'amd', paging: 'npt', kernel: '6.11', backing: 'memfd', device: 'none' };
    expect(answer({ ...vram, 'guest-driver': 'bochs-ioremap' }).types).toEqual(['CD']);
    expect(answer({ ...vram, 'guest-driver': 'bochs-ioremap-wc' }).types).toEqual(['WC+']);
  });

  test('a PAT index is a type only together with the PAT', () => {
    const bar = { cpu: 'amd', paging: 'npt', kernel: '6.8', backing: 'bar-wc', 'pat-index': '1' };
    expect(answer({ ...bar, 'pat-layout': 'linux' }).types).toEqual(['WC']);
    const xen = answer({ ...bar, 'pat-layout': 'xen' });
    expect(codes(xen, 'warning')).toContain('MT224');
    expect(() => answer(bar)).toThrow('a PAT index means nothing without the PAT');
  });
});

describe('map_info guessed wrong', () => {
  test('cached for an integrated Intel GPU without LLC: stale with the guest PAT honoured, too', () => {
    const r = answer({
      cpu: 'intel',
      'self-snoop': 'yes',
      paging: 'ept',
      kernel: '6.16',
      'quirk-ignore-guest-pat': 'off',
      backing: 'i915-dmabuf',
      device: 'nosnoop',
      'map-info-from': 'gbm-i915',
      'guest-mtrr': 'WB',
    });
    expect(r.types).toEqual(['WB']);
    expect(codes(r, 'error', 'warning')).toEqual(['MT101', 'MT230']);
  });

  test('Venus may call cached what ANV made WC for export: stale with the guest PAT honoured, too', () => {
    const r = answer({
      cpu: 'intel',
      'self-snoop': 'yes',
      paging: 'ept',
      kernel: '6.16',
      'quirk-ignore-guest-pat': 'off',
      backing: 'xe-wc',
      device: 'nosnoop',
      'map-info-from': 'venus',
      'guest-mtrr': 'WB',
    });
    expect(r.types).toEqual(['WC', 'WB']);
    const possible = r.verdicts.filter((v) => !v.certain);
    expect(possible.map((v) => v.code)).toEqual(['MT101', 'MT230', 'MT105']);
    for (const v of possible) expect(v.when).toEqual([{ fact: 'map-info', values: ['cached'] }]);
  });

  test('not cached for cached memory: coherent and slow to read', () => {
    const r = answer({
      cpu: 'amd',
      paging: 'npt',
      kernel: '6.8',
      backing: 'ttm-cached',
      device: 'snoop',
      'map-info-from': 'amdgpu-native-2023',
      workload: 'reads',
    });
    expect(codes(r, 'error', 'warning')).toEqual(['MT231', 'MT304']);
  });
});

describe('another hypervisor, and what was found installed', () => {
  const thin = {
    cpu: 'intel',
    policy: 'mtrr-to-ept',
    paging: 'ept',
    guest: 'WB',
    'host-mtrr-ranges': 'WB 0-16G, UC 2G-4G',
    'host-mtrr-default': 'UC',
  };

  test.each([
    ['4G', 'ram', 'WB'],
    ['3G', 'bar', 'UC'],
    ['20G', 'ram', 'UC'],
  ])('at %s the MTRRs give %s %s', (hpa, backing, type) => {
    expect(answer({ ...thin, hpa, backing }).types).toEqual([type]);
  });

  test('UC where the MTRRs say WB is named, with the right leaf', () => {
    const r = answer({ ...thin, hpa: '4G', backing: 'ram', 'installed-leaf': 'UC' });
    expect(codes(r, 'error')).toEqual(['MT213']);
    expect(fixOf(r, 'MT213')).toContain('Install WB');
    const right = answer({ ...thin, hpa: '4G', backing: 'ram', 'installed-leaf': 'WB' });
    expect(codes(right, 'error')).toEqual([]);
  });

  test('WB over a device is a machine-check risk', () => {
    const r = answer({ ...thin, hpa: '3G', backing: 'bar', 'installed-leaf': 'WB' });
    expect(r.verdicts.find((v) => v.code === 'MT213')?.text).toContain('machine-check risk');
  });

  test('what it does to an access is worked out with the guest PAT', () => {
    const hole = {
      ...thin,
      'host-mtrr-ranges': 'UC 0xfed00000-0xfee00000',
      'host-mtrr-default': 'WB',
      hpa: '0xfed00000',
      backing: 'bar',
      'installed-leaf': 'WB',
    };
    expect(textOf(answer(hole), 'MT213')).toContain('WB instead of UC: cacheable');
    const uc = textOf(answer({ ...hole, guest: 'UC' }), 'MT213');
    expect(uc).toContain('UC all the same, by the page tables (UC); one that counts on the MTRR');
  });

  const ram = { hpa: '4G', backing: 'ram', 'installed-leaf': 'UC' };
  const device = { hpa: '3G', backing: 'bar', 'installed-leaf': 'WB' };
  const low = { ...ram, hpa: '0x1000', 'host-mtrr-fixed': 'WB' };
  const vga = { hpa: '0xa0000', backing: 'vga-hole', 'installed-leaf': 'WB' };

  test.each([
    ['WB 0-16G', 'UC', ram, 'the match is not kept'],
    ['WB 0-16G', 'UC', ram, 'never raise it'],
    ['UC 3G-4G, WB 0-8G', 'UC', device, 'the last one'],
    ['WB 0-8G, UC 3G-4G', 'UC', device, 'the first one'],
    ['WB 0-8G, UC 3G-4G', 'UC', device, 'WB for every page'],
    ['WB 0-8G', 'UC', { ...vga, 'host-mtrr-fixed': 'UC' }, 'the fixed ranges left out'],
    ['WB 0-8G', 'WB', low, 'UC for everything below 1 MiB'],
    ['UC 1G-1025M', 'WB', { ...ram, hpa: '1025M' }, 'a 2 MiB leaf over ranges of several types'],
    ['WB 0-8G', 'UC', { ...ram, 'installed-leaf': 'WP' }, 'Usual mistakes'],
  ])('%s, default %s, %o: %s', (ranges, base, page, words) => {
    const mtrrs = { 'host-mtrr-ranges': ranges, 'host-mtrr-default': base };
    expect(fixOf(answer({ ...thin, ...mtrrs, ...page }), 'MT213')).toContain(words);
  });

  test('rules of KVM are not built from MTRRs: no such mistakes are named', () => {
    const { 'host-mtrr-ranges': _, 'host-mtrr-default': __, policy: ___, ...kvm } = thin;
    const r = answer({ ...kvm, kernel: '6.16', backing: 'ram', 'installed-leaf': 'UC' });
    expect(fixOf(r, 'MT213')).toContain('These rules of KVM install WB+IPAT');
  });

  test('a host layout and a host MTRR are not both said', () => {
    expect(() => answer({ ...thin, hpa: '1G', backing: 'ram', 'host-mtrr': 'WB' })).toThrow(
      'both say what the host MTRR is',
    );
  });
});

describe('a confidential guest', () => {
  const tdx = { cpu: 'intel', kernel: '6.16', paging: 'ept', confidential: 'tdx', guest: 'WB' };

  test('MTRRs that are off make no RAM uncached, and no BAR cached', () => {
    const ram = answer({ ...tdx, backing: 'ram', firmware: 'none' });
    expect(ram.types).toEqual(['WB']);
    expect(textOf(ram, 'MT223')).toContain("the type of the guest's page tables, here WB");
    const bar = answer({ ...tdx, backing: 'bar', firmware: 'none' });
    expect(bar.types).toEqual(['UC']);
    expect(textOf(bar, 'MT223')).toContain('No UC is lost');
  });
});

describe('what the guest does there', () => {
  test('reads of a BAR that is not even WC are slow, too', () => {
    const bar = { cpu: 'amd', paging: 'npt', kernel: '6.8', backing: 'bar-wc', workload: 'reads' };
    expect(textOf(answer({ ...bar, guest: 'WB' }), 'MT304')).toContain('device memory that is UC');
    expect(textOf(answer({ ...bar, guest: 'WC' }), 'MT304')).toContain('memory that is WC');
    expect(codes(answer({ ...bar, guest: 'WB', workload: 'writes' }), 'warning')).toEqual([]);
  });

  test('of what may hold, what makes it slow comes first once it is said', () => {
    const open = { kernel: '5.16', backing: 'memfd', guest: 'WC', device: 'none' };
    expect(answer(open).verdicts[0]?.code).toBe('MT201');
    expect(answer({ ...open, workload: 'reads' }).verdicts[0]?.code).toBe('MT304');
  });

  test('WC for RAM that no device reads is not worth having', () => {
    const ram = { cpu: 'intel', paging: 'ept', kernel: '5.16', backing: 'memfd', guest: 'WC' };
    expect(fixOf(answer({ ...ram, device: 'none' }), 'MT201')).toContain('Leave it');
    expect(fixOf(answer(ram), 'MT201')).not.toContain('Leave it');
  });
});

describe('another architecture', () => {
  test.each(['arm64', 'aarch64', 'ARMv8'])('%s is told what differs', (cpu) => {
    const error = thrown(() => answer({ cpu, backing: 'memfd' }));
    expect(error.message).toBe(`memtype answers for x86 only, not for ${cpu}`);
    expect(error.diagnostics[0]?.help).toContain('an uncached access snoops no cache');
  });
});
