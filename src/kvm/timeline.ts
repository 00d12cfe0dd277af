import { must } from '../base/assert.ts';
import {
  compareVersions,
  type KernelVersion,
  parseKernelVersion,
  sameSeries,
} from '../linux/version.ts';
import type { VmxEra } from './decision.ts';
import { E0, E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11 } from './eras/index.ts';
import type { GuestMtrrVersion } from './guest-mtrr.ts';
import type { HugePageRule } from './huge-page.ts';
import {
  MMIO_2_6_28,
  MMIO_2_6_30,
  MMIO_2_6_38,
  MMIO_3_13,
  MMIO_3_17,
  MMIO_3_18,
  MMIO_4_2,
  MMIO_4_16,
  MMIO_5_2,
  MMIO_NONE,
  type MmioRule,
} from './mmio.ts';
import { NONCOHERENT, type NoncoherentRule } from './noncoherent.ts';
import type { KvmRules } from './rules.ts';
import { SHADOW_PA0 } from './shadow.ts';
import { S0, S1, S2, S3, type SvmEra } from './svm.ts';
import { ZAP, type ZapRules } from './zap.ts';

/** From this version on, this rule. Two rules: the sources do not settle which one it is there. */
type Mark<T> = readonly [from: string, ...rules: readonly [T, ...T[]]];

const VMX: readonly Mark<VmxEra>[] = [
  ['2.6.26-rc2', E0],
  ['2.6.28-rc5', E1],
  ['2.6.29-rc1', E2],
  ['2.6.29-rc6', E3],
  ['2.6.31-rc1', E4],
  ['3.13-rc1', E5],
  ['4.2-rc1', E5, E6, E7],
  ['4.2-rc4', E6],
  ['4.2.4', E7],
  ['4.3-rc1', E6],
  ['4.3-rc4', E6, E7],
  ['4.3-rc5', E7],
  ['6.7-rc1', E8],
  ['6.11-rc1', E9],
  ['6.11', E10],
  ['6.12.78', E11],
  ['6.13-rc1', E10],
  ['6.16-rc1', E11],
];

const SVM: readonly Mark<SvmEra>[] = [
  ['2.6.26-rc1', S0],
  ['4.2-rc1', S0, S1, S2],
  ['4.2-rc4', S1],
  ['4.2.4', S2],
  ['4.3-rc1', S1],
  ['4.3-rc4', S1, S2],
  ['4.3-rc5', S2],
  ['4.14.3', S3],
];

const MMIO: readonly Mark<MmioRule>[] = [
  ['2.6.26-rc1', MMIO_NONE],
  ['2.6.28-rc1', MMIO_2_6_28],
  ['2.6.30-rc1', MMIO_2_6_30],
  ['2.6.38-rc1', MMIO_2_6_38],
  ['3.12-rc1', MMIO_2_6_38, MMIO_3_13],
  ['3.13-rc1', MMIO_3_13],
  ['3.17', MMIO_3_17],
  ['3.18', MMIO_3_18],
  ['4.2-rc2', MMIO_4_2],
  ['4.16-rc1', MMIO_4_16],
  ['5.2-rc1', MMIO_5_2],
];

const GUEST_MTRR: readonly Mark<GuestMtrrVersion | null>[] = [
  ['2.6.26-rc1', 'v1'],
  ['4.2-rc1', 'v2-4.2'],
  ['4.4-rc1', 'v2'],
  ['6.11-rc1', null],
];

const HUGE_PAGE: readonly Mark<HugePageRule>[] = [
  ['2.6.26-rc1', 'first-4k-page'],
  ['4.2-rc1', 'every-vm'],
  ['6.0-rc1', 'noncoherent-only'],
  ['6.11-rc1', 'unlimited'],
];

const NONCOHERENT_DMA: readonly Mark<NoncoherentRule>[] = [
  ['2.6.26-rc1', NONCOHERENT.none],
  ['2.6.31-rc1', NONCOHERENT['legacy-domain']],
  ['3.13-rc1', NONCOHERENT['any-vfio-group']],
  ['3.15-rc1', NONCOHERENT['vfio-cc-iommu']],
  ['5.19-rc1', NONCOHERENT['enforced-domain']],
  ['6.2-rc1', NONCOHERENT['enforced-device']],
];

const zap = (id: string): ZapRules =>
  must(
    ZAP.find((z) => z.id === id),
    `no zap rules ${id}`,
  );

