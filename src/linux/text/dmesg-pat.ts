import { patLayoutFromWords } from '../../x86/pat.ts';
import type { PatType } from '../../x86/types.ts';
import { exclusiveRange, type Fields, PAT_WORDS } from './common.ts';
import type { LogStatement, PatOffReason } from './dmesg-facts.ts';
import type { LogForm } from './dmesg-form.ts';

/**
 * Types as the kernel numbers them: 0-5 is `enum page_cache_mode`; 8, 10 and 18 are the PWT and PCD
 * bits that kernels before that enum printed (inferred from logs with "track 0x10").
 */
const TYPE_NUMBERS: Readonly<Record<string, PatType>> = {
  '0': 'WB',
  '1': 'WC',
  '2': 'UC-',
  '3': 'UC',
  '4': 'WT',
  '5': 'WP',
  '8': 'WC',
  '10': 'UC-',
  '18': 'UC',
};

function pat(f: Fields, group: string): PatType {
  return f.word(group, PAT_WORDS);
}

const exclusive = (f: Fields) => exclusiveRange(f);
const inclusive = (f: Fields) => exclusiveRange(f, f.hex('end') + 1);
type RangeReader = typeof exclusive;

function task(f: Fields): { comm: string; pid: number } {
  return { comm: f.text('comm'), pid: f.decimal('pid') };
}

function readOff(reason: PatOffReason): () => LogStatement {
  return () => ({ kind: 'pat-off', reason });
}

function readLayout(f: Fields): LogStatement {
  const layout = patLayoutFromWords(f.text('types'));
  if (layout === null) f.fail('types', 'these are not eight types', 'eight of: WB WC UC- UC WP WT');
  return { kind: 'pat-layout', layout: layout ?? [] };
}

/** arch/x86/mm/pat/memtype.c: `__init_cache_modes`, `pat_disable`, and their forerunners. */
const PAT_STATE_FORMS: readonly LogForm[] = [
  {
    hint: /^(?:x86\/PAT: C|PAT c)onfiguration/,
    shape: 'x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT',
    forms: [
      { pattern: /^(?:x86\/)?PAT:? [Cc]onfiguration \[0-7\]: (?<types>.+)$/d, read: readLayout },
    ],
  },
  {
    hint: /^x86 PAT enabled:/,
    shape: 'x86 PAT enabled: cpu 0, old 0x7040600070406, new 0x7010600070106',
    forms: [
      {
        pattern: /^x86 PAT enabled: cpu (?<cpu>\d+), old 0x(?<before>\w+), new 0x(?<after>\w+)$/d,
        read: (f) => ({
          kind: 'pat-msr',
          cpu: f.decimal('cpu'),
          before: f.u64('before'),
          after: f.u64('after'),
        }),
      },
    ],
  },
  {
    hint: /^(?:x86\/PAT: )?(?:PAT not supported|PAT support disabled|PAT MSR is 0|MTRRs disabled, skipping PAT)/,
    shape: 'x86/PAT: PAT not supported by the CPU.',
    forms: [
      { pattern: /PAT not supported by (?:the )?CPU\.?$/d, read: readOff('no PAT in the CPU') },
      { pattern: /disabled via boot option\.?$/d, read: readOff('boot option') },
      { pattern: /disabled by the firmware\.?$/d, read: readOff('by firmware') },
      // As 5.5 and earlier word it: 5557e831f688.
      { pattern: /PAT MSR is 0, disabled\.?$/d, read: readOff('by firmware') },
      {
        pattern: /disabled because CONFIG_\w+ is disabled in the kernel\.?$/d,
        read: readOff('kernel configuration'),
      },
      {
        pattern: /MTRRs disabled, skipping PAT initialization too\.?$/d,
        read: readOff('MTRRs off'),
      },
      { pattern: /PAT support disabled\.?$/d, read: readOff('not said') },
    ],
  },
];

function reserveFailed(range: RangeReader): (f: Fields) => LogStatement {
  return (f) => ({
    kind: 'reserve-failed',
    ...range(f),
    tracked: pat(f, 'tracked'),
    requested: pat(f, 'requested'),
  });
}

function ramFailed(range: RangeReader): (f: Fields) => LogStatement {
  return (f) => ({
    kind: 'reserve-ram-failed',
    ...range(f),
    tracked: f.word('tracked', TYPE_NUMBERS),
    requested: f.word('requested', TYPE_NUMBERS),
  });
}

function mapped(kind: 'ram-type-forced' | 'map-refused', range: RangeReader) {
  return (f: Fields): LogStatement => ({
    kind,
    task: task(f),
    ...range(f),
    requested: pat(f, 'requested'),
    got: pat(f, 'got'),
  });
}

