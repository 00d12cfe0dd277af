import { rule } from '../../cite/rule.ts';
import type { FenceInstruction } from '../config.ts';
import { SFENCE_ENTRY } from '../entries.ts';
import { all, YES } from '../language/expression.ts';
import type { Core, Hardware } from '../state.ts';
import { advance, atInstruction } from './control.ts';
import { clflushesAreDone, flushesAreDone, isDrained, serialize } from './draining.ts';
import { hasSlot, noFlushBuffered, push } from './store-buffer.ts';

const MFENCE = rule({
  id: 'machine/mfence',
  room: 'cpu',
  title: 'MFENCE, CPUID and other serializing events',
  text:
    'Pass when store buffer, write-combining buffers and pending flushes are empty. Streaming-load buffers are ' +
    'empty afterwards. Where clflushUnordered is on MFENCE waits for CLFLUSH, and nothing else does.',
  sources: [
    'sdm/ordering',
    'sdm/serializing',
    'sdm/wc-buffering',
    'apm/wc-buffers',
    'paper/x86-tso',
  ],
});

const VM_EXIT = rule({
  id: 'machine/vm-exit',
  room: 'cpu',
  title: 'A VM exit',
  text: 'As a serializing event where exitDrains is on; else nothing waits for it.',
  sources: ['apm/wc-buffers', 'sdm/serializing'],
});

const SFENCE = rule({
  id: 'machine/sfence',
  room: 'cpu',
  title: 'SFENCE enters the store buffer',
  text: 'It orders stores and flushes among themselves; later loads run on.',
  sources: ['sdm/ordering', 'hw/litmus7'],
});

const LFENCE = rule({
  id: 'machine/lfence',
  room: 'cpu',
  title: 'LFENCE',
  text:
    'Waits for older loads, which are performed in program order here anyway, and where lfenceWaitsFlush is on for ' +
    'older flushes. Stores do not wait for it.',
  sources: ['sdm/ordering', 'sdm/clflush', 'hw/litmus7'],
});

/** Fences, and events that act as one. */
export function fenceInstruction(hw: Hardware, core: Core, k: number, i: FenceInstruction): void {
  const here = atInstruction(core, k);
  const command = { agent: core.name, instruction: k, text: [i.op] };
  if (i.op === 'sfence') {
    hw.builder.command({
      ...command,
      rule: SFENCE,
      text: ['sfence enters the store buffer'],
      guard: [here, hasSlot(core)],
      effect: [...push(core, SFENCE_ENTRY), ...advance(core, k)],
    });
    return;
  }
  if (i.op === 'lfence') {
    const waits = hw.plan.switches.lfenceWaitsFlush;
    hw.builder.command({
      ...command,
      rule: LFENCE,
      guard: [here, waits ? all(noFlushBuffered(core), flushesAreDone(core)) : YES],
      effect: advance(core, k),
    });
    return;
  }
  const nothing = i.op === 'vmexit' && !hw.plan.switches.exitDrains;
  hw.builder.command({
    ...command,
    rule: i.op === 'vmexit' ? VM_EXIT : MFENCE,
    guard: [
      here,
      nothing ? YES : isDrained(core),
      i.op === 'mfence' ? clflushesAreDone(core) : YES,
    ],
    effect: [...(nothing ? [] : serialize(core)), ...advance(core, k)],
  });
}
