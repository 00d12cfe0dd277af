import {
  BATCH_EVENTS,
  type EventBatch,
  type EventColumns,
  emptyColumns,
  KIND,
  type Kind,
} from '../batch.ts';
import type { EventFormat } from './format.ts';
import { MarkTexts, markAt } from './marks.ts';

/** Which fields of an event go into which column. The first name that a kernel has is taken. */
interface Plan {
  readonly kind: Kind;
  readonly key?: readonly string[];
  readonly value?: readonly string[];
  readonly before?: readonly string[];
  readonly level?: readonly string[];
  /** The low four bits of kvm_mmu_page_role are the level. */
  readonly role?: readonly string[];
  /** Flag bits: set when the field is not zero. */
  readonly bits?: readonly (readonly [string, number])[];
  readonly flags?: readonly string[];
  /** Columns without which the event says nothing. */
  readonly needs: readonly ('key' | 'value' | 'before' | 'level')[];
}

const PLANS: ReadonlyMap<string, Plan> = new Map<string, Plan>([
  [
    'kvm_mmu_set_spte',
    {
      kind: KIND.set,
      key: ['gfn'],
      value: ['spte'],
      level: ['level'],
      needs: ['key', 'value', 'level'],
    },
  ],
  [
    'kvm_tdp_mmu_spte_changed',
    {
      kind: KIND.changed,
      key: ['gfn'],
      value: ['new_spte'],
      before: ['old_spte'],
      level: ['level'],
      flags: ['as_id'],
      needs: ['key', 'value', 'before', 'level'],
    },
  ],
  [
    'kvm_mmu_spte_requested',
    {
      kind: KIND.requested,
      key: ['gfn'],
      value: ['pfn'],
      level: ['level'],
      needs: ['key', 'value', 'level'],
    },
  ],
  ['mark_mmio_spte', { kind: KIND.mmioMarked, key: ['gfn'], value: ['gen'], needs: ['key'] }],
  ['handle_mmio_page_fault', { kind: KIND.mmioFault, key: ['gfn'], needs: ['key'] }],
  [
    'kvm_mmu_prepare_zap_page',
    { kind: KIND.zapPage, key: ['gfn'], role: ['role'], needs: ['key'] },
  ],
  ['kvm_mmu_zap_all_fast', { kind: KIND.zapAll, needs: [] }],
  [
    'kvm_msr',
    {
      kind: KIND.msr,
      key: ['ecx'],
      value: ['data'],
      bits: [
        ['write', 1],
        ['exception', 2],
      ],
      needs: ['key', 'value'],
    },
  ],
  [
    'kvm_cr',
    { kind: KIND.cr, key: ['cr'], value: ['val'], bits: [['rw', 1]], needs: ['key', 'value'] },
  ],
  [
    'kvm_page_fault',
    {
      kind: KIND.pageFault,
      key: ['fault_address'],
      value: ['error_code'],
      needs: ['key', 'value'],
    },
  ],
  ['kvm_exit', { kind: KIND.exit, key: ['exit_reason'], needs: ['key'] }],
]);

/** Systems whose other events are passed on by name. Empty: the system is not known. */
const SYSTEMS = new Set(['kvm', 'kvmmmu', '']);

/** A field by its place; `end` 0: the kernel has none. */
interface Slot {
  readonly at: number;
  readonly size: number;
  readonly signed: boolean;
  readonly end: number;
}

const NO_SLOT: Slot = { at: 0, size: 0, signed: false, end: 0 };

function slotOf(format: EventFormat, names: readonly string[] | undefined): Slot {
  for (const name of names ?? []) {
    const field = format.fields.get(name);
    const isNumber =
      field?.place === 'inline' && !field.isArray && [1, 2, 4, 8].includes(field.size);
    if (field === undefined || !isNumber) continue;
    const { offset: at, size, signed } = field;
    return { at, size, signed, end: at + size };
  }
  return NO_SLOT;
}

