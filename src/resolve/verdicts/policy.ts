import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU, honourGuestPat, isDeviceMemory } from './advice.ts';
import { otherLeaf } from './installed-leaf.ts';

function wanted(s: Situation): string | null {
  return s.guest?.type ?? null;
}

/** UC- is what a guest asks and UC what it gets: the same thing unless an MTRR says WC. */
function differs(asked: string, got: string): boolean {
  const plain = (t: string): string => (t === 'UC-' || t === 'CD' ? 'UC' : t === 'WC+' ? 'WC' : t);
  return plain(asked) !== plain(got);
}

function forcedWb(s: Situation): Finding | null {
  const { leaf } = s.result;
  const asked = wanted(s);
  if (leaf.paging !== 'ept' || !leaf.ept.ipat || leaf.ept.memtype !== 'WB') return null;
  if (asked === null || leaf.fromGuestMtrr || !differs(asked, 'WB')) return null;
  return {
    agents: [GUEST_CPU],
    text: `The guest asked ${asked} and gets WB: the EPT leaf is WB+IPAT (${s.subject}: ${leaf.why}).`,
    fix: wantsSlow(s, asked) ? leaveIt(s, asked) : honourGuestPat(s),
  };
}

/** Nothing reads past the caches, and what the guest asked would only make it slow. */
function wantsSlow(s: Situation, asked: string): boolean {
  if (isDeviceMemory(s)) return false;
  if (asked === 'WC') return s.device === 'none' && s.vmmMapping === 'WB';
  return (asked === 'UC' || asked === 'UC-') && s.device !== 'nosnoop';
}

function leaveIt(s: Situation, asked: string): string {
  const slow =
    asked === 'WC' ? 'its loads would be uncached' : 'it would be uncached and slow (MT301)';
  return (
    `Leave it, unless a device reads this RAM past the caches: honoured, ${slow}. ` +
    `If it must be: ${honourGuestPat(s)}`
  );
}

function optOutRefused(s: Situation): Finding | null {
  const asked = s.inquiry.isGiven('quirk-ignore-guest-pat');
  if (!asked || s.inquiry.ask('quirk-ignore-guest-pat') !== 'off') return null;
  const why = refusal(s);
  if (why === null) return null;
  return {
    agents: ['VMM', 'KVM'],
    text: `The VMM asks KVM to honour the guest PAT, but ${why}.`,
    fix:
      s.paging === 'shadow'
        ? 'Use EPT on a CPU with self-snoop; shadow paging ignores the guest PAT in every version.'
        : honourGuestPat(s),
  };
}

/** On AMD the call succeeds and changes nothing, which is what the VMM wanted. */
function refusal(s: Situation): string | null {
  if (s.paging === 'npt') return null;
  if (!s.rules.hasPatQuirk)
    return `${s.subject} has no such quirk: KVM_CAP_DISABLE_QUIRKS2 is refused, the older capability ignores the bit`;
  if (s.paging === 'shadow') return 'without EPT the quirk is not offered: -EINVAL';
  const offered = s.selfSnoopKnown !== false && s.quirkOffered !== false;
  return offered ? null : 'without self-snoop the quirk is not offered: -EINVAL';
}

/** A cacheable request for device memory ends up UC by the host MTRR, whatever the PAT. */
function bySlot(s: Situation, asked: string): boolean {
  return isDeviceMemory(s) && asked !== 'WC';
}

function guestPatUnheard(s: Situation): Finding | null {
  const { leaf } = s.result;
  const asked = wanted(s);
  if (leaf.paging !== 'npt' || leaf.gPat === 'guest' || asked === null) return null;
  if (!differs(asked, s.result.type) || bySlot(s, asked)) return null;
  return {
    agents: [GUEST_CPU],
    text: `The guest asked ${asked} and gets ${s.result.type}: its PAT never reaches the hardware (g_pat: ${leaf.gPat}).`,
    fix: 'KVM passes the guest PAT on from 4.15 (4.14.3 in 4.14.y). Upgrade the host kernel.',
  };
}

function shadowIgnores(s: Situation): Finding | null {
  const asked = wanted(s);
  if (s.paging !== 'shadow' || s.result.guestPatHonoured) return null;
  if (asked === null || !differs(asked, s.result.type)) return null;
  return {
    agents: [GUEST_CPU],
    text: `The guest asked ${asked} and gets ${s.result.type}: shadow paging ignores the guest's types.`,
    fix: 'Use NPT (kvm_amd.npt=1), or EPT (kvm_intel.ept=1) with KVM_X86_QUIRK_IGNORE_GUEST_PAT disabled: from 6.16 on, on a CPU with self-snoop.',
  };
}

