import { inclusiveRange, MTRR_WORDS } from './common.ts';
import type { LogStatement, MtrrOffReason } from './dmesg-facts.ts';
import type { LogForm } from './dmesg-form.ts';

const ENABLED: Readonly<Record<string, boolean>> = { enabled: true, disabled: false };

function readOff(reason: MtrrOffReason): () => LogStatement {
  return () => ({ kind: 'mtrr-off', reason });
}

const INCONSISTENT: Readonly<Record<string, 'fixed' | 'variable' | 'default'>> = {
  fixed: 'fixed',
  variable: 'variable',
  MTRRdefType: 'default',
};

/** The block that kernels before 6.5 print always, and later ones with `mtrr=debug`. */
const STATE_FORMS: readonly LogForm[] = [
  {
    hint: /^MTRR default type:/,
    shape: 'MTRR default type: write-back',
    forms: [
      {
        pattern: /^MTRR default type: (?<type>\S+)$/d,
        read: (f) => ({ kind: 'mtrr-default', type: f.word('type', MTRR_WORDS) }),
      },
    ],
  },
  {
    hint: /^MTRR fixed ranges/,
    shape: 'MTRR fixed ranges enabled:',
    forms: [
      {
        pattern: /^MTRR fixed ranges (?<state>\w+):$/d,
        read: (f) => ({ kind: 'mtrr-fixed-ranges', enabled: f.word('state', ENABLED) }),
      },
    ],
  },
  {
    hint: /^[0-9A-F]{5}-[0-9A-F]{5}(?: |$)/,
    shape: '00000-9FFFF write-back',
    forms: [
      {
        pattern: /^(?<start>[0-9A-F]+)-(?<end>[0-9A-F]+) (?<type>\S+)$/d,
        read: (f) => ({
          kind: 'mtrr-fixed',
          ...inclusiveRange(f),
          type: f.word('type', MTRR_WORDS),
        }),
      },
    ],
  },
  {
    hint: /^MTRR variable ranges/,
    shape: 'MTRR variable ranges enabled:',
    forms: [
      {
        pattern: /^MTRR variable ranges (?<state>\w+):$/d,
        read: (f) => ({ kind: 'mtrr-variable-ranges', enabled: f.word('state', ENABLED) }),
      },
    ],
  },
  {
    hint: /^\d{1,3} base [0-9A-F]{6}/,
    shape: '0 base 00C0000000 mask FFC0000000 uncachable',
    forms: [
      {
        pattern: /^(?<reg>\d+) base (?<base>\w+) mask (?<mask>\w+) (?<type>\S+)$/d,
        read: (f) => ({
          kind: 'mtrr-variable',
          reg: f.decimal('reg'),
          base: f.hex('base'),
          mask: f.hex('mask'),
          type: f.word('type', MTRR_WORDS),
        }),
      },
    ],
  },
  {
    hint: /^\d{1,3} disabled$/,
    shape: '1 disabled',
    forms: [
      {
        pattern: /^(?<reg>\d+) disabled$/d,
        read: (f) => ({ kind: 'mtrr-unused', reg: f.decimal('reg') }),
      },
    ],
  },
  {
    hint: /^TOM2: /,
    shape: 'TOM2: 0000000280000000 aka 10240M',
    forms: [
      {
        pattern: /^TOM2: (?<address>\w+) aka \d+M$/d,
        read: (f) => ({ kind: 'tom2', address: f.hex('address') }),
      },
    ],
  },
];

/** Since 6.5. */
const MAP_FORMS: readonly LogForm[] = [
  {
    hint: /^MTRR map: /,
    shape: 'MTRR map: 4 entries (3 fixed + 1 variable; max 19), built from 8 variable MTRRs',
    forms: [
      {
        pattern:
          /^MTRR map: (?<entries>\d+) entries \((?<fixed>\d+) fixed \+ (?<variable>\d+) variable; max (?<max>\d+)\), built from (?<registers>\d+) variable MTRRs$/d,
        read: (f) => ({
          kind: 'mtrr-map',
          entries: f.decimal('entries'),
          fixed: f.decimal('fixed'),
          variable: f.decimal('variable'),
          max: f.decimal('max'),
          registers: f.decimal('registers'),
        }),
      },
    ],
  },
  {
    hint: /^\d{1,3}: [0-9a-f]{16}-[0-9a-f]{16} /,
    shape: '0: 0000000000000000-000000000009ffff write-back',
    forms: [
      {
        pattern: /^(?<index>\d+): (?<start>\w+)-(?<end>\w+) (?<type>\S+)$/d,
        read: (f) => ({
          kind: 'mtrr-map-entry',
          index: f.decimal('index'),
          ...inclusiveRange(f),
          type: f.word('type', MTRR_WORDS),
        }),
      },
    ],
  },
];

const STATUS_FORMS: readonly LogForm[] = [
  {
    hint: /^MTRRs? ?:? [Dd]isabled(?!,)/,
    shape: 'MTRRs disabled (not available)',
    forms: [
      { pattern: /^MTRRs disabled \(not available\)$/d, read: readOff('not available') },
      { pattern: /^MTRRs disabled by BIOS$/d, read: readOff('by firmware') },
      {
        pattern: /^MTRRs disabled due to allocation failure for lookup map\.$/d,
        read: readOff('out of memory'),
      },
      { pattern: /^MTRR: Disabled$/d, read: readOff('not said') },
    ],
  },
  {
    hint: /^MTRRs set to read-only/,
    shape: 'MTRRs set to read-only',
    forms: [{ pattern: /^MTRRs set to read-only$/d, read: () => ({ kind: 'mtrr-read-only' }) }],
  },
  {
    hint: /^(?:mtrr: )?your CPUs had inconsistent /,
    shape: 'mtrr: your CPUs had inconsistent variable MTRR settings',
    forms: [
      {
        pattern: /^(?:mtrr: )?your CPUs had inconsistent (?<what>\w+)(?: MTRR)? settings$/d,
        read: (f) => ({ kind: 'mtrr-inconsistent', what: f.word('what', INCONSISTENT) }),
      },
    ],
  },
  {
    hint: /^mtrr: type mismatch|^type mismatch for [0-9a-f]{4,},/,
    shape: 'mtrr: type mismatch for e0000000,10000000 old: write-back new: write-combining',
    forms: [
      {
        pattern:
          /^(?:mtrr: )?type mismatch for (?<base>\w+),(?<size>\w+) old: (?<old>\S+) new: (?<new>\S+)$/d,
        read: (f) => ({
          kind: 'mtrr-mismatch',
          base: f.hex('base'),
          size: f.hex('size'),
          old: f.word('old', MTRR_WORDS),
          wanted: f.word('new', MTRR_WORDS),
        }),
      },
    ],
  },
];

/** Lines of arch/x86/kernel/cpu/mtrr: generic.c, mtrr.c, legacy.c. */
export const MTRR_FORMS: readonly LogForm[] = [...STATE_FORMS, ...MAP_FORMS, ...STATUS_FORMS];
