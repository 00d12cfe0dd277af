import { must } from '../../base/assert.ts';
import type { Choice } from '../../base/choice.ts';
import { type FactKey, type FactValues, factDefinition } from '../../facts/facts.ts';

/**
 * The space of everything that rules of KVM can look at, those of proposals included, 20 inputs, and
 * the 4 ways in which a guest address can reach memory:
 *
 *     the page          pfn-valid 2, zero-page 2, page-reserved 2, compound 3, host-pat 2,
 *                       host-memtype 6, vmm-mapping 6, e820-ram 2, host-mtrr 5     17,280
 *     the VM            noncoherent-dma, assigned-device, slot-noncoherent,
 *                       slot-host-memtype, both quirks, cr0-cd, self-snoop: 2 each    256
 *     the guest         guest-mtrr 5, guest (its PAT type) 6, guest-layout 2           60
 *                                                                       265,420,800 points
 *     ways              EPT, NPT, shadow on Intel, shadow on AMD      1,061,683,200 points
 *
 * No set of rules looks at all of it. A table has one tuple for each combination of the inputs that
 * its rules do ask for, and every tuple stands for the same number of points: all values of the rest.
 */
export const SWEEP_INPUTS = [
  'pfn-valid',
  'zero-page',
  'page-reserved',
  'compound',
  'host-pat',
  'host-memtype',
  'vmm-mapping',
  'e820-ram',
  'host-mtrr',
  'noncoherent-dma',
  'assigned-device',
  'slot-noncoherent',
  'slot-host-memtype',
  'quirk-ignore-guest-pat',
  'quirk-cd-nw-cleared',
  'cr0-cd',
  'self-snoop',
  'guest-mtrr',
  'guest',
  'guest-layout',
] as const satisfies readonly FactKey[];

export type SweepInput = (typeof SWEEP_INPUTS)[number];

/** The value of an input at one point of the space. */
export type ReadInput = <K extends SweepInput>(key: K) => FactValues[K];

type Values = { readonly [K in SweepInput]: readonly FactValues[K][] };

/** The values of every input, in the order in which they are counted. */
export const SWEEP_VALUES: Values = Object.fromEntries(
  SWEEP_INPUTS.map((key) => [key, must(factDefinition(key).values, `${key}: an open set`)]),
) as unknown as Values;

/** Shadow paging combines with the host MTRR by the table of the vendor. */
export const SWEEP_WAYS = ['ept', 'npt', 'shadow-intel', 'shadow-amd'] as const;
export type SweepWay = (typeof SWEEP_WAYS)[number];

/** Points of the space for one set of rules, all ways together. */
export const SWEEP_POINTS: number = SWEEP_WAYS.length * tuplesOver(SWEEP_INPUTS);

/** A reader that answers by choice, always the same for one input; `digits` collects the answers. */
export function choosing(choice: Choice, digits: Map<SweepInput, number>): ReadInput {
  return (key) => {
    const values = SWEEP_VALUES[key];
    let digit = digits.get(key);
    if (digit === undefined) {
      digit = choice.pick(values.length);
      digits.set(key, digit);
    }
    return values[digit] as FactValues[typeof key];
  };
}

/** Number of tuples over some inputs. */
export function tuplesOver(inputs: readonly SweepInput[]): number {
  return inputs.reduce((n, key) => n * SWEEP_VALUES[key].length, 1);
}
