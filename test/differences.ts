import fc from 'fast-check';
import { compare } from '../src/compare/compare.ts';
import type {
  Cause,
  Change,
  Condition,
  Consequence,
  Cover,
  DecidedBy,
  Difference,
  KindGroup,
  PlatformGroup,
  Side,
  TypeGrid,
  UserChange,
} from '../src/compare/difference.ts';
import { EVENTS } from '../src/compare/existing/events.ts';
import type { AfterEvent, Existing } from '../src/compare/existing/existing.ts';
import type { FamilyResult } from '../src/compare/families/family.ts';
import { PLATFORMS } from '../src/compare/platforms.ts';
import { pairsOf } from '../src/compare/sides.ts';
import { DIMENSIONS, type Dimension, valuesOf } from '../src/compare/space/cube.ts';
import { factWord } from '../src/facts/facts.ts';
import { rulesFor } from '../src/kvm/timeline.ts';
import { BACKINGS } from '../src/linux/backing.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import { KINDS } from '../src/report/diff/words.ts';
import { EFFECTIVE_TYPES } from '../src/x86/types.ts';

/** What two names give, on every platform. */
export function difference(a: string, b: string, asked: object = {}): Difference {
  const [pair] = pairsOf({ text: a }, { text: b }).pairs;
  if (pair === undefined) throw new Error(`no pair of ${a} and ${b}`);
  return compare({ ...pair, platforms: null, backings: [], facts: {}, only: null, ...asked });
}

/** Pairs that differ in many ways, each of them fast. */
export const REAL: readonly (readonly [string, string])[] = [
  ['6.10', '6.11'],
  ['6.16', 'wc-as-mmio'],
  ['6.16', 'host-pat'],
  ['6.16', '6.16'],
  ['4.14', '4.15'],
  ['2.6.30', '2.6.31'],
  ['6.15', '6.16'],
];

// ---- anything that the contract allows ----------------------------------------------------------

const NASTY = [
  '<b>&"\'',
  '`code` *b* _i_',
  '| a | b |',
  '@somebody #12',
  'x'.repeat(130),
  '[l](u)',
  '-',
  '> q',
];
const word = fc.oneof(
  fc.constantFrom('non-coherent DMA', 'a device that does not snoop', 'host MMIO', ...NASTY),
  fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }).filter((s) => s.trim() !== ''),
);
const words = fc.array(word, { minLength: 1, maxLength: 4 }).map((w) => w.join(' ').trim() || 'x');
const few = <T>(item: fc.Arbitrary<T>, max = 3): fc.Arbitrary<T[]> =>
  fc.array(item, { maxLength: max });
const some = <T>(item: fc.Arbitrary<T>, max = 3): fc.Arbitrary<T[]> =>
  fc.array(item, { minLength: 1, maxLength: max });
const count = fc.nat({ max: 300_000_000 });
const type = fc.constantFrom(...EFFECTIVE_TYPES);
const source = fc.constantFrom('mail/seed' as const, 'sdm/alias' as const);
const platforms = fc.subarray([...PLATFORMS], { minLength: 1 });
const backings = fc.subarray(
  BACKINGS.map(({ id }) => id),
  { minLength: 1 },
);

const wordsOf = (input: Dimension): readonly string[] => valuesOf(input).map(factWord);

const condition: fc.Arbitrary<Condition> = fc
  .subarray([...DIMENSIONS], { maxLength: 4 })
  .chain((inputs) =>
    fc.tuple(
      ...inputs.map((input) =>
        fc
          .subarray([...wordsOf(input)], { minLength: 1, maxLength: wordsOf(input).length - 1 })
          .map((values) => ({
            input,
            values,
            others: wordsOf(input).filter((v) => !values.includes(v)),
          })),
      ),
    ),
  );

const cover: fc.Arbitrary<Cover> = fc.record({
  conditions: some(condition, 4),
  minimal: fc.boolean(),
});

const decided: fc.Arbitrary<DecidedBy> = fc.record({ rule: word, leaf: words, why: words, source });

const consequence: fc.Arbitrary<Consequence> = fc.record({
  kind: fc.constantFrom(...KINDS),
  category: fc.constantFrom('perf' as const, 'coherence' as const, 'mce' as const),
  text: fc.oneof(
    words,
    fc.constant('stores slower: 23 times (Sapphire Rapids), 3.5 times (Coffee Lake-S)'),
  ),
  forWhom: fc.option(words),
  codes: few(fc.constantFrom('MT101', 'MT103')),
  sources: few(source, 1),
});

