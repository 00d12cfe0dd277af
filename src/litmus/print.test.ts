import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answer, litmusNames, litmusText, readTest } from '../../test/litmus-files.ts';
import { renderDiagnostic } from '../base/diagnostic.ts';
import { printForHerd } from './herd.ts';
import { printLitmus } from './print.ts';
import type { LitmusTest } from './test.ts';

/** A test without its places in the text, and without how header lines were written. */
function meaning(test: LitmusTest): unknown {
  const text = JSON.stringify({ ...test, source: null, header: null }, (key, value: unknown) =>
    key === 'at' ? undefined : value,
  );
  return JSON.parse(text);
}

function checkRoundTrip(litmus: LitmusTest): void {
  const text = printLitmus(litmus);
  const again = readTest(text);
  expect(meaning(again)).toEqual(meaning(litmus));
  expect(printLitmus(again)).toBe(text);
}

// ---- random tests ---------------------------------------------------------------------------------------

const NAME = fc.constantFrom('x', 'y', 'z');
const REGISTER = fc.constantFrom('%eax', '%ebx', '%ecx', '%r8d');
const MEMORY = fc.oneof(
  NAME.map((name) => `(${name})`),
  fc.constantFrom('(%rsi)', '4(%rsi)', '-8(%rsi,%rdi,4)'),
);
const NUMBER = fc.integer({ min: -3, max: 9 });
const INSTRUCTION = fc.oneof(
  fc.tuple(NUMBER, MEMORY).map(([n, m]) => `movl $${n},${m}`),
  fc.tuple(MEMORY, REGISTER).map(([m, r]) => `movl ${m},${r}`),
  fc.tuple(REGISTER, MEMORY).map(([r, m]) => `movnti ${r},${m}`),
  fc.tuple(REGISTER, MEMORY).map(([r, m]) => `xchgl ${r},${m}`),
  fc.tuple(NUMBER, MEMORY).map(([n, m]) => `lock addl $${n},${m}`),
  fc.tuple(REGISTER, MEMORY).map(([r, m]) => `lock xaddl ${r},${m}`),
  fc.tuple(MEMORY, REGISTER).map(([m, r]) => `cmpxchgq ${m},${r.replace('%e', '%r')}`),
  MEMORY.map((m) => `movntdqa ${m},%xmm3`),
  MEMORY.map((m) => `clflushopt ${m}`),
  fc.tuple(NUMBER, MEMORY).map(([n, m]) => `poll $${n},${m}`),
  fc
    .tuple(MEMORY, fc.constantFrom('WC', 'absent', 'EPT=UC+IPAT', 'PAT=UC-'))
    .map(([m, t]) => `remap ${m},${t}`),
  fc.constantFrom('mfence', 'sfence', 'lfence', 'cpuid', 'wbinvd_all', 'vmexit', 'nop', 'ret'),
  fc.constantFrom(
    'movd %xmm3,%eax',
    'movq %xmm3,%rax',
    'jne L',
    'L: nop',
    'send $1,bell',
    'incb %ah',
  ),
);
const ATOM = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 1 }), fc.constantFrom('rax', 'rbx', '%v'), NUMBER)
    .map(([p, r, n]) => `${p}:${r}=${n}`),
  fc.tuple(NAME, NUMBER).map(([name, n]) => `[${name}]=${n}`),
  fc.tuple(NAME, NAME).map(([a, b]) => `[${a}]=[${b}]`),
  fc.tuple(NAME, NUMBER).map(([name, n]) => `[PA(${name})]!=${n}`),
  fc.constantFrom('t[1]=2', 'true', '0:rax=x'),
);
const { proposition: PROPOSITION } = fc.letrec<{ proposition: string }>((tie) => ({
  proposition: fc.oneof(
    { maxDepth: 3 },
    ATOM,
    fc
      .tuple(tie('proposition'), fc.constantFrom('/\\', '\\/', '=>'), tie('proposition'))
      .map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie('proposition').map((p) => `not (${p})`),
  ),
}));
const HEADER = fc.subarray([
  'Cycle=Rfe PodRR',
  'Why=because',
  'Vendor=amd',
  'Line=x y',
  'Alias=w:x P0.v:z',
  'MT=x:WC P0.y:UCM',
  'PAT=z:UC-',
  'EPT=z:WB+IPAT',
  'Device=P1:GPU nosnoop cache',
  'Flag=bell:exit',
  'Cached=P0:x P0:y=2',
  'CD=P0',
  'Caches=visible',
  'StoreBuffer=2',
  'CombiningBuffers=1',
  'specFill=on',
  'Expect=Sometimes selfSnoop=off specFill=on',
  'Expect=Never',
]);
const INIT = fc.subarray([
  'x=1',
  'int y=2',
  'int t[2]={1,-2}',
  '0:rsi=x',
  'uint64_t 1:rdi=3',
  'int* z=x',
]);
const TEXT = fc
  .record({
    header: HEADER,
    init: INIT,
    rows: fc.array(fc.tuple(INSTRUCTION, INSTRUCTION), { minLength: 1, maxLength: 6 }),
    filter: fc.option(PROPOSITION, { nil: null }),
    quantifier: fc.constantFrom('exists', 'forall', '~exists'),
    proposition: PROPOSITION,
  })
  .map(({ header, init, rows, filter, quantifier, proposition }) =>
    [
      'X86_64 R+test',
      ...header,
      `{ ${init.map((item) => `${item};`).join(' ')} }`,
      'P0 | P1 ;',
      ...rows.map(([a, b]) => `${a} | ${b} ;`),
      'locations [0:rcx; x;]',
      ...(filter === null ? [] : [`filter ${filter}`]),
      `${quantifier} ${proposition}`,
    ].join('\n'),
  );

