/**
 * Loads every module that enters a rule into the register, so that the register is whole. Nothing else
 * is exported from here.
 */
import './kvm/guest-mtrr.ts';
import './kvm/huge-page.ts';
import './kvm/mmu/legacy-direct.ts';
import './kvm/mmu/rmap.ts';
import './kvm/mmu/shadow-fault.ts';
import './kvm/mmu/shadow-get.ts';
import './kvm/mmu/shadow-sync.ts';
import './kvm/mmu/shadow-zap.ts';
import './kvm/mmu/tdp-rules.ts';
import './kvm/mmu/walk-format.ts';
import './kvm/noncoherent.ts';
import './kvm/other-rules.ts';
import './kvm/quirks.ts';
import './kvm/spte.ts';
import './kvm/spte-editions.ts';
import './kvm/zap.ts';
import './linux/backing.ts';
import './linux/e820.ts';
import './linux/guest-drivers.ts';
import './linux/ioremap.ts';
import './linux/memtype-tracker.ts';
import './linux/mtrr-lookup.ts';
import './linux/pat-layout.ts';
import './linux/pat-x-mtrr.ts';
import './linux/set-memory.ts';
import './linux/virtio-gpu.ts';
import './peers/bitvisor.ts';
import './peers/bochs.ts';
import './peers/pat-rst.ts';
import './peers/xen.ts';
import './platform/firmware.ts';
import './platform/gpu-drivers.ts';
import './platform/map-info.ts';
import './platform/vmm.ts';
import './x86/cache-disable.ts';
import './x86/combine.ts';
import './x86/cost.ts';
import './x86/ept.ts';
import './x86/mtrr.ts';
import './x86/npt.ts';
import './x86/page-walk.ts';
import './x86/pat.ts';
import './x86/properties.ts';
import './x86/self-snoop.ts';
