import type { CoreState, DeviceState, StateView } from '../machine/machine.ts';

/** A place that has something of a line. */
export interface Copy {
  /** `memory`, or the agent whose it is. */
  readonly agent: string;
  /** What of it: `cache (modified)`, `store buffer`; empty for memory. */
  readonly place: string;
  /** A value a cell, null for a cell that is not there; or words. */
  readonly holds: readonly (number | null)[] | string;
}

/** By line what is where: memory first, then agents in their order, from the instruction outwards. */
export type Copies = Readonly<Record<string, readonly Copy[]>>;

/** The entries of a store buffer that are of a line, oldest first. */
function buffered({ storeBuffer }: CoreState, line: string): string {
  return storeBuffer
    .filter((entry) => {
      const [first = '', second = ''] = entry.split(' ');
      const subject = first.startsWith('cl') && second !== '' ? second : first;
      return subject === line || subject.startsWith(`${line}=`) || subject.startsWith(`${line}[`);
    })
    .join(', ');
}

function ofCore(agent: string, core: CoreState, line: string): readonly Copy[] {
  const entries = buffered(core, line);
  const cached = core.cache[line];
  const flushes = core.pendingFlushes[line];
  const held: readonly (Copy | null)[] = [
    entries === '' ? null : { agent, place: 'store buffer', holds: entries },
    core.combining[line] === undefined
      ? null
      : { agent, place: 'write-combining buffer', holds: core.combining[line] },
    core.leaving[line] === undefined
      ? null
      : { agent, place: 'write-combining buffer, on its way out', holds: core.leaving[line] },
    flushes === undefined ? null : { agent, place: 'pending', holds: flushes.join(', ') },
    core.streaming[line] === undefined
      ? null
      : { agent, place: 'streaming-load buffer', holds: core.streaming[line] },
    cached === undefined ? null : { agent, place: `cache (${cached.state})`, holds: cached.values },
  ];
  return held.filter((copy) => copy !== null);
}

function ofDevice(agent: string, device: DeviceState, line: string): readonly Copy[] {
  const cells = device.cache[line];
  if (cells === undefined) return [];
  const isDirty = cells.some((cell) => cell?.dirty === true);
  const holds = cells.map((cell) => cell?.value ?? null);
  return [{ agent, place: `cache (${isDirty ? 'modified' : 'clean'})`, holds }];
}

/** Where each line is in a state. */
export function copiesOf(view: StateView): Copies {
  return Object.fromEntries(
    Object.entries(view.memory).map(([line, values]) => [
      line,
      [
        { agent: 'memory', place: '', holds: values },
        ...Object.entries(view.cores).flatMap(([name, core]) => ofCore(name, core, line)),
        ...Object.entries(view.devices).flatMap(([name, device]) => ofDevice(name, device, line)),
      ],
    ]),
  );
}

/** `memory 0; P0 store buffer x=1; P1 cache (clean) 0`. */
export function printCopies(copies: readonly Copy[]): string {
  return copies
    .map(({ agent, place, holds }) => {
      const what = typeof holds === 'string' ? holds : holds.map((v) => v ?? '-').join(' ');
      return [agent, place, what].filter((word) => word !== '').join(' ');
    })
    .join('; ');
}
