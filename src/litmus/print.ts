import { SWITCH_NAMES, type Switches } from '../machine/switches.ts';
import { spelling } from './instructions.ts';
import { printPlainLocation, printProposition, printValue } from './print-parts.ts';
import { isRead, PART_KEYS, type PartKey } from './setup.ts';
import { printView } from './setup-words.ts';
import type {
  InitItem,
  Instruction,
  LitmusTest,
  Operand,
  ProgramLine,
  Setup,
  Thread,
  TypeParts,
} from './test.ts';

function printOperand(operand: Operand): string {
  switch (operand.kind) {
    case 'immediate':
      return `$${operand.value}`;
    case 'register':
      return percent(operand.register.name);
    case 'symbol':
      return `(${operand.name})`;
    case 'word':
      return operand.word;
    case 'indirect': {
      const { base, index, scale, displacement } = operand;
      const inside =
        index === undefined
          ? percent(base.name)
          : `${percent(base.name)},${percent(index.name)},${scale}`;
      return `${displacement === 0 ? '' : displacement}(${inside})`;
    }
  }
}

function percent(name: string): string {
  return name.startsWith('%') ? name : `%${name}`;
}

/** An instruction as assemblers and herd7 write it: `lock addl $1,(x)`. */
export function printInstruction(i: Instruction): string {
  const operands = i.operands.map(printOperand).join(',');
  const words = [i.locked ? 'lock' : '', spelling(i), operands];
  return words.filter((word) => word !== '').join(' ');
}

function printLine({ labels, instruction }: ProgramLine): string {
  const code = instruction === null ? '' : printInstruction(instruction);
  return [...labels.map((label) => `${label}:`), code].join(' ').trim();
}

/** The table of threads, its columns aligned. */
export function printProgram(threads: readonly Thread[]): readonly string[] {
  const columns = threads.map(({ proc, lines }) => [`P${proc}`, ...lines.map(printLine)]);
  const height = Math.max(...columns.map((column) => column.length));
  const widths = columns.map((column) => Math.max(...column.map((cell) => cell.length)));
  return Array.from({ length: height }, (_, row) => {
    const cells = columns.map((column, i) => (column[row] ?? '').padEnd(widths[i] ?? 0));
    return ` ${cells.join(' | ')} ;`;
  });
}

function printInitItem({ location, type, length, values }: InitItem): string {
  const name =
    location.kind === 'symbol' ? location.name : `${location.proc}:${location.register.base}`;
  const typed = type === null ? name : `${type} ${name}`;
  if (length === null) return `${typed}=${values.map(printValue).join()};`;
  return `${typed}[${length}]={${values.map(printValue).join(',')}};`;
}

export function printInit(init: readonly InitItem[]): readonly string[] {
  return init.length === 0 ? ['{}'] : ['{', ...init.map((item) => ` ${printInitItem(item)}`), '}'];
}

/** What stands after the table. */
export function printFinal(test: LitmusTest): readonly string[] {
  const { locations, filter, condition } = test;
  return [
    ...(locations.length === 0
      ? []
      : [`locations [${locations.map((l) => `${printPlainLocation(l)};`).join(' ')}]`]),
    ...(filter === null ? [] : [`filter (${printProposition(filter)})`]),
    `${condition.quantifier} (${printProposition(condition.proposition)})`,
  ];
}

/** `selfSnoop=off specFill=on`, in the order of the machine's list. */
export function printSwitches(switches: Partial<Switches>): readonly string[] {
  return SWITCH_NAMES.flatMap((name) => {
    const value = switches[name];
    return value === undefined ? [] : [`${name}=${value ? 'on' : 'off'}`];
  });
}

function partText(parts: TypeParts, key: PartKey): string | undefined {
  switch (key) {
    case 'PAT':
      return parts.pat;
    case 'MTRR':
      return parts.mtrr;
    case 'NPT':
      return parts.npt;
    case 'EPT':
      return parts.ept && `${parts.ept.memtype}${parts.ept.ipat ? '+IPAT' : ''}`;
  }
}

function typeLines({ views }: Setup): readonly string[] {
  const bare = views.flatMap(({ view, type }) =>
    typeof type === 'string' ? [`${printView(view)}:${type}`] : [],
  );
  const parts = PART_KEYS.flatMap((key) => {
    const words = views.flatMap(({ view, type }) => {
      const text = typeof type === 'string' ? undefined : partText(type, key);
      return text === undefined ? [] : [`${printView(view)}:${text}`];
    });
    return words.length === 0 ? [] : [`${key}=${words.join(' ')}`];
  });
  return [...(bare.length === 0 ? [] : [`MT=${bare.join(' ')}`]), ...parts];
}

function list(key: string, words: readonly string[]): readonly string[] {
  return words.length === 0 ? [] : [`${key}=${words.join(' ')}`];
}

function setupLines(setup: Setup): readonly string[] {
  return [
    ...(setup.vendor === 'intel' ? [] : [`Vendor=${setup.vendor}`]),
    ...setup.lines.map(({ cells }) => `Line=${cells.join(' ')}`),
    ...list(
      'Alias',
      setup.aliases.map(({ alias, of }) => `${printView(alias)}:${of}`),
    ),
    ...typeLines(setup),
    ...setup.devices.map(
      ({ proc, name, snoop, cache }) =>
        `Device=P${proc}:${name} ${snoop ? 'snoop' : 'nosnoop'}${cache ? ' cache' : ''}`,
    ),
    ...list(
      'Flag',
      setup.flags.map(({ name, serialises }) => `${name}:${serialises ? 'exit' : 'plain'}`),
    ),
    ...list(
      'Cached',
      setup.cached.map(
        ({ proc, name, value }) => `P${proc}:${name}${value === null ? '' : `=${value}`}`,
      ),
    ),
    ...list(
      'CD',
      setup.cacheDisable.map((proc) => `P${proc}`),
    ),
    ...(setup.caches === 'all' ? [] : [`Caches=${setup.caches}`]),
    ...(setup.storeBuffer === null ? [] : [`StoreBuffer=${setup.storeBuffer}`]),
    ...(setup.combiningBuffers === null ? [] : [`CombiningBuffers=${setup.combiningBuffers}`]),
    ...printSwitches(setup.switches),
    ...setup.expect.map(({ word, switches }) =>
      [`Expect=${word}`, ...printSwitches(switches)].join(' '),
    ),
  ];
}

/** Name, text and the header lines that no setup is read from. */
export function printHead(test: LitmusTest): readonly string[] {
  return [
    `X86_64 ${test.name}`,
    ...(test.doc === '' ? [] : [`"${test.doc}"`]),
    ...test.header
      .filter(({ key }) => !isRead(key))
      .map(({ key, value }) => `${key}=${value.trimEnd()}`),
  ];
}

/** A test in our language, in one way for all tests that mean the same: reading it again gives the same test. */
export function printLitmus(test: LitmusTest): string {
  return [
    ...printHead(test),
    ...setupLines(test.setup),
    ...printInit(test.init),
    ...printProgram(test.threads),
    ...printFinal(test),
    '',
  ].join('\n');
}
