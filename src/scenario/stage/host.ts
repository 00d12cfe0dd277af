import { must } from '../../base/assert.ts';
import { u64FromNumber } from '../../base/u64.ts';
import type { Compound } from '../../facts/facts.ts';
import { layoutState } from '../../facts/layout.ts';
import { type BackingClass, type BackingPage, backingClass } from '../../linux/backing.ts';
import { compileMtrrs, mtrrLookup } from '../../x86/mtrr.ts';
import type { MtrrType } from '../../x86/types.ts';
import { type Known, Undetermined } from './known.ts';

/** The page behind the blob, as the host has it. */
export interface HostPage extends BackingPage {
  readonly backing: BackingClass;
  readonly compound: Compound;
}

function hostMtrr(known: Known, page: BackingPage): MtrrType {
  const said = known.said('host-mtrr');
  const { hostLayout } = known.question;
  if (said !== null || hostLayout === null) return said ?? page.hostMtrr;
  const answer = mtrrLookup(
    compileMtrrs(layoutState(hostLayout)),
    u64FromNumber(hostLayout.address),
  );
  if (answer.kind === 'type') return answer.type;
  throw new Undetermined([
    {
      severity: 'error',
      message: `undetermined: the host MTRRs overlap at ${hostLayout.address.toString(16)} as the manual does not define`,
      help: `say host-mtrr: ${answer.among.join(' or ')}`,
    },
  ]);
}

/** Its class of backing, and what was said of it besides. */
export function hostPage(known: Known): HostPage {
  const backing = must(backingClass(known.ask('backing')), 'a class of backing');
  const { page } = backing;
  return {
    ...page,
    backing,
    pfnValid: known.said('pfn-valid') ?? page.pfnValid,
    reserved: known.said('page-reserved') ?? page.reserved,
    zeroPage: known.said('zero-page') ?? page.zeroPage,
    memtype: known.said('host-memtype') ?? page.memtype,
    vmm: known.said('vmm-mapping') ?? page.vmm,
    e820Ram: known.said('e820-ram') ?? page.e820Ram,
    hostMtrr: hostMtrr(known, page),
    compound: known.ask('compound'),
  };
}
