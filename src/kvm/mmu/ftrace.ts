import type { TraceSink } from './trace.ts';

/** Who made the events. */
export interface FtraceTask {
  /** At most 15 letters. */
  readonly comm: string;
  readonly tid: number;
  readonly cpu: number;
}

/** Writes events as /sys/kernel/tracing/trace shows them. */
export interface FtraceWriter {
  readonly sink: TraceSink;
  /** A line that a program wrote to trace_marker. */
  readonly mark: (text: string) => void;
  /** Everything so far, with a line end after each. */
  readonly text: () => string;
}

/**
 * @param start microseconds at the first event; every event takes one, as nothing here measures time
 */
export function ftraceWriter(task: FtraceTask, start: number = 0): FtraceWriter {
  const { comm, tid, cpu } = task;
  const who = `${comm.padStart(16)}-${String(tid).padEnd(7)} [${String(cpu).padStart(3, '0')}]`;
  const lines: string[] = [];
  const put: TraceSink = (event, context, text) => {
    const at = start + lines.length;
    const seconds = String(Math.floor(at / 1e6)).padStart(5);
    const depth = context === 0 ? '.' : String(context);
    const time = `${seconds}.${String(at % 1e6).padStart(6, '0')}`;
    lines.push(`${who} ...${depth}. ${time}: ${event}: ${text}`);
  };
  return {
    sink: put,
    mark: (text) => put('tracing_mark_write', 0, text),
    text: () => lines.map((line) => `${line}\n`).join(''),
  };
}
