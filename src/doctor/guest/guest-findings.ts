import { must } from '../../base/assert.ts';
import { VERDICTS } from '../../resolve/verdicts/index.ts';
import { ifKnown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import { type HostFacts, otherHypervisor } from '../host-facts.ts';
import { areMtrrsBlank, areMtrrsOff, isBefore, keepsFirmwarePat } from '../machine/own-mtrrs.ts';
import { type GuestMemory, grantedTypes, type MemoryRequest, ramGrants } from './guest-memories.ts';

const PLACE = 'this machine, as a guest';
const KERNEL = 'guest kernel';

type Told = Pick<
  DoctorFinding,
  'when' | 'given' | 'places' | 'agents' | 'text' | 'fix' | 'commands'
>;

/** A verdict of the resolver that the facts of a guest already settle. */
function verdict(code: 'MT220' | 'MT221' | 'MT222' | 'MT224', told: Told): DoctorFinding {
  const { severity, title } = must(
    VERDICTS.find((v) => v.code === code),
    code,
  );
  return { code, severity, title, certain: told.when === '', ...told };
}

/** "BAR 2 of 0000:00:02.0", and what is special about it. */
export function memoryName({ bar, device }: GuestMemory): string {
  return `BAR ${bar} of ${device}`;
}

function changedBy({ grants }: MemoryRequest, by: 'pat' | 'mtrr' | 'reservation'): boolean | null {
  const of = grants.filter((grant) => grant.by === by);
  return of.length === 0 ? false : of.length === grants.length ? true : null;
}

/**
 * What a finding about a type of the guest needs beside the guest: under EPT KVM hides it as a rule. NPT and
 * TDX always honour the guest PAT.
 */
function hostDoubts(facts: HostFacts): readonly string[] {
  if (ifKnown(facts.confidential) === 'tdx') return [];
  const vendor = ifKnown(facts.cpu)?.vendor ?? null;
  if (vendor === 'amd') return [];
  if (otherHypervisor(facts) !== null) return ['the hypervisor honours the guest PAT'];
  const always = vendor === 'intel' ? '' : '; NPT always does';
  return [
    `the host honours the guest PAT (IGNORE_GUEST_PAT disabled, or non-coherent DMA${always})`,
  ];
}

// ---- MTRRs ------------------------------------------------------------------------------------

const FIRMWARE_FIX =
  'firmware that leaves the window under a WB default: SeaBIOS above 4 GiB, or OVMF with a cache policy ' +
  'for that BAR (edk2 pull request 13129).';
const NO_MTRR_FIX =
  'Have the VMM show MTRRs in CPUID and start with MTRRdefType 806H (on, WB): QEMU -cpu without -mtrr.';

/** A semaphore in WC memory is uncached, weakly ordered and a bus lock. */
const ONE_WAY =
  'Map resource2_wc only for what one side writes and the other reads: loads from it are uncached.';

const BLANK_FIX = `Have the VMM start the guest with a default type WB (MTRRdefType 806H). ${ONE_WAY}`;

const FOUR_GIB = 2 ** 32;

/**
 * The commands that take the registers away which lie over a window above 4 GiB; null where that is not
 * known to leave WB. Tried on 6.1 and 6.12: what is mapped afterwards is WB. Below 4 GiB the same
 * register covers the interrupt controllers.
 */
function disableCommands(facts: HostFacts, { start, size }: GuestMemory): readonly string[] | null {
  const { mtrrs, mtrrDefault, isReadOnly, oddMtrrs } = facts.firmware;
  const isPlain = mtrrs.known && oddMtrrs.length === 0 && !isReadOnly;
  if (!isPlain || ifKnown(mtrrDefault) !== 'WB' || start < FOUR_GIB) return null;
  const over = mtrrs.value.filter((r) => r.base < start + size && start < r.base + r.size);
  const isAbove = over.every((r) => r.base >= FOUR_GIB && r.type !== 'WB');
  if (over.length === 0 || !isAbove) return null;
  return over.map((r) => `echo "disable=${r.reg}" > /proc/mtrr`);
}

function windowFix(facts: HostFacts, memory: GuestMemory): Pick<Told, 'fix' | 'commands'> {
  if (memory.hints?.length === 1 && memory.hints[0] === 'disabled') return { fix: NO_MTRR_FIX };
  const commands = disableCommands(facts, memory);
  if (commands === null) return { fix: `Take ${FIRMWARE_FIX}` };
  const now = 'Take the register away, as root, at each boot before the window is used';
  return { fix: `${now}; for good: ${FIRMWARE_FIX}`, commands };
}

function mtrrWords({ hints }: GuestMemory): string {
  if (hints === null || hints.length > 1) return 'may not be WB';
  const [hint] = hints;
  if (hint === 'disabled') return 'are off';
  return hint === 'mixed' ? 'have several types there' : `make that range ${hint}`;
}

/** Windows that are mapped cached as a rule: host blobs with map_info CACHED, and DAX. */
function windowNotWb(facts: HostFacts, memory: GuestMemory): readonly DoctorFinding[] {
  if (memory.kind !== 'host-blobs' && memory.kind !== 'shm') return [];
  const cached = memory.requests.find((r) => r.asks === 'WB');
  const changed = cached === undefined ? false : changedBy(cached, 'mtrr');
  if (memory.hints === null || changed === false) return [];
  const what =
    memory.kind === 'host-blobs'
      ? 'Blobs whose map_info is CACHED or NONE'
      : 'Mappings that ask for WB, as DAX does,';
  const doubts = [
    ...(changed === null ? ['the MTRRs are not WB there'] : []),
    ...(memory.isInferred ? ['this BAR is the host-visible window'] : []),
    ...hostDoubts(facts),
  ];
  return [
    verdict('MT220', {
      when: doubts.join('; '),
      given:
        memory.kind === 'host-blobs'
          ? 'the renderer says CACHED, as for most memory that it can snoop'
          : '',
      places: [`${PLACE}: ${memoryName(memory)}`],
      agents: ['firmware', KERNEL],
      text:
        `${what} become UC-: the MTRRs of this guest ${mtrrWords(memory)}. Every access is uncached where ` +
        'the guest PAT counts (AMD, honor-guest-pat, non-coherent DMA); elsewhere KVM hides it.',
      ...windowFix(facts, memory),
    }),
  ];
}

function sharedNotWb(facts: HostFacts, memory: GuestMemory): readonly DoctorFinding[] {
  if (memory.kind !== 'ivshmem') return [];
  const cached = memory.requests.find((r) => r.asks === 'WB');
  const changed = cached === undefined ? false : changedBy(cached, 'mtrr');
  if (memory.hints === null || changed === false) return [];
  const text = `A WB mapping of ${memoryName(memory)} becomes UC-: the MTRRs ${mtrrWords(memory)}.`;
  const when = changed === null ? 'the MTRRs are not WB there' : '';
  const isBlank = areMtrrsBlank(facts);
  const fix = isBlank ? { fix: BLANK_FIX } : {};
  return [finding('sharedNotWb', PLACE, text, { when, agents: ['firmware', KERNEL], ...fix })];
}

// ---- PAT --------------------------------------------------------------------------------------

/** First kernel that sets the PAT up without MTRRs. */
const PAT_WITHOUT_MTRR = '6.2-rc1';

interface Cause {
  readonly why: string;
  readonly fix: string;
}

const NOPAT: Cause = {
  why: 'it was booted with nopat',
  fix: 'Boot without nopat (take it out of GRUB_CMDLINE_LINUX and run update-grub).',
};
const NO_PAT_CPU: Cause = {
  why: 'the (virtual) CPU has no PAT',
  fix: 'Have the VMM show PAT in CPUID: QEMU -cpu without -pat.',
};
const NO_MTRR: Cause = {
  why: 'kernels before 6.2 skip the PAT where they find no MTRRs, or MTRRs that are off',
  fix: 'Linux 6.2 or later in the guest; or have the VMM show MTRRs in CPUID and enable them (MTRRdefType 806H).',
};
const TDX: Cause = {
  why: 'up to 6.8 a TDX guest keeps the PAT that its firmware left (before 6.2 it has none), which after reset has no WC',
  fix: 'Linux 6.9 or later in the guest: it writes the PAT itself (ffc92cf3db62).',
};
const BY_FIRMWARE: Cause = {
  why: 'the PAT MSR reads 0',
  fix: 'A VMM that lets the guest read its PAT MSR.',
};
const BY_CONFIG: Cause = {
  why: 'the kernel was built without CONFIG_X86_PAT or CONFIG_MTRR',
  fix: 'A kernel with CONFIG_X86_PAT=y and CONFIG_MTRR=y.',
};
const LEFT_BY_OTHER: Cause = {
  why: 'the PAT that it found has no WC, and it was kept',
  fix: 'See the lines x86/PAT of the boot log.',
};

function patCause(facts: HostFacts): Cause {
  const pat = facts.pat;
  const cpu = ifKnown(facts.cpu);
  if (pat.known && pat.from.startsWith('/proc/cmdline: nopat')) return NOPAT;
  switch (ifKnown(pat)?.off ?? null) {
    case 'boot option':
      return NOPAT;
    case 'no PAT in the CPU':
      return NO_PAT_CPU;
    case 'by firmware':
      return BY_FIRMWARE;
    case 'kernel configuration':
      return BY_CONFIG;
    case 'MTRRs off':
      return NO_MTRR;
    case 'not said':
    case null:
      break;
  }
  if (cpu?.pat === false) return NO_PAT_CPU;
  if (ifKnown(pat)?.isMsrZero === true) return BY_FIRMWARE;
  if (keepsFirmwarePat(facts)) return TDX;
  return isBefore(facts, PAT_WITHOUT_MTRR) && areMtrrsOff(facts) ? NO_MTRR : LEFT_BY_OTHER;
}

/** WC has no slot in the PAT of this guest. */
function patWithoutWc(facts: HostFacts): readonly DoctorFinding[] {
  const wc: MemoryRequest = { who: 'a driver', asks: 'WC', grants: ramGrants(facts, 'WC') };
  const changed = changedBy(wc, 'pat');
  if (changed === false || (changed === null && !keepsFirmwarePat(facts))) return [];
  const { why, fix } = patCause(facts);
  return [
    verdict('MT222', {
      when:
        changed === null
          ? 'the firmware left a PAT without WC: see "x86/PAT: Configuration" in dmesg of the guest'
          : '',
      given: 'a driver asks WC',
      places: [PLACE],
      agents: [KERNEL],
      text: `The guest driver asked WC and its kernel granted ${grantedTypes(wc).join(' or ')}: ${why}.`,
      fix,
    }),
  ];
}

/** Where Linux puts WC, and where a driver that reads the PAT itself expects it. */
const WC_SLOT = 1;

/** WC has a slot that is not that of Linux: Linux copes, the NVIDIA driver did not. Source: nvidia/nv-pat. */
function foreignLayout(facts: HostFacts): readonly DoctorFinding[] {
  const pat = ifKnown(facts.pat);
  const slot = pat?.layout?.indexOf('WC') ?? -1;
  const drivers = [...(ifKnown(facts.gpus) ?? []), ...(ifKnown(facts.pci) ?? [])];
  const isAsked = drivers.some((d) => d.driver === 'nvidia');
  if (pat?.enabled !== true || slot < 0 || slot === WC_SLOT || !isAsked) return [];
  return [
    verdict('MT224', {
      when: 'the driver reads the PAT itself, as that of NVIDIA did before the 6xx series',
      given: '',
      places: [PLACE],
      agents: ['NVIDIA driver', KERNEL],
      text:
        `The PAT is ${pat.layout?.join(' ')}: WC is in slot ${slot}, and Linux maps WC with it. A driver that ` +
        'looks for it in slot 1 says "PAT configuration unsupported" and goes without.',
      fix: 'A driver that asks the kernel for WC (NVIDIA: 6xx series); or the layout of Linux in the hypervisor (Xen: as Qubes OS has it).',
    }),
  ];
}

// ---- reservations -----------------------------------------------------------------------------

function earlierReservation(facts: HostFacts, memory: GuestMemory): readonly DoctorFinding[] {
  if (memory.kind !== 'bochs') return [];
  const late = memory.requests.find((r) => changedBy(r, 'reservation') === true);
  if (late === undefined) return [];
  const isSeen = memory.reserved?.includes('UC-') ?? false;
  const doubts = [
    ...(isSeen ? [] : ['the driver is the one of kernels up to 6.12']),
    ...hostDoubts(facts),
  ];
  return [
    verdict('MT221', {
      when: doubts.join('; '),
      given: 'the console or a desktop draws on it',
      places: [`${PLACE}: ${memoryName(memory)}`],
      agents: [KERNEL],
      text:
        'bochs maps its frame buffer with ioremap(), so that what asks for WC later gets UC-. Drawing is ' +
        'slow where the guest PAT counts; KVM forces WB on Intel by default because of this driver.',
      fix: 'Linux 6.13 or later in the guest (ioremap_wc); or another display: -vga virtio.',
    }),
  ];
}

/** What this guest's own MTRRs, PAT and tracked types already settle. */
export function guestFindings(
  facts: HostFacts,
  memories: readonly GuestMemory[],
): readonly DoctorFinding[] {
  return [
    ...patWithoutWc(facts),
    ...foreignLayout(facts),
    ...memories.flatMap((m) => [
      ...windowNotWb(facts, m),
      ...sharedNotWb(facts, m),
      ...earlierReservation(facts, m),
    ]),
  ];
}
