import type { EptChoice } from '../kvm/decision.ts';
import type { SpteLayout } from '../kvm/spte.ts';
import { SPANS, type Span } from '../kvm/timeline.ts';
import { compareVersions, parseKernelVersion } from '../linux/version.ts';
import { MTRR_TYPES } from '../x86/types.ts';
import type { AuditCount, AuditResult, AuditVm } from './audit.ts';
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

const FIRST_OF = { A: '2.6.26-rc2', B: '5.13-rc1', C: '7.0-rc1' } as const;
const END_OF: Readonly<Record<SpteLayout, string | null>> = {
  A: '5.13-rc1',
  B: '7.2-rc1',
  C: null,
};
const LAYOUT_KERNELS = { A: 'up to 5.12', B: '5.13 to 6.19', C: '7.2 and 7.3' } as const;

function hasLayout(span: Span, layouts: readonly SpteLayout[]): boolean {
  return layouts.some((layout) => {
    const end = END_OF[layout];
    const begins = end === null || compareVersions(span.from, parseKernelVersion(end)) < 0;
    const first = parseKernelVersion(FIRST_OF[layout]);
    return begins && (span.to === null || compareVersions(first, span.to) < 0);
  });
}

/** Spans of kernels that can have installed all kinds of leaf that were seen; EPT only. */
export function possibleSpans(result: AuditResult): readonly Span[] {
  const layouts = result.votes.possible;
  const kinds = result.paging === 'ept' ? [...new Set(result.counts.map(wordsOf))] : [];
  return SPANS.filter((span) => hasLayout(span, layouts) && canInstall(span, kinds));
}

/** Whether any kernel whose software bits stand so installs such a leaf. */
export function isPossible(count: AuditCount, layouts: readonly SpteLayout[]): boolean {
  if (count.patIndex !== null) return count.patIndex === 0;
  return SPANS.some((span) => hasLayout(span, layouts) && canInstall(span, [wordsOf(count)]));
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
  if (votes.layouts.size === 0) return [];
  const kernels = votes.possible.map((layout) => LAYOUT_KERNELS[layout]).join(', or ');
  return [
    {
      about: 'software bits',
      text: `layout ${votes.possible.join(' or ')}: Linux ${kernels}`,
      proofs: [...votes.layouts.values()],
    },
  ];
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
  if (result.sptes === 0) return [];
  const spans = possibleSpans(result);
  const first = spans[0];
  const last = spans.at(-1);
  if (first === undefined || last === undefined)
    return [{ about: 'kernel', text: 'no kernel that is known installs all of these', proofs: [] }];
  const eras = [...new Set(spans.flatMap((span) => span.rules.map((rules) => rules.vmx.id)))];
  const ends = result.votes.possible.map((layout) => END_OF[layout]);
  const limit = ends.includes(null) ? null : (ends.at(-1) ?? null);
  const until = last.to?.text ?? limit;
  const end = until === null ? 'the newest that was read' : `before ${until}`;
  const which = result.paging === 'ept' ? ` (${eras.join(' ')})` : '';
  return [
    {
      about: 'kernel',
      text: `these entries are possible with Linux ${first.from.text} to ${end}${which}`,
      proofs: result.counts.map((count) => count.first),
    },
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
