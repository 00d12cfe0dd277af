import type { KvmRules } from '../../kvm/rules.ts';
import { type ZapAction, type ZapEvent, type ZapInputs, zapOn } from '../../kvm/zap.ts';
import type { Platform } from '../platforms.ts';
import { leafAt } from '../space/access.ts';
import { givenBy, wayOf } from '../space/fold.ts';
import { type ReadInput, SWEEP_INPUTS, type SweepInput } from '../space/space.ts';
import { isPageInput, type PageClasses } from './page-class.ts';
import {
  PLAIN_FIRST,
  type Run,
  runsOf,
  type Table,
  tableOf,
  type Value,
  wheelsFor,
} from './table.ts';

/** An input, or the class of the page in the place of what only decides whether it is host MMIO. */
export type Argument = SweepInput | 'page';

const ARGUMENTS: readonly Argument[] = ['page', ...SWEEP_INPUTS.filter((key) => !isPageInput(key))];

/** Whether KVM_X86_QUIRK_IGNORE_GUEST_PAT is in force: kvm_check_has_quirk(). */
function ignoresGuestPat(platform: Platform, read: ReadInput): boolean {
  // Born disabled on AMD with NPT; not supported, so never disabled, without EPT or NPT.
  if (platform.paging !== 'ept') return platform.paging === 'shadow';
  return read('quirk-ignore-guest-pat') === 'on' || !read('self-snoop');
}

function zapInputs(platform: Platform, read: ReadInput): ZapInputs {
  const isAmd = platform.vendor === 'amd';
  return {
    ept: () => platform.paging === 'ept',
    tdp: () => platform.paging !== 'shadow',
    amd: () => isAmd,
    noncoherent_dma: () => read('noncoherent-dma'),
    assigned_device: () => read('assigned-device'),
    self_snoop: () => !isAmd && read('self-snoop'),
    quirk_cd_nw_cleared: () => read('quirk-cd-nw-cleared') === 'on',
    quirk_ignore_guest_pat: () => ignoresGuestPat(platform, read),
    slot_host_memtype: () => read('slot-host-memtype'),
  };
}

/** The actions by number. */
export const ACTIONS = [
  'nothing',
  'reset-context',
  'zap-all',
  'zap-gfn-range',
  'refused',
] as const satisfies readonly ZapAction[];

/** What one set of rules installs on one platform, and what it does on events, over the same tuples. */
export interface Behaviour {
  readonly wheels: Table<Argument>['wheels'];
  /** For each tuple the number of a leaf in `leaves`. */
  readonly leaf: Uint8Array;
  readonly leaves: readonly string[];
  /** For each tuple the number of an action in ACTIONS. */
  readonly zap: Readonly<Record<ZapEvent, Uint8Array>>;
  /** What the platform says by itself. */
  readonly given: ReadonlySet<SweepInput>;
}

/** @param side which of the two that the classes are of */
export function behaviourOf(
  rules: KvmRules,
  platform: Platform,
  events: readonly ZapEvent[],
  pages: PageClasses,
  side: 0 | 1,
): Behaviour {
  const given = new Map(
    Object.entries(givenBy(platform)).map(([key, values]) => [
      key as SweepInput,
      values?.[0] as Value,
    ]),
  );
  const sizeOf = (key: Argument): number =>
    key === 'page' ? pages.count : PLAIN_FIRST[key].length;
  const reading =
    (digit: (key: Argument) => number): ReadInput =>
    (key) =>
      (given.has(key) ? given.get(key) : PLAIN_FIRST[key][digit(key)]) as never;
  const leaves: string[] = [];
  const leafRuns = runsOf(sizeOf, (digit) => {
    const isMmio = (): boolean => pages.isMmio(side, digit('page'), digit);
    const words = leafAt(rules, wayOf(platform), reading(digit), { isMmio });
    const known = leaves.indexOf(words);
    return known >= 0 ? known : leaves.push(words) - 1;
  });
  const zapRuns = events.map((event): readonly [ZapEvent, readonly Run<Argument>[]] => [
    event,
    runsOf(sizeOf, (digit) =>
      ACTIONS.indexOf(zapOn(rules.zap, event, zapInputs(platform, reading(digit)))),
    ),
  ]);
  const asked = new Set<Argument>();
  for (const { digits } of [...leafRuns, ...zapRuns.flatMap(([, runs]) => runs)]) {
    for (const key of digits.keys()) asked.add(key);
  }
  const wheels = wheelsFor(
    ARGUMENTS.filter((key) => asked.has(key)),
    sizeOf,
  );
  return {
    wheels,
    leaf: tableOf(wheels, leafRuns).data,
    leaves,
    zap: Object.fromEntries(
      zapRuns.map(([event, runs]) => [event, tableOf(wheels, runs).data]),
    ) as Record<ZapEvent, Uint8Array>,
    given: new Set(given.keys()),
  };
}
