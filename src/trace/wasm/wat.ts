// A small assembler: WebAssembly's own text format, folded, as far as the scanner needs it.

/** An expression of the text format: a word, or a list in parentheses. */
type Node = string | readonly Node[];

const I32 = 0x7f;
const VOID = 0x40;
const TYPES: Readonly<Record<string, number>> = { i32: I32, i64: 0x7e, f64: 0x7c, v128: 0x7b };

const OPS: Readonly<Record<string, number>> = {
  unreachable: 0x00,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  'i32.eqz': 0x45,
  'i32.eq': 0x46,
  'i32.ne': 0x47,
  'i32.lt_s': 0x48,
  'i32.lt_u': 0x49,
  'i32.gt_s': 0x4a,
  'i32.gt_u': 0x4b,
  'i32.le_u': 0x4d,
  'i32.ge_s': 0x4e,
  'i32.ge_u': 0x4f,
  'i64.eqz': 0x50,
  'i64.eq': 0x51,
  'i64.ne': 0x52,
  'i32.clz': 0x67,
  'i32.ctz': 0x68,
  'i32.add': 0x6a,
  'i32.sub': 0x6b,
  'i32.mul': 0x6c,
  'i32.and': 0x71,
  'i32.or': 0x72,
  'i32.xor': 0x73,
  'i32.shl': 0x74,
  'i32.shr_u': 0x76,
  'i64.ctz': 0x7a,
  'i64.add': 0x7c,
  'i64.mul': 0x7e,
  'i64.and': 0x83,
  'i64.or': 0x84,
  'i64.xor': 0x85,
  'i64.shl': 0x86,
  'i64.shr_u': 0x88,
  'f64.div': 0xa3,
  'i32.wrap_i64': 0xa7,
  'i64.extend_i32_u': 0xad,
  'f64.convert_i32_u': 0xb8,
  'f64.convert_i64_u': 0xba,
};

/** Loads and stores: the opcode; alignment is a hint, and none is given. */
const MEMORY: Readonly<Record<string, number>> = {
  'i32.load': 0x28,
  'i64.load': 0x29,
  'i32.load8_u': 0x2d,
  'i32.load16_u': 0x2f,
  'i32.store': 0x36,
  'i64.store': 0x37,
  'f64.store': 0x39,
  'i32.store8': 0x3a,
  'i32.store16': 0x3b,
};

/** After the byte 0xfd. */
const VECTOR: Readonly<Record<string, number>> = {
  'i8x16.swizzle': 14,
  'i8x16.splat': 15,
  'i8x16.eq': 35,
  'i8x16.le_u': 42,
  'v128.and': 78,
  'v128.or': 80,
  'v128.xor': 81,
  'v128.bitselect': 82,
  'v128.any_true': 83,
  'i8x16.bitmask': 100,
  'i8x16.narrow_i16x8_u': 102,
  'i8x16.sub': 113,
  'i8x16.add': 110,
  'i16x8.shl': 139,
  'i16x8.shr_u': 141,
  'i16x8.add': 142,
  'i16x8.mul': 149,
  'i32x4.dot_i16x8_s': 186,
};

function unsigned(value: number): readonly number[] {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...unsigned(Math.floor(value / 128))];
}

function signed(value: bigint): readonly number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const isLast = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40);
  return isLast ? [low] : [low | 0x80, ...signed(rest)];
}

function counted(items: readonly (readonly number[])[]): readonly number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function section(id: number, body: readonly number[]): readonly number[] {
  return [id, ...unsigned(body.length), ...body];
}

function text(value: string): readonly number[] {
  return [...unsigned(value.length), ...Array.from(value, (c) => c.charCodeAt(0))];
}

/** Lists and words of a text; ";;" begins a comment. */
function parse(source: string): readonly Node[] {
  const words = source.replaceAll(/;;[^\n]*/g, '').match(/[()]|[^\s()]+/g) ?? [];
  const open: Node[][] = [[]];
  for (const word of words) {
    if (word === '(') open.push([]);
    else if (word === ')') {
      const list = open.pop() ?? [];
      open.at(-1)?.push(list);
    } else open.at(-1)?.push(word);
  }
  const [top = [], ...rest] = open;
  if (rest.length > 0) throw new Error('a parenthesis is open');
  return top;
}

