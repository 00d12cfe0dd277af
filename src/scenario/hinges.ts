import { makeMachine } from '../machine/machine.ts';
import {
  SWITCH_NAMES,
  SWITCHES,
  type Switches,
  type SwitchName,
  switchesOf,
} from '../machine/switches.ts';
import { judge, type Run } from './run.ts';
import { explore } from './search.ts';

/** A contested switch of the machine on which the result of a run depends. */
export interface Hinge {
  readonly name: SwitchName;
  /** As it was in the run. */
  readonly on: boolean;
}

/** A run with more states than this is not repeated for each switch. */
const MOST_REPEATED = 20_000;

/**
 * Where sources are silent or disagree, and the other side would end otherwise: some schedule violates what must
 * hold, or none does. Null: the run is too large to be repeated for each switch.
 */
export function hinges({ compiled, program, searched }: Run): readonly Hinge[] | null {
  if (compiled === null) return [];
  if (searched === null || searched.states > MOST_REPEATED) return null;
  const { config } = compiled;
  const switches = switchesOf(config.vendor, config.switches ?? {});
  const isViolated = (given: Switches): boolean =>
    judge(program, compiled, explore(makeMachine({ ...config, switches: given }))).violations
      .length > 0;
  const before = isViolated(switches);
  return SWITCH_NAMES.filter(
    (name) =>
      SWITCHES[name].kind === 'contested' &&
      isViolated({ ...switches, [name]: !switches[name] }) !== before,
  ).map((name) => ({ name, on: switches[name] }));
}
