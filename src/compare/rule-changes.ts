import type { SourceId } from '../cite/sources.ts';
import { decide } from '../kvm/decision.ts';
import type { HugePageRule } from '../kvm/huge-page.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { zapRuleWords } from '../kvm/zap.ts';
import { BACKINGS } from '../linux/backing.ts';
import type { Vendor } from '../x86/types.ts';
import type { RuleChange } from './difference.ts';
import type { Restriction } from './space/fold.ts';
import type { SweepInput } from './space/space.ts';

/** A rule beside the type itself: how to say it, and what its change means. */
interface Beside {
  readonly what: string;
  /** The rule matters only on hosts of this vendor. */
  readonly platform?: Vendor;
  /** The rule matters only where this is yes. */
  readonly input?: SweepInput;
  readonly say: (rules: KvmRules) => string;
  readonly consequence: (before: KvmRules, after: KvmRules) => string;
  readonly source: (rules: KvmRules) => SourceId;
}

const yesNo = (value: boolean, yes: string, no: string): string => (value ? yes : no);

const GUEST_MTRR_WORDS = {
  v1: 'evaluated as 2.6.29 to 4.1 do',
  'v2-4.2': 'evaluated as 4.2 and 4.3 do',
  v2: 'evaluated as 4.4 to 6.10 do',
} as const;

const HUGE_PAGE_WORDS: Readonly<Record<HugePageRule, string>> = {
  'first-4k-page': 'not limited; the first 4K page gives the type',
  'every-vm': 'limited to blocks with one guest MTRR type, in every VM',
  'noncoherent-only': 'limited to blocks with one guest MTRR type, under EPT with non-coherent DMA',
  unlimited: 'not limited; the first 4K page gives the type',
  'one-host-type': 'limited to blocks with one host type',
  'one-host-type-in-flagged-slots': 'limited to blocks with one host type in flagged memslots',
};

const FLAG: SweepInput = 'slot-host-memtype';

/** A flag that a proposal brings, on a memslot that is there. */
function liveFlag(flag: string, id: string, input: SweepInput): Beside {
  return {
    what: `${flag} on a live memslot`,
    input,
    say: ({ zap }) => (zap.id === id ? zapRuleWords(zap.slotFlagChange) : 'there is no such flag'),
    consequence: (_, after) =>
      after.zap.id === id
        ? 'A VMM decides when it adds the memslot, so that nothing installed has another type.'
        : 'KVM_SET_USER_MEMORY_REGION refuses the flag.',
    source: ({ zap }) => zap.slotFlagChange.source,
  };
}

/** The kinds of page that a host with PAT takes for host MMIO. */
function mmioKinds({ mmio }: KvmRules): readonly string[] {
  return BACKINGS.filter(({ page }) => {
    const reserved = (): boolean => page.reserved;
    const { decision } = decide(mmio.kvm_is_mmio_pfn, {
      pfn_valid: () => page.pfnValid,
      is_zero_pfn: () => page.zeroPage,
      page_tail: () => false,
      head_reserved: reserved,
      page_reserved: reserved,
      pat_enabled: () => true,
      host_memtype: () => page.memtype,
      e820_ram: () => page.e820Ram,
      host_mtrr_not_wb: () => page.hostMtrr !== 'WB',
    });
    return decision.returns;
  }).map(({ id }) => id);
}

/** From 4.14.3 on at the latest: the kernels that obey the guest PAT on AMD, and what is built on them. */
function encrypts({ svm }: KvmRules): boolean {
  return svm.g_pat.every(({ returns }) => returns === 'guest');
}

