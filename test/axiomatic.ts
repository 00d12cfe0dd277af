/**
 * The machine's companion: which executions of a small program are consistent, said by axioms over relations between
 * accesses instead of by steps. One type a line, accesses and fences only. Nothing of src/machine is used.
 */

export type AxiomaticType = 'WB' | 'WT' | 'WC' | 'UC';

/** `st`, `nt`: value; `ld`: register; `xchg`: value and register. */
export type AxiomaticStep =
  | { readonly op: 'st' | 'nt'; readonly line: string; readonly value: number }
  | { readonly op: 'ld'; readonly line: string; readonly to: string }
  | { readonly op: 'xchg'; readonly line: string; readonly value: number; readonly to: string }
  | { readonly op: 'mfence' | 'sfence' | 'lfence' };

export interface AxiomaticProgram {
  readonly types: Readonly<Record<string, AxiomaticType>>;
  readonly threads: readonly (readonly AxiomaticStep[])[];
}

interface Event {
  readonly index: number;
  /** -1: the initial store of a line. */
  readonly thread: number;
  /** Place in the thread; both halves of an xchg have the same. */
  readonly place: number;
  readonly store: boolean;
  readonly line: string;
  readonly value: number;
  readonly register: string;
  readonly locked: boolean;
  /** WC, or non-temporal on a cacheable type. */
  readonly weak: boolean;
  readonly uncached: boolean;
}

function eventsOf({ types, threads }: AxiomaticProgram): readonly Event[] {
  const events: Event[] = [];
  const add = (e: Omit<Event, 'index' | 'uncached'>): void => {
    events.push({ ...e, index: events.length, uncached: types[e.line] === 'UC' });
  };
  const plain = { register: '', locked: false, weak: false };
  for (const line of Object.keys(types))
    add({ ...plain, thread: -1, place: 0, store: true, line, value: 0 });
  for (const [thread, steps] of threads.entries())
    for (const [place, s] of steps.entries()) {
      if (!('line' in s)) continue;
      const at = { ...plain, thread, place, line: s.line };
      const type = types[s.line];
      if (s.op === 'ld') add({ ...at, store: false, value: 0, register: s.to });
      else if (s.op === 'xchg') {
        add({ ...at, store: false, value: 0, register: s.to, locked: true });
        add({ ...at, store: true, value: s.value, locked: true });
      } else {
        const weak = type === 'WC' || (s.op === 'nt' && type !== 'UC');
        add({ ...at, store: true, value: s.value, weak });
      }
    }
  return events;
}

/** Whether a fence of this kind stands between two places of a thread. */
function fenced(p: AxiomaticProgram, a: Event, b: Event, op: 'mfence' | 'sfence'): boolean {
  return p.threads[a.thread]?.some((s, i) => s.op === op && i > a.place && i < b.place) ?? false;
}

/** Whether the program orders a before b, a being earlier in the same thread. */
function ordered(p: AxiomaticProgram, a: Event, b: Event, weak: boolean): boolean {
  if (!a.store || a.locked || b.locked || a.uncached || b.uncached) return true;
  if (fenced(p, a, b, 'mfence')) return true;
  if (!b.store) return false;
  if (fenced(p, a, b, 'sfence') || a.line === b.line) return true;
  return !a.weak && (!b.weak || !weak);
}

/** Whether a relation, a set of successors for each event, has no cycle. */
function isAcyclic(relation: readonly number[]): boolean {
  const reach = [...relation];
  for (let k = 0; k < reach.length; k++)
    for (let i = 0; i < reach.length; i++)
      if (((reach[i] ?? 0) >> k) & 1) reach[i] = (reach[i] ?? 0) | (reach[k] ?? 0);
  return reach.every((r, i) => ((r >> i) & 1) === 0);
}

function permutations<T>(of: readonly T[]): readonly (readonly T[])[] {
  if (of.length === 0) return [[]];
  return of.flatMap((x, i) =>
    permutations([...of.slice(0, i), ...of.slice(i + 1)]).map((rest) => [x, ...rest]),
  );
}

function product<T>(of: readonly (readonly T[])[]): readonly (readonly T[])[] {
  return of.reduce<readonly (readonly T[])[]>(
    (all, some) => all.flatMap((head) => some.map((x) => [...head, x])),
    [[]],
  );
}