function word(node: Node | undefined): string {
  if (typeof node !== 'string') throw new Error(`not a word: ${JSON.stringify(node)}`);
  return node;
}

function typeOf(node: Node | undefined): number {
  const type = TYPES[word(node)];
  if (type === undefined) throw new Error(`not a type: ${JSON.stringify(node)}`);
  return type;
}

function indexIn(names: readonly string[], name: Node | undefined): number {
  const index = names.indexOf(word(name));
  if (index < 0) throw new Error(`unknown: ${JSON.stringify(name)}`);
  return index;
}

interface Scope {
  readonly functions: readonly string[];
  readonly globals: readonly string[];
  readonly locals: readonly string[];
}

/** The bytes of instructions, given the labels around them from the inside out. */
function code(nodes: readonly Node[], scope: Scope, labels: readonly string[]): readonly number[] {
  return nodes.flatMap((node) => {
    if (typeof node === 'string') throw new Error(`not in parentheses: ${node}`);
    return instruction(node, scope, labels);
  });
}

function instruction(
  [head, ...rest]: readonly Node[],
  scope: Scope,
  labels: readonly string[],
): readonly number[] {
  const op = word(head);
  const operands = (from: number): readonly number[] => code(rest.slice(from), scope, labels);
  const [first] = rest;
  switch (op) {
    case 'block':
    case 'loop':
      return [
        op === 'block' ? 0x02 : 0x03,
        VOID,
        ...code(rest.slice(1), scope, [word(first), ...labels]),
        0x0b,
      ];
    case 'if':
      return choice(rest, scope, labels);
    case 'br':
      return [...operands(1), 0x0c, ...unsigned(indexIn(labels, first))];
    case 'br_if':
      return [...operands(1), 0x0d, ...unsigned(indexIn(labels, first))];
    case 'call':
      return [...operands(1), 0x10, ...unsigned(indexIn(scope.functions, first))];
    case 'local.get':
      return [0x20, ...unsigned(indexIn(scope.locals, first))];
    case 'local.set':
      return [...operands(1), 0x21, ...unsigned(indexIn(scope.locals, first))];
    case 'local.tee':
      return [...operands(1), 0x22, ...unsigned(indexIn(scope.locals, first))];
    case 'global.get':
      return [0x23, ...unsigned(indexIn(scope.globals, first))];
    case 'global.set':
      return [...operands(1), 0x24, ...unsigned(indexIn(scope.globals, first))];
    case 'i32.const':
      return [0x41, ...signed(BigInt.asIntN(32, BigInt(word(first))))];
    case 'i64.const':
      return [0x42, ...signed(BigInt.asIntN(64, BigInt(word(first))))];
    case 'f64.const':
      return [0x44, ...new Uint8Array(Float64Array.of(Number(word(first))).buffer)];
    case 'v128.const':
      return [0xfd, 12, ...rest.map((lane) => Number(word(lane)) & 0xff)];
    case 'i8x16.shuffle':
      return [...operands(16), 0xfd, 13, ...rest.slice(0, 16).map((lane) => Number(word(lane)))];
    case 'i64x2.extract_lane':
      return [...operands(1), 0xfd, 29, Number(word(first))];
    case 'i32x4.extract_lane':
      return [...operands(1), 0xfd, 27, Number(word(first))];
    case 'v128.load': {
      const { offset, from } = offsetOf(rest);
      return [...operands(from), 0xfd, 0, 0, ...unsigned(offset)];
    }
  }
  return plain(op, rest, operands);
}

/** "offset=4", when it is there, and where the operands begin. */
function offsetOf([first]: readonly Node[]): { readonly offset: number; readonly from: number } {
  const isOffset = typeof first === 'string';
  return { offset: isOffset ? Number(first.replace('offset=', '')) : 0, from: isOffset ? 1 : 0 };
}

function plain(
  op: string,
  rest: readonly Node[],
  operands: (from: number) => readonly number[],
): readonly number[] {
  const memory = MEMORY[op];
  if (memory !== undefined) {
    const { offset, from } = offsetOf(rest);
    return [...operands(from), memory, 0, ...unsigned(offset)];
  }
  const vector = VECTOR[op];
  if (vector !== undefined) return [...operands(0), 0xfd, ...unsigned(vector)];
  const opcode = OPS[op];
  if (opcode === undefined) throw new Error(`unknown instruction: ${op}`);
  return [...operands(0), opcode];
}

