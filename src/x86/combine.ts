import { type Grid, grid } from '../base/grid.ts';
import { rule } from '../cite/rule.ts';
import {
  EFFECTIVE_TYPES,
  type EffectiveType,
  MTRR_TYPES,
  type MtrrType,
  PAT_TYPES,
  type PatType,
  type Vendor,
} from './types.ts';

/**
 * Who made an access uncached. It decides whether the CPU looks into its own caches first: it need not
 * when the MTRR (or the EPT leaf in its place) says UC, it must when the page tables do.
 */
export type UcOrigin = 'mtrr' | 'page' | 'cd';

/** MTRR x PAT on Intel. Rows: MTRR, or the EPT leaf in its place. Columns: PAT. */
export const INTEL_MTRR_X_PAT: Grid<MtrrType, PatType, EffectiveType> = grid(
  MTRR_TYPES,
  PAT_TYPES,
  EFFECTIVE_TYPES,
  `
          UC      UC-     WC    WT        WP        WB
    UC    UC(1)   UC(1)   WC    UC(1)     UC(1)     UC(1)
    WC    UC(2)   WC      WC    UC(2,3)   UC(2,3)   WC
    WT    UC(2)   UC(2)   WC    WT        WP(3)     WT
    WP    UC(2)   WC(3)   WC    WT(3)     WP        WP
    WB    UC(2)   UC(2)   WC    WT        WP        WB
  `,
);

export const INTEL_NOTES: Readonly<Record<number, string>> = {
  1: 'UC from the MTRR: the CPU is not required to snoop its caches',
  2: 'UC from the page tables: the CPU is required to check its caches',
  3: 'undefined in older editions; every CPU with PAT and MTRRs does this',
};

/** MTRR x PAT on AMD, without nested paging. CD: uncached, and every cached copy is evicted first. */
export const AMD_MTRR_X_PAT: Grid<MtrrType, PatType, EffectiveType> = grid(
  MTRR_TYPES,
  PAT_TYPES,
  EFFECTIVE_TYPES,
  `
          UC    UC-   WC    WT    WP    WB
    UC    UC    UC    WC    UC    UC    UC
    WC    CD    WC    WC    CD    CD    WC
    WT    CD    CD    WC    WT    CD    WT
    WP    CD    CD    WC    CD    WP    WP
    WB    CD    CD    WC    WT    WP    WB
  `,
);

function tableWithNotes(): string {
  const notes = Object.entries(INTEL_NOTES).map(([n, text]) => `(${n}) ${text}`);
  return ['MTRR (or EPT leaf) below, PAT across:', INTEL_MTRR_X_PAT.drawing, ...notes].join('\n');
}

export const MTRR_X_PAT_RULE = {
  intel: rule({
    id: 'x86/mtrr-x-pat-intel',
    room: 'cpu',
    title: 'Effective type from MTRR and PAT, Intel',
    text:
      'The table of the manual. PAT WC always wins, even over an MTRR that says UC. Where the result is ' +
      'UC its origin matters: from the MTRR the CPU need not snoop its own caches, from the page it must.',
    table: tableWithNotes(),
    sources: ['sdm/t11-7'],
  }),
  amd: rule({
    id: 'x86/mtrr-x-pat-amd',
    room: 'cpu',
    title: 'Effective type from MTRR and PAT, AMD',
    text:
      'The table of the manual. Eight of its eleven CD cells are what Intel calls UC from the page; the ' +
      'three that really differ are MTRR WP x PAT UC-, MTRR WP x PAT WT and MTRR WT x PAT WP.',
    table: `MTRR below, PAT across:\n${AMD_MTRR_X_PAT.drawing}`,
    sources: ['apm/t7-11'],
  }),
} as const;

export interface Combined {
  readonly type: EffectiveType;
  /** Null unless `type` is UC or CD. */
  readonly ucOrigin: UcOrigin | null;
  /** Footnotes of the cell. */
  readonly notes: readonly string[];
}

function ucOriginOf(type: EffectiveType, mtrr: MtrrType): UcOrigin | null {
  if (type === 'CD') return 'page';
  if (type !== 'UC') return null;
  return mtrr === 'UC' ? 'mtrr' : 'page';
}

/** The effective type with CR0.CD=0. Source: SDM Table 11-7, APM Table 7-11. */
export function combineMtrrPat(vendor: Vendor, mtrr: MtrrType, pat: PatType): Combined {
  const table = vendor === 'intel' ? INTEL_MTRR_X_PAT : AMD_MTRR_X_PAT;
  const type = table.at(mtrr, pat);
  return {
    type,
    ucOrigin: ucOriginOf(type, mtrr),
    notes: table.notesAt(mtrr, pat).map((n) => INTEL_NOTES[n] ?? ''),
  };
}

export const PRE_PAT_RULE = rule({
  id: 'x86/pre-pat',
  room: 'cpu',
  title: 'Effective type from MTRR, PCD and PWT (no PAT, or the PAT never reprogrammed)',
  text:
    'Without a PAT the page contributes PCD and PWT only. Over WC and WP memory the Intel cells with PCD ' +
    'and PWT different are model specific. (Rule 2 of SDM 11.5.2.1, "PCD set gives UC", contradicts its ' +
    'own table for WC and WP with PCD=1, PWT=0; the table is followed. The older APM Table 7-8 says UC ' +
    'where Table 7-11 says CD for the same inputs.)',
  sources: ['sdm/t11-6', 'apm/t7-8'],
});

/** Columns: PCD then PWT. */
const PCD_PWT = ['00', '01', '10', '11'] as const;
type PcdPwt = (typeof PCD_PWT)[number];

/** Note 1: model specific. */
const INTEL_PRE_PAT: Grid<MtrrType, PcdPwt, EffectiveType> = grid(
  MTRR_TYPES,
  PCD_PWT,
  EFFECTIVE_TYPES,
  `
          00    01       10       11
    UC    UC    UC       UC       UC
    WC    WC    WC(1)    WC(1)    UC
    WT    WT    WT       UC       UC
    WP    WP    WP(1)    WC(1)    UC
    WB    WB    WT       UC       UC
  `,
);

/** Note 1: implementation dependent. */
const AMD_PRE_PAT: Grid<MtrrType, PcdPwt, EffectiveType> = grid(
  MTRR_TYPES,
  PCD_PWT,
  EFFECTIVE_TYPES,
  `
          00    01    10       11
    UC    UC    UC    UC       UC
    WC    WC    WC    WC(1)    UC
    WT    WT    WT    UC       UC
    WP    WP    WP    UC       UC
    WB    WB    WT    UC       UC
  `,
);

export interface PrePatCombined {
  readonly type: EffectiveType;
  /** The manual leaves this cell to the CPU model. */
  readonly modelSpecific: boolean;
}

/** As `combineMtrrPat` for a CPU without PAT. Source: SDM Table 11-6, APM Table 7-8. */
export function combinePrePat(
  vendor: Vendor,
  mtrr: MtrrType,
  pcd: boolean,
  pwt: boolean,
): PrePatCombined {
  const table = vendor === 'intel' ? INTEL_PRE_PAT : AMD_PRE_PAT;
  const column = PCD_PWT[(pcd ? 2 : 0) + (pwt ? 1 : 0)] ?? '00';
  return { type: table.at(mtrr, column), modelSpecific: table.notesAt(mtrr, column).length > 0 };
}
