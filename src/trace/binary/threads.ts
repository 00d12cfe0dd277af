/** What a trace knows of threads beside its events. */
export interface Threads {
  /** Names by thread (saved_cmdlines of tracefs). */
  readonly names: ReadonlyMap<number, string>;
  /** Processes by thread (saved_tgids of tracefs, filled with the option record-tgid). */
  readonly processes: ReadonlyMap<number, number>;
}

export const NO_THREADS: Threads = { names: new Map(), processes: new Map() };

function pairs(text: string): readonly (readonly [number, string])[] {
  return text.split('\n').flatMap((line) => {
    const [, tid, rest = ''] = /^\s*(\d{1,10}) (.*)$/.exec(line) ?? [];
    return tid === undefined ? [] : [[Number(tid), rest] as const];
  });
}

/** Reads the texts of saved_cmdlines and saved_tgids: a thread and what it is called, or belongs to, on each line. */
export function readThreads(cmdlines: string | null, tgids: string | null): Threads {
  const processes = pairs(tgids ?? '').flatMap(([tid, text]) => {
    const tgid = Number(text);
    return Number.isSafeInteger(tgid) && tgid > 0 ? [[tid, tgid] as const] : [];
  });
  return { names: new Map(pairs(cmdlines ?? '')), processes: new Map(processes) };
}
