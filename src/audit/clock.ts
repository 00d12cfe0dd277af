import type { EventBatch } from '../trace/batch.ts';
import { momentOf } from './paging.ts';
import type { Moment } from './vm-map.ts';

/** Several buffers were put one behind the other, or it is not one clock. */
export interface Backwards {
  readonly times: number;
  readonly first: Moment;
}

/** Of two CPUs that print at the same time, one may come later by so much. Seconds. */
const SLACK = 0.01;

/** Looks for times that go backwards: the buffer of one CPU is in order always. */
export class Clock {
  /** Of each CPU the time of its last event. */
  readonly #ofCpu: number[] = [];
  #latest = Number.NEGATIVE_INFINITY;
  backwards: Backwards | null = null;

  take(batch: EventBatch, i: number): void {
    const time = batch.time[i] ?? Number.NaN;
    if (Number.isNaN(time)) return;
    const cpu = batch.cpu[i] ?? -1;
    const isBack = time < this.#latest - SLACK || (cpu >= 0 && time < (this.#ofCpu[cpu] ?? time));
    if (isBack) {
      const first = this.backwards?.first ?? momentOf(batch.place[i] ?? 0, time);
      this.backwards = { times: (this.backwards?.times ?? 0) + 1, first };
      this.#ofCpu.length = 0;
      this.#latest = time;
    }
    if (cpu >= 0) this.#ofCpu[cpu] = time;
    if (time > this.#latest) this.#latest = time;
  }
}
