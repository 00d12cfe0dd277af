import { describe, expect, test } from 'vitest';
import { answer, readTest } from '../../test/litmus-files.ts';
import { InputError, renderDiagnostic } from '../base/diagnostic.ts';
import { compileLitmus } from './compile.ts';
import { printOutcome, printResult } from './result.ts';

/** A test from its columns, a line an instruction. */
function litmus(
  columns: readonly string[],
  condition: string,
  { init = '', header = '' }: { readonly init?: string; readonly header?: string } = {},
): string {
  const cells = columns.map((column) => column.split('; '));
  const rows = Array.from({ length: Math.max(...cells.map((c) => c.length)) }, (_, r) =>
    cells.map((c) => c[r] ?? '').join(' | '),
  );
  const head = columns.map((_, i) => `P${i}`).join(' | ');
  const table = [head, ...rows].map((row) => ` ${row} ;\n`).join('');
  return `X86_64 T\n${header}{${init}}\n${table}${condition}\n`;
}

/** Final states over what the condition names. */
function states(...args: Parameters<typeof litmus>): readonly string[] {
  const { test: compiled, result } = answer(readTest(litmus(...args)));
  return result.states.map((state) => printOutcome(compiled, state));
}

function refusal(...args: Parameters<typeof litmus>): string {
  const parsed = readTest(litmus(...args));
  try {
    compileLitmus(parsed);
  } catch (error) {
    if (error instanceof InputError) return error.diagnostics.map(renderDiagnostic).join('\n');
    throw error;
  }
  return 'none';
}

describe('registers that are known before the test runs', () => {
  test('are computed with', () => {
    expect(
      states(
        [
          'movl $3,%eax; addl $4,%eax; xorl %ebx,%ebx; incl %ebx; shl $2,%ebx; decl %ecx; movl $5,%edx; and $6,%edx; movl %eax,(x)',
        ],
        'forall ([x]=7 /\\ 0:rbx=4 /\\ 0:rcx=-1 /\\ 0:rdx=4)',
      ),
    ).toEqual(['0:rbx=4; 0:rcx=-1; 0:rdx=4; [x]=7;']);
  });

  test('are addressed with: pointers, elements of arrays', () => {
    const init = 'int t[3]={1,2,3}; 0:rax=t; 0:rbx=2; 0:rcx=x;';
    expect(
      states(
        ['movl 0(%rax,%rbx,4),%edx; movl 4(%rax),%esi; movl $7,(%rcx)'],
        'locations [t[0];] exists (0:rdx=3 /\\ 0:rsi=2 /\\ [x]=7)',
        { init },
      ),
    ).toEqual(['0:rdx=3; 0:rsi=2; [x]=7; t[0]=1;']);
  });

  test('halves keep the rest of the register', () => {
    expect(
      states(['movl $1,%eax; movl (x),%ebx; movb %al,(y)'], 'exists (0:rbx=0 /\\ y=1)'),
    ).toEqual(['0:rbx=0; [y]=1;']);
    expect(refusal(['movl $300,%eax; movb $1,%al'], 'exists (0:rax=1)')).toContain(
      '%al keeps the other bits of %rax',
    );
  });
});

