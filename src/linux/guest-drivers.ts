import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { PatType } from '../x86/types.ts';

export type GuestDriverId =
  | 'virtgpu'
  | 'virtio-wl'
  | 'own-page-tables-wb'
  | 'bochs-ioremap'
  | 'bochs-ioremap-wc'
  | 'vfio-pci'
  | 'memremap-wb';

/** What a driver in the guest asks its kernel for. */
export interface DriverRequest {
  readonly title: string;
  /** Null: by map_info, see linux/virtio-gpu. */
  readonly asks: PatType | null;
  /** No kernel stands between it and the page tables: no MTRR is asked, no reservation made. */
  readonly ownPageTables?: true;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

export const GUEST_DRIVERS: Readonly<Record<GuestDriverId, DriverRequest>> = {
  virtgpu: { title: 'virtio-gpu of Linux', asks: null, sources: ['linux/virtgpu_vram'] },
  'virtio-wl': { title: 'virtio-wl (ChromeOS)', asks: 'WB', sources: ['crosvm/wl'] },
  'own-page-tables-wb': {
    title: 'a program that makes its guest page tables itself, all WB',
    asks: 'WB',
    ownPageTables: true,
    sources: ['pr/sogen-1097'],
  },
  'bochs-ioremap': {
    title: 'bochs up to 6.12: ioremap()',
    asks: 'UC-',
    sources: ['linux/bochs', 'linux/ioremap'],
  },
  'bochs-ioremap-wc': {
    title: 'bochs from 6.13: ioremap_wc()',
    asks: 'WC',
    sources: ['linux/bochs', 'linux/ioremap'],
  },
  'vfio-pci': { title: 'vfio-pci, for user space', asks: 'UC-', sources: ['linux/vfio_pci'] },
  'memremap-wb': { title: 'memremap(), ioremap_cache()', asks: 'WB', sources: ['linux/ioremap'] },
};

rule({
  id: 'linux/guest-drivers',
  room: 'guest',
  title: 'What drivers of the guest ask for',
  text:
    'A driver asks its kernel for a type; the kernel (PAT, MTRRs, earlier reservations) grants one. Who ' +
    'makes its own page tables is granted what it asks.',
  table: Object.entries(GUEST_DRIVERS)
    .map(([id, d]) => `${id.padEnd(20)}${d.asks ?? 'map_info'}`)
    .join('\n'),
  sources: ['linux/virtgpu_vram', 'crosvm/wl', 'pr/sogen-1097', 'linux/bochs', 'linux/vfio_pci'],
});
