import type { Source } from '../source.ts';

const SDM = 'Intel SDM vol 3';
const SDM_EDITION = '325384-059US, June 2016';
const APM = 'AMD64 APM vol 2';
const APM_EDITION = 'pub. 24593, rev >= 3.43';

const sdm = (where: string, note?: string): Source => ({
  kind: 'manual',
  title: SDM,
  edition: SDM_EDITION,
  where,
  evidence: 'read',
  ...(note === undefined ? {} : { note }),
});

const apm = (where: string, note?: string): Source => ({
  kind: 'manual',
  title: APM,
  edition: APM_EDITION,
  where,
  evidence: 'read',
  ...(note === undefined ? {} : { note }),
});

/** The manuals. Chapter numbers move between editions, so each entry names the edition it was read in. */
export const MANUALS = {
  'sdm/types': sdm(
    '11.3, Tables 11-2 and 11-3',
    'Methods of caching; chapter 12 in 2023-24 editions',
  ),
  'sdm/t11-5': sdm('11.5.1, Table 11-5 (CR0.CD and CR0.NW)'),
  'sdm/t11-6': sdm('11.5.2.1, Table 11-6 (processors before PAT)'),
  'sdm/t11-7': sdm('11.5.2.2, Table 11-7 (MTRR x PAT)', 'Table 12-7 in 2023 editions'),
  'sdm/no-fill': sdm('11.5.3 (preventing caching)'),
  'sdm/implicit-caching': sdm('11.7 (implicit caching)'),
  'sdm/mtrr': sdm('11.11 (MTRRs), 11.11.1 to 11.11.3'),
  'sdm/mtrr-precedence': sdm('11.11.4.1 (MTRR precedences)'),
  'sdm/smrr': sdm('11.11.2.4 (system-management range registers)'),
  'sdm/large-pages': sdm('11.11.9 (large page size considerations)'),
  'sdm/pat': sdm('11.12, Tables 11-10 to 11-12'),
  'sdm/alias': sdm('11.12.4 (programming the PAT; one page under several types)'),
  'sdm/paging-types': sdm('4.9.2 (paging and memory typing with PAT)'),
  'sdm/tlb-types': sdm('4.9.3 and 4.10.4 (stale types in the TLBs)'),
  'sdm/self-snoop': {
    kind: 'manual',
    title: 'Intel SDM vol 2A',
    edition: SDM_EDITION,
    where: 'CPUID, Table 3-11, EDX bit 27 (SS)',
    evidence: 'read',
  },
  'sdm/ept-misconfig': sdm('28.2.3.1 (EPT misconfigurations)'),
  'sdm/ept-types': sdm('28.2.6 (EPT and memory typing)', '29.3.7 in 2023-24, 31.3.7 in 2026'),
  'sdm/eptp': sdm('24.6.11, Table 24-8 (EPTP) and 28.2.6.1'),
  'sdm/vmentry-cr0': sdm('26.3.2.1 and 27.5.1 (VM entry and exit leave CR0.CD and CR0.NW alone)'),
  'apm/types': apm('7.4, Tables 7-2 and 7-3, pp. 196-199'),
  'apm/cd': apm('7.6.2, Table 7-5 (CR0.CD)'),
  'apm/wc-buffers': apm('7.5.2 (draining of write-combining buffers)'),
  'apm/mtrr': apm('7.7, Tables 7-6 and 7-7, pp. 218 ff.'),
  'apm/mtrr-precedence': apm('7.7.4 (combining MTRRs)'),
  'apm/t7-8': apm('7.7.4, Table 7-8 (MTRRs and page cache controls), p. 226'),
  'apm/t7-13': apm('7.9.1, Table 7-13 (RdMem and WrMem)'),
  'apm/tom2': {
    kind: 'manual',
    title: 'AMD PPR',
    edition: 'third-party transcription',
    where: 'SYSCFG C001_0010H, Tom2ForceMemTypeWB',
    evidence: 'archive',
  },
  'apm/pat': apm('7.8.1 and 7.8.2, Tables 7-9 and 7-10'),
  'apm/table-accesses': apm('7.8.4 (types of page-table accesses)'),
  'apm/t7-11': apm('7.8.5, Table 7-11 (MTRR x PAT), pp. 230-231'),
  'apm/alias': apm('7.8.7, Table 7-12 (changing and mixing types)'),
  'apm/t15-19': apm('15.25.8, Table 15-19 (guest PAT x host PAT), p. 553'),
  'apm/t15-20': apm('15.25.8, Table 15-20 (combined PAT x host MTRR), p. 554'),
  'apm/npt-cd': apm('15.25.8 (either CR0.CD turns caching off)'),
  'apm/gpat': apm('15.25.4 (G_PAT; an invalid one ends VMRUN with VMEXIT_INVALID)'),
  'apm/npt-pg0': {
    kind: 'manual',
    title: APM,
    edition: APM_EDITION,
    where: '15.25 (gCR0.PG=0: the guest PAT type is not stated)',
    evidence: 'inferred',
    note: 'taken as WB',
  },
  'pcie/no-snoop': {
    kind: 'manual',
    title: 'PCI Express Base Specification',
    edition: 'any',
    where: 'No Snoop attribute, Device Control bit 11',
    evidence: 'archive',
  },
  'vtd/snoop-control': {
    kind: 'manual',
    title: 'Intel VT-d specification',
    edition: 'as read in Linux 7.3 drivers/iommu/intel',
    where: 'ECAP bit 7 (SC), second-stage PTE bit 11 (SNP)',
    evidence: 'archive',
  },
} as const satisfies Record<string, Source>;
