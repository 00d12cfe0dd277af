import { cite, SOURCES, type SourceId } from '../cite/sources.ts';
import type { TimedAnswer } from '../compare/answer.ts';
import type { HistoryCause } from '../compare/attribution.ts';
import {
  exitCodeOfTimeline,
  type SideBranch,
  type Stretch,
  type Timeline,
} from '../compare/timeline.ts';

/** "WC", "UC or WC"; where there is no access: "none". */
export function typeWords({ types, undefined: open }: TimedAnswer): string {
  if (types.length === 0) return 'none';
  return open ? `undefined: ${types.join(' or ')}` : types.join(' or ');
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

/** What KVM installs, or why there is no access, or why there is no single answer. */
export function leafWords({ leaf, refused, unknown, types }: TimedAnswer): string {
  if (refused !== null) return refused.why;
  if (leaf !== null) return leaf;
  if (types.length > 1 && unknown.length > 0) return `depends on ${unknown.join(', ')}`;
  return 'the leaf is open';
}

/** What a stretch or a branch is, after its kernels and its type. */
export function detailWords(row: Stretch | SideBranch): string {
  const { answer } = row;
  if (!('eras' in row)) {
    const as = asWords(row);
    return joined([`${leafWords(answer)}${as === '' ? '' : ` (${as})`}`, codeWords(answer)]);
  }
  const eras = eraWords(row.eras);
  if (row.unsettled) {
    const which = `the sources do not settle which of ${eras}`;
    const leaf = answer.leaf !== null || answer.unknown.length > 0 ? leafWords(answer) : '';
    return joined([leaf, which, codeWords(answer)]);
  }
  const undefined_ = answer.undefined ? 'undefined by the architecture or the kernel' : '';
  const leaf = `${leafWords(answer)}${eras === '' ? '' : ` (${eras})`}`;
  return joined([leaf, undefined_, codeWords(answer)]);
}

const joined = (parts: readonly string[]): string => parts.filter((p) => p !== '').join('; ');

/** "as 6.16 to 7.3" */
function asWords({ as }: SideBranch): string {
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

/** Where a commit can be read; null for what is no commit. */
export function linkOf(id: SourceId): string | null {
  const source = SOURCES[id];
  return source.kind === 'commit' ? `https://git.kernel.org/linus/${source.hash}` : null;
}

/** A commit by its id and title, anything else by its citation. */
export function shortSource(id: SourceId): { readonly id: string; readonly title: string } {
  const source = SOURCES[id];
  if (source.kind === 'commit') return { id: source.hash.slice(0, 12), title: source.subject };
  return { id: source.kind, title: cite(id) };
}

/** How often something changes from one settled stretch to the next. */
function changes(stretches: readonly Stretch[], of: (a: TimedAnswer) => string): number {
  const values = stretches.filter((s) => !s.unsettled).map(({ answer }) => of(answer));
  return values.filter((value, i) => i > 0 && value !== values[i - 1]).length;
}

const times = (n: number): string => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`);

/** The verdict on it all, in a sentence or two. */
export function headline(t: Timeline): string {
  const [first] = t.stretches;
  const last = t.stretches.at(-1);
  if (first === undefined || last === undefined) return '';
  const span = `from ${first.from} to ${t.newest}`;
  const now = typeWords(last.answer);
  const code = exitCodeOfTimeline(t);
  if (code === 3) return `Undetermined under every kernel ${span}: now it is ${now}.`;
  if (code === 0) return `The same under every kernel ${span}: ${now}.`;
  const types = changes(t.stretches, typeWords);
  const rest = changes(t.stretches, (a) => JSON.stringify([leafWords(a), codeWords(a)]));
  if (types > 0) return `The type changed ${times(types)} ${span}, and is ${now} now.`;
  const beside = rest === 0 ? 'beside mainline only' : times(rest);
  return `The type is ${now} ${span}; what KVM installs, or what is to be said of it, changed ${beside}.`;
}

/** "cpu intel, backing ttm-wc, guest WC" */
export function factWords({ said }: Timeline): string {
  return said.map(({ key, values }) => `${key} ${values.join(' ')}`).join(', ');
}
