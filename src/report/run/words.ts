import type { Copy, MachineEvent } from '../../scenario/happening.ts';
import { ACTORS, type Actor } from '../../scenario/happening.ts';
import {
  isOfRun,
  type Run,
  type RunEvent,
  unmeasured,
  type Violation,
} from '../../scenario/run.ts';
import {
  BULK_COSTS,
  COST_CPUS,
  type CostCpu,
  loadsCached,
  storeFactor,
  storeNs,
  storesFast,
} from '../../x86/cost.ts';
import type { EffectiveType } from '../../x86/types.ts';

const SHORT: readonly (readonly [RegExp, string])[] = [
  [/^memory$/, 'mem'],
  [/ cache$/, ''],
  [/ WC buffer$/, '.wc'],
];

/** A copy in short: values of the bytes of a line, `.` where there is none, `*` where it has to be written back. */
export function copyWords({ at, values, isDirty }: Copy): string {
  const place = SHORT.reduce((name, [long, short]) => name.replace(long, short), at);
  return `${place} ${values.map((v) => v ?? '.').join('')}${isDirty ? '*' : ''}`;
}

/** "mem 0, cpu0 1*", of each line concerned; lines are named where there are several. */
export function copiesWords({ copies }: MachineEvent, named: boolean): string {
  return copies
    .map(({ line, copies: all }) => `${named ? `${line}: ` : ''}${all.map(copyWords).join(', ')}`)
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
  granted: 'the program is about that',
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

/** The loads that make the schedule shown a violation: of a register that stands in a condition which it meets. */
export function wrongLoads(run: Run): ReadonlySet<RunEvent> {
  const named = new Set<string>();
  for (const { any } of run.program.never) {
    for (const all of any) {
      const isMet = all.every(({ owner, name, equal, value }) => {
        const got = owner === 'memory' ? memoryOf(run, name) : run.outcome[owner]?.[name];
        return ((got ?? 0) === value) === equal;
      });
      if (run.final !== null && isMet) for (const c of all) named.add(`${c.owner}.${c.name}`);
    }
  }
  const last = new Map<string, RunEvent>();
  for (const e of run.events)
    if (e.kind === 'machine' && e.register !== null)
      last.set(`${e.who === 'vmm' ? 'guest' : e.who}.${e.register}`, e);
  return new Set([...last].filter(([cell]) => named.has(cell)).map(([, e]) => e));
}

function memoryOf({ program: { memory }, final }: Run, byte: string): number | undefined {
  const line = [...memory.blob, ...memory.ram].find((l) => l.includes(byte)) ?? [];
  return final?.memory[line.join('')]?.[line.indexOf(byte)];
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

/** What a store costs; null: it was not measured. */
export function storeCost(run: Run, type: EffectiveType, cpu: CostCpu): number | null {
  return unmeasured(run) === null ? storeNs(type, cpu) : null;
}

function costCell(run: Run, type: EffectiveType, cpu: CostCpu): string {
  const ns = storeCost(run, type, cpu);
  const factor = storeFactor('WB', type, cpu);
  if (ns === null || factor === null) return 'not measured';
  const times = factor < 1.2 ? '' : ` (${factor.toFixed(factor < 10 ? 1 : 0)} x WB)`;
  return `${ns.toFixed(1)}${times}`;
}

/** The guest's types, and what stores and loads of them cost. */
export function costRows(run: Run): readonly (readonly string[])[] {
  const measured = unmeasured(run) === null;
  const head = measured ? COST_CPUS : ['stores'];
  const rows = run.types.map((type) => {
    const alone = storesFast(type) ? 'buffered or cached' : 'one by one';
    const stores = measured ? COST_CPUS.map((cpu) => costCell(run, type, cpu)) : [alone];
    return [type, ...stores, loadsCached(type) ? 'cached' : 'one by one'];
  });
  return [['type', ...head, 'loads'], ...rows];
}

export function costHead(run: Run): string {
  const why = unmeasured(run);
  return why === null
    ? 'ns a store, on RAM (memtype rule x86/cost)'
    : `not measured on ${why} (memtype rule x86/cost)`;
}

/** Published measurements of more than one store, of these types. */
export function bulkWords(run: Run): readonly string[] {
  if (unmeasured(run) !== null) return [];
  const found = BULK_COSTS.filter((b) => b.types.some((t) => run.types.includes(t)));
  return found.map((b) => `Measured: ${b.text}`);
}

/** Where the run holds, how many states say so. */
export function searchWords({ searched, violations }: Run): string {
  if (searched === null) return 'nothing ran';
  const { states, steps, isComplete } = searched;
  const size = `${states} states, ${steps} steps`;
  if (isComplete)
    return violations.some(isOfRun) ? `all schedules: ${size}` : `every schedule holds: ${size}`;
  return `the first ${size}: not all of them`;
}

export function resultWords({ result, holds }: Run): string {
  if (holds === null) return 'UNDETERMINED';
  return {
    ok: 'HOLDS',
    slow: 'HOLDS, BUT SLOW',
    x: 'VIOLATED',
    'n/a': 'NOT APPLICABLE',
    refused: 'REFUSED',
  }[result];
}
