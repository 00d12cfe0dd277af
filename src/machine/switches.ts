import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { Vendor } from '../x86/types.ts';

/** What CPUs differ in, what sources leave open, and what a search includes: a switch each. */
export const SWITCH_NAMES = [
  'selfSnoop',
  'busSnoop',
  'amdCD',
  'cdUpdatesShared',
  'flushAnyType',
  'flushThroughWC',
  'ntPassesOlder',
  'ntInPlace',
  'fwdNT',
  'wcReopens',
  'streamOutlivesStore',
  'ucPosted',
  'ucLoadsPass',
  'ucDrainsFlush',
  'clflushWaits',
  'clflushUnordered',
  'lfenceWaitsFlush',
  'exitDrains',
  'specFill',
  'evict',
] as const;
export type SwitchName = (typeof SWITCH_NAMES)[number];
export type Switches = Readonly<Record<SwitchName, boolean>>;

export interface SwitchInfo {
  /** What the machine does when it is on. */
  readonly on: string;
  /** Or the vendor on whose CPUs it is on. */
  readonly default: boolean | Vendor;
  /** `cpu`: CPUs differ. `contested`: sources are silent or disagree. `search`: what may happen at any time. */
  readonly kind: 'cpu' | 'contested' | 'search';
  /** Why the default is what it is, and what speaks for the other side. */
  readonly evidence: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
  /** A test with an outcome that is possible on one side only: of the catalogue, or in words. */
  readonly separatedBy: string;
}

