import { type Grid, grid } from '../base/grid.ts';
import { rule } from '../cite/rule.ts';
import { EFFECTIVE_TYPES, type EffectiveType, type MtrrType, type PatType } from './types.ts';

/** Rows and columns in the order of the manual. */
const NPT_ORDER = ['UC', 'UC-', 'WC', 'WP', 'WT', 'WB'] as const satisfies readonly PatType[];
const COMBINED = ['UC', 'UC-', 'WC', 'WC+', 'WP', 'WT', 'WB'] as const;
const HOST_MTRR = ['UC', 'WC', 'WP', 'WT', 'WB'] as const satisfies readonly MtrrType[];

/** What guest PAT and host PAT give together, before the host MTRR. */
export type CombinedPat = (typeof COMBINED)[number];

/** Rows: guest PAT. Columns: host PAT, at the nested leaf's index. */
export const NPT_GUEST_X_HOST: Grid<PatType, PatType, CombinedPat> = grid(
  NPT_ORDER,
  NPT_ORDER,
  COMBINED,
  `
          UC    UC-   WC    WP    WT    WB
    UC    UC    UC    UC    UC    UC    UC
    UC-   UC    UC-   WC    UC    UC    UC
    WC    WC    WC    WC    WC+   WC+   WC+
    WP    UC    UC    UC    WP    UC    WP
    WT    UC    UC    UC    UC    WT    WT
    WB    UC    UC    WC    WP    WT    WB
  `,
);

/** Rows: combined PAT. Columns: host MTRR at the system physical address. */
export const NPT_COMBINED_X_MTRR: Grid<CombinedPat, MtrrType, EffectiveType> = grid(
  COMBINED,
  HOST_MTRR,
  EFFECTIVE_TYPES,
  `
          UC    WC    WP    WT    WB
    UC    UC    CD    CD    CD    CD
    UC-   UC    WC    CD    CD    CD
    WC    WC    WC    WC    WC    WC
    WC+   WC    WC    WC+   WC+   WC+
    WP    UC    CD    WP    CD    WP
    WT    UC    CD    CD    WT    WT
    WB    UC    WC    WP    WT    WB
  `,
);

export const NPT_RULE = rule({
  id: 'x86/npt-combine',
  room: 'cpu',
  title: 'Effective type of a guest access under nested paging',
  text:
    'Guest PAT type (from G_PAT) and host PAT type (from the host MSR, at the index in the nested leaf) ' +
    'combine first; the result combines with the host MTRR at the system physical address. There are no ' +
    'guest MTRRs in hardware. CR0.CD of either guest or host turns caching off. WC+ is write combining ' +
    'that probes every cache, CD is uncached with every cached copy evicted first.',
  table: [
    'guest PAT below, host PAT across:',
    NPT_GUEST_X_HOST.drawing,
    'the result below, host MTRR across:',
    NPT_COMBINED_X_MTRR.drawing,
  ].join('\n'),
  sources: ['apm/t15-19', 'apm/t15-20', 'apm/npt-cd'],
});

export interface NptAccess {
  /** gCR0.CD or hCR0.CD, as the hardware has them while the guest runs. */
  readonly cr0Cd: boolean;
  readonly cr0Pg: boolean;
  readonly guestPat: PatType;
  readonly hostPat: PatType;
  readonly hostMtrr: MtrrType;
}

export interface NptResult {
  readonly type: EffectiveType;
  readonly combined: CombinedPat;
  readonly by: 'CR0.CD' | 'CR0.PG=0' | 'table';
}

/** Source: APM 15.25.8. With gCR0.PG=0 the guest PAT type is taken as WB, which the manual does not state. */
export function nptEffective(access: NptAccess): NptResult {
  const guest = access.cr0Pg ? access.guestPat : 'WB';
  const combined = NPT_GUEST_X_HOST.at(guest, access.hostPat);
  if (access.cr0Cd) return { type: 'CD', combined, by: 'CR0.CD' };
  return {
    type: NPT_COMBINED_X_MTRR.at(combined, access.hostMtrr),
    combined,
    by: access.cr0Pg ? 'table' : 'CR0.PG=0',
  };
}