const ZAPPING: readonly Mark<ZapRules>[] = [
  ['2.6.26-rc1', zap('2.6.26')],
  ['4.2-rc1', zap('4.2')],
  ['4.2.7', zap('4.4')],
  ['4.3-rc1', zap('4.2')],
  ['4.4-rc1', zap('4.4')],
  ['6.7-rc1', zap('6.7')],
  ['6.11-rc1', zap('6.11-rc1')],
  ['6.11', zap('6.11')],
  ['6.12.78', zap('6.16')],
  ['6.13-rc1', zap('6.11')],
  ['6.16-rc1', zap('6.16')],
];

const CD_QUIRK: readonly Mark<boolean>[] = [
  ['2.6.26-rc1', false],
  ['4.2-rc1', true],
];

/** Since commit f8be156be163 (5.13), which went into the stable series of its day. */
const REFCOUNTED_PAGES: readonly Mark<boolean>[] = [
  ['2.6.26-rc1', false],
  ['4.19.199', true],
  ['4.20-rc1', false],
  ['5.4.129', true],
  ['5.5-rc1', false],
  ['5.10.47', true],
  ['5.11-rc1', false],
  ['5.12.14', true],
  ['5.13-rc1', false],
  ['5.13', true],
  ['6.13-rc1', false],
];

/** KVM_CAP_PRE_FAULT_MEMORY, number 236. */
const PRE_FAULT: readonly Mark<boolean>[] = [
  ['2.6.26-rc1', false],
  ['6.11-rc1', true],
];

const VMX_GUEST_PAT: readonly Mark<boolean>[] = [
  ['2.6.26-rc1', false],
  ['2.6.29-rc1', true],
];

/** Confidential guests: SEV-SNP from 6.11 on, TDX from 6.16 on. */
const CONFIDENTIAL: readonly Mark<readonly ('tdx' | 'snp')[]>[] = [
  ['2.6.26-rc1', []],
  ['6.11-rc1', ['snp']],
  ['6.16-rc1', ['snp', 'tdx']],
];

/** The newest kernel whose source was read. Later ones are assumed not to have changed. */
export const NEWEST_READ = '7.3.4';

const OLDEST: KernelVersion = parseKernelVersion('2.6.26-rc2');

const TABLES: readonly (readonly Mark<unknown>[])[] = [
  VMX,
  SVM,
  MMIO,
  GUEST_MTRR,
  HUGE_PAGE,
  NONCOHERENT_DMA,
  ZAPPING,
  CD_QUIRK,
  REFCOUNTED_PAGES,
  PRE_FAULT,
  VMX_GUEST_PAT,
  CONFIDENTIAL,
];

/** Every version at which some rule changes, oldest first. */
const BOUNDARIES: readonly KernelVersion[] = [
  ...new Set(TABLES.flatMap((marks) => marks.map(([from]) => from))),
]
  .map(parseKernelVersion)
  .sort(compareVersions);

const BOUNDARY_INDEX: ReadonlyMap<string, number> = new Map(BOUNDARIES.map((v, i) => [v.text, i]));

/** The rules from a boundary on by a table of marks: of the last mark not later than it. */
function at<T>(marks: readonly Mark<T>[], boundary: number): readonly T[] {
  const last = marks.findLast(([from]) => (BOUNDARY_INDEX.get(from) ?? 0) <= boundary);
  const [, ...rules] = last ?? must(marks[0], 'empty timeline');
  return rules;
}

interface Ingredients {
  readonly vmx: VmxEra;
  readonly svm: SvmEra;
  readonly mmio: MmioRule;
  readonly noncoherent: NoncoherentRule;
}

/** Every combination that the sources leave open; almost always exactly one. */
function ingredients(boundary: number): readonly Ingredients[] {
  const vmx = at(VMX, boundary);
  const svm = at(SVM, boundary);
  return vmx.flatMap((era, i) =>
    at(MMIO, boundary).flatMap((mmio) =>
      at(NONCOHERENT_DMA, boundary).map((noncoherent) => ({
        vmx: era,
        svm: svm[i] ?? must(svm[0], 'no SVM rules'),
        mmio,
        noncoherent,
      })),
    ),
  );
}

