import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { LockedInstruction } from '../config.ts';
import { operandValues } from '../entries.ts';
import {
  choose,
  type Expression,
  equal,
  type Statement,
  set,
  YES,
} from '../language/expression.ts';
import { type PlannedView, viewOf } from '../plan.ts';
import type { Core, Hardware } from '../state.ts';
import { type AccessType, isCacheable } from '../types.ts';
import { busRead, busWrite, cacheOf, isPresent, memoryOf, valueAmong } from './cache.ts';
import { advance, atInstruction, registerOf } from './control.ts';
import { isDrained, serialize } from './draining.ts';
import { performStore } from './store-buffer.ts';
import { typesNow } from './tlb.ts';

const LOCKED = rule({
  id: 'machine/locked',
  room: 'cpu',
  title: 'A locked read and write',
  text:
    'When store buffer, write-combining buffers and pending flushes are empty, in one step. On a cacheable type ' +
    'the line is owned while it happens; on others the bus is locked, and caches are checked as the type says.',
  sources: ['sdm/ordering', 'sdm/wc-buffering', 'apm/wc-buffers', 'paper/x86-tso'],
});

/** What is read: the own copy before anything else, where the type is cacheable. */
function oldValue(
  hw: Hardware,
  core: Core,
  { line, cell }: PlannedView,
  type: AccessType,
): Expression {
  if (!isCacheable(type)) return busRead(hw, core, line, cell, type).value;
  const elsewhere = valueAmong(hw, hw.cores, line, cell);
  const own = cacheOf(core, line)?.values[cell];
  return own === undefined ? elsewhere : choose(isPresent(core, line), own, elsewhere);
}

function write(
  hw: Hardware,
  core: Core,
  { line, cell }: PlannedView,
  type: AccessType,
  value: number,
): readonly Statement[] {
  if (isCacheable(type)) return performStore(hw, core, type, line, cell, value);
  const memory = must(memoryOf(hw, line)[cell], 'no such cell');
  return busWrite(hw, core, line, type, set(memory, value));
}

/** XCHG and LOCK ADD. */
export function lockedInstruction(hw: Hardware, core: Core, k: number, i: LockedInstruction): void {
  const view = viewOf(hw.plan, core.name, i.view);
  const { values } = hw.plan;
  for (const { type, when: typed } of typesNow(hw, core, view)) {
    const read = oldValue(hw, core, view, type);
    for (let old = 0; old < values; old++) {
      const news =
        i.op === 'xchg'
          ? operandValues(hw.plan, core.registers, i.value)
          : [{ value: (old + i.value) % values, when: YES }];
      for (const { value, when: valued } of news)
        hw.builder.command({
          rule: LOCKED,
          agent: core.name,
          instruction: k,
          text: [`${i.op} ${i.view} reads ${old} and writes ${value}`],
          guard: [atInstruction(core, k), typed, valued, isDrained(core), equal(read, old)],
          effect: [
            ...serialize(core),
            ...write(hw, core, view, type, value),
            ...(i.to === undefined ? [] : set(registerOf(core, i.to), old)),
            ...advance(core, k),
          ],
        });
    }
  }
}
