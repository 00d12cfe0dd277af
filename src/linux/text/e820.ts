/** What the kernel makes of a type number of the firmware's memory map. */
export type E820Type =
  | 'ram'
  | 'reserved'
  | 'acpi'
  | 'nvs'
  | 'unusable'
  | 'persistent'
  | 'soft-reserved'
  | 'other';

/** One range of the firmware's memory map. */
export interface E820Entry {
  readonly start: number;
  readonly endInclusive: number;
  readonly type: E820Type;
  /** The type in the words of the kernel that printed it. */
  readonly name: string;
  readonly line: number;
}

/**
 * The words of `e820_print_type` (boot log, up to 6.x and 7.x) and of `e820_type_to_string`
 * (/sys/firmware/memmap and /proc/iomem), arch/x86/kernel/e820.c.
 */
const WORDS: Readonly<Record<string, E820Type>> = {
  usable: 'ram',
  'System RAM': 'ram',
  reserved: 'reserved',
  'device reserved': 'reserved',
  Reserved: 'reserved',
  'ACPI data': 'acpi',
  'ACPI Tables': 'acpi',
  'ACPI NVS': 'nvs',
  'ACPI Non-volatile Storage': 'nvs',
  unusable: 'unusable',
  'Unusable memory': 'unusable',
  'Persistent Memory': 'persistent',
  'Persistent Memory (legacy)': 'persistent',
  'soft reserved': 'soft-reserved',
  'Soft Reserved': 'soft-reserved',
  'Unknown E820 type': 'other',
};

const PERSISTENT = /^persistent(?: RAM)? \(type \d+\)$/;
const NUMBERED = /^type \d+$/;

/** The type that the kernel's words stand for; null when no known kernel prints them. */
export function e820TypeOf(words: string): E820Type | null {
  if (Object.hasOwn(WORDS, words)) return WORDS[words] ?? null;
  if (PERSISTENT.test(words)) return 'persistent';
  return NUMBERED.test(words) ? 'other' : null;
}

/** For help texts. */
export const E820_WORDS_HELP =
  'the words of the kernel are usable, reserved, System RAM, device reserved, ACPI data, ACPI NVS, ' +
  'unusable, soft reserved, persistent (type N), type N';
