import type { LinuxMtrrMap } from '../linux/mtrr-lookup.ts';
import type { MtrrType } from '../x86/types.ts';
import { ifKnown } from './fact.ts';
import { type DoctorFinding, finding } from './findings.ts';
import type { HostFacts } from './host-facts.ts';
import { ownMtrrs } from './own-mtrrs.ts';
import type { PciDevice } from './pci.ts';

const PLACE = 'this machine';

// ---- RAM under MTRRs of another type ----------------------------------------------------------

const ONE_MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;

interface Piece {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly type: MtrrType;
}

interface Ram {
  readonly ranges: readonly { readonly start: number; readonly end: number }[];
  /** It is what the kernel uses, and not only what the firmware told. */
  readonly isUsed: boolean;
}

/** RAM above 1 MiB: as the kernel uses it, else as the firmware told. */
export function ramOf(facts: HostFacts): Ram {
  const used = ifKnown(facts.iomem)?.entries.filter((e) => e.name === 'System RAM') ?? [];
  const told = (ifKnown(facts.firmware.memmap) ?? []).filter((e) => e.type === 'ram');
  const isUsed = used.length > 0;
  const ranges = (isUsed ? used : told).flatMap((e) => {
    const start = Math.max(e.start, ONE_MIB);
    return e.endInclusive < start ? [] : [{ start, end: e.endInclusive + 1 }];
  });
  return { ranges, isUsed };
}

/** Stretches of RAM with the type that the MTRRs give them; `null`: only the default does. */
function piecesOf(
  map: LinuxMtrrMap,
  ram: Ram,
): readonly (Piece & { readonly byDefault: boolean })[] {
  return ram.ranges.flatMap(({ start, end }) => {
    const edges = map.ranges.flatMap((r) => [r.start, r.end]).filter((e) => e > start && e < end);
    const cuts = [...new Set([start, ...edges, end])].sort((a, b) => a - b);
    return cuts.slice(0, -1).map((at, i) => {
      const range = map.ranges.find((r) => r.start <= at && at < r.end);
      const type = range?.type ?? map.defaultType;
      return { start: at, end: cuts[i + 1] ?? at, type, byDefault: range === undefined };
    });
  });
}

/** AMD: what no register covers above 4 GiB is WB up to TOP_MEM2, if that is in force. */
function isByTom2(facts: HostFacts, piece: Piece): boolean {
  if (ifKnown(facts.cpu)?.vendor !== 'amd' || piece.start < FOUR_GIB) return false;
  const { tom2 } = facts.firmware;
  return !tom2.known || (tom2.value !== null && piece.start < tom2.value);
}

function merged(pieces: readonly Piece[]): readonly Piece[] {
  const found: Piece[] = [];
  for (const { start, end, type } of pieces) {
    const last = found.at(-1);
    if (last !== undefined && last.end === start && last.type === type) {
      found[found.length - 1] = { ...last, end };
    } else found.push({ start, end, type });
  }
  return found;
}

/** RAM that is not WB under every default type that is possible. */
function ramNotWb(facts: HostFacts): readonly DoctorFinding[] {
  const own = ownMtrrs(facts);
  const [map, another] = own?.maps ?? [];
  if (own === null || map === undefined || !map.enabled || own.isOverridden) return [];
  const ram = ramOf(facts);
  const odd = piecesOf(map, ram).filter(
    (p) => p.type !== 'WB' && !(p.byDefault && (another !== undefined || isByTom2(facts, p))),
  );
  const pieces = merged(odd);
  if (pieces.length === 0) return [];
  const shown = pieces.slice(0, SHOWN).map(pieceWords);
  const more = pieces.length > SHOWN ? `, and ${pieces.length - SHOWN} more ranges` : '';
  const text = `RAM at ${shown.join(', ')}${more} by the MTRRs.`;
  const [first] = pieces;
  const doubts = [
    ...(ram.isUsed ? [] : ['the kernel uses that RAM (/proc/iomem, as root)']),
    ...(ifKnown(facts.isGuest) === true ? ["the host counts this guest's MTRRs"] : []),
  ];
  const fix =
    first === undefined
      ? {}
      : {
          fix: `Update the firmware; until then boot with memmap=${Math.ceil((first.end - first.start) / 1024)}K$0x${first.start.toString(16)} (in GRUB the $ needs a backslash).`,
        };
  return [
    finding('ramNotWb', PLACE, text, {
      when: doubts.join('; '),
      agents: ['firmware', 'CPU'],
      ...fix,
    }),
  ];
}

const SHOWN = 4;

function pieceWords({ start, end, type }: Piece): string {
  return `0x${start.toString(16)}-0x${(end - 1).toString(16)} is ${type}`;
}

// ---- vfio-pci ---------------------------------------------------------------------------------

function held(facts: HostFacts): readonly PciDevice[] {
  return (ifKnown(facts.pci) ?? []).filter((d) => d.driver === 'vfio-pci');
}

/** A reservation of WC over a BAR that vfio-pci maps UC-. */
function leftWc(facts: HostFacts): readonly DoctorFinding[] {
  const entries = ifKnown(facts.tracked)?.entries ?? [];
  return held(facts).flatMap((device) =>
    device.bars.flatMap((bar) => {
      const end = bar.start + bar.size;
      const wc = entries.find((e) => e.type === 'WC' && e.start < end && bar.start < e.end);
      if (wc === undefined) return [];
      const range = `0x${wc.start.toString(16)}-0x${(wc.end - 1).toString(16)}`;
      const text = `BAR ${bar.index} of ${device.address} has a WC reservation at ${range}.`;
      const when = bar.prefetchable ? 'vfio-pci is not one patched for write combining' : '';
      return [finding('leftWc', PLACE, text, { when, agents: ['vfio-pci', 'an earlier driver'] })];
    }),
  );
}

/** Where VMs may run, such a device is most likely there for them. */
function userSpaceBars(facts: HostFacts): readonly DoctorFinding[] {
  const isForVms = ifKnown(facts.isGuest) !== true && ifKnown(facts.kvm.present) !== false;
  const given = new Set(facts.vms.flatMap((vm) => vm.devices.map((d) => d.name)));
  const devices = held(facts).filter(
    (d) => !given.has(d.address) && d.bars.some((b) => b.prefetchable),
  );
  if (isForVms || devices.length === 0) return [];
  const names = devices.map((d) => d.address).join(', ');
  const text = `${names}: vfio-pci maps its memory UC- (6.12 and later: the tracked type, UC- where none is).`;
  return [finding('userSpaceBar', PLACE, text, { agents: ['user-space driver', KERNEL] })];
}

const KERNEL = 'kernel';

/** What the MTRRs and tracked types of any machine, guest or not, say of its own memory. */
export function ownMemoryFindings(facts: HostFacts): readonly DoctorFinding[] {
  return [...ramNotWb(facts), ...leftWc(facts), ...userSpaceBars(facts)];
}
