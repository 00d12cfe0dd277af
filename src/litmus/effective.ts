import type { AccessType } from '../machine/types.ts';
import { combineMtrrPat } from '../x86/combine.ts';
import { eptEffective } from '../x86/ept.ts';
import { nptEffective } from '../x86/npt.ts';
import type { Vendor } from '../x86/types.ts';
import type { TypeParts } from './test.ts';

/** Why parts do not make a type. */
export interface Impossible {
  readonly message: string;
  readonly help: string;
}

function impossible(vendor: Vendor, { ept, npt, mtrr }: TypeParts): Impossible | null {
  if (ept !== undefined && npt !== undefined) {
    return { message: 'EPT and NPT together', help: 'EPT is of Intel, NPT of AMD' };
  }
  if (ept !== undefined && vendor === 'amd') {
    return { message: 'EPT on AMD', help: 'NPT=x:WB is the host PAT type at the nested leaf' };
  }
  if (npt !== undefined && vendor === 'intel') {
    return { message: 'NPT on Intel', help: 'Vendor=amd, or EPT=x:WB, EPT=x:WB+IPAT' };
  }
  if (ept !== undefined && mtrr !== undefined) {
    const help = 'the EPT leaf stands in the place of the MTRR (SDM 28.2.6.2)';
    return { message: 'MTRR beside EPT', help };
  }
  return null;
}

/**
 * The type that the parts give together, with CR0.CD=0 and paging on; parts that are not given are WB. UC that the
 * MTRR (or the EPT leaf in its place) makes is UCM: the tables of src/x86.
 */
export function effectiveType(vendor: Vendor, parts: TypeParts): AccessType | Impossible {
  const wrong = impossible(vendor, parts);
  if (wrong !== null) return wrong;
  const { pat = 'WB', mtrr = 'WB', ept, npt } = parts;
  if (npt !== undefined) {
    const access = { cr0Cd: false, cr0Pg: true, guestPat: pat, hostPat: npt, hostMtrr: mtrr };
    const { type } = nptEffective(access);
    // Every cell UC of the second table stands in the column UC of the MTRR.
    return type === 'UC' ? 'UCM' : type;
  }
  const { type, ucOrigin } =
    ept === undefined
      ? combineMtrrPat(vendor, mtrr, pat)
      : eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf: ept, pat });
  return type === 'UC' && ucOrigin === 'mtrr' ? 'UCM' : type;
}
