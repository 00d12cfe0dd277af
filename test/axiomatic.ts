/**
 * The machine's companion: which executions of a small program are consistent, said by axioms over relations between
 * accesses instead of by steps. One type a line, every access a whole line. Nothing of src/ is used.
 */

export type AxiomaticType = 'WB' | 'WT' | 'WP' | 'WC' | 'UC' | 'UCM' | 'WC+' | 'CD';

const FULL_FENCES = ['mfence', 'cpuid', 'vmexit'] as const;
export type AxiomaticFence = (typeof FULL_FENCES)[number] | 'sfence' | 'lfence';

/** A constant, or what an earlier load of the thread got. */
export type AxiomaticValue = number | { readonly register: string };

/** Every load, and every locked operation that has a `to`, has a register of its own. */
export type AxiomaticStep =
  | { readonly op: 'st' | 'nt'; readonly line: string; readonly value: AxiomaticValue }
  | { readonly op: 'ld'; readonly line: string; readonly to: string }
  | { readonly op: 'xchg'; readonly line: string; readonly value: number; readonly to: string }
  | { readonly op: 'add'; readonly line: string; readonly value: number }
  | { readonly op: AxiomaticFence };

export interface AxiomaticThread {
  /** What a device is; null for a core. */
  readonly device: 'snoop' | 'nosnoop' | null;
  readonly steps: readonly AxiomaticStep[];
}

export interface AxiomaticProgram {
  readonly types: Readonly<Record<string, AxiomaticType>>;
  readonly threads: readonly AxiomaticThread[];
}

/** What orders two accesses of a thread, beside what passes between threads. */
export const CLAUSES = [
  'load',
  'tso-tso',
  'tso-weak',
  'full fence',
  'sfence',
  'locked',
  'strong',
  'line',
  'not forwarded',
  'one buffer',
] as const;
export type Clause = (typeof CLAUSES)[number];

export interface Variant {
  readonly ntPassesOlder: boolean;
  readonly wcReopens: boolean;
  /** A clause to leave out, for a test that it is needed. */
  readonly without?: Clause;
}

interface Access {
  /** Its bit. */
  readonly index: number;
  /** -1: the initial store of a line. */
  readonly thread: number;
  /** Place in the thread; both halves of a locked operation have the same. */
  readonly place: number;
  readonly store: boolean;
  readonly line: string;
  readonly locked: boolean;
  /** `weak`: write-combining or non-temporal. `strong`: performed in order, as UC is. `tso`: all others. */
  readonly kind: 'tso' | 'weak' | 'strong';
  /** Of a store: what it writes, `read` being the load that it takes a value from. */
  readonly value: { readonly read: number | null; readonly plus: number };
  /** Of a load: where the value goes; empty when nobody sees it. */
  readonly register: string;
}

// ---- accesses -----------------------------------------------------------------------------------

const STRONG: readonly AxiomaticType[] = ['UC', 'UCM', 'CD'];
const COMBINING: readonly AxiomaticType[] = ['WC', 'WC+'];

function kindOf(type: AxiomaticType | undefined, nt: boolean, device: boolean): Access['kind'] {
  if (type === undefined) throw new Error('a line without a type');
  if (device || STRONG.includes(type)) return 'strong';
  return COMBINING.includes(type) || (nt && type !== 'WP') ? 'weak' : 'tso';
}

