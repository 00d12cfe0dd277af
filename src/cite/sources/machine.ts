import type { Source } from '../source.ts';

const SDM_1 = 'Intel SDM vol 1';
const SDM_2 = 'Intel SDM vol 2A';
const SDM_3 = 'Intel SDM vol 3';

const sdm = (
  title: string,
  edition: string,
  where: string,
  evidence: 'read' | 'archive',
  note?: string,
): Source => ({
  kind: 'manual',
  title,
  edition,
  where,
  evidence,
  ...(note === undefined ? {} : { note }),
});

const CACHE_CHAPTER = '253668-032, 2009; same text in 2016';
const TRANSCRIBED = 'as transcribed in public instruction references, about 2023';

/** What the simulated hardware rests on, beside the manuals' chapters on memory types. */
export const MACHINE_SOURCES = {
  'sdm/wc-buffering': sdm(
    SDM_3,
    CACHE_CHAPTER,
    '11.3.1 (buffering of write combining memory locations)',
    'read',
    'not snooped, no order between buffers, a full one is one burst',
  ),
  'sdm/store-buffer': sdm(SDM_3, CACHE_CHAPTER, '11.10 (store buffer)', 'read'),
  'sdm/ordering': sdm(
    SDM_3,
    '325384-059US, June 2016',
    '8.2.2 and 8.2.3 (memory ordering)',
    'archive',
  ),
  'sdm/serializing': sdm(
    SDM_3,
    '325384-059US, June 2016',
    '8.3 (serializing instructions)',
    'archive',
    'the list has neither VM entry nor VM exit',
  ),
  'sdm/mtrr-change': sdm(
    SDM_3,
    CACHE_CHAPTER,
    '11.11.8 (MTRR considerations in MP systems)',
    'read',
  ),
  'sdm/nt': sdm(
    SDM_1,
    'about 2016',
    '10.4.6.2 (caching of temporal and non-temporal data)',
    'archive',
  ),
  'sdm/streaming-load': sdm(SDM_1, 'about 2016', '12.10.3 (streaming load hint)', 'archive'),
  'sdm/movntdqa': sdm(
    'Intel SDM vol 2B',
    TRANSCRIBED,
    'MOVNTDQA',
    'archive',
    'aliased lines in the cache are snooped and flushed; the buffer may be flushed at any time',
  ),
  'sdm/clflush': sdm(SDM_2, TRANSCRIBED, 'CLFLUSH', 'archive'),
  'sdm/clflush-before': sdm(
    SDM_2,
    '253666-024US, 2007',
    'CLFLUSH',
    'archive',
    'ordered by MFENCE only; later editions: no CPU did so',
  ),
  'apm/clflush-order': {
    kind: 'manual',
    title: 'AMD64 APM vol 3',
    edition: 'pub. 24594, rev 3.10, February 2005',
    where: 'CLFLUSH',
    evidence: 'archive',
    note: 'weakly ordered; only MFENCE orders it. Later editions were not consulted',
  },
  'linux/clflush-amd': {
    kind: 'commit',
    hash: '1f13c60d84e880df6698441026e64f84c7110c49',
    subject:
      'x86/idle: Remove MFENCEs for X86_BUG_CLFLUSH_MONITOR in mwait_idle_with_hints() and prefer_mwait_c1_over_halt()',
    first: '6.12 stable of June 2025',
    evidence: 'archive',
    note: 'Intel orders CLFLUSH; AMD CPUs of the time of that erratum have unordered ones',
  },
  'sdm/clflushopt': sdm(SDM_2, TRANSCRIBED, 'CLFLUSHOPT', 'archive'),
  'sdm/clwb': sdm(SDM_2, TRANSCRIBED, 'CLWB', 'archive'),
  'sdm/wbinvd': sdm('Intel SDM vol 2', TRANSCRIBED, 'WBINVD and INVD', 'archive'),
  'intel/optimization-nt': {
    kind: 'manual',
    title: 'Intel IA-32 Optimization Reference Manual',
    edition: '248966-013US, April 2006',
    where: 'ch. 6, pp. 6-11 and 6-12 (memory type and non-temporal stores)',
    evidence: 'archive',
    note: 'eviction or update in place, CPU by CPU; whether stores collapse, and the type on the bus under aliases, too',
  },
  'apm/clflush': {
    kind: 'manual',
    title: 'AMD64 APM vol 2',
    edition: 'pub. 24593, rev >= 3.43',
    where: '7.6.3 (CLFLUSH does not check the caches where the MTRR type is UC or WC)',
    evidence: 'read',
  },
  'amd/wc-events': {
    kind: 'manual',
    title: 'AMD 22007 and 25112',
    edition: '25112 rev 3.06',
    where: 'Table 9 and appendix B (what closes write combining)',
    evidence: 'read',
  },
  'paper/x86-tso': {
    kind: 'manual',
    title: 'Sewell, Sarkar, Owens, Zappa Nardelli, Myreen: x86-TSO',
    edition: 'CACM 53(7), 2010',
    where: 'the abstract machine',
    evidence: 'archive',
  },
  'paper/pex86': {
    kind: 'manual',
    title: 'Raad, Maranget, Vafeiadis: Extending Intel-x86 Consistency and Persistency',
    edition: 'POPL 2022, doi 10.1145/3498683',
    where: 'abstract',
    evidence: 'archive',
    note: 'classes of types only: UC as SC, WB and WT as TSO, WC and NT as PSO',
  },
  'hw/litmus7': {
    kind: 'observation',
    what: '20 tests with litmus7 7.57 in user mode, 40,000,000 runs',
    where: 'AMD EPYC (family 25 model 17), KVM guest, 2 vCPUs, Linux 6.18, 2026-11-22',
    evidence: 'ran',
  },
  'linux/wbinvd-on-all-cpus': {
    kind: 'code',
    tree: 'Linux, tree of 07f99c3fbe6e',
    file: 'arch/x86/lib/cache-smp.c',
    symbol: 'wbinvd_on_all_cpus',
    evidence: 'read',
  },
} as const satisfies Record<string, Source>;
