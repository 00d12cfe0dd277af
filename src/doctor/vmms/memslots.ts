import type { Gathering } from '../parse.ts';
import type { Readings } from '../reading.ts';
import {
  type FlatSection,
  type FlatView,
  GPA2HVA,
  monitorKey,
  parseGpa2hva,
  parseMtree,
  parseRamblock,
  type RamBlock,
} from './qemu-monitor.ts';

/** Guest physical memory that KVM reaches through the mapping of the VMM. */
export interface Memslot {
  /** Guest physical. */
  readonly gpa: number;
  /** Bytes. */
  readonly size: number;
  /** Name of the block, as the VMM calls it. */
  readonly block: string;
  /** KVM_MEM_READONLY: the guest's writes go to the VMM. */
  readonly readonly: boolean;
  /** Where the VMM has it mapped; null: not told. */
  readonly hva: number | null;
}

/** The address space that the VCPUs see outside of SMM. */
const MEMORY_SPACE = 'memory';

function systemView(views: readonly FlatView[]): FlatView | undefined {
  return views.find((view) => view.spaces.some(({ name }) => name === MEMORY_SPACE));
}

/** Sections that are memslots: those QEMU marks; where it marks none (before 4.1), all memory. */
export function slotSections(views: readonly FlatView[]): readonly FlatSection[] {
  const sections = systemView(views)?.sections ?? [];
  const marked = sections.filter((section) => section.kvm);
  return marked.length > 0 ? marked : sections;
}

/** The block of a memory region: QEMU puts the device in front of the name. Null: none, or several. */
function blockOf(section: FlatSection, blocks: readonly RamBlock[]): RamBlock | null {
  const { name } = section;
  const exact = blocks.filter((block) => block.name === name);
  const found = exact.length > 0 ? exact : blocks.filter((b) => b.name.endsWith(`/${name}`));
  const [only, second] = found;
  return second === undefined ? (only ?? null) : null;
}

export function gpa2hvaKey(pid: number, gpa: number): string {
  return monitorKey(pid, `${GPA2HVA} 0x${gpa.toString(16)}`);
}

function hvaOf(
  readings: Readings,
  pid: number,
  section: FlatSection,
  blocks: readonly RamBlock[],
): number | null {
  const base = blockOf(section, blocks)?.hva ?? null;
  if (base !== null && base !== 0) return base + section.offset;
  const key = gpa2hvaKey(pid, section.start);
  const reading = readings.text(key);
  return reading.ok ? parseGpa2hva(reading.text, key).value : null;
}

/** Guest addresses whose place in the VMM only `gpa2hva` would tell. */
export function untoldAddresses(readings: Readings, pid: number): readonly number[] {
  return (memslotsOf(readings, pid) ?? []).filter((s) => s.hva === null).map((s) => s.gpa);
}

/**
 * The memslots of a QEMU whose monitor was asked; null: it was not, or its answer is no list.
 *
 * @param gathering takes what was not understood
 */
export function memslotsOf(
  readings: Readings,
  pid: number,
  gathering?: Gathering,
): readonly Memslot[] | null {
  const mtree = monitorKey(pid, 'info mtree -f');
  const reading = readings.text(mtree);
  if (!reading.ok) return null;
  const views = parseMtree(reading.text, mtree);
  const ramblock = monitorKey(pid, 'info ramblock');
  const list = readings.text(ramblock);
  const blocks = list.ok ? parseRamblock(list.text, ramblock) : { value: [], problems: [] };
  gathering?.keep([...views.problems, ...blocks.problems]);
  if (systemView(views.value) === undefined || reading.cut) return null;
  return slotSections(views.value).map((section) => ({
    gpa: section.start,
    size: section.endInclusive - section.start + 1,
    block: section.name.slice(0, 64),
    readonly: section.kind === 'rom' || section.kind === 'romd',
    hva: hvaOf(readings, pid, section, blocks.value),
  }));
}
