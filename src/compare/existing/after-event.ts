import { factWord } from '../../facts/facts.ts';
import type { ZapEvent } from '../../kvm/zap.ts';
import { SWEEP_INPUTS } from '../space/space.ts';
import type { EventKind, Flip } from './events.ts';
import type { AfterEvent } from './existing.ts';
import { ACTIONS, type Argument, type Behaviour } from './leaf-table.ts';
import { type Digits, isPageInput } from './page-class.ts';
import { offsetsOf, PLAIN_FIRST, upTo, type Wheel } from './table.ts';

// ---- one side, one event ------------------------------------------------------------------------

/** What becomes of a mapping: it has the right leaf, or gets it, or keeps the wrong one. */
const KEEPS = 0;
const RETYPED = 1;
const STALE = 2;

const OUTCOME: readonly number[] = ACTIONS.map((action) => {
  // The event does not happen.
  if (action === 'refused') return KEEPS;
  return action === 'nothing' || action === 'reset-context' ? STALE : RETYPED;
});

/** An outcome for each tuple of some inputs, and for each new value. */
export interface Outcomes {
  readonly keys: readonly string[];
  readonly sizes: readonly number[];
  readonly data: Uint8Array;
  /** Points with each outcome but KEEPS. */
  readonly retyped: number;
  readonly stale: number;
}

export const ALWAYS_KEEPS: Outcomes = {
  keys: [],
  sizes: [],
  data: new Uint8Array(1),
  retyped: 0,
  stale: 0,
};

/** The states of one restriction. */
export interface Allowed {
  readonly digits: Digits;
  /** Combinations of page facts in each class of pages. */
  readonly pages: readonly number[];
  readonly pageWords: (page: number) => readonly string[];
}

/** Value numbers that an argument may have before the event. */
function digitsOf({ digits, pages }: Allowed, key: Argument): readonly number[] {
  return key === 'page' ? upTo(pages.length).filter((page) => pages[page] !== 0) : digits(key);
}

interface Flipped {
  readonly outcomes: Outcomes;
  /** Tuples before and after; null: nothing is stale. */
  readonly example: readonly [before: number, after: number] | null;
}

const UNTOUCHED: Flipped = { outcomes: ALWAYS_KEEPS, example: null };

/** Points for which a tuple stands, by the class of its page: all values of what is not asked for. */
function weightsOf({ wheels, given }: Behaviour, { digits, pages }: Allowed): readonly number[] {
  const asked = new Set<Argument>(wheels.map(({ key }) => key));
  const others = SWEEP_INPUTS.filter((k) => !isPageInput(k) && !asked.has(k) && !given.has(k));
  const each = others.reduce((n, key) => n * digits(key).length, 1);
  if (asked.has('page')) return pages.map((n) => n * each);
  return [each * pages.reduce((n, page) => n + page, 0)];
}

/** One flip over every tuple that a side looks at, within a restriction. */
function flipped(side: Behaviour, rule: ZapEvent, flip: Flip, allowed: Allowed): Flipped {
  const { wheels, leaf } = side;
  const isMoved = ({ key }: Wheel<Argument>): boolean => flip.inputs.some((i) => i === key);
  const moved = wheels.filter(isMoved);
  const [first] = flip.inputs.filter((input) => moved.some(({ key }) => key === input));
  if (first === undefined) return UNTOUCHED;
  const rest = wheels.filter((wheel) => !isMoved(wheel));
  const values = PLAIN_FIRST[first];
  const after = flip.to === undefined ? upTo(values.length) : [values.indexOf(flip.to as never)];
  const olds = moved.map(({ key }) =>
    digitsOf(allowed, key).filter((v) => flip.from === undefined || values[v] === flip.from),
  );
  const places = offsetsOf(
    rest,
    rest.map(({ key }) => digitsOf(allowed, key)),
  );
  const before = offsetsOf(moved, olds);
  const step = moved.reduce((n, { stride }) => n + stride, 0);
  const action = side.zap[rule];
  // The class of the page turns slowest.
  const pageStride = wheels[0]?.key === 'page' ? wheels[0].stride : leaf.length;
  const weights = weightsOf(side, allowed);
  const data = new Uint8Array(places.length * before.length * after.length);
  const points = [0, 0, 0];
  let example: Flipped['example'] = null;
  let at = 0;
  for (const place of places) {
    const weight = weights[Math.floor(place / pageStride)] as number;
    for (const old of before) {
      const from = place + old;
      for (const next of after) {
        const to = place + next * step;
        const same = leaf[from] === leaf[to];
        const outcome = same ? KEEPS : (OUTCOME[action[from] as number] as number);
        data[at++] = outcome;
        points[outcome] = (points[outcome] as number) + weight;
        if (outcome === STALE) example ??= [from, to];
      }
    }
  }
  const sizes = [
    ...rest.map(({ key }) => digitsOf(allowed, key).length),
    ...olds.map((o) => o.length),
  ];
  const [, retyped = 0, stale = 0] = points;
  return {
    outcomes: {
      keys: [...[...rest, ...moved].map(({ key }) => key), 'after'],
      sizes: [...sizes, after.length],
      data,
      retyped,
      stale,
    },
    example,
  };
}

