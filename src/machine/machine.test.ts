import { describe, expect, test } from 'vitest';
import { machineOf } from '../../test/programs.ts';
import { InputError } from '../base/diagnostic.ts';
import type { MachineConfig } from './config.ts';
import { type Machine, makeMachine } from './machine.ts';

/** Takes steps whose text begins with these words, in turn. The state after them. */
function walk(machine: Machine, ...texts: readonly string[]): Int32Array {
  const out = new Int32Array(machine.maxSuccessors * machine.words);
  let state = machine.initial.slice();
  for (const text of texts) {
    const n = machine.successors(state, 0, out);
    const steps = Array.from({ length: n }, (_, i) => machine.stepAt(state, 0, i).text);
    const i = steps.findIndex((s) => s.startsWith(text));
    expect(i, `${text}: one of\n${steps.join('\n')}`).toBeGreaterThanOrEqual(0);
    state = out.slice(i * machine.words, (i + 1) * machine.words);
  }
  return state;
}

describe('a state as an object', () => {
  const machine = makeMachine(
    machineOf('x:WB@X x1:WB@X[1] w:WC@W y:WB@Y', {
      P0: 'x=1; nt y=1; w=1; clflushopt x; clwb y; sfence; r0:=nt w',
      P1: 'r0:=x1; send f=1',
      dma: 'await f=1; g:=X; Y=g',
    }),
  );

  test('has at the start what the configuration says', () => {
    expect(machine.read(machine.initial, 0)).toMatchObject({
      memory: { X: [0, 0], W: [0], Y: [0] },
      cores: { P0: { pc: 0, done: false, registers: { r0: 0 }, storeBuffer: [], cache: {} } },
      devices: { dma: { pc: 0, registers: { g: 0 } } },
      flags: { f: 0 },
      pageTable: { x: 'WB', x1: 'WB', w: 'WC', y: 'WB' },
    });
  });

  test('shows every place in which a value can be', () => {
    const state = walk(
      machine,
      'x=1 enters the store buffer',
      'nt y=1 enters',
      'w=1 enters',
      'clflushopt x enters',
      'X[0]=1 goes to the cache',
      'Y=1 (NT) goes to a write-combining buffer',
      'W=1 (WC) goes',
      'clflushopt X is under way',
      'clwb y enters',
      'sfence enters',
    );
    expect(machine.read(state, 0)).toMatchObject({
      memory: { X: [0, 0] },
      coherent: { X: [1, 0] },
      cores: {
        P0: {
          storeBuffer: ['clwb Y', 'sfence'],
          combining: { W: [1], Y: [1] },
          pendingFlushes: { X: ['clflushopt'] },
          cache: { X: { state: 'modified', values: [1, 0] } },
        },
      },
    });
    expect(machine.isDrained(state, 0, 'P0')).toBe(false);
    expect(machine.isDrained(state, 0, 'P1')).toBe(true);
    expect(machine.isFinal(state, 0)).toBe(false);
  });

  test('a step has its rule, its agent, its instruction and sources', () => {
    expect(machine.stepAt(machine.initial, 0, 0)).toMatchObject({
      rule: 'machine/store',
      agent: 'P0',
      text: 'x=1 enters the store buffer',
      instruction: 0,
    });
    expect(machine.stepAt(machine.initial, 0, 0).sources[0]).toContain('Intel SDM');
  });

  test('a load says what it reads, and from where', () => {
    const one = makeMachine(machineOf('x:WB@X', { P0: 'x=2; r0:=x' }));
    const out = new Int32Array(one.maxSuccessors * one.words);
    const state = walk(one, 'x=2 enters');
    expect(one.successors(state, 0, out)).toBe(2);
    expect(one.stepAt(state, 0, 0).text).toBe('r0:=x reads 2 from its store buffer');
    expect(one.outcome(walk(one, 'x=2 enters', 'r0:=x', 'X=2 goes'), 0)).toEqual({ P0: { r0: 2 } });
  });
});

