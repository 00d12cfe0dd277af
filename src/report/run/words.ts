import type { Copy, MachineEvent } from '../../scenario/happening.ts';
import { ACTORS, type Actor } from '../../scenario/happening.ts';
import type { Run, RunEvent, Violation } from '../../scenario/run.ts';
import { COST_CPUS, loadsCached, storeFactor, storeNs } from '../../x86/cost.ts';
import type { EffectiveType } from '../../x86/types.ts';

const SHORT: readonly (readonly [RegExp, string])[] = [
  [/^memory$/, 'mem'],
  [/ cache$/, ''],
  [/ WC buffer$/, ' wc'],
];

/** A copy in short: values of the bytes of a line, `.` where there is none, `*` where it has to be written back. */
export function copyWords({ at, values, isDirty }: Copy): string {
  const place = SHORT.reduce((name, [long, short]) => name.replace(long, short), at);
  return `${place} ${values.map((v) => v ?? '.').join('')}${isDirty ? '*' : ''}`;
}

/** "mem 0 cpu0 1*", of each line concerned; lines are named where there are several. */
export function copiesWords({ copies }: MachineEvent, named: boolean): string {
  return copies
    .map(({ line, copies: all }) => `${named ? `${line}: ` : ''}${all.map(copyWords).join(' ')}`)
    .join('; ');
}

/** "0 from memory". */
export function readWords({ value, from }: MachineEvent): string {
  return value === null ? '' : `${value} from ${from ?? 'memory'}`;
}

/** Who acts in a run, in the order of the cast. */
export function castOf(events: readonly RunEvent[]): readonly (readonly [Actor, string])[] {
  const seen = new Set(events.map((e) => e.who));
  return (Object.keys(ACTORS) as Actor[]).filter((a) => seen.has(a)).map((a) => [a, ACTORS[a]]);
}

const KIND_WORDS: Readonly<Record<Violation['kind'], string>> = {
  never: 'this must never be, and some schedule ends with it',
  sometimes: 'no schedule ends with this, and some should',
  stuck: 'some schedule does not come to an end',
  granted: 'the guest kernel must not grant this',
  effective: 'this must not be the type',
  refused: 'there is no run',
};

export function violationWords({ kind, text }: Violation): string {
  return kind === 'refused' ? text : `${text}: ${KIND_WORDS[kind]}`;
}

/** What loads of a device or CPU got while another copy had something else. */
export function missedWords(event: MachineEvent): string | null {
  if (event.missed.length === 0 || event.value === null) return null;
  const others = event.missed.map(({ at, value }) => `${at} held ${value}`);
  return `${event.who} read ${event.byte ?? ''} = ${event.value} from ${event.from ?? 'memory'} while ${others.join(' and ')}`;
}

/** Memory that a write-back took back to an older value: "mem y: 1 -> 0". */
function lostWords(run: Run): readonly string[] {
  const past = new Map<string, readonly number[]>();
  return run.events.flatMap((event) => {
    if (event.kind === 'stage') return [];
    return event.copies.flatMap(({ line, copies }) => {
      const memory = copies.find((c) => c.at === 'memory')?.values ?? [];
      return memory.flatMap((value, cell) => {
        const key = `${line} ${cell}`;
        const before = past.get(key) ?? [0];
        if (value === null || value === before.at(-1)) return [];
        past.set(key, [...before, value]);
        if (event.byte !== null || !before.includes(value)) return [];
        const byte = byteAt(run, line, cell);
        return [
          `memory lost ${byte} = ${before.at(-1) ?? 0}: ${event.what}, and all of the line is written back`,
        ];
      });
    });
  });
}

function byteAt({ program: { memory } }: Run, line: string, cell: number): string {
  const bytes = [...memory.blob, ...memory.ram].find((l) => l.join('') === line);
  return bytes?.[cell] ?? line;
}

/** What the GPU saw, or, in a program without one, what the CPUs saw; and what was lost. */
export function sightings(run: Run): readonly string[] {
  const loads = run.events.filter(
    (e): e is RunEvent & { kind: 'machine' } => e.kind === 'machine' && e.value !== null,
  );
  const hasGpu = loads.some((e) => e.who === 'gpu');
  const shown = hasGpu ? loads.filter((e) => e.who === 'gpu' || e.missed.length > 0) : loads;
  const seen = shown.map(
    (e) => missedWords(e) ?? `${e.who} read ${e.byte ?? ''} = ${readWords(e)}`,
  );
  return [...lostWords(run), ...seen];
}

/** The guest's types, and what stores and loads of them cost. */
export function costRows(types: readonly EffectiveType[]): readonly (readonly string[])[] {
  return types.map((type) => [
    type,
    ...COST_CPUS.map((cpu) => {
      const factor = storeFactor('WB', type, cpu);
      const times = factor < 1.2 ? '' : ` (${factor.toFixed(factor < 10 ? 1 : 0)} x WB)`;
      return `${storeNs(type, cpu).toFixed(1)}${times}`;
    }),
    loadsCached(type) ? 'cached' : 'one by one',
  ]);
}

/** What a buffer of 4,096,000 bytes takes in stores of 8, by the figures for one store. */
export function copyCostWords(types: readonly EffectiveType[]): readonly string[] {
  return types.map((type) => {
    const times = COST_CPUS.map(
      (cpu) => `${((storeNs(type, cpu) * 512_000) / 1e6).toFixed(1)} ms on ${cpu}`,
    );
    return `4,096,000 bytes in ${type} stores of 8: ${times.join(', ')} (computed)`;
  });
}

export const COST_HEAD = ['type', ...COST_CPUS, 'loads'] as const;

/** Where the run holds, how many states say so. */
export function searchWords({ searched, holds }: Run): string {
  if (searched === null) return 'nothing ran';
  const { states, steps, isComplete } = searched;
  const size = `${states} states, ${steps} steps`;
  if (isComplete)
    return holds === true ? `every schedule holds: ${size}` : `all schedules: ${size}`;
  return `the first ${size}: not all of them`;
}

export function resultWords({ result, holds }: Run): string {
  if (holds === null) return 'UNDETERMINED';
  return { ok: 'HOLDS', slow: 'HOLDS, BUT SLOW', x: 'VIOLATED', refused: 'REFUSED' }[result];
}
