import { factsOf, type KernelLog } from '../../linux/text/dmesg.ts';
import type { PatType } from '../../x86/types.ts';
import { type Fact, ifKnown, known } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import type { HostFacts } from '../host-facts.ts';

/** A mapping that the tracker refused: two reservations of different types lie in its range. */
export interface Conflict {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** The type of the reservation with the lowest start, which would have been given. */
  readonly found: PatType;
  /** That of another one. */
  readonly existing: PatType;
}

/** "conflicting memory types" of this boot, each range once. The names of processes are left out. */
export function gatherConflicts(log: Fact<KernelLog>): Fact<readonly Conflict[]> {
  if (!log.known) return log;
  const distinct = new Map<string, Conflict>();
  for (const { start, end, found, existing } of factsOf(log.value, 'conflicting-types')) {
    distinct.set(`${start} ${end} ${found} ${existing}`, { start, end, found, existing });
  }
  return known([...distinct.values()], '/dev/kmsg');
}

const SHOWN = 4;

/** "0x..-0x.. (BAR 1 of 0000:01:00.0, vfio-pci)". */
function rangeWords(facts: HostFacts, { start, end, found, existing }: Conflict): string {
  const range = `0x${start.toString(16)}-0x${(end - 1).toString(16)}`;
  const owners = (ifKnown(facts.pci) ?? []).flatMap((d) =>
    d.bars
      .filter((b) => b.start < end && start < b.start + b.size)
      .map((b) => `BAR ${b.index} of ${d.address}${d.driver === null ? '' : `, ${d.driver}`}`),
  );
  const where = owners.length === 0 ? '' : ` (${owners.slice(0, SHOWN).join('; ')})`;
  return `${range}${where}: ${found} and ${existing}`;
}

function isOfVfio(facts: HostFacts, { start, end }: Conflict): boolean {
  const devices = (ifKnown(facts.pci) ?? []).filter((d) => d.driver === 'vfio-pci');
  return devices.some((d) => d.bars.some((b) => b.start < end && start < b.start + b.size));
}

const VFIO_FIX =
  'Bind vfio-pci before the other driver loads (vfio-pci.ids=VENDOR:DEVICE on the kernel command line, or ' +
  'softdep), and reboot: what the first driver left stays until then.';

/** What the kernel refused in this boot, one finding for devices under vfio-pci and one for the others. */
export function conflictFindings(facts: HostFacts): readonly DoctorFinding[] {
  const conflicts = ifKnown(facts.conflicts) ?? [];
  return [true, false].flatMap((vfio) => {
    const of = conflicts.filter((c) => isOfVfio(facts, c) === vfio);
    if (of.length === 0) return [];
    const more = of.length > SHOWN ? `; and ${of.length - SHOWN} more` : '';
    const ranges = of.slice(0, SHOWN).map((c) => rangeWords(facts, c));
    const text = `The boot log has "conflicting memory types" for ${ranges.join('; ')}${more}.`;
    const agents = vfio ? ['vfio-pci', 'an earlier driver'] : ['two drivers'];
    const fix = vfio ? { fix: VFIO_FIX } : {};
    return [finding('mappingRefused', 'this machine', text, { agents, ...fix })];
  });
}
