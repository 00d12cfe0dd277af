import { expect, test } from 'vitest';
import { u64FromHex } from '../base/u64.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { decodeSpte, type Spte, type SpteFlavour, type SpteLayout, spteLayouts } from './spte.ts';

/** SPTEs of public and of our own traces, decoded by hand: value, paging, layout, level, source, decode. */
const BY_HAND = `
600000455299b77 ept B 1 | lkml-2023-krause | rwx mt=WB ipat=1 A=1 D=1 sve=0 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=455299
6000002c7c00b77 ept B 1 | lkml-2023-krause | rwx mt=WB ipat=1 A=1 D=1 sve=0 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=2c7c00
60000021be00bf3 ept B 2 | lkml-2023-krause | rw- mt=WB ipat=1 A=1 D=1 sve=0 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=21be00
2c583e907 ept B 4 | lkml-2023-krause | rwx A=1 D=0 sve=0 table mmu_present=1 host_w=0 mmu_w=0 ad_type=0 pfn=2c583e
5a0 ept B 1 | lkml-2023-krause | REMOVED_SPTE/FROZEN (5.11..6.8 value 0x5a0)
6000001c6e00b77 ept B 1 | gvisor-amdgpu (6.8) | rwx mt=WB ipat=1 A=1 D=1 sve=0 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=1c6e00
86000080a5669b37 ept B 1 | tdx | rwx mt=WB ipat=0 A=1 D=1 sve=1 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=80a5669
1003eb27e67 npt B 1 | lkml-2023-annapurve | P=1 W=1 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=1 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=1003eb27
100b4a00ea7 npt B 2 | lkml-2023-annapurve | P=1 W=1 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=0 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=100b4a00
100b1b16827 npt B 2 | lkml-2023-annapurve (table) | P=1 W=1 U=1 NX=0 A=1 D=0 table mmu_present=1 host_w=0 mmu_w=0 ad_type=0 pfn=100b1b16
11a468e67 npt B 1 | trace-local-pvm (shadow, 6.18) | P=1 W=1 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=1 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=11a468
11a412a25 npt B 1 | trace-local-pvm (shadow, 6.18) (write-protected page table page) | P=1 W=0 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=0 leaf mmu_present=1 host_w=1 mmu_w=0 ad_type=0 pfn=11a412
46b0e67 npt B 1 | nested61: vgem WC page | P=1 W=1 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=1 leaf mmu_present=1 host_w=1 mmu_w=1 ad_type=0 pfn=46b0
8000040400057 npt B 1 | nested61: MMIO | MMIO SPTE (reserved bit 51), gfn=40400 access=wu gen=a
5873825 npt C 1 | nested73: drm shmem, host not writable | P=1 W=0 U=1 NX=0 PWT=0 PCD=0 PAT=0 A=1 D=0 leaf mmu_present=1 host_w=0 mmu_w=0 ad_type=0 pfn=5873
8000000000000000 npt C 1 | nested73 | SHADOW_NONPRESENT_VALUE (empty)
`;

function one(flag: boolean): string {
  return flag ? '1' : '0';
}

/** In the words of the table. */
function words(spte: Spte, flavour: SpteFlavour, low: number): string {
  if (spte.kind !== 'leaf' && spte.kind !== 'table') return spte.kind;
  const isEpt = flavour === 'ept';
  const ept = `rwx ${spte.kind === 'leaf' ? `mt=${spte.memtype} ipat=${one(spte.ipat === true)} ` : ''}`;
  const leaf = spte.kind === 'leaf' ? spte : null;
  const rw = leaf === null ? 'rwx' : `r${leaf.writable ? 'w' : '-'}${leaf.executable ? 'x' : '-'}`;
  const writable = (low & 2) !== 0;
  const pat = leaf?.patIndex ?? 0;
  const cache = leaf === null ? '' : `PWT=${pat & 1} PCD=${(pat >> 1) & 1} PAT=${pat >> 2} `;
  const npt = `P=1 W=${one(writable)} U=${(low >> 2) & 1} NX=${one(leaf !== null && !leaf.executable)} ${cache}`;
  return [
    isEpt ? ept.replace('rwx', rw) : npt,
    `A=${one(spte.accessed)} D=${one(spte.dirty)} `,
    isEpt ? `sve=${one(spte.suppressVe)} ` : '',
    `${spte.kind} mmu_present=${one(spte.mmuPresent === true)} host_w=${one(spte.hostWritable)} `,
    `mmu_w=${one(spte.mmuWritable)} ad_type=${spte.adType} pfn=${spte.pfn.toString(16)}`,
  ].join('');
}

const ROWS = BY_HAND.trim()
  .split('\n')
  .map((line) => line.split(' | '));

test.each(ROWS)('%s (%s) is %s', (head, _source, decode) => {
  const [value = '', flavour, layout, level] = (head ?? '').split(' ');
  const spte = u64FromHex(value);
  if (spte === null) throw new Error(value);
  const found = decodeSpte(spte, flavour as SpteFlavour, layout as SpteLayout, Number(level));
  if (decode?.startsWith('REMOVED')) expect(found).toEqual({ kind: 'frozen' });
  else if (decode?.startsWith('SHADOW_NONPRESENT')) expect(found).toEqual({ kind: 'empty' });
  else if (decode?.startsWith('MMIO')) expect(found).toEqual({ kind: 'mmio', gfn: 0x40400 });
  else expect(words(found, flavour as SpteFlavour, spte.lo)).toBe(decode);
});

test('an entry that KVM froze from 6.12 on, and one of 7.2', () => {
  for (const value of ['80000000000005a0', '80000000000001a0']) {
    const spte = u64FromHex(value);
    expect(spte === null ? null : decodeSpte(spte, 'ept', 'C', 1)).toEqual({ kind: 'frozen' });
  }
});

test.each([
  ['5.4', 'A'],
  ['5.12.19', 'A'],
  ['5.13', 'B'],
  ['6.19', 'B'],
  ['7.1.3', 'B'],
  ['4.18.0-553.el8_10.x86_64', 'A or B or C'],
  ['7.2', 'C'],
])('the layout of %s is %s', (version, layouts) => {
  expect(spteLayouts(parseKernelVersion(version)).join(' or ')).toBe(layouts);
});

test('a large page covers the frames below it', () => {
  const spte = u64FromHex('60000021be00bf3');
  const leaf = spte === null ? null : decodeSpte(spte, 'ept', 'B', 2);
  expect(leaf?.kind === 'leaf' ? leaf.pfn % 512 : null).toBe(0);
});
