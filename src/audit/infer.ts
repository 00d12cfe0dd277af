import type { EptChoice } from '../kvm/decision.ts';
import { kernelWords } from '../kvm/spte-editions.ts';
import type { Span } from '../kvm/timeline.ts';
import { compareVersions } from '../linux/version.ts';
import { MTRR_TYPES } from '../x86/types.ts';
import type { AuditCount, AuditResult, AuditVm } from './audit.ts';
import { boundsOf, type EditionSet, editionsIn, spansOf } from './editions.ts';
import { assumedOf } from './said.ts';
import type { Moment } from './vm-map.ts';

/** Something that follows from entries, with the events that show it. */
export interface Inference {
  readonly about: 'paging' | 'software bits' | 'guest PAT' | 'kernel' | 'host MMIO' | 'guest MTRRs';
  readonly text: string;
  /** Numbers of lines, or offsets. */
  readonly proofs: readonly Moment[];
}

function wordsOf({ memtype, ipat }: AuditCount): string {
  return `${memtype ?? 'reserved'}${ipat === true ? '+IPAT' : ''}`;
}

/** Every leaf that a kernel can install under EPT. */
function leavesOf(choice: EptChoice): readonly string[] {
  const types = choice.memtype === 'guest_mtrr' ? MTRR_TYPES : [choice.memtype];
  return types.map((type) => `${type}${choice.ipat ? '+IPAT' : ''}`);
}

function canInstall(span: Span, kinds: readonly string[]): boolean {
  return span.rules.some(({ vmx }) => {
    const all = new Set(vmx.vmx_get_mt_mask.flatMap(({ returns }) => leavesOf(returns)));
    return kinds.every((kind) => all.has(kind));
  });
}

/** Spans of kernels that can have installed all kinds of leaf that were seen; EPT only. */
export function possibleSpans(result: AuditResult): readonly Span[] {
  const told = result.counts.filter((count) => count.memtype !== null);
  const kinds = result.paging === 'ept' ? [...new Set(told.map(wordsOf))] : [];
  return spansOf(result.votes.evidence.set).filter((span) => canInstall(span, kinds));
}

/** Whether any kernel that writes such entries installs such a leaf. */
export function isPossible(count: AuditCount, editions: EditionSet): boolean {
  if (count.patIndex !== null) return count.patIndex === 0;
  if (count.ipat === null) return true;
  return spansOf(editions).some((span) => canInstall(span, [wordsOf(count)]));
}

/** A type that only guest MTRRs bring. */
function isByMtrr({ memtype, ipat }: AuditCount): boolean {
  return ipat === false && (memtype === 'WC' || memtype === 'WT' || memtype === 'WP');
}

function lastOf(counts: readonly AuditCount[], ipat: boolean): AuditCount | null {
  return counts
    .filter((count) => count.memtype === 'WB' && count.ipat === ipat)
    .reduce<AuditCount | null>(
      (last, count) => (last === null || count.last.place > last.last.place ? count : last),
      null,
    );
}

/** Whether KVM ignores the guest PAT of RAM, by the last entries of WB; null: no such entry. */
export function patState(vm: AuditVm): { readonly ignored: boolean; readonly by: Moment } | null {
  const set = lastOf(vm.counts, true);
  const clear = lastOf(vm.counts, false);
  if (set === null && clear === null) return null;
  if (clear === null || (set !== null && set.last.place > clear.last.place))
    return { ignored: true, by: set?.last ?? { place: 0, time: null } };
  return { ignored: false, by: clear.last };
}

function ofPaging({ votes, paging }: AuditResult): readonly Inference[] {
  const proofs = [votes.isEpt === true ? votes.ept : votes.pages].filter((m) => m !== null);
  if (paging === 'ept')
    return [
      { about: 'paging', text: 'EPT: entries have a type in bits 5:3, and bit 8 is A', proofs },
    ];
  const told = [votes.tdp, votes.shadow].filter((m) => m !== null);
  if (paging === 'npt')
    return [
      {
        about: 'paging',
        text: 'NPT: page-table entries, of the TDP MMU',
        proofs: [...proofs, ...told],
      },
    ];
  if (paging === 'shadow')
    return [
      {
        about: 'paging',
        text: "shadow paging (or a nested guest): tables of the guest's own are shadowed",
        proofs: [...proofs, ...told],
      },
    ];
  if (paging === 'pages')
    return [
      { about: 'paging', text: 'NPT without the TDP MMU, or shadow paging: not told', proofs },
    ];
  return [];
}