export const SWITCHES: Readonly<Record<SwitchName, SwitchInfo>> = {
  selfSnoop: {
    on: 'own WC and UC (MTRR) transactions check the own cache',
    default: 'intel',
    kind: 'cpu',
    evidence:
      'CPUID.01H:EDX bit 27 on Intel; Linux takes it away from CPUs with errata. AMD does not report it, and ' +
      'forbids such aliases without a flush.',
    sources: ['sdm/self-snoop', 'linux/self-snoop-errata', 'apm/alias'],
    separatedBy: 'C03 (WB store, load through a WC alias)',
  },
  busSnoop: {
    on: 'WC and UC (MTRR) transactions check the caches of other cores',
    default: true,
    kind: 'contested',
    evidence:
      'SDM 11.12.4 says that WC writes need not look into the caches, and does not say whose. That other cores ' +
      'are reached over the coherent fabric is an assumption, the one on which KVM honours guest PAT. UC by the page ' +
      'tables is no part of it: note 2 of Table 11-7 has processors check their caches; note 1 exempts UC by the MTRR.',
    sources: ['sdm/alias', 'sdm/t11-7', 'mail/seed-series'],
    separatedBy: 'C12 (WC store, another core holds a clean copy)',
  },
  amdCD: {
    on: 'CR0.CD=1 makes every cacheable access a CD one; off: no-fill mode, hits are served',
    default: 'amd',
    kind: 'cpu',
    evidence: 'Intel: SDM Table 11-5 (Atom turns the caches off). AMD: APM 7.6.2, Table 7-5.',
    sources: ['sdm/t11-5', 'apm/cd'],
    separatedBy: 'E01 (CD=1, the line is cached, a device writes)',
  },
  cdUpdatesShared: {
    on: 'in no-fill mode a store that hits a line which other cores have too goes to memory as well',
    default: 'intel',
    kind: 'contested',
    evidence:
      'SDM Table 11-5, CD=1: writes to shared lines update memory, and such a line becomes exclusive. In normal mode it ' +
      'says the same of memory, but that the line becomes modified, and nobody takes it at its word. A line that ' +
      'others have given up counts as unshared here. AMD: no such mode (amdCD).',
    sources: ['sdm/t11-5'],
    separatedBy: 'CD=1, two cores have x, x=1, non-snooping read of x before anything is evicted',
  },
  flushAnyType: {
    on: 'CLFLUSH, CLFLUSHOPT and CLWB check the caches through a view of type UC (MTRR) too',
    default: 'intel',
    kind: 'cpu',
    evidence:
      'SDM: the memory attribute of the page has no effect. APM 7.6.3: where the MTRR says UC or WC the caches ' +
      'are not checked; a view of type UCM is such a place.',
    sources: ['sdm/clflush', 'apm/clflush'],
    separatedBy: 'WB store, CLFLUSH of a UC (MTRR) alias, non-snooping read',
  },
  flushThroughWC: {
    on: 'CLFLUSH, CLFLUSHOPT and CLWB check the caches through a view of type WC too',
    default: true,
    kind: 'contested',
    evidence:
      'SDM: the memory attribute of the page has no effect. AMD: as with flushAnyType, where the MTRR says UC or WC. ' +
      'That a view is WC does not say whether PAT or MTRR made it so: the default is PAT, as over memory, whose MTRR ' +
      'is WB. An MTRR that says UC or WC leaves no view through which the line could be cached.',
    sources: ['sdm/clflush', 'apm/clflush'],
    separatedBy: 'WB store, CLFLUSH of a WC alias, non-snooping read',
  },
  ntPassesOlder: {
    on: 'WC and NT stores may leave the store buffer before older stores to other lines',
    default: false,
    kind: 'contested',
    evidence:
      'The manuals call them weakly ordered, in both directions. Not seen in 1,000,000 runs of MP+WB+NT (B26).',
    sources: ['sdm/ordering', 'sdm/wc-buffering', 'hw/litmus7'],
    separatedBy: 'B17, B26',
  },
  ntInPlace: {
    on: 'an NT store may update a line of the own cache in place',
    default: false,
    kind: 'contested',
    evidence:
      'Intel leaves both open; its optimization manual says that the Pentium 4 and the Core Duo evict the line, and ' +
      'that the Pentium M updates it when it is in the first-level cache.',
    sources: ['sdm/nt', 'intel/optimization-nt'],
    separatedBy: 'D19',
  },
  fwdNT: {
    on: 'a load may be served from an own WC or NT store that is still on its way',
    default: false,
    kind: 'contested',
    evidence:
      'Manuals are silent. Not seen in 2,000,000 runs of SB+NT-rfis (B40); the same with plain stores was seen.',
    sources: ['sdm/wc-buffering', 'hw/litmus7'],
    separatedBy: 'B40',
  },
  wcReopens: {
    on: 'a line whose write-combining buffer is on its way out may get another one',
    default: false,
    kind: 'contested',
    evidence:
      'SDM 11.3.1 lets stores to a line combine, and does not say what becomes of one that comes while the buffer is ' +
      'being written out; the optimization manual leaves collapsing to the CPU. Read as PSO (POPL 2022), older values ' +
      'of a cell may still be on their way.',
    sources: ['sdm/wc-buffering', 'intel/optimization-nt', 'paper/pex86'],
    separatedBy: 'nt x=1; nt x=2; nt y=1 beside loads of y, x, x that read 1, 0, 1',
  },
  streamOutlivesStore: {
    on: 'MOVNTDQA may be served by a line that was fetched before an own store to it',
    default: false,
    kind: 'contested',
    evidence:
      'SDM vol 1 12.10.3 lets the buffers ignore other agents only. Of a line that the core itself has written it says ' +
      'that it may be fetched again; off is program order, a core that reads its own stores.',
    sources: ['sdm/streaming-load', 'sdm/movntdqa'],
    separatedBy: 'r1:=nt x; x=1; sfence; r2:=nt x reads 0',
  },
  ucPosted: {
    on: 'UC stores may wait in the store buffer while later loads of cacheable types run',
    default: false,
    kind: 'contested',
    evidence:
      'SDM 11.3: UC accesses are not reordered; whether a WB load may overtake a UC store is said only for ' +
      'processors in general (8.2.2: loads may be reordered with older stores).',
    sources: ['sdm/types', 'sdm/ordering'],
    separatedBy: 'B06',
  },
  ucLoadsPass: {
    on: 'UC loads may pass older stores of cacheable types to other lines',
    default: false,
    kind: 'contested',
    evidence:
      'The same silence as with ucPosted, seen from the load: SDM 11.3 orders UC accesses among themselves, 8.2.2 lets ' +
      'loads pass older stores without a word of their types. Stores that are UC, WC or non-temporal are waited for in ' +
      'any case.',
    sources: ['sdm/types', 'sdm/ordering'],
    separatedBy:
      'SB with a WB store before a UC load in one thread, and a UC store before a WB load in the other',
  },
  ucDrainsFlush: {
    on: 'UC accesses wait for pending CLFLUSHOPT and CLWB',
    default: false,
    kind: 'contested',
    evidence:
      'SDM: CLFLUSHOPT is ordered by fences and locked operations; UC accesses are not named.',
    sources: ['sdm/clflushopt'],
    separatedBy: 'D03',
  },
  clflushWaits: {
    on: 'CLFLUSH waits for older CLFLUSHOPT and CLWB of any line',
    default: false,
    kind: 'contested',
    evidence:
      'SDM vol 2A (CLFLUSHOPT): not ordered with each other; editions up to about 2016 (8.2.2): reordered only if the lines ' +
      'differ.',
    sources: ['sdm/clflushopt', 'sdm/ordering'],
    separatedBy: 'x=1; clflushopt x; clflush y; UC doorbell; non-snooping read of x',
  },
  clflushUnordered: {
    on: 'CLFLUSH is performed at any time until the next MFENCE, also before older stores to the line are in the cache',
    default: false,
    kind: 'contested',
    evidence:
      'SDM vol 2A since about 2016: ordered with each other, with stores, fences and locked operations, and all CPUs have ' +
      'always done so. The edition of 2007, and APM vol 3 of 2005: only MFENCE orders it, no other fence and no ' +
      'serializing instruction does. Linux holds AMD CPUs of that age for unordered, and has MFENCE before and after. ' +
      'Off, as no later edition of the APM was consulted.',
    sources: ['sdm/clflush', 'sdm/clflush-before', 'apm/clflush-order', 'linux/clflush-amd'],
    separatedBy:
      'x=1; clflush x; mfence; doorbell; non-snooping read of x before anything is evicted',
  },
  lfenceWaitsFlush: {
    on: 'LFENCE waits until older CLFLUSH, CLFLUSHOPT and CLWB are performed',
    default: 'intel',
    kind: 'contested',
    evidence:
      'SDM vol 2A orders all three with fence instructions and excepts none; that LFENCE orders loads alone (8.2.5) speaks ' +
      'for off. APM vol 3 of 2005: LFENCE is not ordered with CLFLUSH.',
    sources: ['sdm/clflush', 'sdm/clflushopt', 'sdm/clwb', 'sdm/ordering', 'apm/clflush-order'],
    separatedBy: 'clflush x; lfence; load of x, which a device has written without snooping',
  },
  exitDrains: {
    on: 'a VM exit drains store buffer, write-combining buffers and pending flushes',
    default: true,
    kind: 'contested',
    evidence:
      'APM 7.5.2 names VMRUN and #VMEXIT. Intel names interrupts (11.3), and its list of serializing events has ' +
      'no VM exit.',
    sources: ['apm/wc-buffers', 'sdm/serializing'],
    separatedBy: 'D36 with a VM exit in the place of CPUID',
  },
  specFill: {
    on: 'a view of a cacheable type in the TLB may fill the cache at any time',
    default: false,
    kind: 'search',
    evidence:
      'SDM 11.7 allows it always; off unless asked for, because it makes every other outcome noise.',
    sources: ['sdm/implicit-caching'],
    separatedBy: 'D22',
  },
  evict: {
    on: 'a line may leave a cache at any time',
    default: true,
    kind: 'search',
    evidence: 'Caches are finite; off keeps large tests small.',
    sources: ['sdm/types'],
    separatedBy: 'D01 (with it off the device can never read a WB store that is not flushed)',
  },
};

/** All switches: what is given, and the defaults of the vendor for the rest. */
export function switchesOf(vendor: Vendor, given: Partial<Switches>): Switches {
  const value = (name: SwitchName): boolean => {
    const { default: by } = SWITCHES[name];
    return given[name] ?? (typeof by === 'boolean' ? by : by === vendor);
  };
  return Object.fromEntries(SWITCH_NAMES.map((name) => [name, value(name)])) as Switches;
}

/** `on`, `off`, or on which vendor it is on. */
export function defaultText({ default: by }: SwitchInfo): string {
  return typeof by === 'boolean'
    ? by
      ? 'on'
      : 'off'
    : `on for ${by === 'intel' ? 'Intel' : 'AMD'}`;
}

for (const name of SWITCH_NAMES) {
  const info = SWITCHES[name];
  rule({
    id: `machine/switch/${name}`,
    room: 'cpu',
    title: `Switch ${name}: ${info.on}`,
    text: `Default: ${defaultText(info)} (${info.kind}). ${info.evidence} Separated by ${info.separatedBy}.`,
    sources: info.sources,
  });
}
