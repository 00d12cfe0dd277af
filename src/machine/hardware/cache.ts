import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import {
  any,
  choose,
  type Expression,
  equal,
  NO,
  not,
  type Place,
  type Statement,
  set,
  when,
} from '../language/expression.ts';
import { viewsOf } from '../plan.ts';
import { ABSENT, type CacheLine, CLEAN, type Core, type Hardware, MODIFIED } from '../state.ts';
import { type AccessType, isCacheable } from '../types.ts';
import { checks } from '../visible.ts';
import { holdsType } from './tlb.ts';

const EVICT = rule({
  id: 'machine/evict',
  room: 'cpu',
  title: 'A line leaves a cache',
  text: 'At any time; a modified line is written to memory, all of its cells.',
  sources: ['sdm/types', 'apm/types'],
});

const SPECULATIVE_FILL = rule({
  id: 'machine/speculative-fill',
  room: 'cpu',
  title: 'A line enters a cache unasked',
  text:
    'At any time, while the TLB holds a view of it with a cacheable type and CR0.CD is 0. A modified copy ' +
    'elsewhere is written to memory first and stays as a clean one.',
  sources: ['sdm/implicit-caching'],
});

export function memoryOf(hw: Hardware, line: number): readonly Place[] {
  return must(hw.memory[line], 'no such line');
}

export function cacheOf(core: Core, line: number): CacheLine | null {
  return core.caches[line] ?? null;
}

export function isPresent(core: Core, line: number): Expression {
  const cache = cacheOf(core, line);
  return cache === null ? NO : not(equal(cache.state, ABSENT));
}

export function isModified(core: Core, line: number): Expression {
  const cache = cacheOf(core, line);
  return cache === null ? NO : equal(cache.state, MODIFIED);
}

/** Copies values cell by cell. */
export function copy(to: readonly Place[], from: readonly Expression[]): readonly Statement[] {
  return to.flatMap((place, cell) => set(place, must(from[cell], 'lines differ in length')));
}

function toMemory(hw: Hardware, cache: CacheLine, line: number): readonly Statement[] {
  return when(equal(cache.state, MODIFIED), copy(memoryOf(hw, line), cache.values));
}

/** Gives the line up without a look at what is in it. */
export function drop(core: Core, line: number): readonly Statement[] {
  const cache = cacheOf(core, line);
  if (cache === null) return [];
  return [...set(cache.state, ABSENT), ...cache.values.flatMap((v) => set(v, 0))];
}

/** A modified copy goes to memory; no copy stays. */
export function writeBackAndDrop(hw: Hardware, core: Core, line: number): readonly Statement[] {
  const cache = cacheOf(core, line);
  if (cache === null) return [];
  return when(isPresent(core, line), [...toMemory(hw, cache, line), ...drop(core, line)]);
}

/** A modified copy goes to memory and stays as a clean one. */
export function writeBackAndKeep(hw: Hardware, core: Core, line: number): readonly Statement[] {
  const cache = cacheOf(core, line);
  if (cache === null) return [];
  return when(isModified(core, line), [...toMemory(hw, cache, line), ...set(cache.state, CLEAN)]);
}

export function othersThan(hw: Hardware, core: Core): readonly Core[] {
  return hw.cores.filter((c) => c !== core);
}

/** Before this core modifies a line: no other core has it. */
export function takeFromOthers(hw: Hardware, core: Core, line: number): readonly Statement[] {
  return othersThan(hw, core).flatMap((c) => writeBackAndDrop(hw, c, line));
}

/** A clean copy, of what memory holds once other cores have written back. Nothing where none can be. */
export function fill(hw: Hardware, core: Core, line: number): readonly Statement[] {
  const cache = cacheOf(core, line);
  const clean = othersThan(hw, core).flatMap((c) => writeBackAndKeep(hw, c, line));
  if (cache === null) return clean;
  return [...clean, ...set(cache.state, CLEAN), ...copy(cache.values, memoryOf(hw, line))];
}

/** The caches that a transaction of this type looks into. */
function checkedBy(hw: Hardware, core: Core, type: AccessType): readonly Core[] {
  return hw.cores.filter((c) => checks(hw.plan, type, c === core ? 'own' : 'others'));
}

/** What memory holds, or the modified copy among these caches. */
export function valueAmong(
  hw: Hardware,
  cores: readonly Core[],
  line: number,
  cell: number,
): Expression {
  return cores.reduce<Expression>(
    (value, c) => {
      const copyOf = cacheOf(c, line)?.values[cell];
      return copyOf === undefined ? value : choose(isModified(c, line), copyOf, value);
    },
    must(memoryOf(hw, line)[cell], 'no such cell'),
  );
}

/**
 * A read that goes to the bus: what it returns, asked before it happens; what it does to the caches that it checks;
 * whether it does anything to them.
 */
export function busRead(
  hw: Hardware,
  core: Core,
  line: number,
  cell: number,
  type: AccessType,
): {
  readonly value: Expression;
  readonly effect: readonly Statement[];
  readonly changes: Expression;
} {
  const checked = checkedBy(hw, core, type);
  const drops = (c: Core): boolean => type === 'CD' || (c === core && !isCacheable(type));
  return {
    value: valueAmong(hw, checked, line, cell),
    effect: checked.flatMap((c) =>
      drops(c) ? writeBackAndDrop(hw, c, line) : writeBackAndKeep(hw, c, line),
    ),
    changes: any(...checked.map((c) => (drops(c) ? isPresent(c, line) : isModified(c, line)))),
  };
}

/** A write that goes to the bus: copies in the caches that it checks are written back and dropped first. */
export function busWrite(
  hw: Hardware,
  core: Core,
  line: number,
  type: AccessType,
  writes: readonly Statement[],
): readonly Statement[] {
  return [...checkedBy(hw, core, type).flatMap((c) => writeBackAndDrop(hw, c, line)), ...writes];
}

/** Eviction and speculative fills of a core. */
export function cacheRules(hw: Hardware, core: Core): void {
  const { switches, lines } = hw.plan;
  lines.forEach(({ name }, line) => {
    const cache = cacheOf(core, line);
    if (cache === null) return;
    const command = { agent: core.name, instruction: null };
    if (switches.evict)
      hw.builder.command({
        ...command,
        rule: EVICT,
        text: [`${name} leaves the cache`],
        guard: [isPresent(core, line)],
        effect: writeBackAndDrop(hw, core, line),
      });
    if (switches.specFill)
      hw.builder.command({
        ...command,
        rule: SPECULATIVE_FILL,
        text: [`${name} is fetched speculatively`],
        guard: [
          equal(cache.state, ABSENT),
          equal(core.cacheDisable, 0),
          any(
            ...viewsOf(hw.plan, core.name)
              .filter((v) => v.line === line)
              .map((v) => holdsType(core, v, isCacheable)),
          ),
        ],
        effect: fill(hw, core, line),
      });
  });
}