describe('memory', () => {
  test('addresses are values', () => {
    expect(states(['movq %rax,(p)'], 'exists (p=x)', { init: ' 0:rax=x; ' })).toEqual(['[p]=x;']);
  });

  test('numbers that are far apart', () => {
    expect(
      states(['movl $-7,(x); movl (x),%eax'], 'exists (0:rax=-7)', { init: 'x=100000;' }),
    ).toEqual(['0:rax=-7;']);
    expect(states(['movl (x),%eax'], 'exists (0:rax=-1)', { init: 'x=0xffffffff;' })).toEqual([
      '0:rax=-1;',
    ]);
  });

  test('locked additions are exact, below zero too', () => {
    const two = 'lock decl (x); lock decl (x)';
    expect(states([two, two], 'exists (x=-4)')).toEqual(['[x]=-4;']);
    expect(
      states(['movl $1,%eax; lock xaddl %eax,(x)', 'lock addl $2,(x)'], 'exists (x=3 /\\ 0:rax=2)'),
    ).toEqual(['0:rax=0; [x]=3;', '0:rax=2; [x]=3;']);
  });

  test('exchanges, locked and not', () => {
    const both = (name: string): readonly string[] =>
      states(
        [`movl $1,%eax; ${name} %eax,(x)`, `movl $1,%eax; ${name} (x),%eax`],
        'exists (0:rax=0 /\\ 1:rax=0)',
      );
    expect(both('xchgl')).toEqual(['0:rax=0; 1:rax=1;', '0:rax=1; 1:rax=0;']);
    expect(both('uxchl')).toContain('0:rax=0; 1:rax=0;');
    expect(
      states(['movl $1,%eax; movl $2,%ebx; xchgl %eax,%ebx'], 'exists (0:rax=2 /\\ 0:rbx=1)'),
    ).toEqual(['0:rax=2; 0:rbx=1;']);
  });

  test('a register is used again when nothing refers to what it held', () => {
    const { config } = compileLitmus(
      readTest(
        litmus(
          ['movl (x),%eax; movl %eax,%ebx; movl (x),%eax; movl (y),%eax'],
          'exists (0:rax=0 /\\ 0:rbx=0)',
        ),
      ),
    );
    const registers = config.agents[0]?.program.map((i) => ('to' in i ? i.to : i.op));
    expect(registers).toEqual(['rax', 'rax.1', 'rax.1']);
  });
});

describe('jumps', () => {
  const READER = 'movl (y),%eax; cmpl $1,%eax; jne L; movl (x),%ebx; L: nop';

  test('a reader that looks at the data only behind the flag', () => {
    expect(states(['movl $1,(x); movl $1,(y)', READER], 'exists (1:rax=1 /\\ 1:rbx=0)')).toEqual([
      '1:rax=0; 1:rbx=0;',
      '1:rax=1; 1:rbx=1;',
    ]);
  });

  test('je, jmp, ret and what is known where paths meet', () => {
    const program =
      'movl (x),%eax; cmpl $0,%eax; je A; movl $5,%ecx; jmp B; A: movl $5,%ecx; B: nop; ret; movl $6,%ecx';
    expect(states([program, 'movl $1,(x)'], 'exists (0:rax=1 /\\ 0:rcx=5)')).toEqual([
      '0:rax=0; 0:rcx=5;',
      '0:rax=1; 0:rcx=5;',
    ]);
    expect(refusal(['cmpl $0,(x); je A; movl $5,%ecx; A: nop'], 'exists (0:rcx=5)')).toContain(
      'what 0:rcx holds is not known: it depends on the path taken',
    );
  });

  test('comparisons that are known', () => {
    expect(
      states(['movl $3,%eax; cmpl $4,%eax; jlt A; movl $1,(x); A: nop'], 'exists (x=1)'),
    ).toEqual(['[x]=0;']);
  });

  test('spinning loops are one instruction', () => {
    const spin = [
      'L: cmpl $1,(y); jne L; movl (x),%eax',
      'L: movl (y),%ebx; cmpl $1,%ebx; jne L; movl (x),%eax',
    ];
    const poll = answer(
      readTest(
        litmus(['movl $1,(x); movl $1,(y)', 'poll $1,(y); movl (x),%eax'], 'exists (1:rax=0)'),
      ),
    );
    expect(poll.result.states).toEqual([[1]]);
    for (const loop of spin) {
      const same = answer(readTest(litmus(['movl $1,(x); movl $1,(y)', loop], 'exists (1:rax=0)')));
      expect([same.states, same.result.states]).toEqual([poll.states, [[1]]]);
    }
  });

  test('loops that are no spinning', () => {
    const loop = 'L: movl (x),%ebx; movl (y),%eax; cmpl $1,%eax; jne L';
    expect(states(['movl $1,(x); movl $1,(y)', loop], 'exists (1:rbx=0 /\\ 1:rax=1)')).toEqual([
      '1:rax=1; 1:rbx=0;',
      '1:rax=1; 1:rbx=1;',
    ]);
  });
});