/** `memtype_reserve` was `reserve_memtype` before 5.6; only the newer wording has [mem a-b]. */
const RESERVE_FORMS: readonly LogForm[] = [
  {
    hint: /conflicting memory types/,
    shape:
      'x86/PAT: Xorg:1794 conflicting memory types f0000000-f4000000 write-combining<->uncached-minus',
    forms: [
      {
        pattern:
          /^(?:x86\/PAT: )?(?<comm>.*):(?<pid>\d+) conflicting memory types (?<start>\w+)-(?<end>\w+) (?<found>[\w-]+)<->(?<existing>[\w-]+)$/d,
        read: (f) => ({
          kind: 'conflicting-types',
          task: task(f),
          ...exclusive(f),
          found: pat(f, 'found'),
          existing: pat(f, 'existing'),
        }),
      },
    ],
  },
  {
    hint: /^(?:x86\/PAT: )?(?:memtype_reserve|reserve_memtype) failed/,
    shape:
      'x86/PAT: memtype_reserve failed [mem 0xb0000000-0xbfffffff], track uncached-minus, req uncached-minus',
    forms: [
      {
        pattern:
          /failed \[mem 0x(?<start>\w+)-0x(?<end>\w+)\], track (?<tracked>\S+), req (?<requested>\S+)$/d,
        read: reserveFailed(inclusive),
      },
      {
        pattern:
          /failed 0x(?<start>\w+)-0x(?<end>\w+), track (?<tracked>\S+), req (?<requested>\S+)$/d,
        read: reserveFailed(exclusive),
      },
      {
        pattern: /failed: \[mem 0x(?<start>\w+)-0x(?<end>\w+)\], req (?<requested>\S+)$/d,
        read: (f) => ({
          kind: 'reserve-inverted',
          start: f.hex('start'),
          endInclusive: f.hex('end'),
          requested: pat(f, 'requested'),
        }),
      },
    ],
  },
  {
    hint: /^(?:x86\/PAT: )?reserve_ram_pages_type failed/,
    shape: 'x86/PAT: reserve_ram_pages_type failed [mem 0x2c98c000-0x2c98cfff], track 0x1, req 0x2',
    forms: [
      {
        pattern:
          /failed \[mem 0x(?<start>\w+)-0x(?<end>\w+)\], track 0x(?<tracked>\w+), req 0x(?<requested>\w+)$/d,
        read: ramFailed(inclusive),
      },
      {
        pattern:
          /failed 0x(?<start>\w+)-0x(?<end>\w+), track 0x(?<tracked>\w+), req 0x(?<requested>\w+)$/d,
        read: ramFailed(exclusive),
      },
    ],
  },
];

/** arch/x86/mm/ioremap.c, and `reserve_pfn_range` of memtype.c. */
const MAPPING_FORMS: readonly LogForm[] = [
  {
    hint: /^ioremap (?:memtype_reserve|reserve_memtype) failed/,
    shape: 'ioremap memtype_reserve failed -16',
    forms: [
      {
        pattern: /^ioremap \w+ failed -(?<errno>\d+)$/d,
        read: (f) => ({ kind: 'ioremap-reserve-failed', errno: f.decimal('errno') }),
      },
    ],
  },
  {
    hint: /^ioremap error for 0x\w+-/,
    shape: 'ioremap error for 0xfed40000-0xfed45000, requested 0x2, got 0x0',
    forms: [
      {
        pattern:
          /^ioremap error for 0x(?<start>\w+)-0x(?<end>\w+), requested 0x(?<requested>\w+), got 0x(?<got>\w+)$/d,
        read: (f) => ({
          kind: 'ioremap-refused',
          ...exclusive(f),
          requested: f.word('requested', TYPE_NUMBERS),
          got: f.word('got', TYPE_NUMBERS),
        }),
      },
    ],
  },
  {
    hint: /map pfn RAM range req/,
    shape:
      'x86/PAT: app:2512 map pfn RAM range req uncached-minus for [mem 0x1000-0x1fff], got write-back',
    forms: [
      {
        pattern:
          /^(?:x86\/PAT: )?(?<comm>.*):(?<pid>\d+) map pfn RAM range req (?<requested>\S+) for \[mem 0x(?<start>\w+)-0x(?<end>\w+)\], got (?<got>\S+)$/d,
        read: mapped('ram-type-forced', inclusive),
      },
      {
        pattern:
          /^(?:x86\/PAT: )?(?<comm>.*):(?<pid>\d+) map pfn RAM range req (?<requested>\S+) for (?<start>\w+)-(?<end>\w+), got (?<got>\S+)$/d,
        read: mapped('ram-type-forced', exclusive),
      },
    ],
  },
  {
    hint: /map pfn expected mapping type/,
    shape:
      'x86/PAT: app:2512 map pfn expected mapping type uncached-minus for [mem 0x1000-0x1fff], got write-back',
    forms: [
      {
        pattern:
          /^(?:x86\/PAT: )?(?<comm>.*):(?<pid>\d+) map pfn expected mapping type (?<requested>\S+) for \[mem 0x(?<start>\w+)-0x(?<end>\w+)\], got (?<got>\S+)$/d,
        read: mapped('map-refused', inclusive),
      },
      {
        pattern:
          /^(?:x86\/PAT: )?(?<comm>.*):(?<pid>\d+) map pfn expected mapping type (?<requested>\S+) for (?<start>\w+)-(?<end>\w+), got (?<got>\S+)$/d,
        read: mapped('map-refused', exclusive),
      },
    ],
  },
];

/** Lines about the PAT and about types that could not be had. */
export const PAT_FORMS: readonly LogForm[] = [
  ...PAT_STATE_FORMS,
  ...RESERVE_FORMS,
  ...MAPPING_FORMS,
];
