import { u64FromNumber } from '../../base/u64.ts';
import { type LayoutRange, layoutState, type MtrrLayout } from '../../facts/layout.ts';
import { eptEffective } from '../../x86/ept.ts';
import { compileMtrrs, mtrrLookup, mtrrTypeOfPage } from '../../x86/mtrr.ts';
import { type MtrrType, TYPE_CODE } from '../../x86/types.ts';
import type { Finding, Situation } from '../verdict.ts';
import { isDeviceMemory, readsCached } from './advice.ts';

// ---- how an MTRR look-up goes wrong -----------------------------------------------------------

const MIB = 2 ** 20;

/** One way to look a type up that is not the manual's; null where it does not apply. */
interface Mistake {
  readonly words: string;
  readonly type: (layout: MtrrLayout) => MtrrType | null;
}

function matching({ ranges, address }: MtrrLayout): readonly LayoutRange[] {
  return ranges.filter((r) => address >= r.base && address < r.base + r.size);
}

function lowest(types: readonly MtrrType[]): MtrrType | null {
  const [first, ...others] = types;
  if (first === undefined) return null;
  return others.reduce((low, t) => (TYPE_CODE[t] < TYPE_CODE[low] ? t : low), first);
}

function inFixed({ fixedType, address }: MtrrLayout): boolean {
  return fixedType !== null && address < MIB;
}

function byVariable(layout: MtrrLayout): MtrrType | null {
  const without = compileMtrrs(layoutState({ ...layout, fixedType: null }));
  const answer = mtrrLookup(without, u64FromNumber(layout.address));
  return answer.kind === 'type' ? answer.type : null;
}

/** Each of them was seen in a hypervisor. */
const MISTAKES: readonly Mistake[] = [
  {
    words: 'WB for every page, as if the MTRRs still counted under EPT',
    type: () => 'WB',
  },
  {
    words: 'the fixed ranges left out, or their registers skipped where all eight types are UC (0)',
    type: (l) => (inFixed(l) ? byVariable(l) : null),
  },
  {
    words:
      'UC for everything below 1 MiB, or one type for a 2 MiB leaf over it (the VGA hole is in it): split that leaf and read the fixed ranges',
    type: (l) => (l.address < 2 * MIB ? 'UC' : null),
  },
  {
    words: 'the default type, though a range holds the address: the match is not kept or not found',
    type: (l) => (!inFixed(l) && matching(l).length > 0 ? l.defaultType : null),
  },
  {
    words: 'a range that may only lower the default type, never raise it',
    type: (l) =>
      !inFixed(l) && matching(l).length > 0
        ? lowest([l.defaultType, ...matching(l).map((r) => r.type)])
        : null,
  },
  {
    words: 'of overlapping ranges the last one, not UC first',
    type: (l) => (inFixed(l) ? null : (matching(l).at(-1)?.type ?? null)),
  },
  {
    words: 'of overlapping ranges the first one, not UC first',
    type: (l) => (inFixed(l) ? null : (matching(l)[0]?.type ?? null)),
  },
  {
    words: 'one type for a 2 MiB leaf over ranges of several types: split it',
    type: (l) => {
      const start = l.address - (l.address % (2 * MIB));
      const whole = mtrrTypeOfPage(compileMtrrs(layoutState(l)), start, 2 * MIB);
      return whole.kind === 'undefined' ? lowest(whole.among) : null;
    },
  },
];

const USUAL =
  'Usual mistakes when MTRRs are turned into EPT types: a wrong mask or size, UC as the fallback instead ' +
  'of the default type, fixed ranges left out, SMRR taken for a range, overlaps resolved without the ' +
  'precedence of UC, no update when an MTRR is written, one type for a 2 MiB leaf over two ranges.';

/** The mistakes that give the type that was found, where the MTRRs are known. */
function suspects(layout: MtrrLayout | null, found: MtrrType): string {
  const named =
    layout === null ? [] : MISTAKES.filter((m) => m.type(layout) === found).map((m) => m.words);
  if (named.length === 0) return USUAL;
  return `What gives ${found} with these MTRRs: ${named.join('; or ')}.`;
}

// ---- the leaf that was found ------------------------------------------------------------------

function withIt(s: Situation, found: MtrrType, ipat: boolean): string {
  const pat = s.guest?.type ?? 'WB';
  const leaf = { memtype: found, ipat };
  const { type } = eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat });
  const device = isDeviceMemory(s);
  if (type === s.result.type) {
    const risk = device && readsCached(found);
    return `this access is ${type} all the same, by the page tables (${pat})${
      risk ? `; one that counts on the MTRR would be ${found}: machine-check risk` : ''
    }.`;
  }
  const so =
    type === 'UC' && !device
      ? 'it goes to memory alone, and the whole machine lags'
      : device && readsCached(type)
        ? 'cacheable and speculative accesses reach the device: machine-check risk'
        : 'guest and host may disagree about what is cached';
  return `this access is ${type} instead of ${s.result.type}: ${so}.`;
}

/** What somebody found in the page tables, beside what these rules install. */
export function otherLeaf(s: Situation): Finding | null {
  const { leaf } = s.result;
  if (leaf.paging !== 'ept' || !s.inquiry.isGiven('installed-leaf')) return null;
  const found = s.inquiry.ask('installed-leaf');
  const right = `${leaf.ept.memtype}${leaf.ept.ipat ? '+IPAT' : ''}`;
  if (found === right) return null;
  const ipat = found.endsWith('+IPAT');
  const memtype = found.replace('+IPAT', '') as MtrrType;
  const byMtrrs = s.rules.vmx.id === 'mtrr-to-ept';
  return {
    agents: ['hypervisor', 'CPU'],
    text: `The leaf installed is ${found}; ${s.subject} installs ${right} here (${leaf.why}). With the one found, ${withIt(s, memtype, ipat)}`,
    fix: byMtrrs
      ? `Install ${right}. ${suspects(s.hostLayout, memtype)} vectors/ has test cases.`
      : `These rules of KVM install ${right}: either the kernel has others (a backport, a patch), or a fact given here is not so. Compare with --policy E0 to E11.`,
  };
}
