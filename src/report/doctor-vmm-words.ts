import type { Memslot } from '../doctor/vmms/memslots.ts';
import type { VmmOptions } from '../doctor/vmms/options.ts';
import type { MonitorFacts, Sharer } from '../doctor/vms/vm-facts.ts';
import { bytes, count } from './doctor-words.ts';

/** Of a process that may be no VM: only what stands on its command line. */
export function toldWords(options: VmmOptions | null): string {
  const switched = options !== null && ['on', 'off', 'auto'].includes(options.guestPat);
  const told = [
    ...(options?.ramGiven && options.ram !== null ? [`RAM ${bytes(options.ram)}`] : []),
    ...(options?.backends ?? []).map((b) => `memory-backend-${b.kind}`),
    ...(switched ? [`honor-guest-pat ${options.guestPat}`] : []),
    ...(options?.vfio.length ? [`vfio ${options.vfio.join(' ')}`] : []),
  ];
  return told.length === 0 ? 'none that tells' : told.join(', ');
}

const FIRMWARE = {
  OVMF: 'OVMF',
  SeaBIOS: 'SeaBIOS',
  direct: 'no firmware: the VMM sets the MTRRs',
  another: 'own firmware',
} as const;

const GUEST_PAT = {
  on: 'honor-guest-pat on',
  off: 'honor-guest-pat off',
  auto: 'honor-guest-pat auto',
  default: 'honor-guest-pat not given (off)',
  never: 'no switch for the guest PAT',
} as const;

const BLOBS = {
  none: [],
  'slot-per-blob': ['a memslot per host blob'],
  'one-slot': ['host blobs in one memslot'],
  either: [],
} as const;

function gpuWords(options: VmmOptions): readonly string[] {
  return options.gpus.map((g) => {
    const window = g.hostmem === null ? '' : ` hostmem=${bytes(g.hostmem)}`;
    return `${g.driver}${g.blob ? ' blob=on' : ''}${window}`;
  });
}

/** What a VMM was told, in one line. */
export function optionWords(options: VmmOptions | null): string {
  if (options === null) return 'not read: a program not known here';
  const { qemu, firmware, ram, backends, vfio } = options;
  const isQemu = qemu !== null;
  return [
    ...(isQemu ? [qemu.machine ?? 'default machine'] : []),
    ...(firmware === null ? [] : [FIRMWARE[firmware]]),
    `RAM ${ram === null ? 'not told' : bytes(ram)}`,
    ...backends.map((b) =>
      isQemu ? `memory-backend-${b.kind}` : `${b.kind}${b.hugetlb ? ', huge' : ''}`,
    ),
    ...(isQemu ? [`accel ${options.accel ?? 'not given'}`] : []),
    GUEST_PAT[options.guestPat],
    ...(options.confidential === null ? [] : [options.confidential.toUpperCase()]),
    ...gpuWords(options),
    ...(options.blobs === null ? [] : BLOBS[options.blobs]),
    ...(vfio.length > 0 ? [`vfio ${vfio.join(' ')}`] : []),
  ].join(', ');
}

/** What a monitor said of the whole VM. */
export function monitorWords({ version, kvm, running, memdevs, memslots }: MonitorFacts): string {
  const name = version === null ? '' : ` ${version.major}.${version.minor}.${version.micro}`;
  const backends = (memdevs ?? []).map(
    (m) => `${m.id ?? 'a backend'} ${bytes(m.size)}${m.share ? ' shared' : ''}`,
  );
  return [
    `QEMU${name}`,
    ...(kvm === false ? ['KVM not in use'] : []),
    ...(running === false ? ['not running now'] : []),
    ...backends,
    memslots === null ? 'no list of memslots' : count(memslots.length, 'memslot'),
  ].join(', ');
}

/** Other processes that reach guest memory. */
export function sharerWords(sharers: readonly Sharer[]): string {
  const names = sharers.map((s) => `${s.program || 'unknown program'} (${s.pid})`);
  return `guest memory is open in ${names.join(', ')}`;
}

/** More ranges than this are counted. */
const RANGES_SHOWN = 6;

/** Guest physical ranges; the end is the last byte. */
export function slotWords(slots: readonly Memslot[]): string {
  const ranges = slots.map(({ gpa, size, readonly }) => {
    const rom = readonly ? ' (ROM)' : '';
    return `0x${gpa.toString(16)}-0x${(gpa + size - 1).toString(16)}${rom}`;
  });
  const more = ranges.length - RANGES_SHOWN;
  return `${ranges.slice(0, RANGES_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
