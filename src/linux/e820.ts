import { rule } from '../cite/rule.ts';

rule({
  id: 'linux/e820-raw',
  room: 'host',
  title: 'RAM in the memory map of the firmware (e820__mapped_raw_any)',
  text:
    'KVM calls a page without struct page RAM when the map of the firmware has RAM anywhere in it. The ' +
    'map is the raw one: mem= and the changes of the kernel do not count. The end that KVM passes is the ' +
    'last byte of the page, taken as exclusive, so RAM in that one byte is not seen.',
  sources: ['linux/e820__mapped_raw_any', 'kvm/kvm_is_mmio_pfn'],
});

/** One range of the firmware's memory map, in bytes. */
export interface FirmwareRange {
  readonly start: number;
  readonly endInclusive: number;
  /** `ram`, or anything else. */
  readonly type: string;
}

const PAGE = 4096;

/** Whether [start, end) meets a range of the type. Source: `e820__mapped_raw_any`. */
export function e820MappedRawAny(
  map: readonly FirmwareRange[],
  start: number,
  end: number,
  type: string,
): boolean {
  return map.some((r) => r.type === type && r.start < end && r.endInclusive >= start);
}

/** Whether kvm_is_mmio_pfn() sees RAM in this page. */
export function isRamAnywhereIn(map: readonly FirmwareRange[], page: number): boolean {
  return e820MappedRawAny(map, page * PAGE, (page + 1) * PAGE - 1, 'ram');
}
