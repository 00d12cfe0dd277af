import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU, honourGuestPat, readsCached } from './advice.ts';

function cacheableDevice(s: Situation): Finding | null {
  if (s.backing?.page.device !== true || !readsCached(s.result.type)) return null;
  const hole = s.backing.id === 'vga-hole';
  return {
    agents: [GUEST_CPU, 'host'],
    text: `Device memory is mapped cacheable (${s.result.type}): ${
      s.paging === 'ept' ? 'EPT ignores the host MTRRs' : 'the host MTRR does not say UC'
    }, so cacheable and speculative reads reach the device and may end in a machine check of the host.`,
    fix:
      s.paging !== 'ept'
        ? 'Put the range under a UC host MTRR (a matter of the firmware).'
        : hole
          ? `Map it UC in the guest's page tables, and have KVM honour them. ${honourGuestPat(s)}`
          : `Use a kernel that maps host MMIO UC (2.6.29-rc6 and later, except 4.2.0 to 4.2.3)${
              s.result.guestPatHonoured ? ', or map it UC in the guest' : ''
            }.`,
  };
}

const TTM_SYMPTOM =
  'KVM_RUN fails with EFAULT on the first touch of a page behind the head of a TTM allocation';

function highOrder(s: Situation): Finding | null {
  if (s.backing?.page.highOrder !== true || !s.rules.needsRefcountedPages) return null;
  return {
    agents: ['KVM', 'VMM'],
    text: `${TTM_SYMPTOM}: up to 6.12 KVM takes only pages with a reference count of their own (kvm_try_get_pfn). Where the page is the head of its allocation, the answer above holds.`,
    fix: 'Upgrade the host kernel to 6.13 or later.',
  };
}

export const SAFETY: readonly VerdictDefinition[] = [
  {
    code: 'MT401',
    severity: 'error',
    title: 'Device memory mapped cacheable: machine-check risk',
    room: 'kvm',
    cause:
      'The EPT leaf of a device page is cacheable: before 2.6.29-rc6, in 4.2.0 to 4.2.3, or for the VGA ' +
      'hole, which the tracker does not track.',
    consequence:
      'Cacheable accesses, speculative ones included, may raise a machine check on the host.',
    fix: 'A kernel that maps it UC, or UC in the guest with the guest PAT honoured.',
    sources: ['kvm/2aaf69dcee86', 'kvm/606decd67049', 'pr/dosemu2-2813'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.12 --paging ept --backing vga-hole --guest UC',
    find: cacheableDevice,
  },
  {
    code: 'MT501',
    severity: 'info',
    title: 'KVM refuses TTM pages of higher order (EFAULT), up to 6.12',
    room: 'kvm',
    cause:
      'TTM takes the pages of a buffer in blocks as large as it can get, and all pages of a block but the ' +
      'first carry no reference count. hva_to_pfn() of 5.13 to 6.12 demands one, and so do 5.12.14, 5.10.47, ' +
      '5.4.129, 4.19.199 and later ones of these series.',
    consequence:
      'A blob of one page works; of a larger one the first touch of the second page makes KVM_RUN fail with ' +
      'EFAULT ("Bad address"), and the VMM stops the VM. Only where memory is so fragmented that TTM gets ' +
      'single pages does a larger one work. From 6.13 on KVM maps them all, and what MT101 and MT201 say of ' +
      'them holds.',
    fix: 'Host kernel 6.13 or later.',
    sources: ['linux/hva_to_pfn_remapped', 'kvm/f8be156be163', 'mail/kvm-no-refcount'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing ttm-wc --guest WC',
    find: highOrder,
  },
];
