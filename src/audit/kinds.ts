import type { VerdictKind } from '../resolve/verdict.ts';

/** What is wrong with what a trace shows. The example is docs/examples/CODE.txt, with CODE.yaml where facts
 * are needed. */
export const AUDIT_FINDINGS = {
  forcedWriteBack: {
    code: 'MT701',
    severity: 'error',
    title: 'KVM mapped a page WB that is not WB on the host',
    room: 'kvm',
    cause:
      'The host tracks the frame as WC (or UC-, WT): a buffer of a GPU driver. KVM does not ask for that ' +
      'type: it takes the page for RAM, and the entry says WB with IPAT, or is one of shadow paging, so ' +
      "that the guest's own type counts for nothing.",
    consequence:
      'What the guest maps WC is written to its cache. A device that does not snoop reads old data; and the ' +
      "host's own mapping of the page has another type.",
    fix: 'Have KVM honour the guest PAT: see MT201.',
    sources: ['kvm/vmx_get_mt_mask', 'linux/kpageflags', 'lab/ept-traces', 'lab/vgem-wc'],
    example: 'gfn 49000H, frame 597cH which is WC, SPTE 860000000597cb77H: WB+IPAT.',
  },
  uncachedRam: {
    code: 'MT702',
    severity: 'warning',
    title: 'KVM mapped RAM UC',
    room: 'kvm',
    cause:
      'The frame is RAM that the host has WB. The guest MTRRs said UC (they do as long as they are off, up ' +
      'to 6.10 and with non-coherent DMA), CR0.CD was set, or KVM took the page for host MMIO.',
    consequence: 'Every access of the guest goes to memory: hundreds of times slower.',
    fix: 'Look at the guest MTRRs and CR0.CD that the trace shows; a kernel from 6.11 on looks at neither.',
    sources: ['kvm/vmx_get_mt_mask', 'kvm/kvm_is_mmio_pfn', 'lab/ept-traces'],
    example: 'A VM with non-coherent DMA on 6.1 whose MTRRs are off: SPTE 6000000029c4b07H.',
  },
  cachedDevice: {
    code: 'MT703',
    severity: 'error',
    title: 'KVM mapped device memory cacheable',
    room: 'kvm',
    cause:
      'The frame is no RAM, and the entry is cacheable: KVM did not take it for host MMIO. It does so in the ' +
      'legacy VGA range, which the host does not track.',
    consequence: 'As MT401: cacheable and speculative reads reach the device.',
    fix: 'As MT401: a kernel that maps host MMIO UC, or UC in the guest with the guest PAT honoured.',
    sources: ['kvm/vmx_get_mt_mask', 'kvm/kvm_is_mmio_pfn', 'linux/is_untracked_pat_range'],
    example: 'Frame a0H, the VGA memory, with SPTE 6000000000a0b77H: WB+IPAT.',
  },
  impossibleType: {
    code: 'MT704',
    severity: 'error',
    title: 'An entry has a type that no kernel installs',
    room: 'kvm',
    cause:
      'A reserved EPT type (2, 3 or 7), a type with IPAT that no version of vmx_get_mt_mask() returns, or a ' +
      'leaf of NPT or shadow paging with PWT, PCD or PAT set: a modified KVM, or a damaged trace.',
    consequence:
      'A reserved type ends in an EPT misconfiguration. What else follows depends on what was changed.',
    fix: 'Name the policy that this kernel has (--predict with policy:), or trace again.',
    sources: ['kvm/make_spte', 'kvm/vmx_get_mt_mask', 'sdm/ept-misconfig'],
    example: 'SPTE 600000001000b4fH: WC with IPAT.',
  },
  staleEntries: {
    code: 'MT705',
    severity: 'warning',
    title: 'Entries of one VM disagree: older ones were not zapped',
    room: 'kvm',
    cause:
      'RAM of one VM is mapped with IPAT and without at the same time. What decides was changed in between ' +
      '(non-coherent DMA came or went, CR0.CD, a quirk), and KVM left what was installed: before 6.7 it did ' +
      'not zap when non-coherent DMA comes or goes, and disabling a quirk never zaps.',
    consequence: 'Of two pages of one buffer, one has the type that the guest asks and one has WB.',
    fix:
      'Let devices come and go, and disable quirks, before the guest runs; or have its memory mapped anew (a reset, ' +
      'a memslot that is made again). Linux 6.7 and later zap when non-coherent DMA comes or goes.',
    sources: ['kvm/362ff6dca541', 'kvm/x86.c-quirks', 'lab/ept-traces'],
    example: 'Linux 6.1, non-coherent DMA registered while pages are mapped: WB+IPAT beside WB.',
  },
  mixedHugePage: {
    code: 'MT706',
    severity: 'warning',
    title: 'A huge page of the guest covers frames of different types',
    room: 'kvm',
    cause:
      'The type of an entry is that of its first frame. The frames behind this one are not alike on the host.',
    consequence: 'The rest of the huge page has a type that is not its own.',
    fix: 'Back such memory with pages of 4 KiB (MADV_NOHUGEPAGE), or keep it in a memslot of its own.',
    sources: ['kvm/make_spte', 'linux/kpageflags'],
    example: 'A 2-MiB entry at frame 6400H; frames 64c9H to 6567H are WC on the host.',
  },
  emulatedWrites: {
    code: 'MT707',
    severity: 'info',
    title: 'Stores of the guest were carried out by KVM',
    room: 'kvm',
    cause:
      'The host has the page write-protected and the guest wrote to it: no entry followed the fault, and KVM ' +
      "fetched the instruction to emulate it through the VMM's mapping. (drm shmem does so from 7.1 on.)",
    consequence: "Such a store has the type of the VMM's mapping, not of the guest's, and is slow.",
    fix: 'Have the VMM write each page once before the guest does: see MT605.',
    sources: ['linux/hva_to_pfn_remapped', 'mail/shmem-mkwrite'],
    example: 'Linux 7.3.4 and a vgem buffer: fault for writing, walk of the page tables, no entry.',
  },
  lostEvents: {
    code: 'MT708',
    severity: 'warning',
    title: 'The kernel lost events: from there on the map is not sure',
    room: 'host',
    cause: 'The ring buffer was full, and the reader too slow.',
    consequence:
      'Entries that were installed before may be gone or have another type; what follows is as printed.',
    fix: 'A larger buffer (buffer_size_kb), fewer events, or trace-cmd record, which reads all the time.',
    sources: ['linux/print_trace_line'],
    example: 'CPU:0 [LOST 1234 EVENTS] between two faults.',
  },
  unreadableEvents: {
    code: 'MT709',
    severity: 'warning',
    title: 'Events could not be read',
    room: 'host',
    cause:
      'The fields are not as any kernel prints them: a line was cut or wrapped, two writers got mixed, the ' +
      'trace option raw or hex was set, or the tool could not parse the format.',
    consequence: 'What these events changed is not known.',
    fix: 'Give the trace as it was written, whole and without the options raw, hex and bin; or trace.dat, perf.data.',
    sources: ['lab/ept-traces'],
    example: 'A kvm_mmu_set_spte line that ends after its gfn.',
  },
  noEntries: {
    code: 'MT710',
    severity: 'warning',
    title: 'The trace shows no entry being installed',
    room: 'host',
    cause:
      'The event kvm_mmu_set_spte was not on, or nothing faulted while the trace ran: memory that is mapped ' +
      'already does not fault again.',
    consequence: 'Nothing can be said of types.',
    fix: 'Trace kvmmmu from before the VM starts, or while it maps its memory anew (a migration, dirty logging).',
    sources: ['lab/ept-traces'],
    example: 'A trace of kvm_entry and kvm_exit alone.',
  },
  notPredicted: {
    code: 'MT711',
    severity: 'error',
    title: 'KVM installed another type than the facts give',
    room: 'kvm',
    cause:
      'A fact is not as it was said, it changed while the trace ran, the entry is stale, or the kernel is ' +
      'not the one that was named.',
    consequence: 'What is concluded from these facts does not hold for these pages.',
    fix: 'The reasons name what would explain it: correct the facts, or look for who changed it.',
    sources: ['kvm/vmx_get_mt_mask', 'lab/ept-traces'],
    example: 'No non-coherent DMA by the facts of a 6.12 host, and RAM is mapped WB without IPAT.',
  },
  contradiction: {
    code: 'MT712',
    severity: 'warning',
    title: 'Events contradict what was installed before',
    room: 'host',
    cause:
      'An entry is said to have been empty that was not: the trace has several VMs that it does not tell ' +
      'apart, or events are missing without being said so.',
    consequence: 'The map mixes what does not belong together.',
    fix: 'Trace with the option record-tgid, or one VM alone.',
    sources: ['lab/ept-traces'],
    example: 'Two VMs map gfn 100H, without a process in the lines.',
  },
  patIgnored: {
    code: 'MT713',
    severity: 'info',
    title: 'KVM ignores the guest PAT for RAM of this VM',
    room: 'kvm',
    cause:
      'Bit 6 (IPAT) is set in the last entries of WB: the quirk IGNORE_GUEST_PAT is in force, or the kernel ' +
      'has no such quirk, and the VM has no non-coherent DMA.',
    consequence: 'Whatever the guest asks for a page of RAM, it gets WB.',
    fix: 'Nothing to do where no device reaches this memory past the caches; else see MT201.',
    sources: ['kvm/vmx_get_mt_mask', 'lab/ept-traces'],
    example: 'SPTE 8600000002beeb77H: bits 5:3 are 6 (WB), bit 6 is 1.',
  },
  wrongClock: {
    code: 'MT714',
    severity: 'warning',
    title: 'The clock of the trace goes backwards',
    room: 'host',
    cause:
      'Buffers of several CPUs stand one behind the other, two traces were put together, or the clock is not ' +
      'one for all CPUs (trace_clock local).',
    consequence: 'Events are taken in the order of the file, which may not be that of time.',
    fix: 'Set trace_clock to mono, or let trace-cmd or perf sort the events.',
    sources: ['lab/ept-traces'],
    example: 'A line of 11.7 s behind one of 12.4 s.',
  },
  factsMissing: {
    code: 'MT715',
    severity: 'info',
    title: 'Some entries are not predicted, for a fact is missing',
    room: 'host',
    cause: 'A rule looks at something that the file of facts does not say.',
    consequence: 'These entries are neither confirmed nor refuted.',
    fix: 'Add the fact that is named.',
    sources: ['kvm/vmx_get_mt_mask'],
    example: 'A memslot without a backing.',
  },
  twoHosts: {
    code: 'MT716',
    severity: 'warning',
    title: 'The trace has entries of two hosts',
    room: 'host',
    cause:
      'Entries of EPT and of page tables, or software bits that no one kernel sets: traces of two hosts were put ' +
      'together, or kvm_intel was loaded with ept=0 for a part of the time.',
    consequence:
      'Of an entry that can be of EPT or of a page table no type is given, and nothing is predicted.',
    fix: 'Split the trace.',
    sources: ['kvm/make_spte', 'kvm/spte.h'],
    example: 'SPTE 6000000029c4b77H, and behind it 46b0e67H.',
  },
  wrongHost: {
    code: 'MT717',
    severity: 'warning',
    title: 'The host is said to be another than the entries show',
    room: 'host',
    cause:
      'The paging mode or the kernel that an option, the facts or the capture name does not write such entries: ' +
      'they are of another host, or of another boot of this one.',
    consequence:
      'The entries are read as what they are. By a wrong paging mode nothing is predicted; what another host knows ' +
      'of its frames is not looked at.',
    fix: 'Give the facts, the capture or the options of the host that was traced; memtype spte explains an entry.',
    sources: ['kvm/spte.h', 'kvm/make_spte'],
    example: 'SPTE 8600000002beeb77H, with bits 57, 58 and 63, and --kernel 5.4.',
  },
} as const satisfies Readonly<Record<string, VerdictKind>>;

export type AuditFindingName = keyof typeof AUDIT_FINDINGS;

/** Findings that take facts to be made: docs/examples/CODE.facts.yaml. */
const WITH_FACTS: ReadonlySet<string> = new Set([
  'MT701',
  'MT702',
  'MT703',
  'MT706',
  'MT711',
  'MT715',
  'MT717',
]);

export function hasExampleFacts(code: string): boolean {
  return WITH_FACTS.has(code);
}
