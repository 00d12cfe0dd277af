import { u64FromHex } from '../../base/u64.ts';
import { type Fields, inclusiveRange } from './common.ts';
import type { LogStatement } from './dmesg-facts.ts';
import type { LogForm } from './dmesg-form.ts';
import { E820_WORDS_HELP, type E820Type, e820TypeOf } from './e820.ts';

/** The last byte that a physical address can name. */
const LAST_BYTE = 2 ** 52 - 1;
const LAST_U32 = 0xffff_ffff;

/** With `mem=` the kernel removes everything up to 2^64 and prints that end. */
function lastByte(f: Fields): number {
  const end = u64FromHex(f.text('end'));
  const isTop = end !== null && end.hi === LAST_U32 && end.lo >= LAST_U32 - 1;
  return isTop ? LAST_BYTE : f.hex('end');
}

const inclusive = (f: Fields) => inclusiveRange(f, lastByte(f));
const exclusive = (f: Fields) => inclusiveRange(f, f.hex('end') - 1);
type RangeReader = typeof inclusive;

const OUTER_BRACKETS = /^\((.*)\)$/;

/** The kernel's words without the brackets of the oldest wording. */
function wordsOf(f: Fields, group: string): string {
  const text = f.text(group);
  return OUTER_BRACKETS.exec(text)?.[1] ?? text;
}

function readType(f: Fields, group: string): E820Type {
  const type = e820TypeOf(wordsOf(f, group));
  if (type === null) f.fail(group, 'unknown kind of memory', E820_WORDS_HELP);
  return type ?? 'other';
}

const entry =
  (range: RangeReader) =>
  (f: Fields): LogStatement => ({
    kind: 'e820',
    map: f.text('map'),
    ...range(f),
    type: readType(f, 'type'),
    name: wordsOf(f, 'type'),
  });

const update =
  (range: RangeReader) =>
  (f: Fields): LogStatement => ({
    kind: 'e820-update',
    ...range(f),
    from: readType(f, 'from'),
    to: readType(f, 'to'),
  });

const remove =
  (range: RangeReader) =>
  (f: Fields): LogStatement => ({
    kind: 'e820-remove',
    ...range(f),
    type: f.text('type') === '' ? null : readType(f, 'type'),
  });