const kindGroup: fc.Arbitrary<KindGroup> = fc.record({ backings, consequences: few(consequence) });

/** A command is not broken within a word: no fact is as long as a line. */
const witness = fc.record({
  facts: fc.dictionary(
    fc.constantFrom('kernel', 'backing', 'guest'),
    fc.constantFrom('6.16, 6.16+host-pat-slot', 'ttm-wc', 'UC-', "it's"),
    { noNullPrototype: true },
  ),
  other: fc.constant(null),
});

const change: fc.Arbitrary<Change> = fc
  .record({ before: type, after: type, points: count, when: cover, witness, kinds: few(kindGroup) })
  .map((c) => ({ ...c, unknownKind: c.kinds.length === 0 }));

const axis = fc
  .constantFrom<Dimension>('guest', 'vmm-mapping', 'host-mtrr')
  .map((input) => ({ input, values: wordsOf(input) }));

const cell = fc.option(fc.record({ before: type, after: type }));

const grid: fc.Arbitrary<TypeGrid> = fc.tuple(axis, fc.option(axis)).chain(([rows, columns]) =>
  fc.record({
    rows: fc.constant(rows),
    columns: fc.constant(columns),
    slices: some(
      fc.record({
        at: fc.option(fc.constant({ input: 'guest-layout' as const, value: 'linux' })),
        cells: fc.tuple(
          ...rows.values.map(() => fc.tuple(...(columns?.values ?? ['']).map(() => cell))),
        ),
        backings: fc.oneof(fc.constant([]), backings),
      }),
      2,
    ),
  }),
);

const cause: fc.Arbitrary<Cause> = fc.record({
  before: decided,
  after: decided,
  mmio: fc.option(fc.record({ before: decided, after: decided })),
  points: count,
  differing: count,
  when: cover,
  grid: fc.option(grid),
  changes: some(change),
});

const group: fc.Arbitrary<PlatformGroup> = fc.record({
  platforms,
  points: count,
  differing: count,
  leafOnly: count,
  causes: few(cause, 2),
  unchanged: few(fc.oneof(words, fc.constant('where guest is UC, WC')), 2),
});

const user: fc.Arbitrary<UserChange> = fc.record({
  id: word,
  title: words,
  source,
  platforms,
  before: some(type, 2),
  after: some(type, 2),
  consequences: few(consequence, 2),
  witness,
});

const afterEvent: fc.Arbitrary<AfterEvent> = fc.record({
  affected: count,
  stale: count,
  action: words,
  example: fc.option(fc.record({ installed: words, now: words, state: words })),
});

const event = fc.constantFrom(...EVENTS);

const existing: fc.Arbitrary<Existing> = fc.record({
  differs: fc.boolean(),
  points: count,
  changes: few(
    fc.record({
      event,
      title: words,
      platforms,
      before: afterEvent,
      after: afterEvent,
      consequence: words,
      source,
    }),
    2,
  ),
  staleOnBoth: few(fc.record({ event, title: words }), 2),
});

const family: fc.Arbitrary<FamilyResult> = fc.record({
  id: fc.constantFrom('guest-mtrr-layouts' as const, 'huge-pages' as const),
  title: words,
  bound: words,
  members: count,
  differing: count,
  cases: few(
    fc.record({ cause: words, count, before: words, after: words, example: words, source }),
    2,
  ),
});

const [RULES] = rulesFor(parseKernelVersion('6.16'));
if (RULES === undefined) throw new Error('6.16 has rules');

const side: fc.Arbitrary<Side> = fc.record({
  name: word,
  kernel: word,
  title: words,
  notes: few(words, 2),
  rules: fc.constant(RULES),
});

/** A difference with any words in it, of any shape. */
export const anyDifference: fc.Arbitrary<Difference> = fc.record({
  a: side,
  b: side,
  points: count,
  differing: count,
  platforms: few(group),
  notCompared: few(fc.record({ platform: fc.constantFrom(...PLATFORMS), why: words }), 2),
  restrictedTo: few(words, 2),
  only: fc.option(fc.constantFrom('perf' as const, 'coherence' as const)),
  users: few(user),
  usersUnchanged: few(fc.record({ id: word, title: words }), 2),
  rules: few(
    fc.record({ what: words, before: words, after: words, consequence: words, source }),
    2,
  ),
  existing,
  families: few(family, 2),
});
