import type { Room } from '../cite/rule.ts';
import { cite, type SourceId } from '../cite/sources.ts';

/** One decision on the way to the answer. */
export interface Step {
  /** Who decided. */
  readonly room: Room;
  /** Rule id, as `memtype rule` takes it; a line of a decision list follows a colon. */
  readonly rule: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly output: string;
  /** The reason, in words; empty when the rule says it all. */
  readonly why: string;
  /** The first source of the rule, as a citation. */
  readonly source: string;
}

const ORDER: readonly Room[] = ['host', 'firmware', 'guest', 'vmm', 'kvm', 'cpu'];

/** Collects the steps of one world, in the order in which they are taken. */
export class Steps {
  readonly #steps: Step[] = [];

  /** In the order in which the deciders decide; within one of them as they were taken. */
  get all(): readonly Step[] {
    return this.#steps.toSorted((a, b) => ORDER.indexOf(a.room) - ORDER.indexOf(b.room));
  }

  add(
    room: Room,
    rule: string,
    inputs: Readonly<Record<string, string>>,
    output: string,
    source: SourceId,
    why = '',
  ): void {
    this.#steps.push({ room, rule, inputs, output, why, source: cite(source) });
  }
}
