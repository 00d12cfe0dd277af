import type { Evidence, Source } from '../source.ts';

function code(tree: string, file: string, symbol: string, evidence: Evidence = 'read'): Source {
  return { kind: 'code', tree, file, symbol, evidence };
}

const CROSVM = 'crosvm f1e797a68dad';
const VIRGL = 'virglrenderer f849f8e1cd4e';

/** Firmware, VMMs, renderers and the drivers of devices. */
export const PLATFORM_SOURCES = {
  'seabios/mtrr': code('SeaBIOS 41514a7a974f', 'src/fw/mtrr.c', 'mtrr_setup'),
  'edk2/apertures': code(
    'edk2 c5aa7e7d94',
    'MdeModulePkg/Bus/Pci/PciHostBridgeDxe/PciHostBridge.c',
    'InitializePciHostBridge: every aperture gets EFI_MEMORY_UC',
  ),
  'edk2/memdetect': code(
    'edk2 c5aa7e7d94',
    'OvmfPkg/Library/PlatformInitLib/MemDetect.c',
    'PlatformQemuInitializeRam',
  ),
  'edk2/pr-13129': {
    kind: 'observation',
    what: 'pull request: leave the hostmem BAR of virtio-gpu out of the UC aperture',
    where: 'tianocore/edk2 pull 13129, 2026-09-14',
    evidence: 'archive',
  },
  'crosvm/mtrr': code(
    CROSVM,
    'x86_64/src/regs.rs',
    'set_mtrr_msrs (3064a7164a50, 2019-11-27; only where it boots a kernel itself)',
  ),
  'crosvm/noncoherent-dma': code(
    CROSVM,
    'devices/src/virtio/gpu/virtio_gpu.rs, hypervisor/src/kvm/mod.rs',
    'resource_map_blob, set_user_memory_region: flag 8, capabilities 236 and 239',
  ),
  'crosvm/first-mapping': {
    kind: 'commit',
    hash: 'd93be1b11dfe',
    subject: 'crosvm: the flag of a prepared mapping follows the blob',
    first: 'crosvm of 2024-09-20',
    evidence: 'read',
    note: 'with 815213a967a3; since then a prepared window is flagged whole',
  },
  'crosvm/retry': {
    kind: 'commit',
    hash: '9440df869ea9',
    subject: 'crosvm: try again without the flag after EINVAL',
    first: 'crosvm of 2026-08-11',
    evidence: 'read',
  },
  'crosvm/wl': code(
    CROSVM,
    'devices/src/virtio/wl.rs',
    'dmabuf_sync: virtio-wl maps everything WB',
  ),
  'libkrun/msrs': code(
    'libkrun 6ed74facc26d',
    'src/arch/src/x86_64/linux/msr.rs',
    'create_boot_msr_entries',
  ),
  'cloud-hypervisor/mtrr': code(
    'cloud-hypervisor ae44c2971c83',
    'hypervisor/src/kvm/mod.rs',
    'boot_msr_entries (8c4c16210, 2019-08-01); CPUID MTRR: c85e396ce, 2020-09-25',
  ),
  'firecracker/mtrr': code(
    'Firecracker 81b38b9dad60',
    'src/vmm/src/arch/x86_64/msr.rs',
    'create_boot_msr_entries (c915ef098, 1.14.0; before, the MTRRs stayed off)',
  ),
  'qemu/virgl-blob': code(
    'QEMU 10.2.2',
    'hw/display/virtio-gpu-virgl.c',
    'virgl_cmd_resource_map_blob',
  ),
  'qemu/refuses': {
    kind: 'observation',
    what: 'on: "KVM does not support disabling ignore-guest-PAT quirk", then "failed to initialize kvm: Invalid argument"; off and auto start',
    where: 'QEMU 11.1.3 on a KVM without bit 9 (shadow paging)',
    evidence: 'ran',
  },
  'virgl/vkr': code(VIRGL, 'src/venus/vkr_device_memory.c', 'vkr_device_memory_export_blob'),
  'virgl/vrend': code(VIRGL, 'src/vrend/vrend_renderer.c', 'inferred_gl_caching_type'),
  'virgl/gbm': {
    kind: 'commit',
    hash: '2fcee2ef2bfc',
    subject: 'vrend/gbm: i915 is cached only with LLC',
    first: 'virglrenderer 1.1.0',
    evidence: 'archive',
    note: 'with cd0b9ebdf9ad',
  },
  'virgl/amdgpu': {
    kind: 'commit',
    hash: 'aefb89536ab1',
    subject: 'amdgpu native context: map_info by heap and USWC flag',
    first: 'virglrenderer 1.1.0',
    evidence: 'archive',
  },
  'virgl/i915': code(
    VIRGL,
    'src/drm/i915/i915_ccmd.c',
    'i915_ccmd_gem_create_ext, i915_ccmd_gem_set_mmap_mode',
  ),
  'nvidia/mem': code(
    'NVIDIA open-gpu-kernel-modules df1c9a3de2be (595.45.04)',
    'src/nvidia/src/kernel/mem_mgr/mem.c, kernel-open/nvidia/nv-vm.c, nv-mmap.c',
    'the CPU cache attribute; nv_alloc_system_pages',
  ),
  'nvidia/nv-pat': code(
    'NVIDIA open-gpu-kernel-modules 1739a20efc4a',
    'kernel-open/nvidia/nv-pat.c',
    'nv_determine_pat_mode: WC in slot 1, or none (the file is gone in the 6xx series)',
  ),
  'gfxstream/vk': code(
    'gfxstream 9fcff254b',
    'host/vulkan/VkDecoderGlobalState.cpp',
    'map_info by the Vulkan memory properties',
  ),
  'gfxstream/export': code(
    'gfxstream 9fcff254b',
    'host/vulkan/BufferVk.cpp, ColorBufferVk.cpp, host/VirtioGpuResource.cpp',
    'exported with caching 0; GetCaching() hands it on',
  ),
  'pr/brunch-lunar-lake': {
    kind: 'observation',
    what: 'ANV drops HOST_CACHED for exportable buffers and has them WC, not snooped; the guest that imports them maps WB: 95 % wrong bytes in an A/B test',
    where:
      'kk1987/brunch-lunar-lake, mesa-patches/README.md, 2026-07-26 (Lunar Lake, xe, Mesa 25.3.6)',
    evidence: 'archive',
  },
  'virtio/blob': {
    kind: 'manual',
    title: 'Virtual I/O Device (VIRTIO)',
    edition: 'version 1.4, committee specification 01',
    where: 'GPU device, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, map_info',
    evidence: 'read',
  },
  'linux/radeon_ttm': code(
    'Linux 6.16.1',
    'drivers/gpu/drm/radeon/radeon_ttm.c',
    'radeon_ttm_tt_create',
  ),
  'linux/nouveau_sgdma': code(
    'Linux 6.16.1',
    'drivers/gpu/drm/nouveau/nouveau_sgdma.c',
    'nouveau_sgdma_create_ttm',
  ),
  'linux/i915_shmem': code(
    'Linux 6.16.1',
    'drivers/gpu/drm/i915/gem/i915_gem_shmem.c, i915_pci.c',
    'shmem_object_init, has_llc',
  ),
  'linux/bochs': code('Linux 6.12, 7.1, 7.3', 'drivers/gpu/drm/tiny/bochs.c', 'bochs_hw_init'),
  'pr/sogen-1097': {
    kind: 'observation',
    what: 'a program that builds its guest page tables itself, all WB',
    where: 'momo5502/sogen pull 1097',
    evidence: 'archive',
  },
  'perf/sogen': {
    kind: 'observation',
    what: 'CPU reads of WC memory: about 50 MB/s, 350 times slower than cached ones',
    where: 'momo5502/sogen f3f4e217b2e1, 2026-07',
    evidence: 'archive',
  },
  'perf/prosper-3338': {
    kind: 'observation',
    what: '3 to 6 % of the CPU in find_next_res, called for each fault on amdgpu buffers',
    where: 'mattias800/prosper issue 3338, 2026-09-04',
    evidence: 'archive',
  },
  'edk2/sec-mtrr': {
    kind: 'commit',
    hash: 'ce4c76e46d52',
    subject: 'OvmfPkg/Sec: Setup MTRR early in the boot process.',
    first: 'edk2-stable202408',
    evidence: 'read',
    note: 'after e8aa4c6546ad, with which the reset vector stopped setting CR0.CD',
  },
  'edk2/td-mtrr': {
    kind: 'commit',
    hash: '071d2cfab834',
    subject: 'OvmfPkg: no MTRR set-up in a TD',
    first: 'edk2 of 2024-07-02',
    evidence: 'archive',
  },
  'linux/c11ca45441d5': {
    kind: 'commit',
    hash: 'c11ca45441d5',
    subject: 'a TDX guest takes the PAT as the firmware left it',
    first: '6.2',
    evidence: 'archive',
    note: 'WC needs ffc92cf3db62 (6.9)',
  },
} as const satisfies Record<string, Source>;
