import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { Control } from '../config.ts';
import {
  type Expression,
  equal,
  not,
  type Place,
  type Statement,
  set,
  YES,
} from '../language/expression.ts';
import type { Core, Device, Hardware } from '../state.ts';
import { isDrained, serialize } from './draining.ts';

const BRANCH = rule({
  id: 'machine/branch',
  room: 'cpu',
  title: 'A branch',
  text: 'Depends on a register of the same agent. Nothing is executed speculatively past it.',
  sources: ['sdm/ordering'],
});

const SEND = rule({
  id: 'machine/send',
  room: 'cpu',
  title: 'A signal outside memory',
  text:
    'A doorbell, an interrupt or a fence of a driver, seen by all agents at once. Where it says that it ' +
    'serialises (an exit for MMIO, an interrupt that a core takes), store buffer, write-combining buffers ' +
    'and pending flushes are empty first.',
  sources: ['sdm/types', 'sdm/serializing', 'apm/wc-buffers'],
});

/** Whether an agent has instruction k before it. */
export function atInstruction(agent: Core | Device, k: number): Expression {
  return equal(agent.pc, k);
}

export function advance(agent: Core | Device, k: number): readonly Statement[] {
  return set(agent.pc, k + 1);
}

export function registerOf(agent: Core | Device, name: string): Place {
  return must(agent.registers.get(name), `${agent.name}: no register ${name}`);
}

/** Branches and signals, of cores and devices. */
export function controlInstruction(
  hw: Hardware,
  agent: Core | Device,
  k: number,
  i: Control,
): void {
  const command = { agent: agent.name, instruction: k };
  const here = atInstruction(agent, k);
  if (i.op === 'branch') {
    const taken = equal(registerOf(agent, i.register), i.value);
    const text = `${i.register} is ${i.value}`;
    hw.builder.command({
      ...command,
      rule: BRANCH,
      text: [`${text}: on to ${i.to}`],
      guard: [here, taken],
      effect: set(agent.pc, i.to),
    });
    hw.builder.command({
      ...command,
      rule: BRANCH,
      text: [`not ${text}`],
      guard: [here, not(taken)],
      effect: advance(agent, k),
    });
    return;
  }
  const flag = must(hw.flags.get(i.flag), `no flag ${i.flag}`);
  const waits = i.serialises && 'slots' in agent;
  const serialized = waits ? [...serialize(agent), ...advance(agent, k)] : advance(agent, k);
  hw.builder.command({
    ...command,
    rule: SEND,
    text: [`${i.op} ${i.flag}=${i.value}`],
    guard: [here, waits ? isDrained(agent) : YES, i.op === 'await' ? equal(flag, i.value) : YES],
    effect: i.op === 'await' ? serialized : [...set(flag, i.value), ...serialized],
  });
}
