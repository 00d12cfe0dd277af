import { describe, expect, test } from 'vitest';
import { InputError, renderDiagnostic } from '../base/diagnostic.ts';
import { readFactsTree } from '../cli/facts-tree.ts';
import { readScenario } from './read.ts';

const GOOD = `title: t
cpu: intel
programs:
  p:
    blob: [x y, f]
    guest: [store x 1, vmm load x -> copied, ring bell]
    gpu: [wait bell, "load y -> seen"]
    never: gpu.seen = 0 and guest.copied != 1
`;

/** The complaint about a file, as it is shown; null: none. */
function complaint(text: string): string | null {
  try {
    readScenario(readFactsTree(text, 's.yaml'), 's.yaml');
    return null;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.diagnostics.map(renderDiagnostic).join('\n');
  }
}

/** The good file with something replaced. */
function changed(from: string, to: string): string | null {
  expect(GOOD).toContain(from);
  return complaint(GOOD.replace(from, to));
}

describe('a scenario file', () => {
  test('is read', () => {
    const { programs, facts } = readScenario(readFactsTree(GOOD, 's'), 's');
    expect(facts.map((f) => [f.key, f.words.map((w) => w.text)])).toEqual([['cpu', ['intel']]]);
    const [p] = programs;
    expect(p?.memory.blob).toEqual([['x', 'y'], ['f']]);
    expect(
      p?.parts.map(({ agent, instructions }) => [agent, instructions.map((i) => i.op)]),
    ).toEqual([
      ['guest', ['store', 'load', 'ring']],
      ['gpu', ['wait', 'load']],
    ]);
    expect(p?.never.map((c) => c.any)).toEqual([
      [
        [
          { owner: 'gpu', name: 'seen', equal: true, value: 0 },
          { owner: 'guest', name: 'copied', equal: false, value: 1 },
        ],
      ],
    ]);
  });

  test.each([
    ['cpu: intel', 'cpuu: intel', ' 2 | cpuu: intel\n      | ^^^^\n  help: did you mean cpu?'],
    ['store x 1', 'stroe x 1', '    guest: [stroe x 1, vmm load'],
    ['store x 1', 'stroe x 1', 'did you mean store?'],
    ['store x 1', 'store x', 'a value is missing'],
    ['store x 1', 'store x 4', 'a number from 0 to 3'],
    ['store x 1', 'store z 1', 'no byte "z"'],
    ['store x 1', 'store x 1 2', 'unexpected "2"'],
    ['store x 1', 'attach', 'write: vmm attach'],
    ['store x 1', 'vmm cpuid', 'cpuid is for the guest itself'],
    ['"load y -> seen"', '"load y seen"', '"->" is missing before "seen"'],
    ['"load y -> seen"', 'mfence', 'gpu has no "mfence"'],
    ['"load y -> seen"', 'vmm load y -> seen', 'stands in the program of the guest'],
    ['wait bell', 'wait bel', 'did you mean bell?'],
    ['wait bell', 'wait other', 'this would wait for ever'],
    ['gpu.seen = 0', 'gpu.sen = 0', 'did you mean seen?'],
    ['gpu.seen = 0', 'host.seen = 0', 'no agent "host" here'],
    ['gpu.seen = 0', 'gpu.seen is 0', 'not a comparison'],
    ['gpu.seen = 0', 'memory.q = 0', 'no byte "q"'],
    ['[x y, f]', '[x x]', 'the byte "x" is there twice'],
    ['    blob: [x y, f]\n', '', 'p has no byte in the blob'],
    ['    never', '    nevr', 'did you mean never?'],
    ['  p:', '  p: &a', null],
    ['programs:', 'program:', 'did you mean programs?'],
  ])('%s -> %s', (from, to, words) => {
    const got = changed(from, to);
    if (words === null) expect(got).toBeNull();
    else expect(got).toContain(words);
  });

  test('a caret stands below the word, in a quoted one too', () => {
    expect(changed('store x 1', 'stroe x 1')).toContain(
      '    6 |     guest: [stroe x 1, vmm load x -> copied, ring bell]\n      |             ^^^^^\n',
    );
    expect(changed('"load y -> seen"', '"load y => seen"')).toContain(
      '    7 |     gpu: [wait bell, "load y => seen"]\n      |                              ^^\n',
    );
  });

  test.each([
    '',
    '[]',
    'title: x',
    'programs: {}',
    'programs: {p: {}}',
    'a: *b',
    '{',
    'programs: 3',
  ])('is no scenario: %j', (text) => expect(complaint(text)).toMatch(/^error: /));

  test('outcomes name programs, facts and results', () => {
    const row = (words: string): string | null => complaint(`${GOOD}outcomes:\n  - ${words}\n`);
    expect(row('{title: a, kernel: 6.8, p: ok}')).toBeNull();
    expect(row('{kernel: 6.8}')).toContain('an outcome names no program');
    expect(row('{kernl: 6.8, p: ok}')).toContain('did you mean kernel?');
    expect(row('{p: okay}')).toContain('one of ok slow x n/a refused');
  });
});
