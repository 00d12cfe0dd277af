import {
  all,
  any,
  type Expression,
  equal,
  not,
  type Statement,
  set,
  YES,
} from '../language/expression.ts';
import type { CombiningBuffer, CombiningLine, Core, Hardware, StreamLine } from '../state.ts';

/** Whether a write-combining buffer has a store in it. */
export function holdsAny(buffer: CombiningBuffer | null | undefined): Expression {
  return any(...(buffer?.cells ?? []).map((c) => equal(c.holds, 1)));
}

/** Whether a line has stores in write-combining buffers. */
export function isBusy(line: CombiningLine | null | undefined): Expression {
  return any(holdsAny(line?.filling), holdsAny(line?.leaving));
}

/** Whether a core combines stores to no line. */
export function nothingCombined(core: Core): Expression {
  return all(...core.combining.map((line) => not(isBusy(line))));
}

/** Whether all stores of a core have left store buffer and write-combining buffers. */
export function storesAreOut(core: Core): Expression {
  const [oldest] = core.slots;
  return all(oldest === undefined ? YES : equal(oldest, 0), nothingCombined(core));
}

/** Whether no CLFLUSHOPT or CLWB is under way. */
export function flushesAreDone(core: Core): Expression {
  return all(
    ...core.flushes.flatMap((f) => (f === null ? [] : [equal(f.clflushopt, 0), equal(f.clwb, 0)])),
  );
}

/** Whether no CLFLUSH is under way that only MFENCE waits for (clflushUnordered). */
export function clflushesAreDone(core: Core): Expression {
  return all(...core.flushes.flatMap((f) => (f === null ? [] : [equal(f.clflush, 0)])));
}

/** Store buffer, write-combining buffers and pending flushes are empty: what serializing events wait for. */
export function isDrained(core: Core): Expression {
  return all(storesAreOut(core), flushesAreDone(core));
}

/** What a strongly ordered access waits for. */
export function isQuietForStrong(hw: Hardware, core: Core): Expression {
  return hw.plan.switches.ucDrainsFlush ? isDrained(core) : storesAreOut(core);
}

function empty(stream: StreamLine | null | undefined): readonly Statement[] {
  if (stream === null || stream === undefined) return [];
  return [...set(stream.holds, 0), ...stream.values.flatMap((v) => set(v, 0))];
}

/** What a serializing event does beside waiting: streaming-load buffers are empty after it. */
export function serialize(core: Core): readonly Statement[] {
  return core.streams.flatMap(empty);
}

/** What a store does to the streaming-load buffer of its line: it is empty, unless streamOutlivesStore is on. */
export function endStream(hw: Hardware, core: Core, line: number): readonly Statement[] {
  return hw.plan.switches.streamOutlivesStore ? [] : empty(core.streams[line]);
}
