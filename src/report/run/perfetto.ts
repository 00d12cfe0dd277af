import { ACTORS, type Actor, type Copy } from '../../scenario/happening.ts';
import type { Run } from '../../scenario/run.ts';
import { eventJson } from './json.ts';

const PID = 1;
/** Value of a counter where there is no copy, or none of this byte. */
const NONE = -1;

/** The counters of a run: one for each byte of each copy; where a copy is gone they go to NONE. */
class Counters {
  readonly #bytes: ReadonlyMap<string, readonly string[]>;
  readonly #shown = new Map<string, Map<string, number>>();

  constructor({ program: { memory } }: Run) {
    this.#bytes = new Map([...memory.blob, ...memory.ram].map((line) => [line.join(''), line]));
  }

  /** What changes with these copies of a line, by name of the counter. */
  changes(line: string, copies: readonly Copy[]): readonly (readonly [string, number])[] {
    const bytes = this.#bytes.get(line) ?? [];
    const shown = this.#shown.get(line) ?? new Map<string, number>();
    this.#shown.set(line, shown);
    const now = new Map<string, number>(
      copies.flatMap(({ at, values }) =>
        bytes.map((byte, i) => [`${byte}: ${at}`, values[i] ?? NONE] as const),
      ),
    );
    const gone = [...shown.keys()].filter((name) => !now.has(name));
    const next = [...now, ...gone.map((name) => [name, NONE] as const)];
    const changed = next.filter(([name, value]) => shown.get(name) !== value);
    for (const [name, value] of changed) shown.set(name, value);
    return changed;
  }
}

/**
 * The Trace Event Format that ui.perfetto.dev opens: a track for each actor, an event a millisecond in the order
 * of the schedule (time means nothing else), and a counter for each copy of a byte, -1 where
 * there is none.
 *
 * @param version of memtype
 */
export function runPerfetto(run: Run, version: string): string {
  const actors = (Object.keys(ACTORS) as Actor[]).filter((a) =>
    run.events.some((e) => e.who === a),
  );
  const tid = (who: Actor): number => actors.indexOf(who) + 1;
  const { program, question } = run;
  const [rules] = [...question.rules.values()];
  const name = `${program.name} ${program.title} on ${rules === undefined ? '' : question.subject(rules)}`;
  const events: object[] = [
    { ph: 'M', name: 'process_name', pid: PID, tid: 0, args: { name } },
    ...actors.flatMap((who) => [
      {
        ph: 'M',
        name: 'thread_name',
        pid: PID,
        tid: tid(who),
        args: { name: `${who}: ${ACTORS[who]}` },
      },
      {
        ph: 'M',
        name: 'thread_sort_index',
        pid: PID,
        tid: tid(who),
        args: { sort_index: tid(who) },
      },
    ]),
  ];
  const counters = new Counters(run);
  run.events.forEach((event, n) => {
    const at = { pid: PID, tid: tid(event.who), ts: n * 1000 };
    events.push({
      ph: 'X',
      name: event.what,
      cat: event.kind,
      ...at,
      dur: 1000,
      args: eventJson(event, n),
    });
    if (event.kind === 'stage') return;
    for (const { line, copies } of event.copies) {
      for (const [counter, value] of counters.changes(line, copies))
        events.push({ ph: 'C', name: counter, ...at, args: { value } });
    }
  });
  const otherData = { tool: `memtype ${version}` };
  const head = `{"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)},"traceEvents":[`;
  return `${head}\n${events.map((e) => JSON.stringify(e)).join(',\n')}\n]}\n`;
}
