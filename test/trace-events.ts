/**
 * What is wrong with a document in the Trace Event Format (the public document "Trace Event Format" of the Chromium
 * project, which ui.perfetto.dev reads), as far as memtype uses it. Written from that document, without the code that
 * writes it.
 */
export interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly s?: string;
  readonly cat?: string;
  readonly id?: string | number;
  readonly args: Readonly<Record<string, unknown>>;
}

const PHASES = new Set(['M', 'X', 'i', 'C', 'b', 'e']);
const METADATA = new Set(['process_name', 'thread_name']);

function shapeFaults(e: TraceEvent): readonly string[] {
  const faults: string[] = [];
  const wrong = (what: string): void => {
    faults.push(`${what}: ${JSON.stringify(e)}`);
  };
  if (!PHASES.has(e.ph)) wrong('no such phase');
  if (typeof e.name !== 'string' || e.name === '') wrong('no name');
  if (!Number.isInteger(e.pid) || !Number.isInteger(e.tid)) wrong('process or thread is no number');
  if (e.ph === 'M') {
    if (!METADATA.has(e.name) || typeof e.args['name'] !== 'string') wrong('metadata');
    return faults;
  }
  if (typeof e.ts !== 'number' || !Number.isFinite(e.ts) || e.ts < 0) wrong('time');
  if (e.ph === 'X' && !(Number.isFinite(e.dur) && (e.dur ?? -1) > 0)) wrong('duration');
  if (e.ph === 'i' && !['g', 'p', 't'].includes(e.s ?? '')) wrong('scope');
  if (e.ph === 'C' && !Object.values(e.args).every((v) => Number.isFinite(v))) wrong('counter');
  if ((e.ph === 'b' || e.ph === 'e') && (e.id === undefined || e.cat === undefined))
    wrong('asynchronous, without an id and a category');
  return faults;
}

/** Slices of a thread lie in one another, or beside one another: what overlaps otherwise a viewer drops. */
function nestingFaults(slices: readonly TraceEvent[]): readonly string[] {
  const sorted = [...slices].sort(
    (a, b) => (a.ts ?? 0) - (b.ts ?? 0) || (b.dur ?? 0) - (a.dur ?? 0),
  );
  const open: number[] = [];
  const faults: string[] = [];
  for (const { ts = 0, dur = 0, name } of sorted) {
    // Times are multiples of a nanosecond.
    while (open.length > 0 && (open.at(-1) ?? 0) <= ts + 0.0005) open.pop();
    const end = ts + dur;
    if (open.length > 0 && end > (open.at(-1) ?? 0) + 0.0005)
      faults.push(`${name} at ${ts} overlaps`);
    open.push(end);
  }
  return faults;
}

function pairFaults(events: readonly TraceEvent[]): readonly string[] {
  const open = new Map<string, number>();
  const faults: string[] = [];
  for (const { ph, cat, id, pid, ts = 0, name } of events) {
    const key = `${pid} ${cat} ${id} ${name}`;
    if (ph === 'b') open.set(key, ts);
    if (ph !== 'e') continue;
    const begin = open.get(key);
    if (begin === undefined || ts < begin) faults.push(`${key} ends without a begin`);
    open.delete(key);
  }
  return [...faults, ...[...open.keys()].map((key) => `${key} has no end`)];
}

/** Everything that is wrong; empty: nothing. */
export function traceEventFaults(text: string): readonly string[] {
  const document = JSON.parse(text) as {
    readonly displayTimeUnit?: string;
    readonly traceEvents: readonly TraceEvent[];
  };
  const { traceEvents: events, displayTimeUnit } = document;
  const faults: string[] = events.flatMap(shapeFaults);
  if (displayTimeUnit !== 'ns' && displayTimeUnit !== 'ms') faults.push('displayTimeUnit');
  const named = new Set<string>();
  const slices = new Map<string, TraceEvent[]>();
  for (const e of events) {
    const thread = `${e.pid} ${e.tid}`;
    if (e.name === 'process_name' && e.ph === 'M') named.add(String(e.pid));
    else if (e.name === 'thread_name' && e.ph === 'M') named.add(thread);
    else if (!named.has(thread) || !named.has(String(e.pid)))
      faults.push(`${thread} has no name yet`);
    if (e.ph === 'X') slices.set(thread, [...(slices.get(thread) ?? []), e]);
  }
  return [...faults, ...[...slices.values()].flatMap(nestingFaults), ...pairFaults(events)];
}
