import type { FactValues } from '../facts/facts.ts';
import type { KvmRules } from '../kvm/rules.ts';
import type { Vendor } from '../x86/types.ts';

/** A kind of host, as far as it decides which rules of KVM apply. */
export interface Platform {
  readonly id: PlatformId;
  readonly title: string;
  readonly vendor: Vendor;
  readonly paging: FactValues['paging'];
  /** Null: nothing on this platform asks. */
  readonly selfSnoop: boolean | null;
  readonly confidential: FactValues['confidential'];
  /** Where the other side runs, when that is another platform. */
  readonly against?: Platform;
}

export const PLATFORM_IDS = [
  'intel-ept',
  'intel-ept-noss',
  'intel-shadow',
  'intel-shadow-noss',
  'amd-npt',
  'amd-shadow',
  'tdx',
  'snp',
] as const;
export type PlatformId = (typeof PLATFORM_IDS)[number];

export const PLATFORMS: readonly Platform[] = [
  {
    id: 'intel-ept',
    title: 'Intel, EPT, self-snoop',
    vendor: 'intel',
    paging: 'ept',
    selfSnoop: true,
    confidential: 'no',
  },
  {
    id: 'intel-ept-noss',
    title: 'Intel, EPT, no self-snoop',
    vendor: 'intel',
    paging: 'ept',
    selfSnoop: false,
    confidential: 'no',
  },
  {
    id: 'intel-shadow',
    title: 'Intel, shadow paging, self-snoop',
    vendor: 'intel',
    paging: 'shadow',
    selfSnoop: true,
    confidential: 'no',
  },
  {
    id: 'intel-shadow-noss',
    title: 'Intel, shadow paging, no self-snoop',
    vendor: 'intel',
    paging: 'shadow',
    selfSnoop: false,
    confidential: 'no',
  },
  {
    id: 'amd-npt',
    title: 'AMD, NPT',
    vendor: 'amd',
    paging: 'npt',
    selfSnoop: null,
    confidential: 'no',
  },
  {
    id: 'amd-shadow',
    title: 'AMD, shadow paging',
    vendor: 'amd',
    paging: 'shadow',
    selfSnoop: null,
    confidential: 'no',
  },
  {
    id: 'tdx',
    title: 'Intel TDX guest, shared memory',
    vendor: 'intel',
    paging: 'ept',
    selfSnoop: true,
    confidential: 'tdx',
  },
  {
    id: 'snp',
    title: 'AMD SEV-SNP guest',
    vendor: 'amd',
    paging: 'npt',
    selfSnoop: null,
    confidential: 'snp',
  },
];

/** Names that stand for several platforms. */
const FAMILIES: Readonly<Record<string, readonly PlatformId[]>> = {
  intel: ['intel-ept', 'intel-ept-noss', 'intel-shadow', 'intel-shadow-noss', 'tdx'],
  amd: ['amd-npt', 'amd-shadow', 'snp'],
  ept: ['intel-ept', 'intel-ept-noss', 'tdx'],
  npt: ['amd-npt', 'snp'],
  shadow: ['intel-shadow', 'intel-shadow-noss', 'amd-shadow'],
};

/** Every name that `--platform` takes. */
export const PLATFORM_NAMES: readonly string[] = [...PLATFORM_IDS, ...Object.keys(FAMILIES)];

/** The platforms of a name; empty for one that is none. */
export function platformsOf(name: string): readonly Platform[] {
  const ids = Object.hasOwn(FAMILIES, name) ? (FAMILIES[name] ?? []) : [name];
  return PLATFORMS.filter(({ id }) => ids.includes(id));
}

/** Why these rules do not run there; null: they do. */
export function notOn(platform: Platform, rules: KvmRules): string | null {
  const { confidential, paging } = platform;
  if (!rules.pagings.includes(paging)) return `${rules.id} has no ${paging} here`;
  if (confidential === 'no' || rules.confidential.includes(confidential)) return null;
  return confidential === 'tdx'
    ? 'KVM runs TDX guests from 6.16 on'
    : 'KVM runs SEV-SNP guests from 6.11 on';
}
