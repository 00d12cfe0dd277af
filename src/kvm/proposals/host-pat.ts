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

/** Which type of the host a reading of the mail takes. */
interface Reading {
  readonly id: string;
  readonly host: 'vmm_mapping' | 'host_memtype';
  /** "VMM's type". */
  readonly type: string;
  readonly where: string;
  readonly felt: string;
}

const VMX = 'vmx/vmx.c: vmx_get_mt_mask(), as the mail wishes it';

const HOST_PAT: Reading = {
  id: 'host-pat',
  host: 'vmm_mapping',
  type: "VMM's type",
  where: VMX,
  felt: 'Users who want WB keep it, and host-WC pages are WC for a guest that asks WB or WC.',
};

/** The literal reading: KVM asks its tracker, lookup_memtype(), and not the VMM's page tables. */
const HOST_PAT_TRACKED: Reading = {
  id: 'host-pat-tracked',
  host: 'host_memtype',
  type: 'tracked type',
  where: `${VMX}, to the letter`,
  felt: 'As host-pat, but i915 keeps its bug, and the VGA hole its machine checks.',
};

const vmx = ({ id, host, type, where, felt }: Reading): VmxEra => ({
  id,
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal', 'mail/seed-series'],
  where,
  vmx_get_mt_mask: [
    when(is_mmio, ept(host), `host MMIO has the ${type}; the guest PAT may pick WC`),
    when(
      all(not(self_snoop), not(noncoherent_dma)),
      ept(host, IPAT),
      `exactly the ${type}: ${UNSAFE}`,
    ),
    otherwise(ept(host), `RAM has the ${type} and the guest PAT is honoured`),
  ],
  felt,
});

const svm = ({ id, host, type }: Reading): SvmEra => ({
  id,
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  npt_leaf: [otherwise(host, `the ${type}, by its slot in the host PAT`)],
  g_pat: [otherwise('guest', "g_pat is the guest's PAT MSR, as it is today")],
  note: `The nested leaf picks the ${type}, the guest PAT is honoured as it is today.`,
});

const inShadow = ({ id, host, type }: Reading): ShadowEra => ({
  id,
  kernels: 'never built',
  sources: ['mail/seed', 'memtype/ideal'],
  shadow_leaf: [
    when(
      all(
        any(shadow.amd, not(shadow.self_snoop)),
        not(shadow.noncoherent_dma),
        not(shadow.is_mmio),
      ),
      { host, guest: false },
      `exactly the ${type}: ${UNSAFE_IN_SHADOW}`,
    ),
    otherwise(
      { host, guest: true },
      `KVM combines the ${type} with the type of the guest PTE, as an EPT leaf would`,
    ),
  ],
});

export const HOST_PAT_VMX = vmx(HOST_PAT);
export const HOST_PAT_SVM = svm(HOST_PAT);
export const HOST_PAT_SHADOW = inShadow(HOST_PAT);

export const HOST_PAT_TRACKED_VMX = vmx(HOST_PAT_TRACKED);
export const HOST_PAT_TRACKED_SVM = svm(HOST_PAT_TRACKED);
export const HOST_PAT_TRACKED_SHADOW = inShadow(HOST_PAT_TRACKED);

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
