import { editionsOf, kernelWords } from '../kvm/spte-editions.ts';
import { NEWEST_READ } from '../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import type { AuditResult } from './audit.ts';
import { editionSet, editionsIn } from './editions.ts';
import type { AuditPaging, PagingVotes } from './paging.ts';
import type { PredictFacts } from './predict-facts.ts';
import type { Moment } from './vm-map.ts';

/** What somebody says of the host that was traced. */
export interface Said {
  readonly by: 'options' | 'facts' | 'capture';
  readonly paging: AuditPaging | null;
  readonly kernel: KernelVersion | null;
}

/** Something that was said and that the entries contradict. */
export interface Refuted {
  readonly by: Said['by'];
  readonly what: 'paging' | 'kernel';
  /** "the facts say NPT, and the entries are of EPT" */
  readonly text: string;
  /** The first entry that shows it. */
  readonly at: Moment;
}

/** By a file of facts. */
export function saidByFacts({ way, kernel }: PredictFacts): Said {
  const paging = way === 'ept' || way === 'npt' ? way : 'shadow';
  return { by: 'facts', paging, kernel };
}

/** Of several the first that says anything. */
export function inForce(said: readonly Said[]): Omit<Said, 'by'> {
  return {
    paging: said.find(({ paging }) => paging !== null)?.paging ?? null,
    kernel: said.find(({ kernel }) => kernel !== null)?.kernel ?? null,
  };
}

const WHO: Readonly<Record<Said['by'], string>> = {
  options: 'the options say',
  facts: 'the facts say',
  capture: 'the capture says',
};

const MODE: Readonly<Record<AuditPaging, string>> = {
  ept: 'EPT',
  npt: 'NPT',
  shadow: 'shadow paging',
  pages: 'page tables',
};

function ofPaging({ by, paging }: Said, votes: PagingVotes): readonly Refuted[] {
  if (paging === null || votes.isMixed) return [];
  const refute = (entries: string, at: Moment): readonly Refuted[] => [
    { by, what: 'paging', text: `${WHO[by]} ${MODE[paging]}, and ${entries}`, at },
  ];
  if (paging === 'ept') {
    if (votes.pages === null) return [];
    return refute('the entries are of page tables (NPT or shadow paging)', votes.pages);
  }
  if (votes.ept !== null) return refute('the entries are of EPT', votes.ept);
  if (paging === 'shadow' && votes.tdp !== null)
    return refute('the TDP MMU changes entries, which is of EPT or NPT', votes.tdp);
  return [];
}

function ofKernel({ by, kernel }: Said, votes: PagingVotes): readonly Refuted[] {
  const own = kernel === null ? [] : editionsOf(kernel);
  const { set, isMixed, proofs } = votes.evidence;
  const at = proofs.at(-1);
  if (kernel === null || own.length === 0 || isMixed || at === undefined) return [];
  if ((set & editionSet(own)) !== 0) return [];
  const kernels = kernelWords(editionsIn(set));
  const text = `${WHO[by]} Linux ${kernel.text}, and the entries are of Linux ${kernels}`;
  return [{ by, what: 'kernel', text, at }];
}

/** What of all that was said the entries contradict, the paging modes first. */
export function refutedBy(votes: PagingVotes, said: readonly Said[]): readonly Refuted[] {
  return [
    ...said.flatMap((one) => ofPaging(one, votes)),
    ...said.flatMap((one) => ofKernel(one, votes)),
  ];
}

/** Whether facts are of the host that was traced, so that its entries can be compared with them. */
export function isComparable({ votes, refuted }: AuditResult): boolean {
  const isOther = refuted.some(({ by, what }) => by === 'facts' && what === 'paging');
  return !votes.isMixed && !isOther;
}

/** What is taken for granted of kernels that were named. */
export function assumedOf(said: readonly Said[]): readonly string[] {
  const newest = parseKernelVersion(NEWEST_READ);
  const newer = said.flatMap(({ kernel }) =>
    kernel !== null && compareVersions(kernel, newest) > 0 ? [kernel.text] : [],
  );
  return [...new Set(newer)].map(
    (kernel) =>
      `${kernel} is newer than the newest kernel read (${NEWEST_READ}): its rules are assumed unchanged`,
  );
}