describe('reading what was printed', () => {
  test.each(litmusNames())('%s', (name) => {
    checkRoundTrip(readTest(litmusText(name)));
  });

  test('random tests', () => {
    fc.assert(fc.property(TEXT, (text) => checkRoundTrip(readTest(text))));
  });
});

// ---- for herd7 ------------------------------------------------------------------------------------------

function forHerd(text: string): { readonly text: string | null; readonly problems: string } {
  const { value, problems } = printForHerd(readTest(text));
  return { text: value, problems: problems.map((p) => `${p.severity}: ${p.message}`).join('\n') };
}

describe('for herd7', () => {
  const written = litmusNames().filter((name) => forHerd(litmusText(name)).text !== null);

  test('tests of cores, one type a location, and what herd7 has words for', () => {
    // All of families A and B but for the one with WP, and one more.
    expect(written).toHaveLength(69);
  });

  test.each(written)('%s has the same final states', (name) => {
    const original = readTest(litmusText(name));
    const again = readTest(forHerd(litmusText(name)).text ?? '');
    expect(answer(again, original.setup.switches).result.states).toEqual(
      answer(original).result.states,
    );
    expect(again.header.map((line) => line.key).filter((key) => key !== 'MT')).toEqual([]);
  });

  test('poll is a load and a filter', () => {
    const text =
      'X86_64 MP+poll\n{}\nP0 | P1 ;\nmovl $1,(x) | poll $1,(y) ;\nmovl $1,(y) | movl (x),%eax ;\n' +
      'locations [x;]\nfilter 0:rax=0\nexists (1:rax=0)\n';
    const herd = forHerd(text);
    expect(herd.text).toBe(
      [
        'X86_64 MP+poll',
        '{}',
        ' P0          | P1            ;',
        ' movl $1,(x) | movl (y),%esi ;',
        ' movl $1,(y) | movl (x),%eax ;',
        'locations [x;]',
        'filter (0:rax=0 /\\ 1:rsi=1)',
        'exists (1:rax=0)',
        '',
      ].join('\n'),
    );
    expect(herd.problems).toBe('warning: poll is written as a load and a filter');
    expect(answer(readTest(herd.text ?? '')).result.states).toEqual(
      answer(readTest(text)).result.states,
    );
  });

  test('what cannot be said is said, each with its reason', () => {
    const text = [
      'X86_64 T',
      'Alias=w:x',
      'MT=x:WP P0.y:WC',
      'Device=P1:GPU nosnoop',
      'Cached=P0:x',
      'ucPosted=on',
      '{}',
      'P0 | P1 ;',
      'clwb (x) | movl (x),%eax ;',
      'lock xaddl %eax,(x) | ;',
      'exists ([PA(x)]=1)',
    ].join('\n');
    expect(forHerd(text)).toEqual({
      text: null,
      problems: [
        'error: a second name of a cell',
        'error: the device GPU',
        'error: contents of a cache',
        'warning: ucPosted=on is not said',
        'error: memory apart from caches',
        'error: a type of one core: P0.y',
        'error: the type WP',
        'error: clwb is not in herd7',
        'error: xadd is not in herd7',
      ].join('\n'),
    });
    const [alias] = printForHerd(readTest(text)).problems;
    expect(alias === undefined ? '' : renderDiagnostic(alias)).toBe(
      [
        'error: a second name of a cell',
        '  --> test.litmus:2:7',
        '    2 | Alias=w:x',
        '      |       ^^^',
        '  help: each location of herd7 is memory of its own',
      ].join('\n'),
    );
  });
});
