import { buildCommand } from '@stricli/core';
import { CATEGORIES } from '../../compare/categories.ts';
import { PLATFORM_NAMES } from '../../compare/platforms.ts';
import type { DiffFlags } from '../commands/diff.ts';
import { DIFF_FORMATS } from '../formats.ts';
import { act, type Context, word } from '../route.ts';
import { factFlags } from './facts.ts';

/** Facts whose flag means something else here: see `backing` below. */
const DIFF_FACTS = Object.fromEntries(
  Object.entries(factFlags()).filter(([key]) => key !== 'backing'),
);

export const diff = buildCommand<DiffFlags, string[], Context>({
  docs: {
    brief: 'what changes between two kernels or policies, for whom',
    fullDescription:
      'Two of: a kernel version, an era (E8), a proposal (host-pat), a proposal on a kernel ' +
      '(6.8+wc-as-mmio), each with @PLATFORM when it matters. All inputs that rules of KVM look at are ' +
      'folded; a fact given as a flag restricts them. --timeline takes facts as explain does and no ' +
      'names; --matrix takes nothing.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: DIFF_FORMATS, default: 'text', brief: 'output format' },
      only: {
        kind: 'enum',
        values: CATEGORIES,
        optional: true,
        brief: 'only changes with such a consequence',
      },
      platform: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'name',
        brief: `only there: ${PLATFORM_NAMES.join(' ')}`,
      },
      backing: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'class',
        brief: 'only pages of this class: see memtype rule linux/backing',
      },
      all: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'also changes that no known kind of page reaches, and every witness',
      },
      matrix: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'every era and proposal against every other',
      },
      timeline: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'for one set of facts, how the answer moved from 2.6.26 on',
      },
      ...DIFF_FACTS,
    },
    positional: {
      kind: 'array',
      parameter: {
        brief: 'the two sides; with --timeline a case file',
        parse: word,
        placeholder: 'side',
      },
    },
  },
  func: async function (this: Context, flags: DiffFlags, ...names: string[]) {
    const { runDiff } = await import('../commands/diff.ts');
    await act(this, () => runDiff(names, flags, this.io));
  },
} as never);