/** arch/x86/kernel/e820.c. Ranges of the oldest wording are "a - b", b exclusive; of [mem a-b], b is inclusive. */
const E820_FORMS: readonly LogForm[] = [
  {
    hint: /^BIOS-\w+:|^(?:user|modified|extended|reserve setup_data|[Xx]en): (?:\[(?:mem|gap) |[0-9a-f]{16} - )/,
    shape: 'BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable',
    forms: [
      {
        pattern: /^(?<map>[^:]+): \[mem 0x(?<start>\w+)-0x(?<end>\w+)\] {1,2}(?<type>\S.*)$/d,
        read: entry(inclusive),
      },
      {
        pattern: /^(?<map>[^:]+): \[gap 0x(?<start>\w+)-0x(?<end>\w+)\]$/d,
        read: (f) => ({ kind: 'e820-gap', map: f.text('map'), ...inclusive(f) }),
      },
      {
        pattern: /^(?<map>[^:]+): (?<start>\w+) - (?<end>\w+) (?<type>\S.*)$/d,
        read: entry(exclusive),
      },
    ],
  },
  {
    hint: /^e820:? update (?:range: |\[mem )/,
    shape: 'e820: update [mem 0x00000000-0x00000fff] usable ==> reserved',
    forms: [
      {
        pattern:
          /^e820: update \[mem 0x(?<start>\w+)-0x(?<end>\w+)\] (?<from>\S.*?) ==> (?<to>\S.*)$/d,
        read: update(inclusive),
      },
      {
        pattern: /^e820 update range: (?<start>\w+) - (?<end>\w+) (?<from>\S.*?) ==> (?<to>\S.*)$/d,
        read: update(exclusive),
      },
    ],
  },
  {
    hint: /^e820:? remove (?:range: |\[mem )/,
    shape: 'e820: remove [mem 0x000a0000-0x000fffff] usable',
    forms: [
      {
        pattern: /^e820: remove \[mem 0x(?<start>\w+)-0x(?<end>\w+)\](?: (?<type>\S.*))?$/d,
        read: remove(inclusive),
      },
      {
        pattern: /^e820 remove range: (?<start>\w+) - (?<end>\w+)(?: (?<type>\S.*))?$/d,
        read: remove(exclusive),
      },
    ],
  },
];

const PLACE_FORMS: readonly LogForm[] = [
  {
    hint: /^Linux version /,
    shape: 'Linux version 6.12.0 (...) ...',
    forms: [
      {
        pattern: /^Linux version (?<release>\d\S*)(?<rest>.*)$/d,
        read: (f) => ({ kind: 'kernel', release: f.text('release'), text: f.line.text }),
      },
    ],
  },
  {
    hint: /^(?:Kernel c|C)ommand line:/,
    shape: 'Kernel command line: root=/dev/sda1',
    forms: [
      {
        pattern: /^\w[\w ]*:(?: (?<text>.*))?$/d,
        read: (f) => ({ kind: 'command-line', text: f.text('text') }),
      },
    ],
  },
  {
    hint: /^Hypervisor detected:/,
    shape: 'Hypervisor detected: KVM',
    forms: [
      {
        pattern: /^Hypervisor detected: (?<name>\S.*)$/d,
        read: (f) => ({ kind: 'hypervisor', name: f.text('name') }),
      },
    ],
  },
  {
    hint: /^Memory Encryption Features active:/,
    shape: 'Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP',
    forms: [
      {
        pattern: /^Memory Encryption Features active: (?<features>\S.*)$/d,
        read: (f) => ({ kind: 'memory-encryption', features: f.text('features') }),
      },
    ],
  },
  {
    hint: /^DMI: .*, BIOS /,
    shape: 'DMI: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2 04/01/2014',
    forms: [
      { pattern: /^DMI: (?<text>.+)$/d, read: (f) => ({ kind: 'dmi', text: f.text('text') }) },
    ],
  },
];

/** drivers/iommu/intel/dmar.c and iommu.c. Older kernels call a unit "IOMMU 0". */
const IOMMU_FORMS: readonly LogForm[] = [
  {
    hint: /^(?:DMAR|dmar|IOMMU)\b.{0,20}: reg_base_addr /,
    shape: 'DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c22260206 ecap f00f4a',
    forms: [
      {
        pattern:
          /^(?:(?:DMAR|dmar|IOMMU): )?(?<name>dmar\d+|IOMMU \d+): reg_base_addr (?<base>\w+) ver (?<version>\w+:\w+) cap (?<cap>\w+) ecap (?<ecap>\w+)$/d,
        read: (f) => ({
          kind: 'dmar-unit',
          name: f.text('name'),
          base: f.hex('base'),
          version: f.text('version'),
          cap: f.u64('cap'),
          ecap: f.u64('ecap'),
        }),
      },
    ],
  },
  {
    hint: /^(?:DMAR|dmar): DRHD base:/,
    shape: 'DMAR: DRHD base: 0x000000fed90000 flags: 0x0',
    forms: [
      {
        pattern: /^(?:DMAR|dmar): DRHD base: 0x(?<base>\w+) flags: 0x(?<flags>\w+)$/d,
        read: (f) => ({ kind: 'dmar-drhd', base: f.hex('base'), flags: f.hex('flags') }),
      },
    ],
  },
  {
    hint: /^DMAR: IOMMU feature \w+ incons/,
    shape: 'DMAR: IOMMU feature sc_support inconsistent',
    forms: [
      {
        pattern: /^DMAR: IOMMU feature (?<feature>\w+) inconsistent$/d,
        read: (f) => ({ kind: 'iommu-inconsistent', feature: f.text('feature') }),
      },
    ],
  },
];

/** Lines about the machine, its memory map and its IOMMUs. */
export const BOOT_FORMS: readonly LogForm[] = [...E820_FORMS, ...PLACE_FORMS, ...IOMMU_FORMS];