const BESIDE: readonly Beside[] = [
  {
    what: 'the encryption bit of SPTEs, on AMD hosts with SME',
    platform: 'amd',
    say: (r) =>
      encrypts(r)
        ? `on all pages but host MMIO: ${mmioKinds(r).join(', ')}`
        : 'not by kvm_is_mmio_pfn()',
    consequence: (before, after) => {
      const [was, is] = [mmioKinds(before), mmioKinds(after)];
      const moved = [...was.filter((k) => !is.includes(k)), ...is.filter((k) => !was.includes(k))];
      return `kvm_is_mmio_pfn() decides it, too. Where the VMM maps ${moved.join(', ')} encrypted, a guest without the bit sees ciphertext, and the other way round.`;
    },
    source: () => 'kvm/make_spte',
  },
  {
    what: 'huge mappings in flagged memslots',
    input: FLAG,
    say: (r) => (r.hugeFlagged ? HUGE_PAGE_WORDS['one-host-type'] : 'as in other memslots'),
    consequence: () =>
      'The same guest may be mapped with larger or smaller pages: see the blocks below.',
    source: () => 'memtype/ideal',
  },
  {
    what: 'KVM_X86_QUIRK_IGNORE_GUEST_PAT',
    say: (r) => yesNo(r.hasPatQuirk, 'a VMM can disable it', 'does not exist'),
    consequence: (_, after) =>
      after.hasPatQuirk
        ? 'A VMM can have the guest PAT honoured, per VM, on Intel with EPT and self-snoop.'
        : 'A VMM that disables it is refused (KVM_CAP_DISABLE_QUIRKS2) or not heard (KVM_CAP_DISABLE_QUIRKS).',
    source: () => 'kvm/c9c1e20b4c7d',
  },
  {
    what: 'KVM_X86_QUIRK_CD_NW_CLEARED',
    say: (r) => yesNo(r.hasCdQuirk, 'a VMM can disable it', 'does not exist'),
    consequence: (_, after) =>
      after.hasCdQuirk
        ? 'A VMM can have CR0.CD reach the hardware on AMD.'
        : 'CR0.CD of a guest never reaches the hardware.',
    source: () => 'kvm/fb279950ba02',
  },
  {
    what: 'guest MTRRs',
    say: (r) => (r.guestMtrr === null ? 'not looked at' : GUEST_MTRR_WORDS[r.guestMtrr]),
    consequence: (before, after) =>
      after.guestMtrr === null
        ? 'A type that a guest sets by MTRRs alone has no effect any more.'
        : before.guestMtrr === null
          ? 'MTRRs that firmware left UC make the RAM of a VM with non-coherent DMA slow.'
          : 'The same registers may give another type: see the layouts below.',
    source: (r) =>
      r.guestMtrr === null
        ? 'kvm/0a7b73559b39'
        : r.guestMtrr === 'v1'
          ? 'kvm/get_mtrr_type'
          : 'kvm/mtrr.c',
  },
  {
    what: 'who makes a VM non-coherent',
    say: (r) => r.noncoherent.text,
    consequence: () =>
      'The same device may leave one VM coherent and the other not: see the devices below.',
    source: () => 'kvm/vfio.c',
  },
  {
    what: 'huge mappings',
    say: (r) => HUGE_PAGE_WORDS[r.hugePage],
    consequence: () =>
      'The same guest may be mapped with larger or smaller pages: see the blocks below.',
    source: () => 'kvm/range-consistency',
  },
  liveFlag('KVM_MEM_HOST_MEMTYPE', 'host-pat-slot', FLAG),
  liveFlag('KVM_MEM_NON_COHERENT_DMA', 'slot-flag', 'slot-noncoherent'),
  {
    what: 'pages without a reference count of their own (TTM, higher order)',
    say: (r) => yesNo(r.needsRefcountedPages, 'refused: KVM_RUN fails with EFAULT', 'mapped'),
    consequence: (_, after) =>
      after.needsRefcountedPages
        ? 'GPU buffers of more than a page cannot be mapped (MT501).'
        : 'GPU buffers that failed with EFAULT can be mapped, and their type matters from now on.',
    source: () => 'kvm/f8be156be163',
  },
  {
    what: 'the PAT of a VMX guest',
    say: (r) => yesNo(r.vmxLoadsGuestPat, "the guest's own", "the host's"),
    consequence: (_, after) =>
      after.vmxLoadsGuestPat
        ? "An index in a guest's PTE means what the guest wrote into its PAT."
        : "An index in a guest's PTE means what the host wrote into its PAT.",
    source: () => 'kvm/468d472f3f65',
  },
  {
    what: 'confidential guests',
    say: (r) => (r.confidential.length === 0 ? 'none' : r.confidential.join(', ').toUpperCase()),
    consequence: () => 'Guests of a kind that the other side does not run are not compared.',
    source: () => 'kvm/x86.c-quirks',
  },
];

/** What else is not the same on two sides, as far as the restriction leaves it room. */
export function ruleChanges(
  a: KvmRules,
  b: KvmRules,
  facts: Restriction,
  vendors: readonly Vendor[],
): readonly RuleChange[] {
  return BESIDE.flatMap(({ what, platform, input, say, consequence, source }) => {
    if (platform !== undefined && !vendors.includes(platform)) return [];
    const [before, after] = [say(a), say(b)];
    if (before === after || (platform !== undefined && !(encrypts(a) && encrypts(b)))) return [];
    if (input !== undefined && facts[input]?.includes(true) === false) return [];
    return [{ what, before, after, consequence: consequence(a, b), source: source(b) }];
  });
}
