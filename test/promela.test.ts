import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileLitmus } from '../src/litmus/compile.ts';
import { promelaOf } from '../src/litmus/promela.ts';
import { printOutcome } from '../src/litmus/result.ts';
import type { LitmusTest } from '../src/litmus/test.ts';
import { constant, less, lookup, plus, set, YES } from '../src/machine/language/expression.ts';
import { promelaSource } from '../src/machine/language/promela.ts';
import { SystemBuilder } from '../src/machine/language/system.ts';
import { makeMachine } from '../src/machine/machine.ts';
import type { Switches } from '../src/machine/switches.ts';
import { reachable } from './litmus.ts';
import { litmusText as litmusFile, litmusNames, readTest } from './litmus-files.ts';
import { anyProgram, litmusText } from './random-litmus.ts';
import { anyVariant, fitting } from './twin.ts';

function whyNoSpin(): string | null {
  const missing = ['spin', 'gcc'].filter((tool) => {
    const { error } = spawnSync(tool, [tool === 'spin' ? '-V' : '--version']);
    return error !== undefined;
  });
  return missing.length === 0 ? null : `no ${missing.join(', no ')} on the PATH`;
}

function run(folder: string, command: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) throw error;
  expect(stderr).toBe('');
  return stdout;
}

interface Counted {
  readonly states: number;
  readonly transitions: number;
  /** Sorted, each once. */
  readonly outcomes: readonly string[];
}

function spin(model: string, ...options: readonly string[]): Counted & { readonly errors: number } {
  const folder = mkdtempSync(join(tmpdir(), 'spin-'));
  try {
    writeFileSync(join(folder, 'model.pml'), model);
    run(folder, 'spin', ['-a', '-o2', ...options, 'model.pml']);
    run(folder, 'gcc', ['-w', '-DSAFETY', '-DNOREDUCE', '-DPRINTF', '-o', 'pan', 'pan.c']);
    const said = run(folder, './pan', ['-m100000']);
    const number = (what: RegExp): number => Number(what.exec(said)?.[1] ?? Number.NaN);
    expect(said).not.toContain('search depth too small');
    const printed = [...said.matchAll(/outcome: (.*)$/gm)].map(([, text = '']) => text.trim());
    return {
      states: number(/^\s*(\d+) states, stored/m),
      transitions: number(/^\s*(\d+) transitions/m),
      errors: number(/errors: (\d+)/),
      outcomes: [...new Set(printed)].sort(),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same by our own search. SPIN counts its arrival in the initial state, and the model prints in final ones. */
function ours(litmus: LitmusTest, switches: Partial<Switches>): Counted {
  const compiled = compileLitmus(litmus, switches);
  const machine = makeMachine(compiled.config);
  const { states, transitions } = reachable(machine);
  const shown = states
    .filter((state) => machine.isFinal(state, 0))
    .flatMap((state) => {
      const outcome = compiled.observe(machine, state, 0);
      return outcome === null ? [] : [printOutcome(compiled, outcome)];
    });
  return {
    states: states.length,
    transitions: 1 + transitions + shown.length,
    outcomes: [...new Set(shown)].sort(),
  };
}

function agree(litmus: LitmusTest, switches: Partial<Switches> = {}): number {
  const { errors, ...counted } = spin(promelaOf(compileLitmus(litmus, switches)));
  expect([litmus.name, errors, counted]).toEqual([litmus.name, 0, ours(litmus, switches)]);
  return counted.states;
}

/** Types, aliases, partial lines, flushes, devices, CR0.CD, remapping. All of litmus/: SPIN_TESTS=all. */
const TESTS: readonly (readonly [string, Partial<Switches>])[] =
  process.env['SPIN_TESTS'] === 'all'
    ? litmusNames().map((name) => [name, {}])
    : [
        ['SB', {}],
        ['2+2W+NT', { ntPassesOlder: true, wcReopens: true }],
        ['MP+NT-sfence-UC+cached+nosnoop', { ntInPlace: true }],
        ['MP+WC-alias-sfence+WB-cached', { specFill: true }],
        ['MP+WC-line+nosnoop', {}],
        ['MP+WB-clflushopt-UC+nosnoop', {}],
        ['DMA+nosnoop+CD-WB-cached', {}],
        ['CoWW+WB-remapWC-clflush-WC', {}],
      ];

const missing = whyNoSpin();

describe.skipIf(missing !== null)(`SPIN on our models${missing ? `: ${missing}` : ''}`, () => {
  test.each(TESTS)(
    '%s with %o: as many states and transitions, the same outcomes',
    (name, given) => {
      agree(readTest(litmusFile(name)), given);
    },
  );

  test('random programs', () => {
    const drawn = fc.sample(
      fc.tuple(anyProgram({ threads: 3, steps: 3, lines: 2 }), anyVariant),
      Number(process.env['SPIN_PROGRAMS'] ?? 6),
    );
    for (const [p, v] of drawn) agree(readTest(litmusText(p, fitting(p, v))));
  }, 300_000);

  test('tables of any size', () => {
    const builder = new SystemBuilder();
    const tables = [1, 2, 7, 300].map((top) =>
      Array.from({ length: 70 }, (_, i) => (i * i + (i % 3)) % (top + 1)),
    );
    const index = builder.variable('index', 70);
    const held = tables.map((table, i) =>
      builder.variable(`held[${i}]`, Math.max(...table) + 1, table[0]),
    );
    const [step] = makeMachine(compileLitmus(readTest(litmusFile('SB'))).config).system.commands;
    if (step === undefined) throw new Error('SB has no command');
    const next = plus(index, constant(1));
    builder.command({
      ...step,
      guard: [less(index, 69)],
      effect: [
        ...set(index, next),
        ...tables.flatMap((table, i) => set(held[i] ?? index, lookup(table, index))),
      ],
    });
    const shown = [index, ...held];
    const model = promelaSource(builder.system, [
      {
        when: YES,
        say: (term) => [
          `printf("outcome: ${shown.map(() => '%d').join(' ')}\\n", ${shown.map(term).join(', ')})`,
        ],
      },
    ]);
    const rows = tables[0]?.map((_, i) => [i, ...tables.map((table) => table[i])].join(' '));
    expect(spin(model).outcomes).toEqual(rows?.sort());
  });

  test('values that do not stand for themselves are printed as they are', () => {
    const text = `X86_64 values
{ x=-7; 0:rax=y; }
 P0            | P1            ;
 movq %rax,(x) | movq (x),%rbx ;
locations [1:rbx; 0:rax;]
exists (1:rbx=y)
`;
    agree(readTest(text));
  });

  test('with -DFIND a path to the condition is an error, and only then', () => {
    for (const [name, errors] of [
      ['SB', 1],
      ['SB+mfences', 0],
    ] as const)
      expect(spin(promelaOf(compileLitmus(readTest(litmusFile(name)))), '-DFIND').errors).toBe(
        errors,
      );
  });
});

test('a model is text for people too', () => {
  const model = promelaOf(compileLitmus(readTest(litmusFile('SB'))));
  expect(model).toContain('exists (');
  expect(model).toContain('/* P0: x=1 enters the store buffer (machine/store) */');
  expect(model.split('\n').filter((line) => line.startsWith('unsigned ')).length).toBeGreaterThan(
    8,
  );
});
