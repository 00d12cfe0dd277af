import { type EventBatch, KIND } from '../../trace/batch.ts';

const hex = (hi = 0, lo = 0): string =>
  hi === 0 ? lo.toString(16) : hi.toString(16) + lo.toString(16).padStart(8, '0');

function payload(batch: EventBatch, i: number): string {
  const key = batch.key[i] ?? 0;
  const level = batch.level[i] ?? 0;
  const value = hex(batch.valueHi[i], batch.valueLo[i]);
  const isWrite = (batch.flags[i] ?? 0) & 1;
  const kind: number = batch.kind[i] ?? 0;
  switch (kind) {
    case KIND.set:
      return `kvm_mmu_set_spte: gfn ${key.toString(16)} spte ${value} level ${level}`;
    case KIND.changed: {
      const before = hex(batch.beforeHi[i], batch.beforeLo[i]);
      return `kvm_tdp_mmu_spte_changed: as id ${batch.flags[i]} gfn ${key.toString(16)} level ${level} old_spte ${before} new_spte ${value}`;
    }
    case KIND.requested:
      return `kvm_mmu_spte_requested: gfn ${key.toString(16)} pfn ${value} level ${level}`;
    case KIND.mmioMarked:
      return `mark_mmio_spte: gfn ${key.toString(16)} gen ${value}`;
    case KIND.mmioFault:
      return `handle_mmio_page_fault: gfn ${key.toString(16)}`;
    case KIND.zapPage:
      return `kvm_mmu_prepare_zap_page: gfn ${key.toString(16)} level ${level}`;
    case KIND.zapAll:
      return 'kvm_mmu_zap_all_fast:';
    case KIND.msr:
      return `kvm_msr: msr_${isWrite === 1 ? 'write' : 'read'} ${key.toString(16)} = 0x${value}`;
    case KIND.cr:
      return `kvm_cr: cr_${isWrite === 1 ? 'write' : 'read'} ${key} = 0x${value}`;
    case KIND.pageFault:
      return `kvm_page_fault: address 0x${key.toString(16)} error_code 0x${value}`;
    case KIND.mark:
      return `tracing_mark_write: ${batch.names[key] ?? ''}`;
    case KIND.lost:
      return key < 0 ? '[LOST EVENTS]' : `[LOST ${key} EVENTS]`;
    default:
      return `${batch.names[key] ?? 'event'}:`;
  }
}

/** An event of a binary trace as a line, as ftrace would print it. */
export function eventLine(batch: EventBatch, i: number): string {
  const tid = batch.tid[i] ?? -1;
  const cpu = batch.cpu[i] ?? -1;
  const time = batch.time[i] ?? Number.NaN;
  const head = [
    ...(tid < 0 ? [] : [String(tid)]),
    ...(cpu < 0 ? [] : [`[${String(cpu).padStart(3, '0')}]`]),
    ...(Number.isNaN(time) ? [] : [`${time.toFixed(6)}:`]),
  ].join(' ');
  return head === '' ? payload(batch, i) : `${head} ${payload(batch, i)}`;
}
