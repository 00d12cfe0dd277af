import type { SourceId } from '../cite/sources.ts';
import type { FactKey, FactValues } from '../facts/facts.ts';
import type { PlatformId } from './platforms.ts';

/** Somebody who is known to depend on a memory type. */
export interface User {
  readonly id: string;
  readonly title: string;
  /** What is known of their access, beside the platform. */
  readonly facts: readonly (readonly [FactKey, FactValues[FactKey]])[];
  /** Where they are; null: on every platform. */
  readonly on: readonly PlatformId[] | null;
  readonly source: SourceId;
}

const INTEL: readonly PlatformId[] = [
  'intel-ept',
  'intel-ept-noss',
  'intel-shadow',
  'intel-shadow-noss',
];
const INTEL_EPT: readonly PlatformId[] = ['intel-ept', 'intel-ept-noss'];

/** Users whose troubles are public: each a line of the comparison, so that it speaks of people. */
export const USERS: readonly User[] = [
  {
    id: 'virtio-gpu-wc-blob',
    title: 'virtio-gpu host blob of amdgpu (write-combined TTM pages), mapped WC by the guest',
    facts: [
      ['backing', 'ttm-wc'],
      ['guest', 'WC'],
      ['device', 'nosnoop'],
    ],
    on: null,
    source: 'mail/seed',
  },
  {
    id: 'wb-guest-on-wc-blob',
    title: 'the same blob, mapped WB by a careless guest (virtio-wl, page tables of its own)',
    facts: [
      ['backing', 'ttm-wc'],
      ['guest', 'WB'],
      ['device', 'nosnoop'],
    ],
    on: null,
    source: 'mail/seed',
  },
  {
    id: 'i915-mmap-offset',
    title: 'i915 buffer without LLC, WC in the VMM only, mapped WB by the guest',
    facts: [
      ['backing', 'i915-wc'],
      ['guest', 'WB'],
      ['device', 'nosnoop'],
    ],
    on: INTEL,
    source: 'linux/i915_mman',
  },
  {
    id: 'i915-dmabuf',
    title: 'i915 buffer without LLC through a dma-buf, mapped WB by the guest',
    facts: [
      ['backing', 'i915-dmabuf'],
      ['guest', 'WB'],
      ['device', 'nosnoop'],
    ],
    on: INTEL,
    source: 'linux/i915_mman',
  },
  {
    id: 'bochs-frame-buffer',
    title: 'bochs-drm frame buffer in RAM, mapped UC- by ioremap() (guests before 6.13)',
    facts: [
      ['backing', 'ram'],
      ['guest', 'UC-'],
      ['device', 'none'],
    ],
    on: null,
    source: 'mail/bochs-report',
  },
  {
    id: 'blob-under-uc-mtrr',
    title: 'cached virtio-gpu blob behind a UC guest MTRR (OVMF): the guest grants UC-, not WB',
    facts: [
      ['backing', 'memfd'],
      ['guest', 'UC-'],
      ['guest-mtrr', 'UC'],
      ['device', 'snoop'],
    ],
    on: null,
    source: 'edk2/pr-13129',
  },
  {
    id: 'ordinary-guest-ram',
    title: 'ordinary guest RAM, mapped WB, the MTRRs WB too',
    facts: [
      ['backing', 'ram'],
      ['guest', 'WB'],
      ['guest-mtrr', 'WB'],
      ['device', 'snoop'],
    ],
    on: null,
    source: 'kvm/522c68c4416d',
  },
  {
    id: 'firmware-phase',
    title: 'firmware (CR0.CD=1) of a VM with a non-coherent device, a WC mapping of RAM',
    facts: [
      ['backing', 'ram'],
      ['guest', 'WC'],
      ['guest-mtrr', 'WB'],
      ['cr0-cd', true],
      ['noncoherent-dma', true],
      ['assigned-device', true],
      ['device', 'nosnoop'],
    ],
    on: INTEL_EPT,
    source: 'kvm/c9f65a3f2d92',
  },
  {
    id: 'mtrr-only-guest',
    title: 'guest that makes a DMA buffer UC by an MTRR alone, with a non-coherent device',
    facts: [
      ['backing', 'ram'],
      ['guest', 'WB'],
      ['guest-mtrr', 'UC'],
      ['noncoherent-dma', true],
      ['assigned-device', true],
      ['device', 'nosnoop'],
    ],
    on: INTEL_EPT,
    source: 'kvm/0a7b73559b39',
  },
  {
    id: 'vfio-wc-buffer',
    title: 'WC buffer in the RAM of a VM with a non-coherent device',
    facts: [
      ['backing', 'ram'],
      ['guest', 'WC'],
      ['guest-mtrr', 'WB'],
      ['noncoherent-dma', true],
      ['assigned-device', true],
      ['device', 'nosnoop'],
    ],
    on: null,
    source: 'kvm/522c68c4416d',
  },
  {
    id: 'wc-bar',
    title: 'write-combined frame buffer in the BAR of a passed-through GPU',
    facts: [
      ['backing', 'bar'],
      ['guest', 'WC'],
      ['guest-mtrr', 'UC'],
      ['device', 'none'],
    ],
    on: null,
    source: 'kvm/2aaf69dcee86',
  },
  {
    id: 'wb-on-bar',
    title: 'device registers that the guest maps WB by its PAT and by its MTRRs',
    facts: [
      ['backing', 'bar'],
      ['guest', 'WB'],
      ['guest-mtrr', 'WB'],
      ['device', 'none'],
    ],
    on: null,
    source: 'kvm/606decd67049',
  },
  {
    id: 'vga-hole',
    title: 'the VGA hole through /dev/mem, mapped UC (dosemu2)',
    facts: [
      ['backing', 'vga-hole'],
      ['guest', 'UC'],
      ['device', 'none'],
    ],
    on: null,
    source: 'pr/dosemu2-2813',
  },
  {
    id: 'dax',
    title: 'guest memory in persistent memory (DAX), mapped WB',
    facts: [
      ['backing', 'dax'],
      ['guest', 'WB'],
      ['device', 'snoop'],
    ],
    on: null,
    source: 'kvm/b8d7044bcff7',
  },
  {
    id: 'zero-page',
    title: 'the shared zero page, read by the guest',
    facts: [
      ['backing', 'zero'],
      ['guest', 'WB'],
      ['device', 'none'],
    ],
    on: null,
    source: 'kvm/bf4bea8e9a90',
  },
  {
    id: 'hidden-ram',
    title: 'guest memory in RAM hidden with mem= (through /dev/mem or a driver), mapped WB',
    facts: [
      ['backing', 'hidden-ram'],
      ['guest', 'WB'],
      ['device', 'snoop'],
    ],
    on: null,
    source: 'kvm/0c55671f84ff',
  },
];
