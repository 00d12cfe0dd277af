import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SOURCES } from '../src/cite/sources.ts';
import { FORMS } from '../src/litmus/instructions.ts';
import { printResult } from '../src/litmus/result.ts';
import { KEYS } from '../src/litmus/setup.ts';
import type { LitmusTest } from '../src/litmus/test.ts';
import type { MachineConfig } from '../src/machine/config.ts';
import { makeMachine } from '../src/machine/machine.ts';
import { SWITCHES } from '../src/machine/switches.ts';
import { catalogue, configOf, reachable } from './litmus.ts';
import { answer, expectedText, litmusNames, litmusText, readTest } from './litmus-files.ts';

const TESTS: readonly LitmusTest[] = litmusNames().map((name) =>
  readTest(litmusText(name), `litmus/${name}.litmus`),
);

function said({ header }: LitmusTest, key: string): readonly string[] {
  return header.filter((line) => line.key === key).map((line) => line.value);
}

describe('every test of litmus/', () => {
  for (const litmus of TESTS) {
    test(`${litmus.name}: what is expected of it, and every final state`, () => {
      const { expect: expectations } = litmus.setup;
      expect(expectations.length).toBeGreaterThan(0);
      const blocks = expectations.map(({ word, switches }) => {
        const { test: compiled, result } = answer(litmus, switches);
        expect([switches, result.word]).toEqual([switches, word]);
        return printResult(compiled, result, switches);
      });
      expect(blocks.join('\n')).toBe(expectedText(litmus.name));
    });
  }

  test('has its name in its first line, an authority, and sources that are known', () => {
    expect(TESTS.map((t) => t.name)).toEqual(litmusNames());
    for (const litmus of TESTS) {
      expect([litmus.name, ...said(litmus, 'Authority')]).toEqual([
        litmus.name,
        expect.stringMatching(/^(?:paper|paper-class|manual|kernel|hardware|derived|contested)$/),
      ]);
      const sources = said(litmus, 'Source').flatMap((line) => line.split(' '));
      expect([litmus.name, sources.filter((id) => !(id in SOURCES))]).toEqual([litmus.name, []]);
      expect([litmus.name, said(litmus, 'Why').length]).toEqual([litmus.name, 1]);
    }
  });

  test('contested ones expect something on both sides of a switch', () => {
    const oneSided = TESTS.filter((t) => said(t, 'Authority')[0] === 'contested')
      .filter((t) => new Set(t.setup.expect.map((e) => e.word)).size < 2)
      .map((t) => t.name);
    // Whether MOVNTDQA may read what it has read before is said by the manual; that AMD does is not.
    expect(oneSided).toEqual(['DMA+nosnoop+movntdqas']);
  });

  test('every switch is told apart by one of them', () => {
    const separated = new Set(
      TESTS.flatMap(({ setup }) => {
        const words = new Set(setup.expect.map((e) => e.word));
        return words.size < 2 ? [] : setup.expect.flatMap((e) => Object.keys(e.switches));
      }),
    );
    const open = Object.keys(SWITCHES).filter((name) => !separated.has(name));
    expect(open).toEqual([]);
  });
});

describe('docs/litmus.md', () => {
  const document = readFileSync(new URL('../docs/litmus.md', import.meta.url), 'utf8');

  test('the test that it shows is one, and is as it expects', () => {
    const [, text = ''] = /```litmus\n([\s\S]*?)```/.exec(document) ?? [];
    const shown = readTest(text);
    expect(shown.setup.expect.map((e) => e.word)).toEqual([answer(shown).result.word]);
  });

  test('the result that it shows is one', () => {
    const [block = ''] = /(?: {4}.*\n){5,}/.exec(document) ?? [];
    const found = block.replace(/^ {4}/gm, '');
    expect(found).toContain('Observation');
    expect(expectedText('CoWR+WB-mfence-WC')).toContain(found);
  });

  test('counts the tests, and names every key and every instruction', () => {
    expect(document).toContain(`${TESTS.length} tests, each beside all its final states`);
    expect(KEYS.filter((key) => !document.includes(`\`${key}=`) && key !== 'MemoryType')).toEqual(
      [],
    );
    const words = new Set(document.split(/[^\w]+/));
    expect(FORMS.filter((form) => !words.has(form.mnemonic)).map((f) => f.mnemonic)).toEqual([
      'jle',
      'jlt',
      'jge',
      'jgt',
      'js',
      'jns',
    ]);
  });
});

describe('against the same tests as operations of the machine', () => {
  const byId = new Map(TESTS.map((t) => [said(t, 'Id')[0], t]));

  test('all that are executed are there, and of the described ones those that can be written', () => {
    const executed = catalogue().map((t) => t.id);
    expect(executed.filter((id) => !byId.has(id))).toEqual([]);
    expect([...byId.keys()].filter((id) => id?.startsWith('F'))).toEqual(['F04', 'F01', 'F05']);
  });

  for (const entry of catalogue()) {
    test(`${entry.id} ${entry.name}: as many states`, () => {
      const litmus = byId.get(entry.id);
      if (litmus === undefined) throw new Error(`${entry.id} is not there`);
      for (const { cfg } of entry.expect) {
        const switches = { ...entry.cfg, ...cfg };
        const config: MachineConfig = { ...configOf(entry, cfg), vendor: 'intel', switches };
        const { states } = reachable(makeMachine(config));
        expect(answer(litmus, cfg).states).toBe(states.length);
      }
    });
  }
});