/** An event of a trace: how its records are read. */
export interface EventReader {
  readonly name: string;
  /** Null: of another system, or its description lacks a field that is needed. */
  readonly plan: Compiled | null;
  /** Index in the batch's names; -1: not passed on. */
  readonly index: number;
  readonly isForeign: boolean;
  /** See `markAt`. */
  readonly markAt: number;
}

interface Compiled {
  readonly kind: Kind;
  readonly key: Slot;
  readonly value: Slot;
  readonly before: Slot;
  readonly level: Slot;
  readonly role: Slot;
  readonly flags: Slot;
  readonly bits: readonly { readonly slot: Slot; readonly bit: number }[];
  readonly hasLevel: boolean;
  /** Bytes that a record must have. */
  readonly end: number;
}

function compile(plan: Plan, format: EventFormat): Compiled | string {
  const slots = {
    key: slotOf(format, plan.key),
    value: slotOf(format, plan.value),
    before: slotOf(format, plan.before),
    level: slotOf(format, plan.level),
  };
  const missing = plan.needs.find((column) => slots[column].end === 0);
  if (missing !== undefined) return plan[missing]?.[0] ?? missing;
  const bits = (plan.bits ?? []).map(([name, bit]) => ({ slot: slotOf(format, [name]), bit }));
  const role = slotOf(format, plan.role);
  const flags = slotOf(format, plan.flags);
  const all = [...Object.values(slots), role, flags, ...bits.map(({ slot }) => slot)];
  const end = Math.max(...all.map((slot) => slot.end));
  return {
    kind: plan.kind,
    ...slots,
    role,
    flags,
    bits,
    hasLevel: plan.needs.includes('level'),
    end,
  };
}

/** What came of the events' descriptions: readers by event ID. */
export interface EventTable {
  readonly readers: ReadonlyMap<number, EventReader>;
  readonly names: readonly string[];
  /** Of events of this list: descriptions without a field that is needed. */
  readonly lacking: readonly { readonly event: string; readonly field: string }[];
  /** Where the thread stands in every record: `common_pid`. */
  readonly pid: Slot;
}

/** Readers for the events that are described. */
export function eventTable(formats: readonly EventFormat[]): EventTable {
  const readers = new Map<number, EventReader>();
  const names: string[] = [];
  const lacking: { event: string; field: string }[] = [];
  let pid = NO_SLOT;
  for (const format of formats) {
    const { name, system, id } = format;
    if (pid.end === 0) pid = slotOf(format, ['common_pid']);
    const mark = markAt(format);
    const isForeign = !SYSTEMS.has(system) && mark < 0;
    const plan = isForeign ? undefined : PLANS.get(name);
    const compiled = plan === undefined ? null : compile(plan, format);
    if (typeof compiled === 'string') lacking.push({ event: name, field: compiled });
    const isCompiled = compiled !== null && typeof compiled !== 'string';
    const index = isForeign ? -1 : names.push(name) - 1;
    const own = isCompiled ? compiled : null;
    readers.set(id, { name, plan: own, index, isForeign, markAt: mark });
  }
  return { readers, names, lacking, pid };
}

let high = 0;
let low = 0;

/** The field into `high` and `low`. */
function take(view: DataView, base: number, slot: Slot, little: boolean): void {
  const at = base + slot.at;
  high = 0;
  if (slot.size === 8) {
    low = view.getUint32(little ? at : at + 4, little);
    high = view.getUint32(little ? at + 4 : at, little);
    return;
  }
  if (slot.size === 4) low = view.getUint32(at, little);
  else if (slot.size === 2)
    low = slot.signed ? view.getInt16(at, little) >>> 0 : view.getUint16(at, little);
  else low = slot.signed ? view.getInt8(at) >>> 0 : view.getUint8(at);
  if (slot.signed && low >= 2 ** 31) high = 0xffffffff;
}

/** What is the same for every event, whichever file it comes from. */
export interface Origin {
  readonly cpu: number;
  readonly tid: number;
  readonly tgid: number;
  /** Seconds, or ticks of a clock that has no seconds. */
  readonly time: number;
  readonly place: number;
}

/** Keys are exact to here; no frame number or guest-physical address is beyond. */
const KEY_HIGH = 2 ** 20;

