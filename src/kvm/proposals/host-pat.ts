import { ept, IPAT, is_mmio, not, otherwise, self_snoop, type VmxEra, when } from '../decision.ts';

/**
 * The ideal of the founding mail, never built: the EPT type is the type the host tracks for the page,
 * and the guest PAT is honoured on top where that is safe.
 */
export const HOST_PAT_VMX: VmxEra = {
  id: 'host-pat',
  kernels: 'never built',
  sources: ['mail/seed', 'mail/seed-series'],
  where: 'vmx/vmx.c: vmx_get_mt_mask(), as the mail wishes it',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('host_memtype'),
      "host MMIO has the host's type; the guest PAT may still pick WC",
    ),
    when(
      not(self_snoop),
      ept('host_memtype', IPAT),
      "no self-snoop: aliases would not be safe, so exactly the host's type",
    ),
    otherwise(ept('host_memtype'), "RAM has the host's type and the guest PAT is honoured"),
  ],
  felt: 'Users who want WB keep it, and host-WC pages are WC for a guest that asks WB or WC.',
};
