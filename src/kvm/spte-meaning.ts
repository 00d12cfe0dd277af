import { must } from '../base/assert.ts';
import { LINUX_PAT } from '../linux/pat-layout.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { eptEffective } from '../x86/ept.ts';
import { nptEffective } from '../x86/npt.ts';
import { type EffectiveType, type MtrrType, PAT_TYPES, type PatType } from '../x86/types.ts';
import type { EptChoice, VmxEra } from './decision.ts';
import { SPTE_EDITIONS, type SpteEdition } from './spte-editions.ts';
import { rulesFor, SPANS } from './timeline.ts';

/** What makes KVM write this type and IPAT: a line of the kernel's own function. */
export interface LeafCause {
  /** E0 to E11. */
  readonly eras: readonly string[];
  /** The kernels of these eras, in words. */
  readonly kernels: readonly string[];
  /** The condition in the kernel's words; null: none of those before it. */
  readonly when: string | null;
  readonly why: string;
}

/** What a guest access becomes, by the type that the guest's PAT gives to it. */
export type ByGuestPat = readonly (readonly [PatType, EffectiveType])[];

/** Of older kernels there are no traces: the first event that prints an SPTE came in 5.3. */
const OLDEST = parseKernelVersion('4.11-rc1');

function erasBetween({ from, before }: SpteEdition): readonly VmxEra[] {
  const first = from ?? OLDEST;
  const spans = SPANS.filter(
    (span) =>
      (before === null || compareVersions(span.from, before) < 0) &&
      (span.to === null || compareVersions(first, span.to) < 0),
  );
  return [...new Set(spans.flatMap(({ rules }) => rules.map(({ vmx }) => vmx)))];
}

const ERAS_OF: ReadonlyMap<SpteEdition, readonly VmxEra[]> = new Map(
  SPTE_EDITIONS.map((edition) => [edition, erasBetween(edition)]),
);

function makes(choice: EptChoice, memtype: MtrrType, ipat: boolean): boolean {
  return choice.ipat === ipat && (choice.memtype === memtype || choice.memtype === 'guest_mtrr');
}

/**
 * The lines of every era of these kernels that give an EPT leaf this type and IPAT, equal lines together.
 * None: these kernels never write it.
 */
export function leafCauses(
  memtype: MtrrType,
  ipat: boolean,
  edition: SpteEdition,
  kernel: KernelVersion | null,
): readonly LeafCause[] {
  const eras =
    kernel === null
      ? must(ERAS_OF.get(edition), edition.id)
      : [...new Set(rulesFor(kernel).map(({ vmx }) => vmx))];
  const causes = new Map<string, LeafCause>();
  for (const era of eras) {
    for (const { when, returns, why } of era.vmx_get_mt_mask) {
      if (!makes(returns, memtype, ipat)) continue;
      const key = `${when?.text ?? ''} ${why}`;
      const known = causes.get(key);
      causes.set(key, {
        eras: [...(known?.eras ?? []), era.id],
        kernels: [...(known?.kernels ?? []), era.kernels],
        when: when?.text ?? null,
        why,
      });
    }
  }
  return [...causes.values()];
}

/** Source: x86/ept-combine. */
export function eptByGuestPat(memtype: MtrrType, ipat: boolean): ByGuestPat {
  const leaf = { memtype, ipat };
  return PAT_TYPES.map((pat) => [
    pat,
    eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type,
  ]);
}

/** The type that an index has in the PAT of a Linux host of today. */
export function hostPatType(index: number): PatType {
  return must(LINUX_PAT['wt-wp'][index], `PAT index ${index}`);
}

/** With the host MTRR WB. Source: x86/npt-combine. */
export function nptByGuestPat(index: number): ByGuestPat {
  return PAT_TYPES.map((guestPat) => [
    guestPat,
    nptEffective({
      cr0Cd: false,
      cr0Pg: true,
      guestPat,
      hostPat: hostPatType(index),
      hostMtrr: 'WB',
    }).type,
  ]);
}
