import { u64FromHex, u64ToNumber } from '../src/base/u64.ts';
import { BATCH_EVENTS, type EventBatch, emptyColumns, KIND } from '../src/trace/batch.ts';
import { readTraceLine } from '../src/trace/events.ts';
import { decimalAt, fieldAt, hexAt, scanTraceLine } from '../src/trace/line.ts';

type Columns = ReturnType<typeof emptyColumns>;
type Mutable = { -readonly [K in keyof Columns]: Columns[K] };

const TIME = /\s(\d+\.\d+):\s/;
const CPU = /\s\[(\d{3})\]\s/;
const LOST = /\[LOST (\d+) EVENTS\]/;

/** One event of a line into row `i`; false: the line is none. */
function fill(line: string, number: number, columns: Mutable, i: number, names: string[]): boolean {
  columns.level[i] = 0;
  columns.flags[i] = 0;
  columns.cpu[i] = Number(CPU.exec(line)?.[1] ?? -1);
  columns.tid[i] = -1;
  columns.tgid[i] = -1;
  columns.time[i] = Number(TIME.exec(line)?.[1] ?? Number.NaN);
  columns.place[i] = number;
  columns.key[i] = 0;
  for (const column of ['valueHi', 'valueLo', 'beforeHi', 'beforeLo'] as const)
    columns[column][i] = 0;
  const put = (kind: number, key: number, value?: { hi: number; lo: number } | null): true => {
    columns.kind[i] = kind;
    columns.key[i] = key;
    columns.valueHi[i] = value?.hi ?? 0;
    columns.valueLo[i] = value?.lo ?? 0;
    return true;
  };
  const name = (text: string): number => {
    const known = names.indexOf(text);
    return known < 0 ? names.push(text) - 1 : known;
  };
  const lost = LOST.exec(line)?.[1];
  if (lost !== undefined) return put(KIND.lost, Number(lost));
  const reading = readTraceLine(line, number);
  if (reading.is === 'nothing') return false;
  const scanned = scanTraceLine(line);
  columns.tid[i] = scanned?.tid ?? -1;
  columns.tgid[i] = scanned?.tgid ?? -1;
  if (reading.is === 'unreadable') return put(KIND.unreadable, name(reading.name));
  if (reading.is === 'event') {
    const { event } = reading;
    if (event.kind === 'mmio') return put(KIND.mmioMarked, event.gfn);
    columns.level[i] = event.level;
    if (event.kind === 'requested') return put(KIND.requested, event.gfn);
    columns.flags[i] = event.asId ?? 0;
    columns.beforeHi[i] = event.before?.hi ?? 0;
    columns.beforeLo[i] = event.before?.lo ?? 0;
    return put(event.kind === 'set' ? KIND.set : KIND.changed, event.gfn, event.spte);
  }
  const at = scanned?.payload ?? 0;
  const text = line.slice(at);
  const hex = (field: string) => hexAt(line, fieldAt(line, at, field));
  switch (reading.name) {
    case 'tracing_mark_write':
      return put(KIND.mark, name(text));
    case 'kvm_mmu_zap_all_fast':
      return put(KIND.zapAll, 0);
    case 'kvm_mmu_prepare_zap_page': {
      const found = /gfn ([0-9a-f]+) l(\d)/.exec(text);
      columns.level[i] = Number(found?.[2] ?? 0);
      return put(KIND.zapPage, Number.parseInt(found?.[1] ?? '0', 16));
    }
    case 'kvm_msr': {
      const found = /msr_(read|write) ([0-9a-f]+) = 0x([0-9a-f]+)( \(#GP\))?/.exec(text);
      columns.flags[i] = (found?.[1] === 'write' ? 1 : 0) | (found?.[4] === undefined ? 0 : 2);
      return put(KIND.msr, Number.parseInt(found?.[2] ?? '0', 16), u64FromHex(found?.[3] ?? '0'));
    }
    case 'kvm_cr': {
      const found = /cr_(read|write) (\d+) = 0x([0-9a-f]+)/.exec(text);
      columns.flags[i] = found?.[1] === 'write' ? 1 : 0;
      return put(KIND.cr, Number(found?.[2] ?? 0), u64FromHex(found?.[3] ?? '0'));
    }
    case 'kvm_page_fault': {
      const address = hex('address');
      return put(KIND.pageFault, address === null ? 0 : u64ToNumber(address), hex('error_code'));
    }
    case 'handle_mmio_page_fault': {
      const gfn = hex('gfn');
      return put(KIND.mmioFault, gfn === null ? 0 : u64ToNumber(gfn));
    }
    case 'kvm_exit':
      return put(KIND.exit, decimalAt(line, fieldAt(line, at, 'reason')) ?? -1);
    default:
      return put(KIND.other, name(reading.name));
  }
}

/** A trace text as batches: what the byte scanners make of it, by the readers of strings. */
export function batchesOf(text: string, capacity = BATCH_EVENTS): readonly EventBatch[] {
  const batches: EventBatch[] = [];
  let columns: Mutable = emptyColumns(capacity);
  let names: string[] = [];
  let count = 0;
  const flush = (): void => {
    if (count > 0) batches.push({ ...columns, count, names });
    columns = emptyColumns(capacity);
    names = [];
    count = 0;
  };
  text.split('\n').forEach((line, index) => {
    if (!fill(line, index + 1, columns, count, names)) return;
    count += 1;
    if (count === capacity) flush();
  });
  flush();
  return batches;
}