describe('beyond herd7', () => {
  test('flags outside memory', () => {
    const header = 'Flag=bell:exit\nDevice=P1:GPU nosnoop\nMT=x:WC\n';
    const program = ['movl $1,(x); send $1,bell', 'await $1,bell; movl (x),%eax'];
    expect(states(program, 'exists (1:rax=0)', { header })).toEqual(['1:rax=1;']);
    const plain = header.replace('exit', 'plain');
    expect(states(program, 'exists (1:rax=0)', { header: plain })).toEqual([
      '1:rax=0;',
      '1:rax=1;',
    ]);
  });

  test('a device with a cache of its own', () => {
    const header = 'Device=P1:GPU nosnoop cache\nMT=x:UC f:UC\n';
    const reads = (between: string): readonly string[] =>
      states(
        [
          'movl $1,(x); movl $1,(f)',
          `movl (x),%eax; ${between}poll $1,(f); ${between}movl (x),%ebx`,
        ],
        'exists (1:rbx=0)',
        { header },
      );
    expect(reads('')).toEqual(['1:rbx=0;', '1:rbx=1;']);
    expect(reads('flush; ')).toEqual(['1:rbx=1;']);
  });

  test('types from their parts', () => {
    const types = (header: string): readonly string[] => {
      const { config } = compileLitmus(
        readTest(litmus(['movl (x),%eax'], 'exists (0:rax=0)', { header })),
      );
      return config.views.map(({ name, core, type }) => `${core ?? '*'} ${name} ${type}`);
    };
    expect(types('PAT=x:WC\nEPT=x:WB+IPAT\n')).toEqual(['* x WB']);
    expect(types('PAT=x:WC\nEPT=x:UC\n')).toEqual(['* x WC']);
    expect(types('PAT=x:WB\nEPT=x:UC\n')).toEqual(['* x UCM']);
    expect(types('PAT=x:UC-\nMTRR=x:WB\n')).toEqual(['* x UC']);
    expect(types('MTRR=x:UC\n')).toEqual(['* x UCM']);
    expect(types('Vendor=amd\nPAT=x:WC\nNPT=x:WB\n')).toEqual(['* x WC+']);
    expect(types('Vendor=amd\nPAT=x:UC-\nMTRR=x:WB\n')).toEqual(['* x CD']);
    expect(types('Alias=w:x P0.v:x\nMT=P0.x:WP P0.v:UC\n')).toEqual([
      'P0 v UC',
      'P0 x WP',
      '* x WB',
      '* w WB',
    ]);
  });

  test('parts that cannot be together', () => {
    const wrong = (header: string): string =>
      refusal(['movl (x),%eax'], 'exists (0:rax=0)', { header });
    expect(wrong('Vendor=amd\nEPT=x:WB\n')).toContain('EPT on AMD');
    expect(wrong('NPT=x:WB\n')).toContain('NPT on Intel');
    expect(wrong('EPT=x:WB\nMTRR=x:WB\n')).toContain('MTRR beside EPT');
  });

  test('names of one line, initial caches, CR0.CD', () => {
    const header = 'Line=x y\nCached=P0:y=2 P1:x\nCD=P1\n';
    const { config } = compileLitmus(
      readTest(litmus(['nop', 'nop'], 'exists (x=1)', { header, init: 'x=1;' })),
    );
    expect(config.lines).toEqual([{ name: 'x', cells: 2, memory: [1, 0] }]);
    expect(config.agents).toMatchObject([
      { core: 'P0', cached: { x: [1, 2] }, cacheDisable: false },
      { core: 'P1', cached: { x: 'clean' }, cacheDisable: true },
    ]);
  });
});

