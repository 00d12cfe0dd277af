/** Clocks of ftrace that count nanoseconds; the others (counter, uptime, x86-tsc, ...) count something else. */
const NANOSECONDS = new Set([
  'local',
  'global',
  'perf',
  'mono',
  'mono_raw',
  'boot',
  'tai',
  'tsc2nsec',
]);

/** The times of a guest's trace against the host's, as trace-cmd measured them while it recorded. */
export interface TimeSample {
  readonly time: bigint;
  readonly offset: bigint;
  readonly scaling: bigint;
  readonly fraction: bigint;
}

export interface TimeShift {
  readonly interpolates: boolean;
  /** By CPU, sorted by time. */
  readonly cpus: readonly (readonly TimeSample[])[];
}

/** What a trace says about its clock. */
export interface ClockFacts {
  /** Null: the trace does not say; nanoseconds are then assumed. */
  readonly name: string | null;
  /** In nanoseconds, added to every time. */
  readonly offset: bigint;
  readonly tsc: { readonly multiplier: bigint; readonly shift: bigint } | null;
  readonly shift: TimeShift | null;
}

export const PLAIN_CLOCK: ClockFacts = { name: null, offset: 0n, tsc: null, shift: null };

const MASK_64 = 2n ** 64n - 1n;

function shifted(time: bigint, { interpolates, cpus }: TimeShift, cpu: number): bigint {
  const samples = cpus[cpu] ?? [];
  const [first] = samples;
  if (first === undefined) return time;
  if (samples.length === 1) return time + first.offset;
  let index = 0;
  while (index + 2 < samples.length && (samples[index + 1]?.time ?? time) <= time) index += 1;
  const from = samples[index] ?? first;
  const to = samples[index + 1] ?? from;
  const span = to.time - from.time;
  const grown = (time - from.time) * (to.offset - from.offset);
  const offset = interpolates && span > 0n ? from.offset + (grown + span / 2n) / span : from.offset;
  return ((time * from.scaling) >> from.fraction) + offset;
}

/** Turns the raw times of a trace into what its other tools print. */
export class Clock {
  readonly name: string | null;
  /** False: times are ticks, not seconds. */
  readonly isSeconds: boolean;
  /** The time that `correct` made. */
  hi = 0;
  lo = 0;
  readonly #facts: ClockFacts;
  readonly #isPlain: boolean;

  constructor(facts: ClockFacts) {
    this.#facts = facts;
    this.name = facts.name;
    this.isSeconds = facts.name === null || facts.tsc !== null || NANOSECONDS.has(facts.name);
    this.#isPlain = facts.offset === 0n && facts.tsc === null && facts.shift === null;
  }

  correct(hi: number, lo: number, cpu: number): void {
    this.hi = hi;
    this.lo = lo;
    if (this.#isPlain) return;
    const { shift, tsc, offset } = this.#facts;
    let time = (BigInt(hi) << 32n) | BigInt(lo);
    if (shift !== null) time = shifted(time, shift, cpu);
    if (tsc !== null) time = (time * tsc.multiplier) >> tsc.shift;
    time = (time + offset) & MASK_64;
    this.hi = Number(time >> 32n);
    this.lo = Number(time & 0xffffffffn);
  }

  /** As the column of times has it. */
  value(hi: number, lo: number): number {
    const ticks = hi * 2 ** 32 + lo;
    return this.isSeconds ? ticks / 1e9 : ticks;
  }
}
