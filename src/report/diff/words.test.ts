import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition } from '../../compare/difference.ts';
import { PLATFORMS } from '../../compare/platforms.ts';
import { DIMENSIONS, valuesOf } from '../../compare/space/cube.ts';
import { factWord } from '../../facts/facts.ts';
import { KERNEL } from './kernel-words.ts';
import { scopeOf } from './pages.ts';
import { unchangedWords } from './unchanged.ts';
import { commandLines } from './witness.ts';
import {
  conditionWords,
  coverWords,
  factorsOf,
  grouped,
  listed,
  literalWords,
  pairsWords,
  percent,
  platformWords,
  somePlatforms,
} from './words.ts';

const literal = (input: (typeof DIMENSIONS)[number], ...values: string[]): Condition[number] => ({
  input,
  values,
  others: valuesOf(input)
    .map(factWord)
    .filter((v) => !values.includes(v)),
});

describe('numbers', () => {
  it('groups digits, and rounds no difference away', () => {
    expect([0, 999, 1000, 14515200].map(grouped)).toEqual(['0', '999', '1,000', '14,515,200']);
    expect(percent(0, 10)).toBe('0%');
    expect(percent(1, 1_000_000)).toBe('<0.1%');
    expect(percent(999_999, 1_000_000)).toBe('99.9%');
    expect(percent(7, 7)).toBe('100%');
    expect(percent(1, 8)).toBe('12.5%');
  });
});

describe('platforms', () => {
  it('are in one order, and two that differ in self-snoop alone are one', () => {
    expect(platformWords(PLATFORMS.toReversed())).toEqual([
      'Intel EPT',
      'Intel shadow paging',
      'AMD NPT',
      'AMD shadow paging',
      'TDX guests',
      'SNP guests',
    ]);
    expect(listed(platformWords(PLATFORMS.slice(1, 3)))).toBe(
      'Intel EPT without self-snoop and Intel shadow paging with self-snoop',
    );
  });

  it('are said by what is left out where that is shorter', () => {
    expect(somePlatforms(PLATFORMS.slice(1), PLATFORMS)).toBe('not Intel EPT with self-snoop');
    expect(somePlatforms(PLATFORMS.slice(0, 1), PLATFORMS)).toBe('Intel EPT with self-snoop');
  });
});

describe('conditions', () => {
  it('name the fewer values', () => {
    expect(literalWords(literal('guest', 'WB', 'WC'))).toBe('guest WB,WC');
    expect(literalWords(literal('guest', 'WB', 'WC', 'UC-', 'UC'))).toBe('guest not WT,WP');
    expect(literalWords(literal('cr0-cd', 'yes'))).toBe('cr0-cd yes');
    expect(conditionWords([])).toBe('always');
  });

  it('have what is common to all of them once', () => {
    const common = literal('host-memtype', 'WC');
    const conditions = [
      [common, literal('noncoherent-dma', 'yes')],
      [common, literal('quirk-ignore-guest-pat', 'off')],
    ];
    expect(coverWords({ conditions })).toBe(
      'host-memtype WC and (noncoherent-dma yes or quirk-ignore-guest-pat off)',
    );
    expect(coverWords({ conditions }, KERNEL)).toBe(
      'host memtype WC, (non-coherent DMA or IGNORE_GUEST_PAT quirk disabled)',
    );
  });

  it('multiply out to what they were', () => {
    const condition = fc
      .subarray(['pfn-valid', 'zero-page', 'cr0-cd', 'noncoherent-dma'] as const, { minLength: 1 })
      .chain((inputs) =>
        fc.tuple(...inputs.map((i) => fc.constantFrom('yes', 'no').map((v) => literal(i, v)))),
      );
    const key = (c: Condition): string => c.map(literalWords).toSorted().join(' ');
    fc.assert(
      fc.property(
        fc.uniqueArray(condition, { minLength: 1, maxLength: 8, selector: key }),
        (all) => {
          const products = factorsOf(all).reduce<readonly Condition[]>(
            (so, factor) => so.flatMap((c) => factor.map((d) => [...c, ...d])),
            [[]],
          );
          expect(products.map(key).toSorted()).toEqual(all.map(key).toSorted());
        },
      ),
    );
  });

  it('have words of their own for every value of every input', () => {
    for (const input of DIMENSIONS) {
      for (const value of valuesOf(input).map(factWord)) {
        if (input === 'self-snoop') continue;
        expect(unchangedWords(`where ${input} is ${value}`)).not.toMatch(/^where /);
        expect(KERNEL.literal(literal(input, value)), input).not.toBe(`${input} ${value}`);
      }
    }
    expect(unchangedWords('whatever it is')).toBe('whatever it is');
    expect(unchangedWords('where guest is WC, UC-, UC')).toBe(
      'accesses whose guest PAT type is WC, UC- or UC',
    );
  });
});

describe('changes and pages', () => {
  it('are short', () => {
    const pairs = [
      { before: 'UC', after: 'WB' },
      { before: 'WB', after: 'UC' },
      { before: 'WB', after: 'WC' },
    ] as const;
    expect(pairsWords(pairs)).toBe('WB>WC/UC, UC>WB');
  });

  it('are named by a word only where it fits every change', () => {
    const both = ['ram', 'memfd', 'hugetlb', 'ttm-cached', 'ttm-wc', 'bar'];
    const ram = both.slice(0, 5);
    expect(scopeOf([[both, both]])(both, both)).toBe('');
    expect(scopeOf([[ram, both]])(ram, both)).toBe('RAM');
    expect(scopeOf([[ram.slice(0, 4), both]])(ram.slice(0, 4), both)).toBe(
      'RAM that the VMM maps WB',
    );
    expect(scopeOf([[['bar'], both]])(['bar'], both)).toBe('bar');
    const mixed = scopeOf([
      [ram, both],
      [both, both],
    ]);
    expect([mixed(both, both), mixed(ram, both)]).toEqual(['', ram.join(', ')]);
  });
});

describe('a command', () => {
  it('is broken where it can be pasted, and what a shell would read is quoted', () => {
    const facts = { kernel: '6.16, 6.16+host-pat', cpu: 'intel', guest: 'UC-', gpa: "it's $x" };
    const lines = commandLines({ facts, other: null }, 40);
    expect(lines).toEqual([
      'memtype explain \\',
      '  --kernel 6.16,6.16+host-pat \\',
      '  --cpu intel --guest UC- \\',
      "  --gpa 'it'\\''s $x'",
    ]);
  });
});
