import { type Grid, grid } from '../base/grid.ts';
import { rule } from '../cite/rule.ts';

/**
 * The types an access can have. UC is uncacheable by the page tables, UCM by the MTRR (or the EPT leaf in its
 * place); CD and WC+ exist on AMD only.
 */
export const ACCESS_TYPES = ['WB', 'WT', 'WP', 'WC', 'WC+', 'UC', 'UCM', 'CD'] as const;
export type AccessType = (typeof ACCESS_TYPES)[number];

const COLUMNS = ['load', 'store', 'own', 'others'] as const;
const WORDS = ['cache', 'bus', 'back', 'through', 'around', 'combine', 'strong'] as const;
const CHECKS = ['always', 'self-snoop', 'bus-snoop'] as const;

/** Where loads are served, what becomes of stores, and which caches a transaction looks into. */
export const TYPE_BEHAVIOUR: Grid<
  AccessType,
  (typeof COLUMNS)[number],
  (typeof WORDS)[number] | (typeof CHECKS)[number]
> = grid(
  ACCESS_TYPES,
  COLUMNS,
  [...WORDS, ...CHECKS],
  `
           load    store     own          others
    WB     cache   back      always       always
    WT     cache   through   always       always
    WP     cache   around    always       always
    WC     bus     combine   self-snoop   bus-snoop
    WC+    bus     combine   always       always
    UC     bus     strong    always       always
    UCM    bus     strong    self-snoop   bus-snoop
    CD     bus     strong    always       always
  `,
);

rule({
  id: 'machine/types',
  room: 'cpu',
  title: 'What an access of each type does, as the machine executes it',
  text:
    'Load: from the cache, which it fills, or from the bus. Store: back (allocates and modifies the line), ' +
    'through (memory, and the line if present), around (memory; the own copy goes), combine (a ' +
    'write-combining buffer), strong (at once, after everything older). Own and others: whether a ' +
    'transaction checks the caches of the core itself and of the other cores: always, or where the switch of ' +
    'that name is on. CD and WC+ are of AMD only; their rows are inferred from what the manual says of them.',
  table: TYPE_BEHAVIOUR.drawing,
  sources: ['sdm/types', 'sdm/t11-7', 'sdm/alias', 'apm/types', 'apm/cd', 'apm/t15-20'],
});

/** Whether loads of this type are served by the cache. */
export function isCacheable(type: AccessType): boolean {
  return TYPE_BEHAVIOUR.at(type, 'load') === 'cache';
}

/** Whether accesses of this type wait for everything older and are performed at once. */
export function isStrong(type: AccessType): boolean {
  return TYPE_BEHAVIOUR.at(type, 'store') === 'strong';
}