describe('what the machine does not execute is refused at its place', () => {
  test('with a caret', () => {
    expect(refusal(['movl (x),%eax; addl $1,%eax'], 'exists (0:rax=1)')).toBe(
      [
        'error: this needs a number that is known before the test runs',
        '  --> test.litmus:5:2',
        '    5 |  addl $1,%eax ;',
        '      |  ^^^^^^^^^^^^',
        '  help: the machine moves and compares what it loads, it does not compute with it',
      ].join('\n'),
    );
  });

  const wrong: readonly (readonly [string, string])[] = [
    ['cmpxchgl (x),%ecx', 'cmpxchg is not executed'],
    ['incl (x)', 'inc of memory'],
    ['lock xorl $1,(x)', 'lock xor of another number than 0'],
    ['lock incl %eax', 'lock needs memory to lock'],
    ['movl (x),%eax; movl (%rax),%ebx', '%rax holds no known address'],
    ['movl (%rbx),%eax', '%rbx holds no address'],
    [
      'movl (x),%eax; cmpl (y),%eax; je L; L: nop',
      'the machine compares what is loaded with constants only',
    ],
    ['je L; L: nop', 'the flags are not known here'],
    ['jmp M', 'no label "M" in P0'],
    ['L: nop; L: nop', 'the label L is there twice'],
    ['L: lock incl (x); cmpl $3,(y); jne L', 'a loop around a locked addition has no bound'],
    ['movl $-1,(x); movq (x),%rax', 'negative numbers differ between 32 and 64 bits'],
    ['movl $300,(x); movb (x),%al', '300 does not fit into the 8 bits'],
    ['send $1,bell', 'no flag is called bell'],
    ['flush', 'flush is of devices'],
    ['remap (x),EPT=WB', 'the type of x has no parts'],
    ['remap (x),WQ', 'not a memory type, or PAT=, MTRR=, EPT=, NPT=: "WQ"'],
  ];
  for (const [program, message] of wrong) {
    test(program, () => {
      expect(refusal([program], 'exists (0:rax=0)')).toContain(`error: ${message}`);
    });
  }

  const headers: readonly (readonly [string, string])[] = [
    ['Device=P3:GPU snoop', 'there is no thread P3'],
    ['Device=P0:P0 snoop', 'P0 is the name of a thread'],
    ['Cached=P4:x', 'there is no thread P4'],
    ['CD=P4', 'P4 is no core'],
    ['MT=P4.x:WC', 'there is no thread P4'],
    ['Alias=w:u u:x', 'no location is called u'],
    ['Line=x y\nLine=y z', 'y is in a line already'],
  ];
  for (const [header, message] of headers) {
    test(header.replace('\n', ' '), () => {
      const text = refusal(['movl (x),%eax'], 'exists (0:rax=0)', { header: `${header}\n` });
      expect(text).toContain(message);
    });
  }

  test('a device stores, loads and polls only', () => {
    expect(
      refusal(['nop', 'mfence'], 'exists (0:rax=0)', { header: 'Device=P1:GPU snoop\n' }),
    ).toContain('a device has no mfence');
  });

  test('what is asked for has to be there', () => {
    expect(refusal(['nop'], 'exists (1:rax=0)')).toContain('there is no thread P1');
    expect(refusal(['nop'], 'exists (t=1)', { init: 'int t[2];' })).toContain(
      'name an element: t[0]',
    );
    expect(refusal(['nop'], 'exists (0:rax=0)', { init: '3:rax=1;' })).toContain(
      'there is no thread P3',
    );
  });
});

describe('the result', () => {
  const block = (quantifier: string, atom: string): string => {
    const { test: compiled, result } = answer(
      readTest(litmus(['movl $1,(x)', 'movl (x),%eax'], `${quantifier} (${atom})`)),
    );
    return printResult(compiled, result);
  };

  test('exists', () => {
    expect(block('exists', '1:rax=1')).toBe(
      [
        'Test T Allowed',
        'States 2',
        '1:rax=0;',
        '1:rax=1;',
        'Ok',
        'Witnesses',
        'Positive: 1 Negative: 1',
        'Condition exists (1:rax=1)',
        'Observation T Sometimes 1 1',
        '',
      ].join('\n'),
    );
  });

  test('the word is about the proposition inside, Ok and the witnesses about the condition', () => {
    const told = (text: string): readonly string[] =>
      text.split('\n').filter((line) => /^(?:Test|Ok|No|Positive|Observation)/.test(line));
    expect(told(block('~exists', '1:rax=2'))).toEqual([
      'Test T Forbidden',
      'Ok',
      'Positive: 2 Negative: 0',
      'Observation T Never 0 2',
    ]);
    expect(told(block('~exists', '1:rax=1'))).toEqual([
      'Test T Forbidden',
      'No',
      'Positive: 1 Negative: 1',
      'Observation T Sometimes 1 1',
    ]);
    expect(told(block('forall', '1:rax=1 \\/ 1:rax=0'))).toEqual([
      'Test T Required',
      'Ok',
      'Positive: 2 Negative: 0',
      'Observation T Always 2 0',
    ]);
  });

  test('filter drops states', () => {
    expect(
      states(['movl $1,(x)', 'movl (x),%eax'], 'locations [1:rax;] filter (1:rax=1) exists (x=1)'),
    ).toEqual(['1:rax=1; [x]=1;']);
  });
});
