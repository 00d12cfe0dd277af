import { describe, expect, test } from 'vitest';
import { readTest } from '../../test/litmus-files.ts';
import { renderDiagnostic } from '../base/diagnostic.ts';
import { parseLitmus } from './parse.ts';
import { printProposition } from './print-parts.ts';

function problems(text: string): string {
  const { problems: found } = parseLitmus(text, 'a.litmus');
  return found.map(renderDiagnostic).join('\n');
}

/** A test of one thread with this in its cell. */
function cell(text: string): string {
  return `X86_64 T\n{}\n P0 ;\n ${text} ;\nexists (0:rax=0)\n`;
}

function header(line: string): string {
  return `X86_64 T\n${line}\n{}\n P0 ;\n movl (x),%eax ;\nexists (0:rax=0)\n`;
}

describe('what herd7 reads', () => {
  test('the head: text on the next line, keys of others, comments', () => {
    const litmus = readTest(
      'X86_64 SB+mfences\n"MFencedWR Fre"\nCycle=MFencedWR Fre\n(* two\nlines *)\nmt=x:UC, y : WC\n{}\n' +
        ' P0 ;\n mfence ;\nexists (0:rax=0)\n',
    );
    expect(litmus.name).toBe('SB+mfences');
    expect(litmus.doc).toBe('MFencedWR Fre');
    expect(litmus.header.map((line) => line.key)).toEqual(['Cycle', 'mt']);
    expect(litmus.setup.views.map((v) => [v.view.name, v.type])).toEqual([
      ['x', 'UC'],
      ['y', 'WC'],
    ]);
  });

  test('a test called -- has the name of its file', () => {
    const text = cell('mfence').replace('X86_64 T', 'X86_64 --');
    expect(readTest(text, 'some/where/MP.litmus').name).toBe('MP');
  });

  test('initial states: types, pointers, arrays, registers', () => {
    const { init } = readTest(
      'X86_64 T\n{ x=1; uint32_t y; [z]=0x10; int t[2]={1,-1}; int *p=&x; 0:rax=x; P0:rbx=2; uint64_t 0:rcx; }\n' +
        ' P0 ;\n mfence ;\nexists (0:rax=x)\n',
    );
    const shown = init.map(({ location, type, length, values }) => {
      const name = location.kind === 'symbol' ? location.name : `0:${location.register.name}`;
      return [name, type, length, ...values];
    });
    expect(shown).toEqual([
      ['x', null, null, 1],
      ['y', 'uint32_t', null, 0],
      ['z', null, null, 16],
      ['t', 'int', 2, 1, -1],
      ['p', 'int*', null, { symbol: 'x', offset: 0 }],
      ['0:rax', null, null, { symbol: 'x', offset: 0 }],
      ['0:rbx', null, null, 2],
      ['0:rcx', 'uint64_t', null, 0],
    ]);
  });

  test('instructions in both cases, numbers without $, brackets, names without %', () => {
    const { threads } = readTest(
      'X86_64 T\n{ 0:rbx=x; 0:rcx=0; }\nP0;\n MOVL 1,[x];\n L0: movl 4(%rbx,%rcx,8),eax;\n lock; incl (x);\n' +
        ' nopw %cs:0(%rax,%rax,1);\n movd %xmm0,%eax;\n je L0;\n ret;\nforall true\n',
    );
    const shown = threads[0]?.lines.map(({ labels, instruction: i }) => [
      ...labels,
      i?.locked,
      i?.mnemonic,
      i?.bits,
    ]);
    expect(shown).toEqual([
      [false, 'mov', 32],
      ['L0', false, 'mov', 32],
      [true, 'inc', 32],
      [false, 'nop', 16],
      [false, 'mov', 32],
      [false, 'je', null],
      [false, 'ret', null],
    ]);
  });

  test('conditions: => binds tighter than /\\ and \\/', () => {
    const shown = (text: string): string => {
      const { condition } = readTest(`X86_64 T\n{}\n P0 ;\n mfence ;\n${text}\n`);
      return `${condition.quantifier} ${printProposition(condition.proposition)}`;
    };
    expect(shown('~exists (x=1 /\\ [y]=2 => 0:rax!=3)')).toBe(
      '~exists [x]=1 /\\ ([y]=2 => not (0:rax=3))',
    );
    expect(shown('forall x=1 \\/ y=1 /\\ z=1')).toBe('forall [x]=1 \\/ [y]=1 /\\ [z]=1');
    expect(shown('final not (x=1) /\\ true;')).toBe('exists not ([x]=1) /\\ true');
    expect(shown('locations [x;] ([x]=[y] /\\ 0:rax=0:rbx /\\ 0:rax=y)')).toBe(
      'exists [x]=[y] /\\ 0:rax=0:rbx /\\ 0:rax=y',
    );
    expect(shown('')).toBe('forall true');
  });

  test('locations and filter', () => {
    const litmus = readTest(
      'X86_64 T\n{}\n P0 ;\n mfence ;\nlocations [x; 0:rax; y int*;]\nfilter (0:rbx=1)\nexists (x=1)\n',
    );
    expect(litmus.locations.map((l) => l.kind)).toEqual(['cell', 'register', 'cell']);
    expect(litmus.filter).not.toBeNull();
  });
});