function accessesOf({ types, threads }: AxiomaticProgram): readonly Access[] {
  const accesses: Access[] = [];
  const zero = { read: null, plus: 0 };
  const base = { store: true, locked: false, value: zero, register: '' };
  const add = (a: Omit<Access, 'index'>): number =>
    accesses.push({ ...a, index: accesses.length }) - 1;
  for (const line of Object.keys(types))
    add({ ...base, thread: -1, place: 0, line, kind: 'strong' });
  for (const [thread, { device, steps }] of threads.entries()) {
    const registers = new Map<string, number>();
    for (const [place, s] of steps.entries()) {
      if (!('line' in s)) continue;
      const kind = kindOf(types[s.line], s.op === 'nt', device !== null);
      const here = { ...base, thread, place, line: s.line, kind };
      if (s.op === 'ld') {
        registers.set(s.to, add({ ...here, store: false, register: s.to }));
      } else if (s.op === 'xchg' || s.op === 'add') {
        const register = s.op === 'xchg' ? s.to : '';
        const read = add({ ...here, store: false, locked: true, register });
        if (s.op === 'xchg') registers.set(s.to, read);
        const value = { read: s.op === 'add' ? read : null, plus: s.value };
        add({ ...here, locked: true, value });
      } else if (typeof s.value === 'number') {
        add({ ...here, value: { read: null, plus: s.value } });
      } else {
        const read = registers.get(s.value.register);
        if (read === undefined) throw new Error('a register that nothing was loaded into');
        add({ ...here, value: { read, plus: 0 } });
      }
    }
  }
  if (accesses.length > 31) throw new Error('more accesses than bits');
  return accesses;
}

// ---- relations: for each access the set of those that come later --------------------------------

function isAcyclic(next: readonly number[]): boolean {
  let left = 2 ** next.length - 1;
  for (;;) {
    let stays = 0;
    for (let rest = left; rest !== 0; rest &= rest - 1) {
      const lowest = rest & -rest;
      if (((next[31 - Math.clz32(lowest)] ?? 0) & left) !== 0) stays |= lowest;
    }
    if (stays === 0) return true;
    if (stays === left) return false;
    left = stays;
  }
}

function union(a: readonly number[], b: readonly number[]): readonly number[] {
  return a.map((set, i) => set | (b[i] ?? 0));
}

class Model {
  readonly #p: AxiomaticProgram;
  readonly #v: Variant;
  readonly accesses: readonly Access[];
  /** What program order orders, in every execution. */
  readonly ordered: readonly number[];

  constructor(p: AxiomaticProgram, v: Variant) {
    this.#p = p;
    this.#v = v;
    this.accesses = accessesOf(p);
    this.ordered = this.accesses.map((a) =>
      this.accesses.reduce(
        (set, b) => (this.isEarlier(a, b) && this.#orders(a, b) ? set | (1 << b.index) : set),
        0,
      ),
    );
  }

  has(clause: Clause): boolean {
    return this.#v.without !== clause;
  }

  /** Program order; initial stores are of no thread. */
  isEarlier(a: Access, b: Access): boolean {
    return a.thread === b.thread && a.thread >= 0 && a.index < b.index;
  }

  #isBetween(a: Access, b: Access, ops: readonly string[]): boolean {
    const between = this.#p.threads[a.thread]?.steps.slice(a.place + 1, b.place) ?? [];
    return between.some((s) => ops.includes(s.op));
  }