/** (if (result i32)? CONDITION (then ...) (else ...)?) */
function choice(
  parts: readonly Node[],
  scope: Scope,
  labels: readonly string[],
): readonly number[] {
  const isNamed = (node: Node | undefined, name: string): node is readonly Node[] =>
    Array.isArray(node) && node[0] === name;
  const [first] = parts;
  const type = isNamed(first, 'result') ? typeOf(first[1]) : VOID;
  const inner = ['', ...labels];
  const condition = parts.filter(
    (node) => !['result', 'then', 'else'].some((name) => isNamed(node, name)),
  );
  const body = (name: string): readonly number[] =>
    parts.flatMap((node) => (isNamed(node, name) ? code(node.slice(1), scope, inner) : []));
  const otherwise = body('else');
  return [
    ...code(condition, scope, labels),
    0x04,
    type,
    ...body('then'),
    ...(otherwise.length > 0 ? [0x05, ...otherwise] : []),
    0x0b,
  ];
}

interface Signature {
  readonly name: string;
  readonly params: readonly (readonly [string, number])[];
  readonly results: readonly number[];
  readonly locals: readonly (readonly [string, number])[];
  readonly body: readonly Node[];
}

function signature([, name, ...rest]: readonly Node[]): Signature {
  const named = (what: string): readonly (readonly [string, number])[] =>
    rest.flatMap((node) =>
      Array.isArray(node) && node[0] === what ? [[word(node[1]), typeOf(node[2])] as const] : [],
    );
  return {
    name: word(name),
    params: named('param'),
    results: rest.flatMap((node) =>
      Array.isArray(node) && node[0] === 'result' ? [typeOf(node[1])] : [],
    ),
    locals: named('local'),
    body: rest.filter(
      (node) => !(Array.isArray(node) && ['param', 'result', 'local'].includes(word(node[0]))),
    ),
  };
}

/**
 * Makes a module of text in WebAssembly's text format: functions `(func $name (param $x i32) (result i32)
 * (local $y i64) ...)` and mutable globals `(global $name i64)`, which begin with 0. Everything is folded. All
 * functions and globals are exported by their names; memory is imported as `env.memory`.
 */
export function assemble(source: string): Uint8Array<ArrayBuffer> {
  const nodes = parse(source).filter((node): node is readonly Node[] => typeof node !== 'string');
  const functions = nodes.filter(([head]) => head === 'func').map(signature);
  const globals = nodes
    .filter(([head]) => head === 'global')
    .map(([, name, type]) => ({ name: word(name), type: typeOf(type) }));
  const scope = {
    functions: functions.map((f) => f.name),
    globals: globals.map((g) => g.name),
  };
  const types = functions.map((f) => [
    0x60,
    ...counted(f.params.map(([, type]) => [type])),
    ...counted(f.results.map((type) => [type])),
  ]);
  const bodies = functions.map((f) => {
    const locals = [...f.params, ...f.locals].map(([name]) => name);
    const bytes = [
      ...counted(f.locals.map(([, type]) => [1, type])),
      ...code(f.body, { ...scope, locals }, []),
      0x0b,
    ];
    return [...unsigned(bytes.length), ...bytes];
  });
  const zero = (type: number): readonly number[] => [type === I32 ? 0x41 : 0x42, 0, 0x0b];
  const exported = (name: string): readonly number[] => text(name.replace('$', ''));
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, counted(types)),
    ...section(2, counted([[...text('env'), ...text('memory'), 0x02, 0, 1]])),
    ...section(3, counted(functions.map((_, i) => unsigned(i)))),
    ...section(6, counted(globals.map(({ type }) => [type, 1, ...zero(type)]))),
    ...section(
      7,
      counted([
        ...functions.map((f, i) => [...exported(f.name), 0, ...unsigned(i)]),
        ...globals.map((g, i) => [...exported(g.name), 3, ...unsigned(i)]),
      ]),
    ),
    ...section(10, counted(bodies)),
  ]);
}