describe('what is wrong has its place', () => {
  test('an instruction that nobody knows', () => {
    expect(problems(cell('movl (x),%eax ;\n frob (x)'))).toBe(
      [
        'error: unknown instruction "frob", found "frob"',
        '  --> a.litmus:5:2',
        '    5 |  frob (x) ;',
        '      |  ^^^^',
        '  help: accepted are mov add xor or cmp and shl movnti movntdqa inc dec setnb xchg uxch cmpxchg cmovc jmp je jne jle jlt jge jgt js jns ret nop endbr64 mfence sfence lfence clflush clflushopt clwb invlpg cpuid wbinvd wbinvd_all invd vmexit flush setcd poll send await remap xadd',
      ].join('\n'),
    );
  });

  test('every cell is read for its own', () => {
    const text =
      'X86_64 T\nMT=x:WD\n{}\n P0 | P1 ;\n foo | movl $1 ;\n bar | mfence ;\nexist (x=1)\n';
    const messages = parseLitmus(text, 'a').problems.map((p) => [p.place?.line, p.place?.column]);
    expect(messages).toEqual([
      [2, 4],
      [5, 2],
      [5, 16],
      [6, 2],
      [7, 1],
    ]);
  });

  const wrong: readonly (readonly [string, string, string])[] = [
    ['another architecture', 'AArch64 T\n{}\n', 'a test for AArch64'],
    ['no test', 'hello\n', 'no litmus test'],
    ['no braces', 'X86_64 T\nP0 ;\n', 'no initial state'],
    ['braces that stay open', 'X86_64 T\n{ x=1;\n', 'this brace is not closed'],
    ['a comment that stays open', cell('mfence (* here'), 'this comment does not end'],
    ['threads out of order', cell('mfence').replace('P0 ;', 'P1 ;'), 'expected P0'],
    ['a row too long', cell('mfence | mfence'), '2 cells, but 1 threads'],
    ['hexadecimal immediates', cell('movl $0x10,%eax'), 'expected "," , found "x10"'],
    ['the order of cmpxchg', cell('cmpxchgl %ecx,(x)'), 'expected a register'],
    ['lock where none can be', cell('lock movl $1,(x)'), '"movl" takes no lock'],
    ['xadd without lock', cell('xaddl %eax,(x)'), 'read with lock only'],
    ['two operands in a place of one', cell('mfence (x)'), 'expected "|" or ";"'],
    ['displacements of names', cell('movl 4(x),%eax'), 'a displacement needs a register'],
    ['halves of registers', header('').replace('0:rax', '0:eax'), 'no 64-bit register'],
    ['an unknown type', header('').replace('{}', '{ word x; }'), 'unknown type'],
    [
      'page tables',
      header('').replace('{}', '{ [PTE(x)]=1; }'),
      'page tables are not written here',
    ],
    ['arrays without a type', header('').replace('{}', '{ t[2]={1,2}; }'), 'an array needs a type'],
    ['observed', header('').replace('exists', 'observed'), 'observed is not read'],
    ['faults', header('').replace('0:rax=0', 'fault(P0)'), 'faults are not asked for'],
    ['a type that is none', header('MT=x:UCX'), 'not a memory type: "UCX"'],
    ['UC- as the type of an access', header('MT=x:UC-'), 'UC- is what a PAT says'],
    ['MT twice', header('MT=x:UC\nMemoryType=y:UC'), 'MemoryType is said twice'],
    ['a word alone', header('MT=x'), '"x" is no pair'],
    ['a device that may snoop or not', header('Device=P0:GPU'), 'does it snoop'],
    ['a switch that is none', header('Expect=Never bus=off'), 'no switch: "bus"'],
    ['a switch half on', header('specFill=maybe'), 'not a position of a switch'],
  ];
  for (const [what, text, message] of wrong) {
    test(what, () => {
      const { value, problems: found } = parseLitmus(text, 'a.litmus');
      expect(value).toBeNull();
      expect(found.some((p) => p.severity === 'error' && p.place !== undefined)).toBe(true);
      expect(found.map((p) => p.message).join('\n')).toContain(message.replace(' ,', ','));
    });
  }

  test('what herd7 skips in silence is said', () => {
    const warned = (line: string): readonly string[] => {
      const { value, problems: found } = parseLitmus(header(line), 'a.litmus');
      expect(value).not.toBeNull();
      return found.map((p) => p.message);
    };
    expect(warned(' MT=x:UC')).toEqual(['herd7 skips this line']);
    expect(warned('Colour=red')).toEqual(['unknown key "Colour"']);
    expect(warned('(* MT=x:UC *)')).toEqual([]);
    const { problems: found } = parseLitmus(`${cell('mfence')}<<\nmore`, 'a.litmus');
    expect(found.map((p) => p.message)).toEqual(['herd7 reads nothing from "<<" on']);
  });
});