class Execution {
  readonly #p: AxiomaticProgram;
  readonly #events: readonly Event[];
  /** Store that a load reads from, by index of the load. */
  readonly #from: ReadonlyMap<number, Event>;
  /** Place of a store in the coherence order of its line. */
  readonly #rank: ReadonlyMap<number, number>;

  constructor(
    p: AxiomaticProgram,
    events: readonly Event[],
    from: ReadonlyMap<number, Event>,
    rank: ReadonlyMap<number, number>,
  ) {
    this.#p = p;
    this.#events = events;
    this.#from = from;
    this.#rank = rank;
  }

  #rankOf(e: Event): number {
    return this.#rank.get(e.index) ?? 0;
  }

  /** Reads-from, coherence and from-reads: whether a communicates to b. */
  #communicates(a: Event, b: Event): boolean {
    if (a.line !== b.line || a === b) return false;
    if (a.store && b.store) return this.#rankOf(a) < this.#rankOf(b);
    if (a.store) return this.#from.get(b.index) === a;
    const source = this.#from.get(a.index);
    return b.store && source !== undefined && this.#rankOf(source) < this.#rankOf(b);
  }

  #relation(holds: (a: Event, b: Event) => boolean): readonly number[] {
    return this.#events.map((a) =>
      this.#events.reduce((set, b) => (a !== b && holds(a, b) ? set | (1 << b.index) : set), 0),
    );
  }

  #isEarlier(a: Event, b: Event): boolean {
    if (a.thread < 0) return b.thread >= 0;
    return a.thread === b.thread && (a.place < b.place || (a.place === b.place && !a.store));
  }

  #isAtomic(): boolean {
    return this.#events.every((w) => {
      if (!w.locked || !w.store) return true;
      const source = this.#from.get(w.index - 1);
      return source !== undefined && this.#rankOf(w) === this.#rankOf(source) + 1;
    });
  }

  isConsistent(weak: boolean): boolean {
    const coherent = this.#relation(
      (a, b) => (a.line === b.line && this.#isEarlier(a, b)) || this.#communicates(a, b),
    );
    if (!this.#isAtomic() || !isAcyclic(coherent)) return false;
    return isAcyclic(
      this.#relation((a, b) => {
        const external = a.thread !== b.thread && this.#communicates(a, b);
        if (external || a.thread !== b.thread || a.thread < 0 || !this.#isEarlier(a, b))
          return external;
        const waited = a.weak && this.#from.get(b.index) === a;
        return waited || ordered(this.#p, a, b, weak);
      }),
    );
  }

  outcome(): string {
    const registers = this.#events.flatMap((e) =>
      e.store ? [] : [`P${e.thread}:${e.register}=${this.#from.get(e.index)?.value}`],
    );
    const lines = Object.keys(this.#p.types).map((line) => {
      const last = this.#events
        .filter((e) => e.store && e.line === line)
        .reduce((a, b) => (this.#rankOf(a) > this.#rankOf(b) ? a : b));
      return `co:${line}=${last.value}`;
    });
    return [...registers, ...lines].join(' ');
  }
}

/**
 * All outcomes that the axioms allow, sorted. Every load has a register of its own.
 * @param weak whether WC and non-temporal stores may pass older stores
 */
export function axiomaticOutcomes(p: AxiomaticProgram, weak: boolean): readonly string[] {
  const events = eventsOf(p);
  const stores = (line: string) => events.filter((e) => e.store && e.line === line);
  const loads = events.filter((e) => !e.store);
  const sources = product(loads.map((l) => stores(l.line)));
  const orders = product(
    Object.keys(p.types).map((line) =>
      permutations(stores(line).filter((e) => e.thread >= 0)).map((rest) => rest),
    ),
  );
  const found = new Set<string>();
  for (const order of orders) {
    const rank = new Map<number, number>();
    for (const line of order) for (const [i, e] of line.entries()) rank.set(e.index, i + 1);
    for (const source of sources) {
      const from = new Map(loads.map((l, i) => [l.index, source[i] as Event]));
      const execution = new Execution(p, events, from, rank);
      if (execution.isConsistent(weak)) found.add(execution.outcome());
    }
  }
  return [...found].sort();
}
