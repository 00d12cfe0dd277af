/** How an input's value says for whom nothing changes; `#` stands for the values. */
const PHRASES: Readonly<Record<string, string | Readonly<Record<string, string>>>> = {
  'pfn-valid': { yes: 'pages with a struct page', no: 'pages without a struct page' },
  'zero-page': { yes: 'the zero page', no: 'every page but the zero page' },
  'page-reserved': { yes: 'reserved pages (PageReserved)', no: 'pages that are not reserved' },
  compound: 'pages whose place in a compound page is # (compound)',
  'host-pat': { yes: 'hosts with PAT', no: 'hosts without PAT (nopat)' },
  'host-memtype': 'pages that the host tracks as #',
  'vmm-mapping': 'pages that the VMM maps #',
  'e820-ram': { yes: 'pages that e820 has as RAM', no: 'pages that e820 does not have as RAM' },
  'host-mtrr': 'pages whose host MTRR type is #',
  'noncoherent-dma': { yes: 'VMs with non-coherent DMA', no: 'VMs without non-coherent DMA' },
  'assigned-device': { yes: 'VMs with an assigned device', no: 'VMs without an assigned device' },
  'slot-noncoherent': {
    yes: 'memslots with KVM_MEM_NON_COHERENT_DMA',
    no: 'memslots without KVM_MEM_NON_COHERENT_DMA',
  },
  'slot-host-memtype': {
    yes: 'memslots with KVM_MEM_HOST_MEMTYPE',
    no: 'memslots without KVM_MEM_HOST_MEMTYPE',
  },
  'quirk-ignore-guest-pat': {
    on: 'VMs with KVM_X86_QUIRK_IGNORE_GUEST_PAT in force (the default)',
    off: 'VMs that disable KVM_X86_QUIRK_IGNORE_GUEST_PAT',
  },
  'quirk-cd-nw-cleared': {
    on: 'VMs with KVM_X86_QUIRK_CD_NW_CLEARED in force (the default)',
    off: 'VMs that disable KVM_X86_QUIRK_CD_NW_CLEARED',
  },
  'cr0-cd': { yes: 'guests while CR0.CD=1', no: 'guests while CR0.CD=0' },
  'live-cr0-cd': {
    yes: 'guests while CR0.CD=1 is live in the hardware',
    no: 'guests whose CR0.CD=1 is not live in the hardware',
  },
  'guest-mtrr': 'pages whose guest MTRR type is #',
  guest: 'accesses whose guest PAT type is #',
  'guest-layout': { linux: 'guests with the PAT of Linux', reset: 'guests with the PAT of reset' },
  'host-mmio': {
    yes: 'pages that kvm_is_mmio_pfn() takes for host MMIO',
    no: 'pages that kvm_is_mmio_pfn() does not take for host MMIO',
  },
};

const FORM = /^where ([\w-]+) is (.+)$/;

/** "where noncoherent-dma is no" as "VMs without non-coherent DMA"; what is not known stays as it is. */
export function unchangedWords(sentence: string): string {
  const [, input = '', values = ''] = FORM.exec(sentence) ?? [];
  const phrase = PHRASES[input];
  if (typeof phrase === 'string')
    return phrase.replace('#', values.replace(/, ([^,]+)$/, ' or $1'));
  return phrase?.[values] ?? sentence;
}
