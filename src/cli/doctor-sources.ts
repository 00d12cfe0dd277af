import type { Diagnostic } from '../base/diagnostic.ts';
import { reduce } from '../doctor/capture/mask.ts';
import type { Answers } from '../doctor/diagnosis/answers.ts';
import { type Diagnosis, diagnose } from '../doctor/diagnosis/diagnose.ts';
import { gather } from '../doctor/gather.ts';
import type { Capture } from '../doctor/reading.ts';
import { readCaptureFile } from './read-capture.ts';
import { type LiveOptions, takeLive } from './take-live.ts';

/** What was read of a host, here or elsewhere. */
export interface Taken {
  readonly capture: Capture;
  /** What of it is not understood. */
  readonly notes: readonly Diagnostic[];
}

/** Where readings come from: this machine, or a capture file. */
export interface Source {
  /** @throws InputError when there is nothing to be read, or it cannot be understood */
  read(): Promise<Taken>;
}

export function liveSource(options: LiveOptions): Source {
  return {
    read: async () => ({ capture: reduce(await takeLive(options), 'kept'), notes: [] }),
  };
}

/** @param path of a capture file or a case file that holds one; "-": standard input */
export function fileSource(path: string): Source {
  return {
    async read() {
      const { capture, notes } = await readCaptureFile(path);
      return { capture: reduce(capture), notes };
    },
  };
}

/**
 * What doctor says of what was read.
 *
 * @param answers those of hosts before it
 */
export function diagnosisOf({ capture, notes }: Taken, answers?: Answers): Diagnosis {
  const facts = gather(capture);
  return diagnose({ ...facts, problems: [...notes, ...facts.problems] }, answers);
}
