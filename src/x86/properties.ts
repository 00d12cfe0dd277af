import { type Grid, grid } from '../base/grid.ts';
import { rule } from '../cite/rule.ts';

export const TYPE_NAMES = ['UC', 'UC-', 'WC', 'WT', 'WP', 'WB', 'CD', 'WC+'] as const;
export type TypeName = (typeof TYPE_NAMES)[number];

export const PROPERTIES = ['read', 'write', 'back', 'spec', 'comb', 'order'] as const;
export type Property = (typeof PROPERTIES)[number];

export const PROPERTY_WORDS = ['no', 'yes', 'hits', 'strong', 'processor', 'weak'] as const;
export type PropertyWord = (typeof PROPERTY_WORDS)[number];

export const TYPE_PROPERTIES: Grid<TypeName, Property, PropertyWord> = grid(
  TYPE_NAMES,
  PROPERTIES,
  PROPERTY_WORDS,
  `
          read   write   back   spec   comb   order
    UC    no     no      no     no     no     strong
    UC-   no     no      no     no     no     strong
    WC    no     no      no     yes    yes    weak
    WT    yes    hits    no     yes    yes    processor
    WP    yes    no      no     yes    no     processor
    WB    yes    yes     yes    yes    yes    processor
    CD    no     no      no     no     no     strong
    WC+   no     no      no     yes    yes    weak
  `,
);

export const TYPE_PROPERTIES_RULE = rule({
  id: 'x86/type-properties',
  room: 'cpu',
  title: 'What each memory type allows a CPU to do',
  text:
    'Read and write: whether the cache serves them; hits: a write changes a line that is there and never ' +
    'fills one. Back: a line may be newer than memory. Spec: reads may be speculative. Comb: writes may ' +
    'be combined (for WP the AMD manual says no). The rows of CD and WC+, of AMD only, are inferred.',
  table: TYPE_PROPERTIES.drawing,
  sources: ['sdm/types', 'apm/types'],
});