function mtrrFix(memtype: string, asked: string): string {
  const later = 'KVM ignores guest MTRRs from 6.11 on.';
  if (memtype !== 'WB') {
    return `Have the firmware put the range under a WB MTRR (default type WB). ${later}`;
  }
  return `This kernel ignores the guest PAT: only a guest MTRR of type ${asked === 'UC-' ? 'UC' : asked} over the range makes it so. ${later}`;
}

function byGuestMtrr(s: Situation): Finding | null {
  const { leaf } = s.result;
  const asked = wanted(s);
  if (leaf.paging !== 'ept' || !leaf.fromGuestMtrr) return null;
  if (asked === null || !differs(asked, s.result.type)) return null;
  return {
    agents: [GUEST_CPU],
    text: `The guest asked ${asked} by PAT and gets ${s.result.type}: ${s.subject} makes the guest MTRR type (${leaf.ept.memtype}) the EPT type.`,
    fix: mtrrFix(leaf.ept.memtype, asked),
  };
}

function listOrderBug(s: Situation): Finding | null {
  if (s.guestMtrrs === null || s.rules.guestMtrr === 'v1') return null;
  const { kvm, manual } = s.guestMtrrs;
  if (manual.kind !== 'type' || kvm.type === null || kvm.type === manual.type) return null;
  if (kvm.by !== 'variable' || manual.by !== 'variable' || kvm.items.length < 2) return null;
  return {
    agents: ['firmware', 'KVM'],
    text:
      `The guest's MTRRs say ${manual.type} here; KVM makes it ${kvm.type}. It visits overlapping ranges ` +
      `by descending base (${kvm.items.join(', ')}) and loses a UC range that lies above the base of ` +
      'the range around it.',
    fix:
      'Write the plan without overlaps (default WB plus UC ranges, as SeaBIOS does), or use a kernel ' +
      'before 4.2 or from 6.11 on.',
  };
}

/** 2.6.29 to 4.1 use fixed ranges that are switched off; 4.2 and 4.3 miss them, or read beside them. */
function fixedRangesWrong(s: Situation): Finding | null {
  if (s.guestMtrrs === null) return null;
  const { kvm, manual } = s.guestMtrrs;
  if (kvm.by === 'out-of-bounds') {
    return fixedFinding(
      `${s.subject} reads outside its array of fixed MTRRs here: the type is undefined.`,
    );
  }
  if (manual.kind !== 'type' || manual.type === kvm.type) return null;
  if ((manual.by === 'fixed') === (kvm.by === 'fixed')) return null;
  const how =
    kvm.by === 'fixed'
      ? 'uses a fixed range although FE is 0'
      : 'misses the fixed range that FE=1 selects';
  return fixedFinding(
    `The guest's MTRRs say ${manual.type} here; ${s.subject} ${how}, and makes it ${kvm.type}.`,
  );
}

function fixedFinding(text: string): Finding {
  return { agents: ['firmware', 'KVM'], text, fix: 'Use 4.4 or later.' };
}

