import { readFileSync } from 'node:fs';
import type {
  AgentConfig,
  CoreInstruction,
  DeviceInstruction,
  LineConfig,
  MachineConfig,
  ViewConfig,
} from '../src/machine/config.ts';
import type { Machine } from '../src/machine/machine.ts';
import type { SwitchName } from '../src/machine/switches.ts';
import type { AccessType } from '../src/machine/types.ts';

type Operation = readonly [string, ...(string | number)[]];
type Cfg = Readonly<Partial<Record<SwitchName, boolean>>>;

export interface LitmusTest {
  readonly id: string;
  readonly name: string;
  readonly authority: string;
  /** View, or `P0.view`: `type@line`. */
  readonly maps: Readonly<Record<string, string>>;
  readonly threads: Readonly<Record<string, readonly Operation[]>>;
  readonly devices?: Readonly<Record<string, { readonly snoop: boolean }>>;
  readonly cacheInit?: Readonly<
    Record<string, Readonly<Record<string, readonly ['C' | 'M', number]>>>
  >;
  readonly cd?: Readonly<Record<string, number>>;
  readonly cfg?: Cfg;
  readonly exists: string;
  readonly expect: readonly {
    readonly cfg: Cfg;
    readonly verdict: 'allowed' | 'forbidden';
    readonly states?: number;
    readonly outcomes?: number;
  }[];
}

/** The tests of the catalogue that are executed; family F is described in words only. */
export function catalogue(): readonly LitmusTest[] {
  const file = new URL('../src/machine/fixtures/catalogue.json', import.meta.url);
  const tests = JSON.parse(readFileSync(file, 'utf8')) as (LitmusTest & { described?: string })[];
  return tests.filter((t) => t.described === undefined);
}

function coreInstruction([op, a, b, c]: Operation): CoreInstruction {
  const name = String(a);
  switch (op) {
    case 'st':
      return { op: 'store', view: name, value: Number(b) };
    case 'nt':
      return { op: 'nt-store', view: name, value: Number(b) };
    case 'ld':
      return { op: 'load', to: name, view: String(b) };
    case 'ntld':
      return { op: 'movntdqa', to: name, view: String(b) };
    case 'wait':
      return { op: 'poll', view: name, value: Number(b) };
    case 'xchg':
      return { op: 'xchg', to: name, view: String(b), value: Number(c) };
    case 'clflush':
    case 'clflushopt':
    case 'clwb':
    case 'invlpg':
      return { op, view: name };
    case 'remap':
      return { op, view: name, type: b as AccessType };
    case 'setcd':
      return { op: 'set-cd', value: a === 1 ? 1 : 0 };
    case 'serialize':
      return { op: 'cpuid' };
    case 'wbinvd_all':
      return { op: 'wbinvd-all' };
    case 'mfence':
    case 'sfence':
    case 'lfence':
    case 'wbinvd':
    case 'invd':
      return { op };
    default:
      throw new Error(`no such operation: ${op}`);
  }
}

function deviceInstruction([op, a, b]: Operation): DeviceInstruction {
  switch (op) {
    case 'rd':
      return { op: 'load', to: String(a), line: String(b) };
    case 'wr':
      return { op: 'store', line: String(a), value: Number(b) };
    case 'wait':
      return { op: 'poll', line: String(a), value: Number(b) };
    default:
      throw new Error(`no such operation of a device: ${op}`);
  }
}

/** A test of the catalogue as a machine. Lines are those of its views. */
export function configOf(test: LitmusTest, cfg: Cfg): MachineConfig {
  const { amdCD, ...switches } = { ...test.cfg, ...cfg };
  const views = Object.entries(test.maps).map(([key, mapped]): ViewConfig => {
    const [type, line = ''] = mapped.split('@');
    const [core, name] = key.includes('.') ? key.split('.') : [undefined, key];
    return {
      name: name ?? '',
      line,
      type: type as AccessType,
      ...(core === undefined ? {} : { core }),
    };
  });
  const lines: LineConfig[] = [...new Set(views.map((v) => v.line))].map((name) => ({ name }));
  const agents = Object.entries(test.threads).map(([name, program]): AgentConfig => {
    if (!name.startsWith('P'))
      return {
        device: name,
        snoop: test.devices?.[name]?.snoop ?? true,
        program: program.map(deviceInstruction),
      };
    const cached = Object.entries(test.cacheInit?.[name] ?? {}).map(
      ([line, [state, value]]) => [line, state === 'C' ? 'clean' : [value]] as const,
    );
    return {
      core: name,
      program: program.map(coreInstruction),
      cacheDisable: test.cd?.[name] === 1,
      cached: Object.fromEntries(cached),
    };
  });
  return { vendor: amdCD ? 'amd' : 'intel', lines, views, agents, switches };
}

// ---- search -------------------------------------------------------------------------------------

/** Every state that can be reached, breadth first, as long as there are at most `limit`. */
export function reachable(
  machine: Machine,
  limit = 2_000_000,
): { readonly states: readonly Int32Array[]; readonly transitions: number } {
  const { words } = machine;
  const out = new Int32Array(machine.maxSuccessors * words);
  const seen = new Set([machine.initial.join()]);
  const states = [machine.initial];
  let transitions = 0;
  for (const state of states) {
    const n = machine.successors(state, 0, out);
    transitions += n;
    for (let i = 0; i < n; i++) {
      const next = out.slice(i * words, (i + 1) * words);
      const key = next.join();
      if (seen.has(key)) continue;
      if (states.length >= limit) throw new Error(`more than ${limit} states`);
      seen.add(key);
      states.push(next);
    }
  }
  return { states, transitions };
}

/** `P0:r0=1 P1:r1=0 mem:X=1 co:X=1` of a state. */
function outcomeText(machine: Machine, state: Int32Array, withMemory: boolean): string {
  const { cores, devices, memory, coherent } = machine.read(state, 0);
  const registers = [...Object.entries(cores), ...Object.entries(devices)].flatMap(([agent, a]) =>
    Object.entries(a.registers).map(([r, v]) => `${agent}:${r}=${v}`),
  );
  const lines = (kind: string, of: Readonly<Record<string, readonly number[]>>) =>
    Object.entries(of).flatMap(([line, values]) =>
      values.map((v, c) => `${kind}:${line}${values.length > 1 ? `[${c}]` : ''}=${v}`),
    );
  return [...registers, ...(withMemory ? lines('mem', memory) : []), ...lines('co', coherent)].join(
    ' ',
  );
}

/** All outcomes at the end of a machine, sorted, with the number of its states. */
export function outcomes(
  machine: Machine,
  withMemory = true,
): { readonly set: readonly string[]; readonly states: number; readonly transitions: number } {
  const { states, transitions } = reachable(machine);
  const finals = states.filter((s) => machine.isFinal(s, 0));
  const set = new Set(finals.map((s) => outcomeText(machine, s, withMemory)));
  return { set: [...set].sort(), states: states.length, transitions };
}

/** Whether some outcome has every part of a condition: `P0:r0=0 & co:X=1`. */
export function isPossible(set: readonly string[], condition: string): boolean {
  const parts = condition.split('&').map((p) => p.trim());
  return set.some((outcome) => {
    const have = new Set(outcome.split(' '));
    return parts.every((p) => have.has(p));
  });
}