function rulesOf(boundary: number, id: string, kernels: string): readonly KvmRules[] {
  const one = <T>(marks: readonly Mark<T>[]): T => at(marks, boundary)[0] as T;
  return ingredients(boundary).map((parts, i, { length }) => ({
    ...parts,
    id: length > 1 ? `${id} (reading ${i + 1})` : id,
    kernels,
    guestMtrr: one(GUEST_MTRR),
    hugePage: one(HUGE_PAGE),
    hugeFlagged: false,
    zap: one(ZAPPING),
    hasCdQuirk: one(CD_QUIRK),
    hasPatQuirk: parts.vmx === E11,
    needsRefcountedPages: one(REFCOUNTED_PAGES),
    hasPreFault: one(PRE_FAULT),
    vmxLoadsGuestPat: one(VMX_GUEST_PAT),
    shadow: SHADOW_PA0,
    pagings: ['ept', 'npt', 'shadow'],
    confidential: one(CONFIDENTIAL),
  }));
}

/** A stretch of versions over which no rule changes. */
export interface Span {
  readonly from: KernelVersion;
  /** First version that is different; null for the newest span. */
  readonly to: KernelVersion | null;
  readonly rules: readonly KvmRules[];
}

/** In prose a first release candidate goes by its release, unless the span ends with that. */
function spanWords(from: KernelVersion, to: KernelVersion | null): string {
  const plain = (version: KernelVersion): string => version.text.replace(/-rc1$/, '');
  if (to === null) return `${plain(from)} and later`;
  if (plain(from) === plain(to)) return `${from.text} to before ${to.text}`;
  return `${plain(from)} to before ${plain(to)}`;
}

/** The whole history, oldest first: one span between two changes of any rule. */
export const SPANS: readonly Span[] = BOUNDARIES.flatMap((from, i) => {
  if (compareVersions(from, OLDEST) < 0) return [];
  const to = BOUNDARIES[i + 1] ?? null;
  return [{ from, to, rules: rulesOf(i, from.text, spanWords(from, to)) }];
});

/** The span that a version falls into; null before 2.6.26-rc2, when there was no EPT. */
export function spanOf(version: KernelVersion): Span | null {
  return SPANS.findLast((span) => compareVersions(span.from, version) <= 0) ?? null;
}

/** First ABI of Ubuntu's 6.8.0 generic kernel that has the quirk and the rules of 6.16. */
export const UBUNTU_6_8_QUIRK_ABI = 136;

/**
 * Ubuntu's 6.8.0-N took the rules of 6.16 into the 6.8 series. N counts so for the generic kernel only;
 * the cloud flavours, and Proxmox, which builds from that tree, have numbers of their own. Source: ubuntu/6.8.0-136.
 */
function ubuntu68(version: KernelVersion): readonly KvmRules[] | null {
  const match = /^6\.8\.0-(\d+)(?:[.~][\w.~]+)?-(\w+)/.exec(version.text);
  const proxmox = /^6\.8\.\d+-.*-pve$/.test(version.text);
  if ((match === null && !proxmox) || version.trust !== 'series') return null;
  const before = must(spanOf(parseKernelVersion('6.8')), '6.8').rules;
  const after = must(spanOf(parseKernelVersion('6.12.78')), '6.12.78').rules;
  const generic = match?.[2] === 'generic' || match?.[2] === 'lowlatency';
  if (!generic) return [...before, ...after];
  return Number(match?.[1]) >= UBUNTU_6_8_QUIRK_ABI ? after : before;
}

/** The 4.15 kernels of Ubuntu and Proxmox: a tree of 4.15.18 was read that has the MMIO rule of 4.16. */
function ubuntu415({ major, minor, trust }: KernelVersion): readonly KvmRules[] | null {
  if (major !== 4 || minor !== 15 || trust !== 'series') return null;
  return ['4.15', '4.16'].flatMap((v) => must(spanOf(parseKernelVersion(v)), v).rules);
}

/**
 * All rules that may hold for a version string: several when the distribution hides the patch level or
 * takes KVM from later kernels, or when the sources do not settle a boundary.
 */
export function rulesFor(version: KernelVersion): readonly KvmRules[] {
  const own = spanOf(version);
  if (own === null) return [];
  const ubuntu = ubuntu68(version) ?? ubuntu415(version);
  if (ubuntu !== null) return ubuntu;
  const spans = SPANS.filter((span) => {
    if (span === own) return true;
    if (compareVersions(span.from, own.from) < 0) return false;
    if (version.trust === 'backports') return true;
    return version.trust === 'series' && span.from.rc === null && sameSeries(span.from, version);
  });
  return [...new Set(spans.flatMap((span) => span.rules))];
}

/** Every set of rules that any kernel had. */
export const ALL_KERNEL_RULES: readonly KvmRules[] = SPANS.flatMap((span) => span.rules);
