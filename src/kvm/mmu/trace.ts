import { type U64, u64ToHex } from '../../base/u64.ts';
import { type MmuPage, pageTableAddress } from './page-tables.ts';

/** Spinlocks and RCU sections held where an event is printed: its preempt-depth. */
export type TraceContext = 0 | 1 | 2;

/** Takes an event of KVM: its name, where it was printed, what it prints. */
export type TraceSink = (event: string, context: TraceContext, text: string) => void;

/** How a kernel prints its events. Source: kvm/mmutrace.h. */
export interface TraceFormat {
  /** The permissions in the role of a table: "wux" up to 7.1, "rwux" from 7.2 on. */
  readonly roleAccess: 'wux' | 'rwux';
  /** kvm_mmu_spte_requested prints the access: from 7.2 on. */
  readonly requestedAccess: boolean;
}

const hex = (hi: number, lo: number): string => u64ToHex({ hi, lo }).slice(2);
const LETTERS = { 1: 'x', 2: 'w', 4: 'u', 8: 'r' } as const;

/** What kvm_mmu_set_spte prints of an entry. */
export interface PrintedSpte {
  readonly r: boolean;
  readonly w: boolean;
  readonly x: boolean;
  readonly u: boolean;
}

/** Prints KVM's events of the MMU as its kernel does. */
export class Tracer {
  readonly sink: TraceSink;
  readonly format: TraceFormat;

  constructor(sink: TraceSink, format: TraceFormat) {
    this.sink = sink;
    this.format = format;
  }

