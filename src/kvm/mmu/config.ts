import { must } from '../../base/assert.ts';
import { LINUX_PAT } from '../../linux/pat-layout.ts';
import type { KernelVersion } from '../../linux/version.ts';
import type { Vendor } from '../../x86/types.ts';
import { QUIRK, type QuirkCaps, quirkCaps } from '../quirks.ts';
import type { KvmRules, PagingMode } from '../rules.ts';
import { editionsOf } from '../spte-editions.ts';
import { mmuBehaviour } from './behaviour.ts';
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from './memslots.ts';
import type { VmConfig } from './vm.ts';

/** What has to be said of a host; the rest has the values of an ordinary one, and can be said too. */
export interface HostChoice extends Partial<Omit<VmConfig, 'kernel' | 'rules' | 'vendor'>> {
  readonly kernel: KernelVersion;
  readonly rules: KvmRules;
  readonly vendor: Vendor;
  readonly paging: PagingMode;
}

/** Of all quirks those that the MMU asks for. */
function memoryQuirks(choice: HostChoice, selfSnoop: boolean): QuirkCaps {
  const { rules, vendor, paging, kernel } = choice;
  const zap = mmuBehaviour(kernel).slotZapAllQuirk ? QUIRK.SLOT_ZAP_ALL : 0;
  const valid = (rules.hasCdQuirk ? QUIRK.CD_NW_CLEARED : 0) | zap;
  if (!rules.hasPatQuirk) return { supported: valid, inapplicable: 0 };
  const tdpEnabled = paging !== 'shadow';
  return quirkCaps({ vendor, tdpEnabled, selfSnoop, valid: valid | QUIRK.IGNORE_GUEST_PAT });
}

/** Where page-table pages come from: below 1 TiB, above what a host of that kind has of RAM. */
const TABLES_PFN = 0x800_0000;

/**
 * A host with the newest edition that its kernel may have: 4-level tables, A and D bits, no PML, no bug that
 * KVM works around, self-snoop, the PAT of Linux.
 */
export function vmConfig(choice: HostChoice): VmConfig {
  const edition = must(editionsOf(choice.kernel).at(-1), 'no edition of SPTEs');
  return {
    behaviour: mmuBehaviour(choice.kernel),
    edition,
    adBits: true,
    pml: false,
    nxHugePages: false,
    selfSnoop: true,
    hostPat: LINUX_PAT['wt-wp'],
    l1tfCacheBits: null,
    quirks: memoryQuirks(choice, choice.selfSnoop ?? true),
    guestMaxphyaddr: 46,
    tdpLevels: 4,
    slotFlags: KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY,
    tablesPfn: TABLES_PFN,
    trace: null,
    ...choice,
  };
}
