import type {
  Change,
  Condition,
  ConsequenceKind,
  Cover,
  Literal,
} from '../../compare/difference.ts';
import { PLATFORMS, type Platform, type PlatformId } from '../../compare/platforms.ts';
import { SWEEP_INPUTS } from '../../compare/space/space.ts';
import type { EffectiveType } from '../../x86/types.ts';

// ---- numbers ------------------------------------------------------------------------------------

/** 14515200 as "14,515,200". */
export function grouped(n: number): string {
  return String(n).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** A share with one decimal; never 0% of something, never 100% of less than all. */
export function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0%';
  if (part === whole) return '100%';
  const tenths = Math.round((part * 1000) / whole);
  if (tenths === 0) return '<0.1%';
  return `${(Math.min(tenths, 999) / 10).toFixed(1)}%`;
}

/** "1 point", "2 points". */
export function counted(n: number, what: string): string {
  return `${grouped(n)} ${what}${n === 1 ? '' : 's'}`;
}

/** "a", "a and b", "a, b and c". */
export function listed(words: readonly string[]): string {
  const [last = ''] = words.slice(-1);
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

// ---- platforms ----------------------------------------------------------------------------------

const ALONE: Readonly<Record<PlatformId, string>> = {
  'intel-ept': 'Intel EPT with self-snoop',
  'intel-ept-noss': 'Intel EPT without self-snoop',
  'intel-shadow': 'Intel shadow paging with self-snoop',
  'intel-shadow-noss': 'Intel shadow paging without self-snoop',
  'amd-npt': 'AMD NPT',
  'amd-shadow': 'AMD shadow paging',
  tdx: 'TDX guests',
  snp: 'SNP guests',
};

const TOGETHER: readonly (readonly [PlatformId, PlatformId, string])[] = [
  ['intel-ept', 'intel-ept-noss', 'Intel EPT'],
  ['intel-shadow', 'intel-shadow-noss', 'Intel shadow paging'],
];

/** Platforms in words; those that differ in self-snoop alone as one. */
export function platformWords(platforms: readonly Platform[]): readonly string[] {
  const [first] = platforms;
  if (first?.against !== undefined) {
    return platforms.map(({ id, against }) => {
      const there = against === undefined ? '' : ` against ${ALONE[against.id]}`;
      return `${ALONE[id]}${there}`;
    });
  }
  const given = platforms.map(({ id }) => id);
  const ids = PLATFORMS.map(({ id }) => id).filter((id) => given.includes(id));
  return ids.flatMap((id) => {
    const pair = TOGETHER.find(
      ([x, y]) => ids.includes(x) && ids.includes(y) && (id === x || id === y),
    );
    if (pair === undefined) return [ALONE[id]];
    return id === pair[0] ? [pair[2]] : [];
  });
}

/** Some of the platforms of which was spoken, by those left out where that is shorter. */
export function somePlatforms(on: readonly Platform[], all: readonly Platform[]): string {
  const others = all.filter((p) => !on.includes(p));
  const words = listed(platformWords(on));
  const not = `not ${listed(platformWords(others))}`;
  return not.length < words.length ? not : words;
}

// ---- conditions ---------------------------------------------------------------------------------

/** A literal in the words of the command line: "guest WB,WC", "guest not UC". */
export function literalWords({ input, values, others }: Literal): string {
  return others.length < values.length
    ? `${input} not ${others.join(',')}`
    : `${input} ${values.join(',')}`;
}

/** How literals and conditions are said. */
export interface Style {
  readonly literal: (literal: Literal) => string;
  readonly and: string;
}

export const PLAIN: Style = { literal: literalWords, and: ' and ' };

export function conditionWords(condition: Condition, { literal, and }: Style = PLAIN): string {
  return condition.length === 0 ? 'always' : condition.map(literal).join(and);
}

function keyOf(condition: Condition): string {
  return condition.map(literalWords).join(' ');
}

function part(condition: Condition, inputs: ReadonlySet<string>): Condition {
  return condition.filter(({ input }) => inputs.has(input));
}

function distinct(conditions: readonly Condition[]): readonly Condition[] {
  return [...new Map(conditions.map((c) => [keyOf(c), c])).values()];
}

/** Past this many inputs no product is looked for: the conditions stay as they are. */
const SPLIT_INPUTS = 10;

/** Alternatives as a product of two sets of alternatives over different inputs, if they are one. */
function split(
  conditions: readonly Condition[],
): readonly [readonly Condition[], readonly Condition[]] | null {
  const inputs = [...new Set(conditions.flatMap((c) => c.map(({ input }) => input)))];
  if (inputs.length > SPLIT_INPUTS) return null;
  for (let mask = 1; mask < 1 << (inputs.length - 1); mask++) {
    const own = new Set(inputs.filter((_, i) => (mask & (1 << i)) !== 0));
    const rest = new Set(inputs.filter((i) => !own.has(i)));
    const left = distinct(conditions.map((c) => part(c, own)));
    const right = distinct(conditions.map((c) => part(c, rest)));
    if (left.length * right.length === conditions.length) return [left, right];
  }
  return null;
}

/**
 * A cover as factors that must all hold, each any of its conditions: what all conditions have in common
 * is one factor, and independent alternatives are factors of their own.
 */
export function factorsOf(conditions: readonly Condition[]): readonly (readonly Condition[])[] {
  if (conditions.length < 2) return [conditions];
  const halves = split(conditions);
  return halves === null ? [conditions] : [...factorsOf(halves[0]), ...factorsOf(halves[1])];
}

/** When something holds: "a and b", "a, or b", "a and (b or c)". */
export function coverWords(
  { conditions }: Pick<Cover, 'conditions'>,
  style: Style = PLAIN,
): string {
  const factors = factorsOf(conditions);
  const sure = factors.filter((f) => f.length === 1).flatMap(([only]) => only ?? []);
  const open = factors.filter((f) => f.length > 1);
  if (sure.length === 0 && open.length === 1) {
    return (open[0] ?? []).map((c) => conditionWords(c, style)).join(', or ');
  }
  const alternatives = open.map((f) => `(${f.map((c) => conditionWords(c, style)).join(' or ')})`);
  if (sure.length === 0 && open.length === 0) return 'always';
  return [...(sure.length === 0 ? [] : [conditionWords(sure, style)]), ...alternatives].join(
    style.and,
  );
}

/** "not proven minimal" where it is not, else nothing. */
export function minimalWords({ minimal }: Pick<Cover, 'minimal'>): string {
  return minimal ? '' : ' (not proven to be the shortest condition)';
}

// ---- changes and consequences -------------------------------------------------------------------

export function pairWords({ before, after }: Pick<Change, 'before' | 'after'>): string {
  return `${before}>${after}`;
}

const TYPE_ORDER: readonly EffectiveType[] = ['WB', 'WT', 'WP', 'WC+', 'WC', 'UC', 'CD'];

/** Changes in short, not to be broken: "WB>WC/UC, WT>UC". */
export function pairsWords(changes: readonly Pick<Change, 'before' | 'after'>[]): string {
  const pairs = TYPE_ORDER.flatMap((before) => {
    const after = TYPE_ORDER.filter((t) =>
      changes.some((c) => c.before === before && c.after === t),
    );
    return after.length === 0 ? [] : [`${before}>${after.join('/')}`];
  });
  return pairs.join(', ');
}

/** In the order in which they are said: what is right or wrong before what is fast or slow. */
export const KINDS: readonly ConsequenceKind[] = [
  'machine-check',
  'stale',
  'alias',
  'order-lost',
  'unsnooped',
  'machine-check-gone',
  'coherent',
  'alias-gone',
  'order-kept',
  'snooped',
  'slower',
  'faster',
];

/** The worst first. */
const GRAVITY: readonly ConsequenceKind[] = [
  'machine-check',
  'stale',
  'alias',
  'order-lost',
  'slower',
  'unsnooped',
  'machine-check-gone',
  'coherent',
  'alias-gone',
  'order-kept',
  'snooped',
  'faster',
];

/** The smaller, the worse. */
export function gravityOf(kind: ConsequenceKind): number {
  return GRAVITY.indexOf(kind);
}

/** For whom a consequence is, behind its text; empty: the text says so, or it is for everyone. */
export function whomWords(text: string, forWhom: string | null): string {
  if (forWhom === null || text.includes(forWhom)) return '';
  return /^(?:where|when|with|without) /.test(forWhom) ? `, ${forWhom}` : ` for ${forWhom}`;
}

export function isWorse(kind: ConsequenceKind): boolean {
  return gravityOf(kind) <= gravityOf('slower');
}

/** "4 ...": how many users it happens to. */
export const KIND_WORDS: Readonly<Record<ConsequenceKind, string>> = {
  'machine-check': 'with a machine-check risk',
  stale: 'with stale data',
  alias: 'with a dangerous alias',
  'machine-check-gone': 'rid of a machine-check risk',
  coherent: 'now coherent',
  'alias-gone': 'rid of a dangerous alias',
  'order-lost': 'with stores out of order',
  'order-kept': 'with stores in order',
  unsnooped: 'that no longer look into the caches',
  snooped: 'that look into the caches',
  slower: 'slower',
  faster: 'faster',
};

// ---- inputs -------------------------------------------------------------------------------------

/** Number of inputs that are folded. */
export const FOLDED_INPUTS: number = SWEEP_INPUTS.length;
