import { everyChoice } from '../../base/choice.ts';
import { type FactKey, type FactValues, factDefinition } from '../../facts/facts.ts';
import { SWEEP_INPUTS, SWEEP_VALUES, type SweepInput } from '../space/space.ts';

export type Value = FactValues[FactKey];

/** Values that an ordinary page has, where its first value is another. */
const PLAIN: { readonly [K in SweepInput]?: FactValues[K] } = {
  'zero-page': false,
  'page-reserved': false,
};

/** The values of an input with the plainest first, so that the first tuple found is the plainest. */
export const PLAIN_FIRST: Readonly<Record<SweepInput, readonly Value[]>> = Object.fromEntries(
  SWEEP_INPUTS.map((key) => {
    const values: readonly Value[] = SWEEP_VALUES[key];
    const plain = PLAIN[key] ?? factDefinition(key).initial?.value ?? values[0];
    return [key, [...values.filter((v) => v === plain), ...values.filter((v) => v !== plain)]];
  }),
) as unknown as Record<SweepInput, readonly Value[]>;

/** An argument of a table: tuple `i` has its value number `floor(i / stride) % size`. */
export interface Wheel<K extends string> {
  readonly key: K;
  readonly size: number;
  readonly stride: number;
}

/** A function of a few arguments, as a number below 256 for each tuple; the first wheel turns slowest. */
export interface Table<K extends string> {
  readonly wheels: readonly Wheel<K>[];
  readonly data: Uint8Array;
}

export interface Run<K extends string> {
  /** Value numbers of the arguments asked for. */
  readonly digits: ReadonlyMap<K, number>;
  readonly value: number;
}

/** Every run of a function through what it asks for. */
export function runsOf<K extends string>(
  sizeOf: (key: K) => number,
  f: (digit: (key: K) => number) => number,
): readonly Run<K>[] {
  const runs: Run<K>[] = [];
  everyChoice((choice) => {
    const digits = new Map<K, number>();
    const value = f((key) => {
      let digit = digits.get(key);
      if (digit === undefined) {
        digit = choice.pick(sizeOf(key));
        digits.set(key, digit);
      }
      return digit;
    });
    runs.push({ value, digits });
  });
  return runs;
}

/** Wheels for some arguments, in the order given. */
export function wheelsFor<K extends string>(
  keys: readonly K[],
  sizeOf: (key: K) => number,
): readonly Wheel<K>[] {
  let stride = 1;
  return keys
    .toReversed()
    .map((key) => {
      const wheel = { key, size: sizeOf(key), stride };
      stride *= wheel.size;
      return wheel;
    })
    .toReversed();
}

/** The runs of a function cover its table without overlap. */
export function tableOf<K extends string>(
  wheels: readonly Wheel<K>[],
  runs: readonly Run<K>[],
): Table<K> {
  const [first] = wheels;
  const data = new Uint8Array(first === undefined ? 1 : first.size * first.stride);
  for (const { digits, value } of runs) {
    const free = wheels.filter(({ key }) => !digits.has(key));
    const base = wheels.reduce((n, { key, stride }) => n + (digits.get(key) ?? 0) * stride, 0);
    for (const offset of offsetsOf(
      free,
      free.map(({ size }) => upTo(size)),
    )) {
      data[base + offset] = value;
    }
  }
  return { wheels, data };
}

/** The tuples that the wheels make of value numbers, one of each list; the last wheel turns fastest. */
export function offsetsOf(
  wheels: readonly { readonly stride: number }[],
  digits: readonly (readonly number[])[],
): Int32Array {
  let tuples = Int32Array.of(0);
  wheels.forEach(({ stride }, w) => {
    const steps = digits[w] ?? [];
    const next = new Int32Array(tuples.length * steps.length);
    let at = 0;
    for (const tuple of tuples) for (const digit of steps) next[at++] = tuple + digit * stride;
    tuples = next;
  });
  return tuples;
}

export function upTo(size: number): readonly number[] {
  return Array.from({ length: size }, (_, i) => i);
}
