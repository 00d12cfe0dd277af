import fc from 'fast-check';
import { must } from '../src/base/assert.ts';
import type {
  AxiomaticProgram,
  AxiomaticStep,
  AxiomaticThread,
  AxiomaticType,
  Variant,
} from './axiomatic.ts';

/** RSI carries what non-temporal stores write. */
const REGISTERS = ['rax', 'rbx', 'rcx', 'rdx', 'rdi'];

/** The 32-bit name of a 64-bit register. */
function half(register: string): string {
  return register.replace(/^r/, 'e');
}

function instructions(s: AxiomaticStep): readonly string[] {
  switch (s.op) {
    case 'st':
      return [
        typeof s.value === 'number'
          ? `movl $${s.value},(${s.line})`
          : `movl %${half(s.value.register)},(${s.line})`,
      ];
    case 'nt':
      return typeof s.value === 'number'
        ? [`movl $${s.value},%esi`, `movnti %esi,(${s.line})`]
        : [`movnti %${half(s.value.register)},(${s.line})`];
    case 'ld':
      return [`movl (${s.line}),%${half(s.to)}`];
    case 'xchg':
      return [`movl $${s.value},%${half(s.to)}`, `xchgl %${half(s.to)},(${s.line})`];
    case 'add':
      return [`lock addl $${s.value},(${s.line})`];
    case 'mfence':
    case 'sfence':
    case 'lfence':
    case 'cpuid':
    case 'vmexit':
      return [s.op];
  }
}

/** Registers and lines of a program as conditions name them. */
function columns({ types, threads }: AxiomaticProgram): readonly string[] {
  const registers = threads.flatMap(({ steps }, i) =>
    steps.flatMap((s) => (s.op === 'ld' || s.op === 'xchg' ? [`${i}:${s.to}`] : [])),
  );
  return [...registers, ...Object.keys(types)];
}

/**
 * A program as a test of our language; where it has neither devices nor types of ours, herd7 reads it too.
 * @param about its outcome, as the axioms name it, is what the test asks for
 */
export function litmusText(
  p: AxiomaticProgram,
  variant: Variant,
  about: { readonly name: string; readonly text: string; readonly outcome: string } = {
    name: 'random',
    text: '',
    outcome: '',
  },
): string {
  const { types, threads } = p;
  const amd = Object.values(types).some((t) => t === 'WC+' || t === 'CD');
  const programs = threads.map(({ steps }) => steps.flatMap(instructions));
  const rows = Array.from({ length: Math.max(...programs.map((q) => q.length)) }, (_, r) =>
    programs.map((q) => q[r] ?? ''),
  );
  const row = (cells: readonly string[]): string => ` ${cells.join(' | ')} ;`;
  const asked = about.outcome
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => part.replace(/^\[(\w+)\]/, '$1'));
  return [
    `X86_64 ${about.name}`,
    ...(about.text === '' ? [] : [`"${about.text}"`]),
    ...(amd ? ['Vendor=amd'] : []),
    `MT=${Object.entries(types)
      .map(([line, type]) => `${line}:${type}`)
      .join(' ')}`,
    ...threads.flatMap(({ device }, i) =>
      device === null ? [] : [`Device=P${i}:D${i} ${device}`],
    ),
    ...(variant.ntPassesOlder ? ['ntPassesOlder=on'] : []),
    ...(variant.wcReopens ? ['wcReopens=on', 'CombiningBuffers=8'] : []),
    'Caches=visible',
    '{}',
    row(threads.map((_, i) => `P${i}`)),
    ...rows.map(row),
    `locations [${columns(p)
      .map((c) => `${c};`)
      .join(' ')}]`,
    asked.length === 0 ? 'forall (true)' : `exists (${asked.join(' /\\ ')})`,
    '',
  ].join('\n');
}

// ---- generation ---------------------------------------------------------------------------------

/** A step whose register is not chosen yet. */
type Draft =
  | {
      readonly op: 'st' | 'nt';
      readonly line: string;
      readonly value: number;
      readonly copies: boolean;
    }
  | { readonly op: 'ld'; readonly line: string }
  | { readonly op: 'fence'; readonly fence: number }
  | { readonly op: 'xchg' | 'add'; readonly line: string; readonly value: number };