  /** Whether a, which is earlier in its thread, is before b in every execution. */
  #orders(a: Access, b: Access): boolean {
    if (a.place === b.place) return true;
    if (!a.store && this.has('load')) return true;
    if ((a.locked || b.locked) && this.has('locked')) return true;
    if ((a.kind === 'strong' || b.kind === 'strong') && this.has('strong')) return true;
    if (this.#isBetween(a, b, FULL_FENCES) && this.has('full fence')) return true;
    if (!a.store || !b.store) return false;
    if (this.#isBetween(a, b, ['sfence']) && this.has('sfence')) return true;
    if (a.line === b.line && this.has('line')) return true;
    if (a.kind === 'weak') return false;
    return b.kind === 'weak' ? !this.#v.ntPassesOlder && this.has('tso-weak') : this.has('tso-tso');
  }

  /**
   * Two weak stores of a thread to a line that can meet in one write-combining buffer: nothing between them makes the
   * first leave. If it is seen, it left before the second came, and so before what cannot pass the second.
   */
  meets(a: Access, b: Access): boolean {
    if (this.#v.wcReopens || !this.has('one buffer')) return false;
    if (!this.isEarlier(a, b) || a.line !== b.line) return false;
    if (!a.store || !b.store || a.kind !== 'weak' || b.kind !== 'weak' || a.locked || b.locked)
      return false;
    if (this.#isBetween(a, b, [...FULL_FENCES, 'sfence'])) return false;
    return !this.accesses.some(
      (c) =>
        this.isEarlier(a, c) &&
        this.isEarlier(c, b) &&
        (c.line === a.line || c.locked || c.kind === 'strong'),
    );
  }

  /** Later stores that do not pass b on its way to its buffer. */
  behind(b: Access): number {
    return this.accesses.reduce((set, c) => {
      const waits = c.store && (c.kind !== 'weak' || !this.#v.ntPassesOlder);
      return waits && this.isEarlier(b, c) ? set | (1 << c.index) : set;
    }, 0);
  }
}

// ---- executions of one line ---------------------------------------------------------------------

/** One way in which the accesses to a line can happen. */
interface LineExecution {
  /** Store that a load reads, by index of the load. */
  readonly from: ReadonlyMap<number, number>;
  readonly last: number;
  readonly next: readonly number[];
}

/** All orders of stores in which those of a thread stay in program order. */
function* coherenceOrders(
  stores: readonly Access[],
  model: Model,
): Generator<readonly Access[], void> {
  if (stores.length === 0) yield [];
  for (const first of stores) {
    if (stores.some((s) => model.isEarlier(s, first))) continue;
    const others = stores.filter((s) => s !== first);
    for (const rest of coherenceOrders(others, model)) yield [first, ...rest];
  }
}

/**
 * The stores that each load may read, given their order: not one that its thread has overwritten or comes to write
 * later, and nothing older than what an earlier load of the thread has read. A locked store comes right after the
 * store that its load reads.
 */
function* readings(
  loads: readonly Access[],
  order: readonly Access[],
  model: Model,
  from: ReadonlyMap<number, number>,
): Generator<ReadonlyMap<number, number>, void> {
  const [load, ...others] = loads;
  if (load === undefined) {
    yield from;
    return;
  }
  for (const [rank, store] of order.entries()) {
    const tooOld = order.slice(rank + 1).some((s) => model.isEarlier(s, load));
    const tooNew = order.slice(0, rank + 1).some((s) => model.isEarlier(load, s));
    const backwards = [...from].some(([earlier, source]) => {
      const before = model.accesses[earlier];
      if (before === undefined || !model.isEarlier(before, load)) return false;
      return order.findIndex((s) => s.index === source) > rank;
    });
    const atomic = !load.locked || order[rank + 1]?.index === load.index + 1;
    if (tooOld || tooNew || backwards || !atomic) continue;
    yield* readings(others, order, model, new Map([...from, [load.index, store.index]]));
  }
}

function communication(
  model: Model,
  line: readonly Access[],
  order: readonly Access[],
  from: ReadonlyMap<number, number>,
): readonly number[] {
  const { accesses } = model;
  const next = accesses.map(() => 0);
  const add = (a: number, set: number): void => {
    next[a] = (next[a] ?? 0) | set;
  };
  const external = (a: Access, b: Access): void => {
    if (a.thread !== b.thread) add(a.index, 1 << b.index);
  };
  for (const [rank, store] of order.entries()) {
    for (const later of order.slice(rank + 1)) external(store, later);
    for (const load of line) {
      if (load.store || from.get(load.index) !== store.index) continue;
      external(store, load);
      if (store.thread === load.thread && store.kind === 'weak' && model.has('not forwarded'))
        add(store.index, 1 << load.index);
      for (const later of order.slice(rank + 1)) external(load, later);
    }
    const younger = line.find((b) => model.meets(store, b));
    if (younger === undefined) continue;
    const isSeen = [...from.values()].includes(store.index) || order[rank + 1] !== younger;
    if (isSeen) add(store.index, model.behind(younger));
  }
  return next;
}

/** The executions of a line that program order does not forbid, those with the same values together. */
function executionsOf(model: Model, line: string): readonly (readonly LineExecution[])[] {
  const here = model.accesses.filter((a) => a.line === line);
  const [initial, ...stores] = here.filter((a) => a.store);
  if (initial === undefined) throw new Error('a line without an initial store');
  const loads = here.filter((a) => !a.store);
  const groups = new Map<string, LineExecution[]>();
  for (const rest of coherenceOrders(stores, model)) {
    const order = [initial, ...rest];
    for (const from of readings(loads, order, model, new Map())) {
      const next = communication(model, here, order, from);
      if (!isAcyclic(union(model.ordered, next))) continue;
      const last = order.at(-1)?.index ?? 0;
      const key = [...from.values(), last].join();
      groups.set(key, [...(groups.get(key) ?? []), { from, last, next }]);
    }
  }
  return [...groups.values()];
}

// ---- executions of a program --------------------------------------------------------------------

function isPossible(
  groups: readonly (readonly LineExecution[])[],
  ordered: readonly number[],
): boolean {
  const [group, ...others] = groups;
  if (group === undefined) return true;
  return group.some(({ next }) => {
    const together = union(ordered, next);
    return isAcyclic(together) && isPossible(others, together);
  });
}

function outcomeOf(
  model: Model,
  lines: readonly string[],
  chosen: readonly LineExecution[],
): string {
  const from = new Map(chosen.flatMap((e) => [...e.from]));
  // Values out of thin air, which only a model without a clause has, are NaN.
  const valueAt = (store: number, depth = 0): number => {
    const { read, plus } = model.accesses[store]?.value ?? { read: null, plus: Number.NaN };
    if (depth > model.accesses.length) return Number.NaN;
    return plus + (read === null ? 0 : valueAt(from.get(read) ?? -1, depth + 1));
  };
  const registers = model.accesses
    .filter((a) => a.register !== '')
    .map((a) => `${a.thread}:${a.register}=${valueAt(from.get(a.index) ?? -1)}`);
  const finals = lines.map((line, i) => `[${line}]=${valueAt(chosen[i]?.last ?? -1)}`);
  return [...registers, ...finals].sort().join(' ');
}

/** All outcomes that the axioms allow, sorted: `0:rax=1 1:rbx=0 [x]=1`, each outcome sorted too. */
export function axiomaticOutcomes(p: AxiomaticProgram, v: Variant): readonly string[] {
  const model = new Model(p, v);
  const lines = Object.keys(p.types);
  const found = new Set<string>();
  const choose = (
    rest: readonly (readonly (readonly LineExecution[])[])[],
    chosen: readonly (readonly LineExecution[])[],
  ): void => {
    const [groups, ...others] = rest;
    if (groups !== undefined) {
      for (const group of groups) choose(others, [...chosen, group]);
    } else if (isPossible(chosen, model.ordered)) {
      const one = chosen.flatMap((group) => group.slice(0, 1));
      found.add(outcomeOf(model, lines, one));
    }
  };
  choose(
    lines.map((line) => executionsOf(model, line)),
    [],
  );
  return [...found].sort();
}

/** Whether a thread has more than two weak stores to a line in a row: the machine has two buffers for them. */
export function fillsThree({ types, threads }: AxiomaticProgram): boolean {
  return threads.some(({ device, steps }) => {
    const waiting = new Map<string, number>();
    return steps.some((s) => {
      if (s.op === 'lfence' || s.op === 'ld') return false;
      if (s.op !== 'st' && s.op !== 'nt') {
        waiting.clear();
        return false;
      }
      if (kindOf(types[s.line], s.op === 'nt', device !== null) !== 'weak') return false;
      const n = (waiting.get(s.line) ?? 0) + 1;
      waiting.set(s.line, n);
      return n > 2;
    });
  });
}
