import type { SourceId } from './sources.ts';

/** Which of the five deciders a rule belongs to, plus the host that provides the page. */
export type Room = 'firmware' | 'guest' | 'vmm' | 'host' | 'kvm' | 'cpu';

/** One rule of the model. It does not compile without a source. */
export interface Rule {
  /** Stable name, e.g. `x86/ept-combine`. */
  readonly id: string;
  readonly room: Room;
  readonly title: string;
  /** What the rule says, in full sentences. */
  readonly text: string;
  /** A table that belongs to it, drawn in fixed width. */
  readonly table?: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

const register = new Map<string, Rule>();

/** Enters a rule into the register. @throws Error when the id is taken. */
export function rule(r: Rule): Rule {
  if (register.has(r.id)) throw new Error(`rule ${r.id} is defined twice`);
  register.set(r.id, r);
  return r;
}

/** All rules loaded so far, sorted by id. */
export function allRules(): readonly Rule[] {
  return [...register.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
