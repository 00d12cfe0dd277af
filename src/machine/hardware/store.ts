import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { StoreInstruction } from '../config.ts';
import { operandValues, storeEntry, storeKind } from '../entries.ts';
import { set } from '../language/expression.ts';
import { viewOf } from '../plan.ts';
import type { Core, Hardware } from '../state.ts';
import { busWrite, memoryOf } from './cache.ts';
import { advance, atInstruction } from './control.ts';
import { endStream, isQuietForStrong } from './draining.ts';
import { hasSlot, push } from './store-buffer.ts';
import { typesNow } from './tlb.ts';

const STORE = rule({
  id: 'machine/store',
  room: 'cpu',
  title: 'A store enters the store buffer',
  text:
    'WB, WT, WP, WC, WC+ and non-temporal ones, with the type that the TLB has now. The non-temporal hint is ' +
    'overridden by UC and WP, and says nothing new on WC.',
  sources: ['sdm/store-buffer', 'sdm/types', 'sdm/nt', 'paper/x86-tso', 'paper/pex86'],
});

const UC_STORE = rule({
  id: 'machine/store-uc',
  room: 'cpu',
  title: 'A UC or CD store',
  text:
    'After every older store has left store buffer and write-combining buffers, at once, to memory; caches are ' +
    'checked as its type says. With ucPosted it enters the store buffer instead.',
  sources: ['sdm/types', 'sdm/t11-7', 'apm/types', 'apm/wc-buffers', 'paper/pex86'],
});

/** STORE and its non-temporal form. */
export function storeInstruction(hw: Hardware, core: Core, k: number, i: StoreInstruction): void {
  const view = viewOf(hw.plan, core.name, i.view);
  const { line, cell } = view;
  const command = { agent: core.name, instruction: k };
  const here = atInstruction(core, k);
  for (const { type, when: typed } of typesNow(hw, core, view)) {
    const kind = storeKind(hw.plan, type, i.op === 'nt-store');
    for (const { value, when: valued } of operandValues(hw.plan, core.registers, i.value)) {
      const text = `${i.op === 'store' ? '' : 'nt '}${i.view}=${value}`;
      if (kind === null)
        hw.builder.command({
          ...command,
          rule: UC_STORE,
          text: [`${text} goes to memory`],
          guard: [here, typed, valued, isQuietForStrong(hw, core)],
          effect: [
            ...busWrite(
              hw,
              core,
              line,
              type,
              set(must(memoryOf(hw, line)[cell], 'no such cell'), value),
            ),
            ...endStream(hw, core, line),
            ...advance(core, k),
          ],
        });
      else
        hw.builder.command({
          ...command,
          rule: STORE,
          text: [`${text} enters the store buffer`],
          guard: [here, typed, valued, hasSlot(core)],
          effect: [
            ...push(core, storeEntry(hw.plan, kind, view, value)),
            ...endStream(hw, core, line),
            ...advance(core, k),
          ],
        });
    }
  }
}
