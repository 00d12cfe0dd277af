import type { LinuxMtrrMap } from '../../linux/mtrr-lookup.ts';
import type { MtrrType } from '../../x86/types.ts';
import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import type { HostFacts } from '../host-facts.ts';
import { areMtrrsBlank, areMtrrsOff, isBefore, leavesWbAlone, ownMtrrs } from './own-mtrrs.ts';
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
  const isGuest = ifKnown(facts.isGuest) === true;
  const doubts = [
    ...(ram.isUsed ? [] : ['the kernel uses that RAM (/proc/iomem, as root)']),
    ...(isGuest ? ["the host counts this guest's MTRRs"] : []),
  ];
  const isBlank = areMtrrsBlank(facts);
  const rest = { when: doubts.join('; '), agents: ['firmware', 'CPU'] };
  const found = finding('ramNotWb', PLACE, text, { ...rest, ...ramFix(pieces, isBlank) });
  // A host that counted such MTRRs would have a guest that nobody could use.
  return [isBlank ? { ...found, severity: 'info' } : found];
}

function ramFix([first]: readonly Piece[], isBlank: boolean): { readonly fix?: string } {
  if (isBlank) return { fix: 'Have the VMM start the guest with MTRRdefType 806H (on, WB).' };
  if (first === undefined) return {};
  const size = `${Math.ceil((first.end - first.start) / 1024)}K`;
  return {
    fix: `Update the firmware; until then boot with memmap=${size}$0x${first.start.toString(16)} (in GRUB the $ needs a backslash).`,
  };
}

const SHOWN = 4;

function pieceWords({ start, end, type }: Piece): string {
  return `0x${start.toString(16)}-0x${(end - 1).toString(16)} is ${type}`;
}

// ---- MTRRs that are off ----------------------------------------------------------------------

/** First kernel with an MTRR state of its own for encrypted guests of Hyper-V: hv_vtom_init(), c957f1f3c498. */
const HYPERV_STATE = '6.5-rc1';

/** What gives a guest MTRRs that are on; those of an encrypted guest its kernel makes up. */
function mtrrsOnFix(facts: HostFacts): string | undefined {
  const isHyperV = /hyper-v/i.test(ifKnown(facts.hypervisor) ?? '');
  const isEncrypted = ifKnown(facts.confidential) !== null;
  if (isHyperV && isEncrypted && isBefore(facts, HYPERV_STATE)) {
    return 'Linux 6.5 or later in the guest: for encrypted guests of Hyper-V it takes the MTRRs for WB everywhere.';
  }
  return ifKnown(facts.isGuest) === true
    ? undefined
    : 'Have the firmware (or the simulator) enable the MTRRs: bit 11 (E) of MTRRdefType, with WB as the default type.';
}

/** On any machine: what is not RAM cannot be mapped WB. */
function mtrrsOff(facts: HostFacts): readonly DoctorFinding[] {
  const pat = ifKnown(facts.pat);
  if (!areMtrrsOff(facts) || pat?.enabled === false || leavesWbAlone(facts)) return [];
  if (/xen/i.test(ifKnown(facts.hypervisor) ?? '')) return [];
  const isGuest = ifKnown(facts.isGuest) === true;
  const kernel = ifKnown(facts.kernel)?.release ?? 'The kernel';
  const { mtrrDefault } = facts.firmware;
  const from = mtrrDefault.known ? mtrrDefault.from : '/proc/cpuinfo: no flag mtrr';
  const text = `${from}; ${kernel} maps as UC- what is not RAM and is asked for as WB.`;
  const when = pat === null ? 'PAT is on' : '';
  const fix = mtrrsOnFix(facts);
  return [
    finding('mtrrsOff', isGuest ? 'this machine, as a guest' : PLACE, text, {
      when,
      agents: isGuest ? ['VMM', 'guest kernel'] : ['firmware', KERNEL],
      ...(fix === undefined ? {} : { fix }),
    }),
  ];
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
  return [...ramNotWb(facts), ...mtrrsOff(facts), ...leftWc(facts), ...userSpaceBars(facts)];
}
