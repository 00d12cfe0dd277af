import type { Literal } from '../../compare/difference.ts';
import { literalWords, type Style } from './words.ts';

/** How kernel developers name an input: by value, or with # for the values. */
const TERMS: Readonly<Record<string, string | Readonly<Record<string, string>>>> = {
  'pfn-valid': { yes: 'pfn_valid()', no: '!pfn_valid()' },
  'zero-page': { yes: 'zero page', no: 'not the zero page' },
  'page-reserved': { yes: 'PageReserved()', no: '!PageReserved()' },
  compound: {
    no: 'not a compound tail',
    tail: 'tail of a compound page',
    'tail-of-reserved': 'compound tail, head PageReserved()',
  },
  'host-pat': { yes: 'host with PAT', no: 'host without PAT' },
  'host-memtype': 'host memtype #',
  'vmm-mapping': 'userspace PTE #',
  'e820-ram': { yes: 'RAM in e820', no: 'not RAM in e820' },
  'host-mtrr': 'host MTRR #',
  'noncoherent-dma': { yes: 'non-coherent DMA', no: 'no non-coherent DMA' },
  'assigned-device': { yes: 'assigned device', no: 'no assigned device' },
  'slot-noncoherent': {
    yes: 'KVM_MEM_NON_COHERENT_DMA set',
    no: 'KVM_MEM_NON_COHERENT_DMA clear',
  },
  'slot-host-memtype': { yes: 'KVM_MEM_HOST_MEMTYPE set', no: 'KVM_MEM_HOST_MEMTYPE clear' },
  'quirk-ignore-guest-pat': {
    on: 'IGNORE_GUEST_PAT quirk enabled',
    off: 'IGNORE_GUEST_PAT quirk disabled',
  },
  'quirk-cd-nw-cleared': {
    on: 'CD_NW_CLEARED quirk enabled',
    off: 'CD_NW_CLEARED quirk disabled',
  },
  'cr0-cd': { yes: 'CR0.CD=1', no: 'CR0.CD=0' },
  'live-cr0-cd': { yes: 'CR0.CD=1 in hardware', no: 'CR0.CD=0 in hardware' },
  'guest-mtrr': 'guest MTRR #',
  guest: 'guest PAT #',
  'guest-layout': 'guest PAT layout #',
  'host-mmio': { yes: 'kvm_is_mmio_pfn()', no: '!kvm_is_mmio_pfn()' },
};

function kernelLiteral(literal: Literal): string {
  const { input, values, others } = literal;
  const term = TERMS[input];
  const not = others.length < values.length;
  if (typeof term === 'string') {
    return term.replace('#', not ? `not ${others.join('/')}` : values.join('/'));
  }
  return term?.[values.join()] ?? literalWords(literal);
}

/** Of inputs whose values are said without their name. */
const NAMES: Readonly<Record<string, string>> = {
  'cr0-cd': 'CR0.CD',
  'live-cr0-cd': 'CR0.CD in hardware',
  'quirk-ignore-guest-pat': 'IGNORE_GUEST_PAT quirk',
  'quirk-cd-nw-cleared': 'CD_NW_CLEARED quirk',
  'host-mmio': 'kvm_is_mmio_pfn()',
  'pfn-valid': 'pfn_valid()',
  'page-reserved': 'PageReserved()',
  compound: 'place in a compound page',
};

/** An input by the name that kernel developers know. */
export function kernelInput(input: string): string {
  const term = TERMS[input];
  return typeof term === 'string' ? term.replace(' #', '') : (NAMES[input] ?? input);
}

/** Conditions as a cover letter has them. */
export const KERNEL: Style = { literal: kernelLiteral, and: ', ' };