export const POLICY: readonly VerdictDefinition[] = [
  {
    code: 'MT213',
    severity: 'error',
    title: 'The installed EPT leaf is not the one that the rules give',
    room: 'kvm',
    cause: 'A hypervisor builds its EPT from the MTRRs and gets one wrong, or carries other rules.',
    consequence: 'RAM that is uncached, or device memory that is cacheable.',
    fix: 'Compare with the rules: --policy mtrr-to-ept for a hypervisor other than KVM.',
    sources: ['sdm/ept-types', 'sdm/mtrr-precedence'],
    example:
      '--cpu intel --policy mtrr-to-ept --paging ept --backing ram --guest WB --host-mtrr-ranges "UC 3G-4G" --host-mtrr-default WB --hpa 1G --installed-leaf UC',
    find: otherLeaf,
  },
  {
    code: 'MT201',
    severity: 'warning',
    title: 'KVM forces WB: the guest PAT is ignored',
    room: 'kvm',
    cause:
      'The EPT leaf is WB with IPAT. That is the rule for RAM since 2.6.31 unless the VM has non-coherent ' +
      'DMA; from 6.16 it is KVM_X86_QUIRK_IGNORE_GUEST_PAT, which a VMM can disable.',
    consequence:
      'What the guest maps WC or UC is cached. Fatal only for a device that does not snoop.',
    fix: 'Disable the quirk where the kernel and the CPU allow it.',
    sources: ['kvm/c9c1e20b4c7d', 'kvm/522c68c4416d', 'qemu/honor-guest-pat'],
    example: '--cpu intel --self-snoop yes --kernel 6.16 --paging ept --backing ttm-wc --guest WC',
    find: forcedWb,
  },
  {
    code: 'MT202',
    severity: 'warning',
    title: 'The opt-out of the quirk has no effect here',
    room: 'vmm',
    cause: 'The quirk bit is not offered: no self-snoop, no EPT, or a kernel before 6.16.',
    consequence: 'The VMM may believe that the guest PAT is honoured while it is not.',
    fix: 'Ask KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2) for bit 9 before relying on it.',
    sources: ['kvm/x86.c-quirks', 'qemu/honor-guest-pat'],
    example:
      '--cpu intel --self-snoop no --kernel 6.16 --paging ept --backing ttm-wc --guest WC --quirk-ignore-guest-pat off',
    find: optOutRefused,
  },
  {
    code: 'MT203',
    severity: 'warning',
    title: 'Guest PAT writes do not reach the hardware (AMD)',
    room: 'kvm',
    cause: 'g_pat holds the reset value (to 4.14.2), or all WB (4.2.0 to 4.2.3 without a device).',
    consequence: "A Linux guest's WC (PAT index 1) is decoded as WT, or everything as WB.",
    fix: 'Upgrade the host kernel to 4.15 or later.',
    sources: ['kvm/15038e147247', 'kvm/svm.c'],
    example: '--cpu amd --kernel 4.9 --paging npt --backing ram --guest WC',
    find: guestPatUnheard,
  },
  {
    code: 'MT204',
    severity: 'warning',
    title: 'Shadow paging ignores the guest PAT',
    room: 'kvm',
    cause: 'KVM leaves PWT, PCD and PAT of shadow PTEs at 0 in every version.',
    consequence: 'RAM is WB and MMIO has the type of the host MTRR, whatever the guest maps.',
    fix: 'Use EPT or NPT.',
    sources: ['kvm/make_spte', 'lab/ept-traces'],
    example: '--cpu amd --kernel 6.8 --paging shadow --backing ram --guest WC',
    find: shadowIgnores,
  },
  {
    code: 'MT210',
    severity: 'warning',
    title: 'Guest MTRRs decide, not the guest PAT',
    room: 'kvm',
    cause: 'Up to 6.10 the EPT type of a VM with non-coherent DMA is the guest MTRR type.',
    consequence: 'RAM that the firmware left under a UC MTRR is uncached, and very slow.',
    fix: 'Set the default type to WB in the firmware, or upgrade the host kernel to 6.11.',
    sources: ['kvm/vmx_get_mt_mask', 'kvm/0a7b73559b39'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.6 --paging ept --backing ram --guest WB --guest-mtrr UC --noncoherent-dma yes',
    find: byGuestMtrr,
  },
  {
    code: 'MT211',
    severity: 'warning',
    title: 'MTRR plan hit by the list-order bug of 4.2 to 6.10',
    room: 'kvm',
    cause:
      'KVM visits the variable ranges by descending base and tests only the later type for UC: a UC hole ' +
      'with a higher base than the WB range around it is visited first and lost.',
    consequence: 'The hole is WB where the manual says UC.',
    fix: 'A plan without overlaps, or a kernel outside 4.2 to 6.10.',
    sources: ['kvm/mtrr.c', 'sdm/mtrr-precedence'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.6 --paging ept --backing ram --guest WB --noncoherent-dma yes --guest-mtrr-ranges "WB 0-4G, UC 3G-4G" --guest-mtrr-default UC --gpa 0xd0000000',
    find: listOrderBug,
  },
  {
    code: 'MT212',
    severity: 'error',
    title: 'KVM gets the fixed guest MTRRs wrong (2.6.29 to 4.3)',
    room: 'kvm',
    cause:
      '2.6.29 to 4.1 do not test whether fixed ranges are enabled; the segment search of 4.2 and 4.3 ' +
      'compares the wrong way.',
    consequence:
      'Another type than the manual gives below 1 MiB; in 4.2 and 4.3 also an undefined one.',
    fix: 'Use 4.4 or later.',
    sources: ['kvm/mtrr.c', 'kvm/get_mtrr_type'],
    example:
      '--cpu intel --self-snoop yes --kernel 4.3 --paging ept --backing ram --guest WB --noncoherent-dma yes --guest-mtrr-fixed WB --guest-mtrr-default WB --gpa 0x1000',
    find: fixedRangesWrong,
  },
];
