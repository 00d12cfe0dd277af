import {
  all,
  any,
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  self_snoop,
  slot_host_memtype,
  type VmxEra,
  when,
} from '../decision.ts';
import { type ShadowEra, shadow } from '../shadow.ts';
import { type SvmEra, slotHostMemtype } from '../svm.ts';

/*
 * The ideal of the founding mail, never built: the type of a guest mapping is the type that the VMM has
 * in its own page tables for the page, exactly, and the guest's PAT is honoured on top where that is
 * safe; for all of guest memory, under EPT, NPT and shadow paging. docs/ideal.md has the reasons for
 * what the mail leaves open.
 */

/** A WC of AMD without nested paging is none that looks into the caches (WC+). */
const UNSAFE_IN_SHADOW =
  'no self-snoop, or AMD, whose native WC does not look into the caches: a guest type beside it would be an alias that is not kept coherent';

const UNSAFE =
  'no self-snoop, and nothing reads past the caches: a guest type beside it would be an alias that the CPU does not keep coherent';

export const HOST_PAT_VMX: VmxEra = {
  id: 'host-pat',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal', 'mail/seed-series'],
  where: 'vmx/vmx.c: vmx_get_mt_mask(), as the mail wishes it',
  vmx_get_mt_mask: [
    when(is_mmio, ept('vmm_mapping'), "host MMIO has the VMM's type; the guest PAT may pick WC"),
    when(
      all(not(self_snoop), not(noncoherent_dma)),
      ept('vmm_mapping', IPAT),
      `exactly the VMM's type: ${UNSAFE}`,
    ),
    otherwise(ept('vmm_mapping'), "RAM has the VMM's type and the guest PAT is honoured"),
  ],
  felt: 'Users who want WB keep it, and host-WC pages are WC for a guest that asks WB or WC.',
};

export const HOST_PAT_SVM: SvmEra = {
  id: 'host-pat',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  npt_leaf: [
    otherwise('vmm_mapping', "the type of the VMM's mapping, by its slot in the host PAT"),
  ],
  g_pat: [otherwise('guest', "g_pat is the guest's PAT MSR, as it is today")],
  note: "The nested leaf picks the VMM's type, the guest PAT is honoured as it is today.",
};

export const HOST_PAT_SHADOW: ShadowEra = {
  id: 'host-pat',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  shadow_leaf: [
    when(
      all(
        any(shadow.amd, not(shadow.self_snoop)),
        not(shadow.noncoherent_dma),
        not(shadow.is_mmio),
      ),
      { host: 'vmm_mapping', guest: false },
      `exactly the VMM's type: ${UNSAFE_IN_SHADOW}`,
    ),
    otherwise(
      { host: 'vmm_mapping', guest: true },
      "KVM combines the VMM's type with the type of the guest PTE, as an EPT leaf would",
    ),
  ],
};

/** The literal reading: KVM asks its tracker, lookup_memtype(), and not the VMM's page tables. */
export const HOST_PAT_TRACKED_VMX: VmxEra = {
  id: 'host-pat-tracked',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  where: 'vmx/vmx.c: vmx_get_mt_mask(), as the mail wishes it, to the letter',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('host_memtype'),
      'host MMIO has the tracked type; the guest PAT may still pick WC',
    ),
    when(
      all(not(self_snoop), not(noncoherent_dma)),
      ept('host_memtype', IPAT),
      `exactly the tracked type: ${UNSAFE}`,
    ),
    otherwise(ept('host_memtype'), 'RAM has the tracked type and the guest PAT is honoured'),
  ],
  felt: 'As host-pat, but i915 keeps its bug, and the VGA hole its machine checks.',
};

export const HOST_PAT_TRACKED_SVM: SvmEra = {
  id: 'host-pat-tracked',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  npt_leaf: [otherwise('host_memtype', 'the tracked type, by its slot in the host PAT')],
  g_pat: [otherwise('guest', "g_pat is the guest's PAT MSR, as it is today")],
  note: 'The nested leaf picks the tracked type, the guest PAT is honoured as it is today.',
};

export const HOST_PAT_TRACKED_SHADOW: ShadowEra = {
  id: 'host-pat-tracked',
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  shadow_leaf: [
    when(
      all(
        any(shadow.amd, not(shadow.self_snoop)),
        not(shadow.noncoherent_dma),
        not(shadow.is_mmio),
      ),
      { host: 'host_memtype', guest: false },
      `exactly the tracked type: ${UNSAFE_IN_SHADOW}`,
    ),
    otherwise(
      { host: 'host_memtype', guest: true },
      'KVM combines the tracked type with the type of the guest PTE, as an EPT leaf would',
    ),
  ],
};

/*
 * The same behind a memslot flag: lines in front of the lists of the kernel it is applied to. A VMM that
 * does not set the flag sees no difference, nor does any other slot of the VM.
 */

export function withHostPatSlot(kernel: VmxEra): VmxEra {
  return {
    id: 'host-pat-slot',
    kernels: 'proposed here',
    sources: ['memtype/ideal', 'mail/cros-flag', ...kernel.sources],
    where: 'vmx/vmx.c: vmx_get_mt_mask(), with KVM_MEM_HOST_MEMTYPE',
    vmx_get_mt_mask: [
      when(
        all(slot_host_memtype, any(is_mmio, self_snoop, noncoherent_dma)),
        ept('vmm_mapping'),
        "a flagged memslot: the VMM's type, and the guest PAT is honoured",
        'memtype/ideal',
      ),
      when(
        slot_host_memtype,
        ept('vmm_mapping', IPAT),
        `a flagged memslot has exactly the VMM's type: ${UNSAFE}`,
        'memtype/ideal',
      ),
      ...kernel.vmx_get_mt_mask,
    ],
    felt: 'Only the blobs of a VMM that asks for it; whoever does not ask keeps every bit.',
  };
}

export function withHostPatSlotOnSvm(kernel: SvmEra): SvmEra {
  return {
    id: 'host-pat-slot',
    kernels: 'proposed here',
    sources: ['memtype/ideal', ...kernel.sources],
    npt_leaf: [
      when(
        slotHostMemtype,
        'vmm_mapping',
        "a flagged memslot: the type of the VMM's mapping",
        'memtype/ideal',
      ),
      ...kernel.npt_leaf,
    ],
    g_pat: kernel.g_pat,
    note: 'Only flagged memslots differ from the kernel that it is applied to.',
  };
}

export function withHostPatSlotInShadow(kernel: ShadowEra): ShadowEra {
  return {
    id: 'host-pat-slot',
    kernels: 'proposed here',
    sources: ['memtype/ideal', ...kernel.sources],
    shadow_leaf: [
      when(
        all(
          shadow.slot_host_memtype,
          any(shadow.is_mmio, shadow.noncoherent_dma, all(not(shadow.amd), shadow.self_snoop)),
        ),
        { host: 'vmm_mapping', guest: true },
        "a flagged memslot: the VMM's type combined with the type of the guest PTE",
        'memtype/ideal',
      ),
      when(
        shadow.slot_host_memtype,
        { host: 'vmm_mapping', guest: false },
        `a flagged memslot has exactly the VMM's type: ${UNSAFE_IN_SHADOW}`,
        'memtype/ideal',
      ),
      ...kernel.shadow_leaf,
    ],
  };
}
