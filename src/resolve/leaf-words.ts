import type { KvmLeaf } from './effective.ts';

const GPAT_WORDS = {
  guest: 'honoured',
  reset: 'not passed on',
  'all-wb': 'replaced by all WB',
} as const;

/** What KVM put into its page tables, in a few words. */
export function leafWords(leaf: KvmLeaf): string {
  switch (leaf.paging) {
    case 'ept':
      return `EPT ${leaf.ept.memtype}${leaf.ept.ipat ? '+IPAT' : ', IPAT=0'}`;
    case 'npt':
      return `NPT leaf ${leaf.hostPat}, guest PAT ${GPAT_WORDS[leaf.gPat]}`;
    case 'shadow':
      return `shadow PTE ${leaf.hostPat}, guest PAT ${leaf.withGuestPat ? 'in it' : 'ignored'}`;
  }
}
