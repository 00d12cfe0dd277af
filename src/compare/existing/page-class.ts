import { factWord } from '../../facts/facts.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { isMmioAt } from '../space/access.ts';
import type { ReadInput, SweepInput } from '../space/space.ts';
import { offsetsOf, PLAIN_FIRST, runsOf, type Table, tableOf, upTo, wheelsFor } from './table.ts';

/** What rules look at only to know whether a page is host MMIO. */
const PAGE_INPUTS = [
  'pfn-valid',
  'zero-page',
  'page-reserved',
  'compound',
  'host-pat',
  'e820-ram',
] as const satisfies readonly SweepInput[];
type PageInput = (typeof PAGE_INPUTS)[number];

/** What they look at for other reasons too. */
const SHARED_INPUTS = ['host-memtype', 'host-mtrr'] as const satisfies readonly SweepInput[];
type SharedInput = (typeof SHARED_INPUTS)[number];

export function isPageInput(key: string): boolean {
  return PAGE_INPUTS.some((input) => input === key);
}

/** Numbers, in PLAIN_FIRST, of the values that an input may have. */
export type Digits = (key: SweepInput) => readonly number[];

/**
 * All pages, in classes for which both sides' kvm_is_mmio_pfn() depends in the same way on the type that
 * the host tracks and on its MTRRs. There are 32 to 96 combinations of page facts, and 3 to 5 classes.
 */
export interface PageClasses {
  readonly count: number;
  /** The answer of one side for a class; asks for the shared inputs only where it depends on them. */
  readonly isMmio: (side: 0 | 1, page: number, digit: (key: SharedInput) => number) => boolean;
  /** How many combinations of page facts, of those allowed, are in each class. */
  readonly weights: (allowed: Digits) => readonly number[];
  /** What is not ordinary about the plainest page of a class, of those allowed. */
  readonly words: (page: number, allowed: Digits) => readonly string[];
}

const sizeOf = (key: SweepInput): number => PLAIN_FIRST[key].length;

function mmioTable(rules: KvmRules): Table<PageInput | SharedInput> {
  const runs = runsOf<PageInput | SharedInput>(sizeOf, (digit) => {
    const read: ReadInput = (key) => PLAIN_FIRST[key][digit(key as PageInput)] as never;
    return isMmioAt(rules, read) ? 1 : 0;
  });
  const asked = new Set(runs.flatMap(({ digits }) => [...digits.keys()]));
  const keys = [...PAGE_INPUTS, ...SHARED_INPUTS].filter((key) => asked.has(key));
  return tableOf(wheelsFor(keys, sizeOf), runs);
}

/** One side's answers for a page, over the shared inputs on which they depend. */
interface Answers {
  readonly wheels: Table<SharedInput>['wheels'];
  readonly data: Uint8Array;
}

function answersOf(
  { wheels, data }: Table<PageInput | SharedInput>,
  page: ReadonlyMap<PageInput, number>,
): Answers {
  const shared = SHARED_INPUTS.filter((key) => wheels.some((w) => w.key === key));
  const base = wheels.reduce(
    (n, { key, stride }) => n + (page.get(key as PageInput) ?? 0) * stride,
    0,
  );
  const strides = shared.flatMap((key) => wheels.filter((w) => w.key === key));
  const answers = Uint8Array.from(
    offsetsOf(
      strides,
      shared.map((key) => upTo(sizeOf(key))),
    ),
    (offset) => data[base + offset] as number,
  );
  const constant = answers.every((answer) => answer === answers[0]);
  return constant
    ? { wheels: [], data: answers.slice(0, 1) }
    : { wheels: wheelsFor(shared, sizeOf), data: answers };
}

/** The classes of pages for two sets of rules. */
export function pageClasses(a: KvmRules, b: KvmRules): PageClasses {
  const tables = [mmioTable(a), mmioTable(b)] as const;
  const inputs = PAGE_INPUTS.filter((key) =>
    tables.some(({ wheels }) => wheels.some((w) => w.key === key)),
  );
  const wheels = wheelsFor(inputs, sizeOf);
  const classes = new Map<string, number>();
  const answers: (readonly [Answers, Answers])[] = [];
  const pages = [
    ...offsetsOf(
      wheels,
      inputs.map((key) => upTo(sizeOf(key))),
    ),
  ].map((tuple) => {
    const digits = new Map(
      wheels.map(({ key, size, stride }) => [key, Math.floor(tuple / stride) % size]),
    );
    const both = [answersOf(tables[0], digits), answersOf(tables[1], digits)] as const;
    const signature = both.map(({ data }) => data.join('')).join('|');
    const page = classes.get(signature) ?? answers.push(both) - 1;
    classes.set(signature, page);
    return { digits, page };
  });
  const allows = (allowed: Digits, digits: ReadonlyMap<PageInput, number>): boolean =>
    inputs.every((key) => allowed(key).includes(digits.get(key) ?? 0));
  return {
    count: answers.length,
    isMmio: (side, page, digit) => {
      const of = answers[page]?.[side];
      const at = of?.wheels.reduce((n, { key, stride }) => n + digit(key) * stride, 0) ?? 0;
      return of?.data[at] === 1;
    },
    weights: (allowed) => {
      const others = PAGE_INPUTS.filter((key) => !inputs.includes(key));
      const each = others.reduce((n, key) => n * allowed(key).length, 1);
      const counts = answers.map(() => 0);
      for (const { digits, page } of pages) {
        if (allows(allowed, digits)) counts[page] = (counts[page] as number) + each;
      }
      return counts;
    },
    words: (page, allowed) => {
      const found = pages.find((p) => p.page === page && allows(allowed, p.digits));
      return inputs.flatMap((key) => {
        const digit = found?.digits.get(key) ?? 0;
        return digit === 0 ? [] : [`${key} ${factWord(PLAIN_FIRST[key][digit] as never)}`];
      });
    },
  };
}
