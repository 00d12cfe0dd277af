import { combineMtrrPat, type UcOrigin } from '../x86/combine.ts';
import type { EffectiveType, MtrrType, PatType, Vendor } from '../x86/types.ts';

const CACHEABLE: readonly string[] = ['WB', 'WT', 'WP'];

export interface Access {
  readonly type: EffectiveType;
  readonly ucOrigin: UcOrigin | null;
}

/** The guest and the VMM reach one page, one of them through the cache and the other past it. */
export function isAliased(guest: Access, vmmMapping: PatType): boolean {
  return CACHEABLE.includes(vmmMapping) !== CACHEABLE.includes(guest.type);
}

/** The one of the two that goes past the caches. */
export function uncachedSide(
  guest: Access,
  vmmMapping: PatType,
  hostMtrr: MtrrType,
  vendor: Vendor,
): Access {
  return CACHEABLE.includes(guest.type) ? combineMtrrPat(vendor, hostMtrr, vmmMapping) : guest;
}

/**
 * An access past the caches that looks into them first all the same. Source: SDM 11.5.2.2 Table 11-7 note 2,
 * APM 7.4 (CD) and 15.25.8 (WC+).
 */
export function checksCaches({ type, ucOrigin }: Access): boolean {
  return type === 'WC+' || type === 'CD' || (type === 'UC' && ucOrigin === 'page');
}
