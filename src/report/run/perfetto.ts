import { ACTORS, type Actor } from '../../scenario/happening.ts';
import type { Run } from '../../scenario/run.ts';
import { eventJson } from './json.ts';
import { copyWords } from './words.ts';

const PID = 1;

/**
 * The Trace Event Format that ui.perfetto.dev opens: a track for each actor, an event a millisecond in the order
 * of the schedule (time means nothing else), and a counter for each copy of a byte.
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
      for (const copy of copies) {
        const value = Number(copy.values.map((v) => v ?? 0).join(''));
        const counter = `${line}: ${copy.at}`;
        events.push({ ph: 'C', name: counter, ...at, args: { value, text: copyWords(copy) } });
      }
    }
  });
  const otherData = { tool: `memtype ${version}` };
  const head = `{"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)},"traceEvents":[`;
  return `${head}\n${events.map((e) => JSON.stringify(e)).join(',\n')}\n]}\n`;
}