const FENCES = ['mfence', 'sfence', 'lfence', 'cpuid', 'vmexit'] as const;

function draft(lines: readonly string[], fences: number): fc.Arbitrary<Draft> {
  const line = fc.constantFrom(...lines);
  const value = fc.constantFrom(1, 2);
  const fence = fc.nat(fences - 1);
  const store = (op: 'st' | 'nt') =>
    fc.record({ op: fc.constant(op), line, value, copies: fc.boolean() });
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('ld' as const), line }) },
    { weight: 3, arbitrary: store('st') },
    { weight: 2, arbitrary: store('nt') },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('fence' as const), fence }) },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constantFrom('xchg' as const, 'add' as const), line, value }),
    },
  );
}

/** Devices load and store; a store copies the last load of the thread where it is drawn so and there is one. */
function threadOf(drafts: readonly Draft[], device: AxiomaticThread['device']): AxiomaticThread {
  let loaded = 0;
  const fresh = (): string => must(REGISTERS[loaded++], 'more loads than registers');
  const steps = drafts.flatMap((d): readonly AxiomaticStep[] => {
    if (d.op === 'st' || d.op === 'nt') {
      const last = d.copies ? REGISTERS[loaded - 1] : undefined;
      const value = last === undefined ? d.value : { register: last };
      return [{ op: device === null ? d.op : 'st', line: d.line, value }];
    }
    if (d.op === 'ld') return [{ op: 'ld', line: d.line, to: fresh() }];
    if (device !== null) return [];
    if (d.op === 'fence') return [{ op: FENCES[d.fence] ?? 'mfence' }];
    return d.op === 'xchg'
      ? [{ op: 'xchg', line: d.line, value: d.value, to: fresh() }]
      : [{ op: 'add', line: d.line, value: d.value }];
  });
  return { device, steps };
}

const CACHED: readonly AxiomaticType[] = ['WB', 'WT', 'WP'];

export interface Shape {
  readonly threads: number;
  /** Steps of a thread, at most 5. */
  readonly steps: number;
  readonly lines: number;
  /** Only what herd7 has words for: no devices, no types of ours, no CPUID. */
  readonly forHerd?: boolean;
}

/**
 * Random programs; threads without a step are left out. A device that does not snoop is one only where no line is cached: the axioms have no caches.
 */
export function anyProgram(shape: Shape): fc.Arbitrary<AxiomaticProgram> {
  const { forHerd = false } = shape;
  const lines = ['x', 'y', 'z'].slice(0, shape.lines);
  const types = forHerd
    ? (['WB', 'WT', 'WC', 'UC'] as const)
    : (['WB', 'WT', 'WC', 'UC', 'WP', 'UCM', 'WC+', 'CD'] as const);
  const type = fc.constantFrom<AxiomaticType>('WB', 'WB', ...types);
  const step = draft(lines, forHerd ? 3 : FENCES.length);
  const minLength = Math.ceil(shape.steps / 2);
  const thread = fc.oneof(
    { withCrossShrink: true },
    { weight: 1, arbitrary: fc.array(step, { maxLength: shape.steps }) },
    { weight: 4, arbitrary: fc.array(step, { minLength, maxLength: shape.steps }) },
  );
  const device = forHerd
    ? fc.constant(null)
    : fc.oneof(
        { withCrossShrink: true },
        { weight: 3, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.constantFrom('snoop' as const, 'nosnoop' as const) },
      );
  return fc
    .record({
      types: fc.tuple(...lines.map(() => type)),
      threads: fc.array(thread, { minLength: shape.threads, maxLength: shape.threads }),
      device,
    })
    .map(({ types: drawn, threads, device: kind }) => {
      const what = kind === 'nosnoop' && drawn.some((t) => CACHED.includes(t)) ? 'snoop' : kind;
      return {
        types: Object.fromEntries(lines.map((l, i) => [l, drawn[i] ?? 'WB'])),
        threads: threads
          .map((drafts, i) => threadOf(drafts, i === threads.length - 1 ? what : null))
          .filter(({ steps }) => steps.length > 0),
      };
    })
    .filter(({ threads }) => threads.length > 0);
}