  #page(page: MmuPage, generation: number): string {
    const { role } = page;
    const bits = this.format.roleAccess === 'rwux' ? ([8, 2, 4, 1] as const) : ([2, 4, 1] as const);
    const access = bits.map((bit) => ((role.access & bit) === 0 ? '-' : LETTERS[bit])).join('');
    return (
      `sp gen ${generation} gfn ${page.gfn.toString(16)} l${page.level} ` +
      `${role.has4ByteGpte ? 4 : 8}-byte q${role.quadrant}${role.direct ? ' direct' : ''} ${access}` +
      `${page.invalid ? ' invalid' : ''} ${role.efer_nx ? '' : '!'}nxe ${role.adDisabled ? '!' : ''}ad ` +
      `root ${page.rootCount} ${page.unsync ? 'unsync' : 'sync'}`
    );
  }

  getPage(
    page: MmuPage,
    created: boolean,
    context: TraceContext = 1,
    generation: number = 0,
  ): void {
    const text = `${this.#page(page, generation)} ${created ? 'new' : 'existing'}`;
    this.sink('kvm_mmu_get_page', context, text);
  }

  prepareZap(page: MmuPage, generation: number = 0): void {
    this.sink('kvm_mmu_prepare_zap_page', 1, this.#page(page, generation));
  }

  syncPage(page: MmuPage, generation: number): void {
    this.sink('kvm_mmu_sync_page', 1, this.#page(page, generation));
  }

  unsyncPage(page: MmuPage, generation: number): void {
    this.sink('kvm_mmu_unsync_page', 1, this.#page(page, generation));
  }

  zapAllFast(generation: number, usedPages: number): void {
    const text = `kvm-mmu-valid-gen ${generation} used_pages ${usedPages.toString(16)}`;
    this.sink('kvm_mmu_zap_all_fast', 1, text);
  }

  pageFault(vcpu: number, rip: number, address: number, errorCode: U64): void {
    const where = `rip 0x${rip.toString(16)} address 0x${address.toString(16).padStart(16, '0')}`;
    const code = hex(errorCode.hi, errorCode.lo);
    this.sink('kvm_page_fault', 0, `vcpu ${vcpu} ${where} error_code 0x${code}`);
  }

  /** @param pfn null: no memslot, KVM_PFN_NOSLOT */
  spteRequested(gfn: number, pfn: number | null, level: number, access: number): void {
    const frame = pfn === null ? '8000000000000000' : pfn.toString(16);
    const tail = this.format.requestedAccess ? ` access ${access.toString(16)}` : '';
    const text = `gfn ${gfn.toString(16)} pfn ${frame} level ${level}${tail}`;
    this.sink('kvm_mmu_spte_requested', 1, text);
  }

  spteChanged(
    asId: number,
    gfn: number,
    level: number,
    oldHi: number,
    oldLo: number,
    newHi: number,
    newLo: number,
  ): void {
    const values = `old_spte ${hex(oldHi, oldLo)} new_spte ${hex(newHi, newLo)}`;
    const text = `as id ${asId} gfn ${gfn.toString(16)} level ${level} ${values}`;
    this.sink('kvm_tdp_mmu_spte_changed', 1, text);
  }

  /** @param at the table and the index of the entry in it */
  setSpte(
    gfn: number,
    hi: number,
    lo: number,
    printed: PrintedSpte,
    at: { readonly page: MmuPage; readonly index: number },
  ): void {
    const { r, w, x, u } = printed;
    const rights = `${r ? 'r' : '-'}${w ? 'w' : '-'}${x ? 'x' : '-'}${u ? 'u' : '-'}`;
    const where = pageTableAddress(at.page, at.index).toString(16);
    const text = `gfn ${gfn.toString(16)} spte ${hex(hi, lo)} (${rights}) level ${at.page.level} at ${where}`;
    this.sink('kvm_mmu_set_spte', 1, text);
  }

  splitHugePage(gfn: number, hi: number, lo: number, level: number): void {
    const text = `gfn ${gfn.toString(16)} spte ${hex(hi, lo)} level ${level} errno 0`;
    this.sink('kvm_mmu_split_huge_page', 1, text);
  }

  markMmio(gfn: number, access: number, generation: number): void {
    const text = `gfn ${gfn.toString(16)} access ${access.toString(16)} gen ${generation.toString(16)}`;
    this.sink('mark_mmio_spte', 1, `sptep:(____ptrval____) ${text}`);
  }

  handleMmio(address: number, gfn: number, access: number): void {
    const text = `addr:${address.toString(16)} gfn ${gfn.toString(16)} access ${access.toString(16)}`;
    this.sink('handle_mmio_page_fault', 0, text);
  }

  checkMmio(hi: number, lo: number, now: number, then: number): void {
    const gens = `kvm_gen ${now.toString(16)} spte-gen ${then.toString(16)}`;
    this.sink('check_mmio_spte', 0, `spte ${hex(hi, lo)} ${gens} valid ${now === then ? 1 : 0}`);
  }

  fastPageFault(
    vcpu: number,
    address: number,
    errorCode: string,
    before: U64,
    after: U64,
    result: 'spurious' | 'fixed' | 'other',
  ): void {
    const values = `old 0x${hex(before.hi, before.lo)} new ${hex(after.hi, after.lo)}`;
    const outcome = `spurious ${result === 'spurious' ? 1 : 0} fixed ${result === 'fixed' ? 1 : 0}`;
    this.sink(
      'fast_page_fault',
      0,
      `vcpu ${vcpu} gva ${address.toString(16)} error_code ${errorCode} sptep (____ptrval____) ${values} ${outcome}`,
    );
  }

  unmapHvaRange(start: number, end: number): void {
    const hva = (n: number): string => `0x${n.toString(16).padStart(14, '0')}`;
    this.sink('kvm_unmap_hva_range', 0, `mmu notifier unmap range: ${hva(start)} -- ${hva(end)}`);
  }

  msrWrite(index: number, value: U64): void {
    this.sink('kvm_msr', 0, `msr_write ${index.toString(16)} = 0x${hex(value.hi, value.lo)}`);
  }

  crWrite(cr: number, value: number): void {
    this.sink('kvm_cr', 0, `cr_write ${cr} = 0x${value.toString(16)}`);
  }
}
