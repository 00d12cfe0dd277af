import { rule } from '../../cite/rule.ts';
import type { SetCdInstruction } from '../config.ts';
import { set } from '../language/expression.ts';
import type { Core, Hardware } from '../state.ts';
import { advance, atInstruction } from './control.ts';
import { isDrained, serialize } from './draining.ts';

const SET_CD = rule({
  id: 'machine/cr0-cd',
  room: 'cpu',
  title: 'MOV to CR0 changes CD',
  text:
    'Serializing; caches keep what they have. What accesses do with CD=1 is with them: on Intel hits are served ' +
    'and nothing is filled, on AMD (amdCD) every cacheable access is one of type CD.',
  sources: ['sdm/t11-5', 'sdm/no-fill', 'apm/cd', 'sdm/serializing'],
});

/** MOV to CR0. */
export function cacheDisableInstruction(
  hw: Hardware,
  core: Core,
  k: number,
  i: SetCdInstruction,
): void {
  hw.builder.command({
    rule: SET_CD,
    agent: core.name,
    instruction: k,
    text: [`CR0.CD=${i.value}`],
    guard: [atInstruction(core, k), isDrained(core)],
    effect: [...serialize(core), ...set(core.cacheDisable, i.value), ...advance(core, k)],
  });
}
