import { must } from '../base/assert.ts';
import type { Machine, StateView } from '../machine/machine.ts';
import type { CompiledTest, Holder, Outcome } from './compiled.ts';
import { refuseAt } from './lex.ts';
import type { Places } from './places.ts';
import { printLocation } from './print-parts.ts';
import { registerOrder } from './registers.ts';
import { type Content, contentOf } from './symbolic.ts';
import type { LitmusTest, Location, Proposition, Value } from './test.ts';
import type { CompiledThread } from './thread.ts';
import { type Encoding, sameValue } from './values.ts';

/** The name of the agent that executes a thread. */
export function agentName(test: LitmusTest, proc: number): string {
  return test.setup.devices.find((d) => d.proc === proc)?.name ?? `P${proc}`;
}

function locationsIn(p: Proposition): readonly Location[] {
  switch (p.kind) {
    case 'constant':
      return [];
    case 'equals':
      return [p.left];
    case 'same':
      return [p.left, p.right];
    case 'not':
      return locationsIn(p.of);
    case 'and':
    case 'or':
      return p.of.flatMap(locationsIn);
    case 'implies':
      return [...locationsIn(p.left), ...locationsIn(p.right)];
  }
}

/** herd7: registers by thread, then locations by name, elements of arrays last. */
function orderOf(location: Location): readonly (number | string)[] {
  if (location.kind === 'register') {
    const { proc, register } = location;
    return [0, proc, registerOrder(register.base), register.base];
  }
  const { name, index, kind } = location;
  return [1, index === null ? 0 : 1, name, index ?? 0, kind === 'cell' ? 0 : 1];
}

function compareOrder(a: Location, b: Location): number {
  const [left, right] = [orderOf(a), orderOf(b)];
  for (const [i, x] of left.entries()) {
    const y = right[i] ?? 0;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function distinct(locations: readonly Location[]): readonly Location[] {
  const byText = new Map(locations.map((l) => [printLocation(l), l]));
  return [...byText.values()].sort(compareOrder);
}

/** @throws Refused when a location is not there */
function checkLocations(test: LitmusTest, places: Places, locations: readonly Location[]): void {
  for (const l of locations) {
    if (l.kind === 'register') {
      if (l.proc >= test.threads.length) {
        refuseAt(test.source, l.at, `there is no thread P${l.proc}`);
      }
    } else {
      const cell = l.index === null ? l.name : `${l.name}[${l.index}]`;
      if (!places.cells.has(cell)) {
        const help = places.arrays.has(l.name) ? `name an element: ${l.name}[0]` : undefined;
        refuseAt(test.source, l.at, `nothing is called ${cell}`, help);
      }
    }
  }
}

function registerHolder(
  test: LitmusTest,
  location: Location & { readonly kind: 'register' },
  content: Content,
): Holder {
  switch (content.kind) {
    case 'value':
      return { kind: 'known', value: content.value };
    case 'unknown':
      return refuseAt(
        test.source,
        location.at,
        `what ${printLocation(location)} holds is not known: ${content.why}`,
      );
    case 'loaded':
      return {
        kind: 'register',
        agent: agentName(test, location.proc),
        register: content.register,
      };
  }
}

function cellHolder(places: Places, location: Exclude<Location, { kind: 'register' }>): Holder {
  const { kind, name, index } = location;
  const key = index === null ? name : `${name}[${index}]`;
  return { kind, ...must(places.cells.get(key), 'every location has a place') };
}

function read(holder: Holder, view: StateView, { decode }: Encoding): Value {
  if (holder.kind === 'known') return holder.value;
  if (holder.kind === 'register') {
    const { agent, register } = holder;
    const registers = (view.cores[agent] ?? view.devices[agent])?.registers ?? {};
    return decode(must(registers[register], `${agent} has no ${register}`));
  }
  const { kind, line, cell } = holder;
  const lines = kind === 'cell' ? view.coherent : view.memory;
  return decode(must(lines[line]?.[cell], `no cell ${cell} of ${line}`));
}

type Evaluate = (p: Proposition) => boolean;

function evaluator(ask: (location: Location) => Value): Evaluate {
  const holds: Evaluate = (p) => {
    switch (p.kind) {
      case 'constant':
        return p.value;
      case 'equals':
        return sameValue(ask(p.left), p.right);
      case 'same':
        return sameValue(ask(p.left), ask(p.right));
      case 'not':
        return !holds(p.of);
      case 'and':
        return p.of.every(holds);
      case 'or':
        return p.of.some(holds);
      case 'implies':
        return !holds(p.left) || holds(p.right);
    }
  };
  return holds;
}

/** What a final state is asked for, and how it answers. @throws Refused when a location has no known content */
export function observer(
  test: LitmusTest,
  places: Places,
  threads: readonly CompiledThread[],
  encoding: Encoding,
): Pick<CompiledTest, 'columns' | 'holderOf' | 'encoding' | 'observe' | 'holds'> {
  const { filter, condition } = test;
  const columns = distinct([...test.locations, ...locationsIn(condition.proposition)]);
  const asked = distinct([...columns, ...(filter === null ? [] : locationsIn(filter))]);
  checkLocations(test, places, asked);
  const holders = new Map(
    asked.map((l): [string, Holder] => {
      if (l.kind !== 'register') return [printLocation(l), cellHolder(places, l)];
      const { final } = must(threads[l.proc], 'a thread');
      return [printLocation(l), registerHolder(test, l, contentOf(final, l.register))];
    }),
  );
  const holderOf = (l: Location): Holder => must(holders.get(printLocation(l)), 'a holder');
  const indices = new Map(columns.map((l, i) => [printLocation(l), i]));
  return {
    columns,
    holderOf,
    encoding,
    observe: (machine: Machine, state: Int32Array, at: number): Outcome | null => {
      const view = machine.read(state, at);
      const ask = (l: Location): Value => read(holderOf(l), view, encoding);
      return filter === null || evaluator(ask)(filter) ? columns.map(ask) : null;
    },
    holds: (outcome) =>
      evaluator((l) => outcome[indices.get(printLocation(l)) ?? -1] ?? 0)(condition.proposition),
  };
}
