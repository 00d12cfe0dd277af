import fc from 'fast-check';
import type { MachineConfig } from '../src/machine/config.ts';
import { SWITCH_NAMES } from '../src/machine/switches.ts';
import { ACCESS_TYPES } from '../src/machine/types.ts';
import { machineOf } from './programs.ts';

const VIEWS = ['x', 'x1', 'w', 'y'];

const view = fc.constantFrom(...VIEWS);
const value = fc.constantFrom('1', '2');
const register = fc.constantFrom('r0', 'r1');

const shared = [
  fc.tuple(view, value).map(([v, n]) => `${v}=${n}`),
  fc.tuple(view, value).map(([v, n]) => `nt ${v}=${n}`),
  fc.tuple(register, view).map(([r, v]) => `${r}:=${v}`),
  fc.tuple(register, view).map(([r, v]) => `${r}:=nt ${v}`),
  fc.tuple(view, value, register).map(([v, n, r]) => `xchg ${v},${n}->${r}`),
  fc.constantFrom('mfence', 'sfence', 'lfence', 'cpuid'),
];

/** Accesses and fences. */
const plain = fc.oneof(...shared);

/** Everything that a core can do. */
const any = fc.oneof(
  ...shared,
  fc.tuple(view, register).map(([v, r]) => `${v}=${r}`),
  fc.tuple(view, register).map(([v, r]) => `add ${v},1->${r}`),
  fc.tuple(view, value).map(([v, n]) => `wait ${v}=${n}`),
  fc
    .tuple(fc.constantFrom('clflush', 'clflushopt', 'clwb', 'invlpg', 'invlpg-all'), view)
    .map(([op, v]) => `${op} ${v}`),
  fc.tuple(view, fc.constantFrom(...ACCESS_TYPES)).map(([v, t]) => `remap ${v} ${t}`),
  fc.constantFrom('cd=1', 'cd=0', 'wbinvd', 'wbinvd-all', 'invd', 'vmexit'),
  fc.constantFrom('send f=1', 'send! f=1', 'await f=1', 'if r0=1 goto 0'),
);

const device = fc.constantFrom(
  'r0:=X; X[1]=2',
  'wait X=1; r0:=Y',
  'X[1]=1; flush; r0:=X',
  'r0:=X; Y=r0; send f=1',
);

const type = fc.constantFrom(...ACCESS_TYPES);

function text(steps: readonly string[]): string {
  return steps.join('; ');
}

/** Configurations with two cores and a device, aliases, two cells in a line, every switch and both vendors. */
export const anyMachine: fc.Arbitrary<MachineConfig> = fc
  .record({
    types: fc.tuple(type, type, type, type),
    p0: fc.array(any, { minLength: 1, maxLength: 4 }),
    p1: fc.array(any, { maxLength: 3 }),
    device: fc.option(device),
    snoop: fc.boolean(),
    cache: fc.boolean(),
    vendor: fc.constantFrom('intel' as const, 'amd' as const),
    on: fc.subarray([...SWITCH_NAMES]),
  })
  .map((r) => {
    const config = machineOf(
      `x:${r.types[0]}@X x1:${r.types[1]}@X[1] w:${r.types[2]}@X y:${r.types[3]}@Y`,
      {
        P0: text(r.p0),
        P1: text(r.p1),
        ...(r.device === null ? {} : { [r.snoop ? 'snoop' : 'dma']: r.device }),
      },
      {
        vendor: r.vendor,
        values: 3,
        storeBuffer: 3,
        combiningBuffers: 1,
        switches: Object.fromEntries(SWITCH_NAMES.map((s) => [s, r.on.includes(s)])),
      },
    );
    return {
      ...config,
      agents: config.agents.map((a) => ('device' in a ? { ...a, cache: r.cache } : a)),
    };
  });

/** Small configurations whose whole state space is quickly searched: accesses and fences, one cell a line. */
export const smallMachine: fc.Arbitrary<MachineConfig> = fc
  .record({
    types: fc.tuple(type, type),
    alias: fc.option(type),
    p0: fc.array(plain, { minLength: 1, maxLength: 3 }),
    p1: fc.array(plain, { minLength: 1, maxLength: 2 }),
  })
  .map((r) => {
    const alias = r.alias ?? r.types[0];
    const steps = (of: readonly string[]): string => text(of).replaceAll('x1', 'x');
    return machineOf(
      `x:${r.types[0]}@X w:${alias}@X y:${r.types[1]}@Y`,
      { P0: steps(r.p0), P1: steps(r.p1) },
      { values: 3 },
    );
  });
