import { refuse } from '../../base/diagnostic.ts';
import { didYouMean } from '../../facts/words.ts';
import { SWITCH_NAMES, type Switches, type SwitchName } from '../../machine/switches.ts';

const POSITIONS: Readonly<Record<string, boolean>> = { on: true, off: false };

function switchOf(text: string): readonly [SwitchName, boolean] {
  const [, left = '', right = ''] = /^(\w+)=(\w+)$/.exec(text) ?? [];
  const position = POSITIONS[right.toLowerCase()];
  if (position === undefined) refuse(`--with: not a switch: "${text}"`, 'selfSnoop=off');
  const name = SWITCH_NAMES.find((n) => n.toLowerCase() === left.toLowerCase());
  if (name === undefined) {
    const near = didYouMean(left, SWITCH_NAMES);
    const help = `${near === null ? '' : `did you mean ${near}? `}one of ${SWITCH_NAMES.join(' ')}`;
    return refuse(`--with: no switch "${left}"`, help);
  }
  return [name, position];
}

/** `selfSnoop=off`, `specFill=on`, one or several in a word. Null: none is given. @throws InputError */
export function switchesGiven(words: readonly string[] | undefined): Partial<Switches> | null {
  if (words === undefined) return null;
  return Object.fromEntries(words.flatMap((word) => word.split(',')).map(switchOf));
}
