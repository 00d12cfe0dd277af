import { citation } from './source.ts';
import { KVM_SOURCES } from './sources/kvm.ts';
import { LINUX_SOURCES } from './sources/linux.ts';
import { MACHINE_SOURCES } from './sources/machine.ts';
import { MANUALS } from './sources/manuals.ts';
import { MMU_SOURCES } from './sources/mmu.ts';
import { PLATFORM_SOURCES } from './sources/platform.ts';
import { SPTE_SOURCES } from './sources/spte.ts';
import { VMM_SOURCES } from './sources/vmm.ts';

/** Every source of the project, by id. A rule names its sources by these ids. */
export const SOURCES = {
  ...MANUALS,
  ...MACHINE_SOURCES,
  ...LINUX_SOURCES,
  ...KVM_SOURCES,
  ...MMU_SOURCES,
  ...PLATFORM_SOURCES,
  ...SPTE_SOURCES,
  ...VMM_SOURCES,
} as const;

export type SourceId = keyof typeof SOURCES;

/** The citation of a source, one line. */
export function cite(id: SourceId): string {
  return citation(SOURCES[id]);
}