/** Fills batches. */
export class BatchWriter {
  events = 0;
  unreadable = 0;
  #columns: EventColumns = emptyColumns();
  #count = 0;
  readonly names: readonly string[];
  readonly #marks: MarkTexts;
  readonly #little: boolean;

  constructor(names: readonly string[], little: boolean) {
    const own = [...names];
    this.names = own;
    this.#marks = new MarkTexts(own);
    this.#little = little;
  }

  get isFull(): boolean {
    return this.#count >= BATCH_EVENTS;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** What was written since the last batch. */
  batch(): EventBatch {
    const batch = { ...this.#columns, count: this.#count, names: this.names };
    this.#columns = emptyColumns();
    this.#count = 0;
    return batch;
  }

  #row(kind: Kind, origin: Origin): number {
    const row = this.#count;
    const columns = this.#columns;
    columns.kind[row] = kind;
    columns.cpu[row] = origin.cpu;
    columns.tid[row] = origin.tid;
    columns.tgid[row] = origin.tgid;
    columns.time[row] = origin.time;
    columns.place[row] = origin.place;
    this.#count += 1;
    this.events += 1;
    return row;
  }

  /** @param count -1: the trace does not say how many */
  lost(count: number, origin: Origin): void {
    const row = this.#row(KIND.lost, origin);
    this.#columns.key[row] = count;
  }

  #named(kind: Kind, index: number, origin: Origin): void {
    const row = this.#row(kind, origin);
    this.#columns.key[row] = index;
    if (kind === KIND.unreadable) this.unreadable += 1;
  }

  /** One record of `length` bytes at `base`. Events of other systems are not passed on. */
  record(reader: EventReader, view: DataView, base: number, length: number, origin: Origin): void {
    const { plan, index } = reader;
    if (index < 0) return;
    if (reader.markAt >= 0) {
      const text = this.#marks.indexOf(view, base + reader.markAt, base + length);
      this.#named(KIND.mark, text, origin);
    } else if (plan === null) {
      this.#named(PLANS.has(reader.name) ? KIND.unreadable : KIND.other, index, origin);
    } else if (plan.end > length || !this.#planned(plan, view, base, origin)) {
      this.#named(KIND.unreadable, index, origin);
    }
  }

  #planned(plan: Compiled, view: DataView, base: number, origin: Origin): boolean {
    const little = this.#little;
    const columns = this.#columns;
    let key = 0;
    if (plan.key.end > 0) {
      take(view, base, plan.key, little);
      if (high >= KEY_HIGH) return false;
      key = high * 2 ** 32 + low;
    }
    let level = 0;
    if (plan.level.end > 0) {
      take(view, base, plan.level, little);
      level = low;
    } else if (plan.role.end > 0) {
      take(view, base, plan.role, little);
      level = low & 15;
    }
    if (level > 5 || (plan.hasLevel && level < 1)) return false;
    const row = this.#row(plan.kind, origin);
    columns.key[row] = key;
    columns.level[row] = level;
    if (plan.value.end > 0) {
      take(view, base, plan.value, little);
      columns.valueHi[row] = high;
      columns.valueLo[row] = low;
    }
    if (plan.before.end > 0) {
      take(view, base, plan.before, little);
      columns.beforeHi[row] = high;
      columns.beforeLo[row] = low;
    }
    columns.flags[row] = flagsOf(plan, view, base, little);
    return true;
  }
}

function flagsOf(plan: Compiled, view: DataView, base: number, little: boolean): number {
  if (plan.flags.end > 0) {
    take(view, base, plan.flags, little);
    return low & 255;
  }
  let flags = 0;
  for (const { slot, bit } of plan.bits) {
    if (slot.end === 0) continue;
    take(view, base, slot, little);
    if (low !== 0 || high !== 0) flags |= bit;
  }
  return flags;
}

/** A number of a record, such as its thread; `missing` when the record is too short. */
export function numberAt(
  view: DataView,
  base: number,
  length: number,
  slot: Slot,
  little: boolean,
  missing: number,
): number {
  if (slot.end === 0 || slot.end > length) return missing;
  take(view, base, slot, little);
  return low | 0;
}
