import { PFERR } from './error-code.ts';
import { errorCodeText } from './fault-text.ts';
import { isDirtyLogged } from './memslots.ts';
import type { PageFault } from './page-fault.ts';
import type { Place } from './page-tables.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** page_fault_can_be_fast(): a store to what is present; without A bits also an access to what tracks it. */
function canBeFast(code: number, adBits: boolean): boolean {
  if ((code & PFERR.RSVD) !== 0) return false;
  return (code & PFERR.PRESENT) !== 0 ? (code & PFERR.WRITE) !== 0 : !adBits;
}

/**
 * fast_page_fault(): W comes back without a look at the host, where KVM took it away itself, and with it what
 * access tracking took. The rest of the entry stays, its type with it.
 *
 * @param last fast_pf_get_last_sptep(): the entry that a walk for the fault ends at
 * @returns null: it is not for the fast path
 */
export function fastPageFault(
  vm: Vm,
  vcpu: Vcpu,
  fault: PageFault,
  adBits: boolean,
  last: () => Place,
): 'fixed' | 'spurious' | null {
  const { code, address } = fault;
  if (!canBeFast(code, adBits)) return null;
  const { page, index } = last();
  const entry = () => ({
    hi: page.entries[2 * index + 1] as number,
    lo: page.entries[2 * index] as number,
  });
  const old = entry();
  const result = repair(vm, fault, { page, index }, old.hi, old.lo);
  const text = errorCodeText(vm, code);
  vm.tracer?.fastPageFault(vcpu.id, address, text, old, entry(), result ?? 'other');
  return result;
}

function repair(
  vm: Vm,
  fault: PageFault,
  { page, index }: Place,
  hi: number,
  lo: number,
): 'fixed' | 'spurious' | null {
  const { bits } = vm;
  if (!bits.isPresent(hi, lo) || !bits.isLast(lo, page.level)) return null;
  if (bits.allows(hi, lo, fault.code)) return 'spurious';
  const now = repaired(vm, fault, page.level, hi, lo);
  if (now === null || !bits.allows(now.hi, now.lo, fault.code)) return null;
  page.entries[2 * index] = now.lo;
  page.entries[2 * index + 1] = now.hi;
  if (bits.isWritable(now.lo) && !bits.isWritable(lo))
    vm.markDirty(page.role.smm ? 1 : 0, fault.gfn);
  return 'fixed';
}

/** The entry as the fast path would leave it: with W where KVM may set it. */
function repaired(
  vm: Vm,
  { code, slot }: PageFault,
  level: number,
  oldHi: number,
  oldLo: number,
): { readonly hi: number; readonly lo: number } | null {
  const [hi, lo] = vm.bits.restored(oldHi, oldLo);
  if ((code & PFERR.WRITE) === 0 || !vm.bits.isMmuWritable(hi, lo)) return { hi, lo };
  // Of a huge page only the first 4K would be logged.
  const isLogged = slot !== null && isDirtyLogged(slot);
  if (level > 1 && (isLogged || !vm.config.behaviour.fastHugeWrite)) return null;
  return { hi, lo: (lo | 2) >>> 0 };
}
