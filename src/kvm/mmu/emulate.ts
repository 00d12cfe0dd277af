import { hvaOf, isReadonly } from './memslots.ts';
import type { Vm } from './vm.ts';

/**
 * The data access of an instruction that KVM emulates, emulator_read_write(): to memory by its user address, or
 * to nothing, which goes to the VMM. Who shadows tables there is the caller's to tell.
 */
export function emulatedAccess(
  vm: Vm,
  asId: number,
  gpa: number,
  isStore: boolean,
):
  | { readonly is: 'mmio'; readonly gpa: number }
  | { readonly is: 'emulated'; readonly gpa: number; readonly hva: number } {
  const gfn = Math.floor(gpa / 4096);
  const slot = vm.slots.at(asId, gfn);
  if (slot === null || (isStore && isReadonly(slot))) return { is: 'mmio', gpa };
  const hva = hvaOf(slot, gfn) + (gpa % 4096);
  if (!vm.host.fault(hva, isStore)) return { is: 'mmio', gpa };
  if (isStore) vm.markDirty(asId, gfn);
  return { is: 'emulated', gpa, hva };
}
