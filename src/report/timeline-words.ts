import { must } from '../base/assert.ts';
import { mark } from '../cite/source.ts';
import { cite, SOURCES, type SourceId } from '../cite/sources.ts';
import type { TimedAnswer } from '../compare/history/answer.ts';
import type { HistoryCause } from '../compare/history/attribution.ts';
import {
  exitCodeOfTimeline,
  type SideBranch,
  type Stretch,
  type Timeline,
} from '../compare/history/timeline.ts';

/** "WC", "UC or WC"; where there is no access: "none". */
export function typeWords({ types, undefined: open }: TimedAnswer): string {
  if (types.length === 0) return 'none';
  return open ? `undefined, ${types.join(' or ')}` : types.join(' or ');
}

/** The same for a narrow column: "UC|WC". */
export function typeCell({ types }: TimedAnswer): string {
  return types.length === 0 ? 'none' : types.join('|');
}

/** "E4 to E8" */
function eraWords(eras: readonly string[]): string {
  const [first, last] = [eras[0], eras.at(-1)];
  if (first === undefined || last === undefined) return '';
  return first === last ? first : `${first} to ${last}`;
}

function listed(what: string, codes: readonly string[]): readonly string[] {
  if (codes.length === 0) return [];
  return [`${what}${codes.length > 1 ? 's' : ''} ${codes.join(' ')}`];
}

/** "error MT101, warnings MT201 MT301"; empty: there is nothing. */
function codeWords({ errors, warnings, refusals }: TimedAnswer): string {
  return [
    ...listed('error', errors),
    ...listed('warning', warnings),
    ...listed('remark', refusals),
  ].join(', ');
}

/** What KVM installs, or why there is no access; empty where the possibilities differ. */
function leafWords({ leaf, refused }: TimedAnswer): string {
  return refused?.why ?? leaf ?? '';
}

function openWords({ types, unknown, undefined: open }: TimedAnswer): string {
  if (open) return 'undefined by the architecture or the kernel';
  return types.length > 1 && unknown.length > 0 ? `depends on ${unknown.join(', ')}` : '';
}

/** "EPT WB+IPAT (E4 to E7)": whatever there is of both. */
function withBracket(words: string, bracket: string): string {
  if (bracket === '') return words;
  return words === '' ? bracket : `${words} (${bracket})`;
}

/** What a stretch or a branch is, after its kernels and its type. */
export function detailWords(row: Stretch | SideBranch): string {
  const { answer } = row;
  const eras = 'eras' in row ? eraWords(row.eras) : asWords(row);
  const unsettled = 'eras' in row && row.unsettled;
  const leaf = leafWords(answer);
  const open = openWords(answer);
  return [
    withBracket(leaf === '' ? open : leaf, unsettled ? '' : eras),
    leaf === '' ? '' : open,
    unsettled ? `the sources do not settle which of ${eras}` : '',
    codeWords(answer),
  ]
    .filter((part) => part !== '')
    .join('; ');
}

/** "as 6.16 to 7.3" */
export function asWords({ as }: SideBranch): string {
  if (as === null) return '';
  return as.exactly ? `as ${as.kernels}` : `type and leaf as ${as.kernels}`;
}

/** "kvm_is_mmio_pfn(): 3.13 -> 3.17"; the eras stand beside the stretches already. */
export function partWords({ parts }: HistoryCause): string {
  return parts
    .filter(({ ingredient }) => ingredient !== 'vmx' && ingredient !== 'svm')
    .map(({ what, before, after }) => `${what}: ${before} -> ${after}`)
    .join('; ');
}

/** Where a commit can be read; null for what is no commit, and for an id that nobody checked. */
export function linkOf(id: SourceId): string | null {
  const source = SOURCES[id];
  if (source.kind !== 'commit' || source.evidence === 'recalled') return null;
  return `https://git.kernel.org/linus/${source.hash}`;
}

/** A commit by its id, its title and the first release with it; anything else by its citation. */
export function shortSource(id: SourceId): { readonly id: string; readonly title: string } {
  const source = SOURCES[id];
  if (source.kind !== 'commit') return { id: source.kind, title: cite(id) };
  const title = `${source.subject} (${source.first})${mark(source)}`;
  return { id: source.hash.slice(0, 12), title };
}

/** "928d4bf747e9 KVM: VMX: Set IGMT bit in EPT entry (2.6.28-rc5)" */
export function sourceWords(id: SourceId): string {
  const { id: name, title } = shortSource(id);
  return SOURCES[id].kind === 'commit' ? `${name} ${title}` : title;
}

/** Branches next to each other that are told with the same words, put together. */
export function branchGroups({ branches }: Timeline): readonly SideBranch[] {
  const groups: SideBranch[] = [];
  const told = (b: SideBranch): string => JSON.stringify([detailWords(b), b.causes]);
  for (const branch of branches) {
    const last = groups.at(-1);
    if (last === undefined || told(last) !== told(branch)) groups.push(branch);
    else groups[groups.length - 1] = { ...last, kernels: `${last.kernels}; ${branch.kernels}` };
  }
  return groups;
}

/** How often something changes from one settled stretch to the next. */
function changes(stretches: readonly Stretch[], of: (a: TimedAnswer) => string): number {
  const values = stretches.filter((s) => !s.unsettled).map(({ answer }) => of(answer));
  return values.filter((value, i) => i > 0 && value !== values[i - 1]).length;
}

const times = (n: number): string => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`);

function changeWords(t: Timeline, span: string): string {
  const there = t.stretches.filter(({ answer }) => answer.refused === null);
  const [some] = there;
  const now = typeWords(t.stretches.at(-1)?.answer ?? must(some, 'a stretch').answer);
  const types = changes(there, typeWords);
  if (types > 0) return `The type changed ${times(types)} ${span}, and is ${now} now.`;
  if (some !== undefined && there.length < t.stretches.length) {
    const where = there.map(({ kernels }) => kernels).join(', ');
    return `The type is ${typeWords(some.answer)} where there is such an access: ${where}.`;
  }
  const rest = changes(there, (a) => JSON.stringify([a.leaf, codeWords(a)]));
  const beside = rest === 0 ? 'beside mainline only' : times(rest);
  return `The type is ${now} ${span}; what KVM installs, or what is to be said of it, changed ${beside}.`;
}

/** The verdict on it all, in a sentence. */
export function headline(t: Timeline): string {
  const first = must(t.stretches[0], 'a stretch');
  const last = must(t.stretches.at(-1), 'a stretch');
  const span = `from ${first.from} to ${t.newest}`;
  const now = typeWords(last.answer);
  switch (exitCodeOfTimeline(t)) {
    case 3:
      return `Undetermined under every kernel ${span}: now it is ${now}.`;
    case 0:
      return `The same under every kernel ${span}: ${now}.`;
    case 1:
      return changeWords(t, span);
  }
}

/** "cpu intel, backing ttm-wc, guest WC" */
export function factWords({ said }: Timeline): string {
  if (said.length === 0) return 'an access of which nothing was said';
  return said.map(({ key, values }) => `${key} ${values.join(' ')}`).join(', ');
}