/** The same function without the inputs on which it does not depend. */
function reduced({ keys, sizes, data }: Outcomes): Pick<Outcomes, 'keys' | 'data'> {
  let [left, leftSizes, rest] = [[...keys], [...sizes], data];
  for (let w = left.length - 1; w >= 0; w--) {
    const size = leftSizes[w] as number;
    const stride = leftSizes.slice(w + 1).reduce((n, s) => n * s, 1);
    const fewer = new Uint8Array(rest.length / size);
    for (let i = 0; i < fewer.length; i++) {
      fewer[i] = rest[(i - (i % stride)) * size + (i % stride)] as number;
    }
    const depends = rest.some(
      (outcome, i) => outcome !== fewer[(i - (i % (stride * size))) / size + (i % stride)],
    );
    if (depends) continue;
    left = left.filter((_, i) => i !== w);
    leftSizes = leftSizes.filter((_, i) => i !== w);
    rest = fewer;
  }
  return { keys: left, data: rest };
}

function sameItems(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether the same becomes of every mapping on both sides. */
export function sameOutcomes(a: Outcomes, b: Outcomes): boolean {
  if (a.retyped !== b.retyped || a.stale !== b.stale) return false;
  if (a.retyped + a.stale === 0) return true;
  if (sameItems(a.keys, b.keys)) return sameItems(a.data, b.data);
  const [x, y] = [reduced(a), reduced(b)];
  return sameItems(x.keys, y.keys) && sameItems(x.data, y.data);
}

// ---- one side, all flips of an event ------------------------------------------------------------

/** What became of everything on one side, as numbers to print and as the function itself. */
export interface Told {
  readonly after: AfterEvent;
  readonly outcomes: readonly Outcomes[];
}

function stateWords(
  { wheels }: Behaviour,
  { inputs }: Flip,
  { pageWords }: Allowed,
  [before, after]: readonly [number, number],
): string {
  const digit = ({ size, stride }: Wheel<Argument>, tuple: number): number =>
    Math.floor(tuple / stride) % size;
  return wheels
    .flatMap((wheel): readonly string[] => {
      const { key } = wheel;
      if (key === 'page') return pageWords(digit(wheel, before));
      const word = (tuple: number): string =>
        factWord(PLAIN_FIRST[key][digit(wheel, tuple)] as never);
      if (inputs.includes(key)) return [`${key} ${word(before)}, then ${word(after)}`];
      return digit(wheel, before) === 0 ? [] : [`${key} ${word(before)}`];
    })
    .join('; ');
}

/** An event on one side, over all states of all restrictions. */
export function told(
  side: Behaviour,
  action: string,
  { rule, flips }: EventKind,
  restrictions: readonly Allowed[],
): Told {
  const parts = flips.flatMap((flip) =>
    restrictions.map((allowed) => ({ flip, allowed, part: flipped(side, rule, flip, allowed) })),
  );
  const outcomes = parts.map(({ part }) => part.outcomes);
  const stale = parts.find(({ part }) => part.example !== null);
  const pair = stale?.part.example ?? null;
  const leafOf = (tuple: number): string => side.leaves[side.leaf[tuple] as number] ?? '';
  return {
    after: {
      affected: outcomes.reduce((n, o) => n + o.retyped + o.stale, 0),
      stale: outcomes.reduce((n, o) => n + o.stale, 0),
      action,
      example:
        stale === undefined || pair === null
          ? null
          : {
              installed: leafOf(pair[0]),
              now: leafOf(pair[1]),
              state: stateWords(side, stale.flip, stale.allowed, pair),
            },
    },
    outcomes,
  };
}