function ofLayout({ votes }: AuditResult): readonly Inference[] {
  const { set, isMixed, proofs } = votes.evidence;
  if (proofs.length === 0) return [];
  const editions = editionsIn(set);
  const layouts = [...new Set(editions.map(({ layout }) => layout))].join(' or ');
  const both = isMixed ? ', of several kernels' : '';
  const text = `layout ${layouts}: Linux ${kernelWords(editions)}${both}`;
  return [{ about: 'software bits', text, proofs }];
}

function vmWords(vm: AuditVm): string {
  return vm.id === null ? '' : `VM ${vm.id}: `;
}

function ofVm(vm: AuditVm): readonly Inference[] {
  const found: Inference[] = [];
  const pat = patState(vm);
  if (pat !== null) {
    const state = pat.ignored
      ? 'set: the guest PAT is ignored'
      : 'clear: the guest PAT is honoured (non-coherent DMA, the quirk disabled, or TDX)';
    found.push({
      about: 'guest PAT',
      text: `${vmWords(vm)}IPAT of the last entry of RAM is ${state}`,
      proofs: [pat.by],
    });
  }
  const uncached = vm.counts.filter((c) => c.memtype === 'UC' && c.ipat === false);
  if (uncached.length > 0)
    found.push({
      about: 'host MMIO',
      text: `${vmWords(vm)}UC without IPAT: host MMIO, or guest MTRRs up to 6.10`,
      proofs: uncached.map((c) => c.first),
    });
  const byMtrr = vm.counts.filter(isByMtrr);
  if (byMtrr.length > 0)
    found.push({
      about: 'guest MTRRs',
      text: `${vmWords(vm)}${[...new Set(byMtrr.map(wordsOf))].join(', ')}: guest MTRRs count, so that it is a kernel up to 6.10 and the VM has non-coherent DMA; or a modified kernel`,
      proofs: byMtrr.map((c) => c.first),
    });
  return found;
}

function ofKernel(result: AuditResult): readonly Inference[] {
  const { sptes, votes, paging, said, counts } = result;
  const assumed = assumedOf(said).map((text) => ({ about: 'kernel', text, proofs: [] }) as const);
  if (sptes === 0 || votes.evidence.isMixed || votes.isMixed) return assumed;
  const spans = possibleSpans(result);
  const first = spans[0];
  const last = spans.at(-1);
  if (first === undefined || last === undefined)
    return [
      { about: 'kernel', text: 'no kernel that is known installs all of these', proofs: [] },
      ...assumed,
    ];
  const eras = [...new Set(spans.flatMap((span) => span.rules.map((rules) => rules.vmx.id)))];
  const bounds = boundsOf(votes.evidence.set);
  const from = compareVersions(first.from, bounds.from) < 0 ? bounds.from : first.from;
  const isOpen = bounds.before === null;
  const isEarlier =
    last.to !== null && (isOpen || compareVersions(last.to, bounds.before ?? last.to) < 0);
  const until = isEarlier ? last.to : bounds.before;
  const end = until === null ? 'the newest that was read' : `before ${until.text}`;
  const which = paging === 'ept' ? ` (${eras.join(' ')})` : '';
  return [
    {
      about: 'kernel',
      text: `these entries are possible with Linux ${from.text} to ${end}${which}`,
      proofs: counts.map((count) => count.first),
    },
    ...assumed,
  ];
}

/** Everything that the entries say of the host and the kernel. */
export function inferences(result: AuditResult): readonly Inference[] {
  return [
    ...ofPaging(result),
    ...ofLayout(result),
    ...result.vms.flatMap(ofVm),
    ...ofKernel(result),
  ];
}
