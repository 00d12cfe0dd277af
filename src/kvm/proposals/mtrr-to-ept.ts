import { ept, otherwise, type VmxEra } from '../decision.ts';

/** What a thin hypervisor under a running system has to install. Under EPT the CPU asks no MTRR. */
export const MTRR_TO_EPT_VMX: VmxEra = {
  id: 'mtrr-to-ept',
  kernels: 'none: a hypervisor other than KVM',
  sources: ['sdm/ept-types'],
  where: 'the code that builds the identity map of the hypervisor',
  vmx_get_mt_mask: [
    otherwise(ept('host_mtrr'), 'the MTRR type of the page, and the guest PAT is honoured'),
  ],
  felt: 'Written wrong, it makes RAM uncached (everything lags) or device memory cacheable.',
};
