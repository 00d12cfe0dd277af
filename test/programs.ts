import type {
  AgentConfig,
  CoreInstruction,
  DeviceInstruction,
  MachineConfig,
  Operand,
  PageType,
  ViewConfig,
} from '../src/machine/config.ts';

/** `x=1`, `x=r0`: what stands behind the sign is a register when it begins with a letter. */
function operand(text: string): Operand {
  return /^\d+$/.test(text) ? Number(text) : { register: text };
}

const SHAPES: readonly (readonly [RegExp, (...m: string[]) => CoreInstruction])[] = [
  [/^(mfence|sfence|lfence|cpuid|vmexit)$/, (op) => ({ op: op as 'mfence' })],
  [/^(wbinvd|wbinvd-all|invd)$/, (op) => ({ op: op as 'wbinvd' })],
  [
    /^(clflush|clflushopt|clwb|invlpg|invlpg-all) (\S+)$/,
    (op, view) => ({ op: op as 'clflush', view }),
  ],
  [/^remap (\S+) (\S+)$/, (view, type) => ({ op: 'remap', view, type: type as PageType })],
  [/^cd=([01])$/, (v) => ({ op: 'set-cd', value: v === '1' ? 1 : 0 })],
  [/^wait (\S+)=(\d+)$/, (view, v) => ({ op: 'poll', view, value: Number(v) })],
  [/^nt (\S+)=(\w+)$/, (view, v) => ({ op: 'nt-store', view, value: operand(v) })],
  [/^(\w+):=nt (\S+)$/, (to, view) => ({ op: 'movntdqa', to, view })],
  [/^(\w+):=(\S+)$/, (to, view) => ({ op: 'load', to, view })],
  [/^xchg (\S+),(\w+)->(\w+)$/, (view, v, to) => ({ op: 'xchg', view, value: operand(v), to })],
  [/^add (\S+),(\d+)->(\w+)$/, (view, v, to) => ({ op: 'lock-add', view, value: Number(v), to })],
  [
    /^(send|await)(!?) (\w+)=(\d+)$/,
    (op, hard, flag, v) => ({
      op: op as 'send',
      flag,
      value: Number(v),
      serialises: hard === '!',
    }),
  ],
  [
    /^if (\w+)=(\d+) goto (\d+)$/,
    (register, v, to) => ({ op: 'branch', register, value: Number(v), to: Number(to) }),
  ],
  [/^(\S+)=(\w+)$/, (view, v) => ({ op: 'store', view, value: operand(v) })],
];

/** A program as the catalogue writes it: `x=1; sfence; r0:=y; xchg x,1->r1`. */
export function program(text: string): readonly CoreInstruction[] {
  return text
    .split(';')
    .map((t) => t.trim())
    .filter((t) => t !== '')
    .map((t) => {
      for (const [shape, make] of SHAPES) {
        const match = shape.exec(t);
        if (match !== null) return make(...match.slice(1));
      }
      throw new Error(`no instruction: ${t}`);
    });
}

/** The same for a device, which names lines: `r0:=X`, `X[1]=2`, `flush`. */
export function deviceProgram(text: string): readonly DeviceInstruction[] {
  const place = (name: string) => {
    const [, line = name, cell = '0'] = /^(\w+)\[(\d+)\]$/.exec(name) ?? [];
    return { line, cell: Number(cell) };
  };
  return text
    .split(';')
    .map((t) => t.trim())
    .filter((t) => t !== '')
    .map((t): DeviceInstruction => {
      if (t === 'flush') return { op: 'flush' };
      const [i] = program(t);
      if (i?.op === 'load') return { op: 'load', to: i.to, ...place(i.view) };
      if (i?.op === 'poll') return { op: 'poll', value: i.value, ...place(i.view) };
      if (i?.op === 'store') return { op: 'store', value: i.value, ...place(i.view) };
      if (i?.op === 'branch' || i?.op === 'send' || i?.op === 'await') return i;
      throw new Error(`no instruction of a device: ${t}`);
    });
}

/**
 * A machine in few words. Views: `x:WB@X x1:WB@X[1] P0.w:WC@X`; lines have as many cells as views name. Agents:
 * `P...` is a core, `snoop...` a device that snoops, every other name one that does not.
 */
export function machineOf(
  views: string,
  programs: Readonly<Record<string, string>>,
  more: Partial<MachineConfig> = {},
): MachineConfig {
  const mapped = views.split(' ').map((text): ViewConfig => {
    const [, core, name = '', type = '', line = '', cell] =
      /^(?:(\w+)\.)?(\w+):([^@]+)@(\w+)(?:\[(\d+)\])?$/.exec(text) ?? [];
    return {
      name,
      line,
      type: type as PageType,
      ...(core === undefined ? {} : { core }),
      ...(cell === undefined ? {} : { cell: Number(cell) }),
    };
  });
  const names = [...new Set(mapped.map((v) => v.line))];
  return {
    vendor: 'intel',
    lines: names.map((name) => ({
      name,
      cells: 1 + Math.max(...mapped.map((v) => (v.line === name ? (v.cell ?? 0) : 0))),
    })),
    views: mapped,
    agents: Object.entries(programs).map(
      ([name, text]): AgentConfig =>
        name.startsWith('P')
          ? { core: name, program: program(text) }
          : { device: name, snoop: name.startsWith('snoop'), program: deviceProgram(text) },
    ),
    ...more,
  };
}