describe('page faults', () => {
  const config: MachineConfig = {
    vendor: 'intel',
    lines: [{ name: 'X', memory: [1] }],
    views: [
      { name: 'x', line: 'X', type: 'absent', mayBecome: ['WB', 'WC'] },
      { name: 'h', line: 'X', type: 'WB' },
    ],
    agents: [
      { core: 'P0', program: [{ op: 'load', to: 'r0', view: 'x' }] },
      { core: 'P1', program: [{ op: 'store', view: 'x', value: 2 }] },
    ],
  };
  const machine = makeMachine(config);
  const out = new Int32Array(machine.maxSuccessors * machine.words);

  test('an access without a mapping waits until somebody maps it', () => {
    expect(machine.successors(machine.initial, 0, out)).toBe(0);
    expect(machine.isFinal(machine.initial, 0)).toBe(false);
    expect(machine.faults(machine.initial, 0)).toEqual([
      { agent: 'P0', view: 'x', access: 'load', instruction: 0 },
      { agent: 'P1', view: 'x', access: 'store', instruction: 0 },
    ]);
    const state = machine.initial.slice();
    machine.poke(state, 0, 'x', 'WC');
    expect(machine.faults(state, 0)).toEqual([]);
    expect(machine.read(state, 0)).toMatchObject({
      pageTable: { x: 'WC' },
      cores: { P0: { tlb: { x: 'absent' } } },
    });
    const n = machine.successors(state, 0, out);
    expect(Array.from({ length: n }, (_, i) => machine.stepAt(state, 0, i).text)).toEqual([
      'the TLB takes x as WC',
      'the TLB takes x as WC',
    ]);
  });

  test('an old type stays in the TLB until it is flushed', () => {
    const state = machine.initial.slice();
    machine.poke(state, 0, 'x', 'WB');
    machine.flushTlb(state, 0, 'P0');
    machine.poke(state, 0, 'x', 'absent');
    expect(machine.read(state, 0).cores['P0']?.tlb).toEqual({ x: 'WB' });
    expect(machine.faults(state, 0).map((f) => f.agent)).toEqual(['P1']);
    machine.flushTlb(state, 0, 'P0', 'x');
    expect(machine.faults(state, 0).map((f) => f.agent)).toEqual(['P0', 'P1']);
  });

  test('memory can be written from outside', () => {
    const state = machine.initial.slice();
    machine.pokeMemory(state, 0, 'X', 0, 2);
    expect(machine.read(state, 0).memory).toEqual({ X: [2] });
  });

  test.each([
    ['no view is called z', (s: Int32Array) => machine.poke(s, 0, 'z', 'WB')],
    ['view x cannot become UC', (s: Int32Array) => machine.poke(s, 0, 'x', 'UC')],
    ['view h cannot become WC', (s: Int32Array) => machine.poke(s, 0, 'h', 'WC')],
    ['no core is called P7', (s: Int32Array) => machine.flushTlb(s, 0, 'P7')],
    ['no line X with a cell 1', (s: Int32Array) => machine.pokeMemory(s, 0, 'X', 1, 0)],
    ['X: 9 does not fit', (s: Int32Array) => machine.pokeMemory(s, 0, 'X', 0, 9)],
  ])('%s', (message, act) => {
    expect(() => act(machine.initial.slice())).toThrow(InputError);
    expect(() => act(machine.initial.slice())).toThrow(message);
  });
});

describe('a wrong configuration is refused with the place', () => {
  const views = 'x:WB@X y:WB@Y';
  const base = machineOf(views, { P0: 'x=1', dma: 'r0:=X' });
  const cached = (held: Readonly<Record<string, 'clean' | readonly number[]>>) => ({
    core: 'P0',
    program: [],
    cached: held,
  });
  test.each<[string, MachineConfig]>([
    ['P0: no view is called z', machineOf(views, { P0: 'z=1' })],
    ['dma, instruction 0: no line is called Z', machineOf(views, { dma: 'r0:=Z' })],
    ['dma, instruction 0: X has no cell 2', machineOf(views, { dma: 'r0:=X[2]' })],
    ['view q: no line is called Q', { ...base, views: [{ name: 'q', line: 'Q', type: 'WB' }] }],
    [
      'view q: X has no cell 3',
      { ...base, views: [{ name: 'q', line: 'X', cell: 3, type: 'WB' }] },
    ],
    ['two views are called x', { ...base, views: [...base.views, ...base.views] }],
    ['two lines are called X', { ...base, lines: [{ name: 'X' }, { name: 'X' }, { name: 'Y' }] }],
    ['two agents are called P0', { ...base, agents: [...base.agents, ...base.agents] }],
    ['P0, instruction 0: a jump to 9', machineOf(views, { P0: 'if r0=0 goto 9' })],
    ['the value 3 does not fit', machineOf(views, { P0: 'x=3' }, { values: 2 })],
    ['storeBuffer: at least 1', machineOf(views, { P0: 'x=1' }, { storeBuffer: 0 })],
    ['line X: more values than cells', { ...base, lines: [{ name: 'X', memory: [1, 2] }] }],
    ['P0, its cache: no line is called Q', { ...base, agents: [cached({ Q: 'clean' })] }],
    ['P0: a modified copy of X has 1 values', { ...base, agents: [cached({ X: [1, 2] })] }],
    [
      'P0: a modified copy of X is the only one',
      { ...base, agents: [cached({ X: [1] }), { ...cached({ X: 'clean' }), core: 'P1' }] },
    ],
  ])('%s', (message, config) => {
    expect(() => makeMachine(config)).toThrow(InputError);
    expect(() => makeMachine(config)).toThrow(message);
  });
});

test('where code cannot be made from text the interpreter does the work', () => {
  const config = machineOf('x:WB@X', { P0: 'x=1' });
  const real = globalThis.Function;
  const forbidden = function Forbidden() {
    throw new EvalError('code generation from strings disallowed');
  };
  try {
    globalThis.Function = forbidden as unknown as FunctionConstructor;
    expect(makeMachine(config).engine).toBe('interpreted');
  } finally {
    globalThis.Function = real;
  }
  expect(makeMachine(config).engine).toBe('generated');
});
