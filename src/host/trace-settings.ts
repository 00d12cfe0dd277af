/** The events that are recorded, where the kernel has them. */
export const LIVE_EVENTS = [
  'kvmmmu/kvm_mmu_set_spte',
  'kvmmmu/kvm_tdp_mmu_spte_changed',
  'kvmmmu/kvm_mmu_spte_requested',
  'kvmmmu/mark_mmio_spte',
  'kvmmmu/handle_mmio_page_fault',
  'kvmmmu/kvm_mmu_prepare_zap_page',
  'kvmmmu/kvm_mmu_zap_all_fast',
  'kvm/kvm_msr',
  'kvm/kvm_cr',
] as const;

/** Those that print entries: without one of them there is nothing to audit. */
export const SPTE_EVENTS: readonly string[] = LIVE_EVENTS.slice(0, 2);

/** A file of the instance, and what is written into it. */
export interface Setting {
  readonly path: string;
  readonly value: string;
  /** Without it there is no recording. */
  readonly required: boolean;
}

function optional(path: string, value: string): Setting {
  return { path, value, required: false };
}

/** A new instance has the options of the global one: whatever was set there, the text must be readable. */
const PLAIN = [
  ...[
    'raw',
    'hex',
    'bin',
    'fields',
    'verbose',
    'latency-format',
    'stacktrace',
    'userstacktrace',
  ].map((name) => optional(`options/${name}`, '0')),
  ...['context-info', 'overwrite', 'record-tgid'].map((name) => optional(`options/${name}`, '1')),
];

/** Only what changes a type: guests write other MSRs thousands of times a second. */
const FILTERS = [
  optional(
    'events/kvm/kvm_msr/filter',
    'write == 1 && (ecx == 0x277 || ecx == 0x2ff || (ecx >= 0x200 && ecx <= 0x26f))',
  ),
  optional('events/kvm/kvm_cr/filter', 'rw == 1 && cr == 0'),
];

/** In the order of preference; the first that the kernel has. */
export const CLOCKS = ['mono', 'boot', 'global'] as const;

/** What is written before events are turned on, but for the clock and the threads. */
export function settingsBefore(bufferKib: number): readonly Setting[] {
  return [
    { path: 'tracing_on', value: '0', required: true },
    ...PLAIN,
    { path: 'buffer_size_kb', value: String(bufferKib), required: true },
    ...FILTERS,
  ];
}

/** Written once the threads of a VMM stand in set_event_pid: those it makes later come too. */
export const FOLLOW_FORKS: Setting = {
  path: 'options/event-fork',
  value: '1',
  required: true,
};

export const THREADS_FILE = 'set_event_pid';

const SMALLEST_KIB = 64;
const LARGEST_KIB = 1 << 22;
const ALL_KIB = 64 << 10;
const USUAL_KIB = 8 << 10;

/** Buffer of each CPU, KiB: 64 MiB in all, 1 to 8 MiB each. */
export function usualBufferKib(cpus: number): number {
  return Math.min(USUAL_KIB, Math.max(1 << 10, Math.floor(ALL_KIB / Math.max(1, cpus))));
}

export function isBufferKib(kib: number): boolean {
  return Number.isInteger(kib) && kib >= SMALLEST_KIB && kib <= LARGEST_KIB;
}

export const BUFFER_RANGE = `${SMALLEST_KIB} to ${LARGEST_KIB}`;
