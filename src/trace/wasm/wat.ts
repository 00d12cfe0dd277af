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
  'f64.convert_i64_s': 0xb9,
  'f64.convert_i64_u': 0xba,
};

/** Instructions that name a label, a function or a variable. */
const INDEXED: Readonly<Record<string, readonly [number, 'labels' | keyof Scope]>> = {
  br: [0x0c, 'labels'],
  br_if: [0x0d, 'labels'],
  call: [0x10, 'functions'],
  'local.get': [0x20, 'locals'],
  'local.set': [0x21, 'locals'],
  'global.get': [0x23, 'globals'],
  'global.set': [0x24, 'globals'],
};

/** Loads and stores: the opcode; alignment is a hint, and none is given. */
const MEMORY: Readonly<Record<string, readonly number[]>> = {
  'v128.load': [0xfd, 0],
  'i32.load': [0x28],
  'i64.load': [0x29],
  'i32.load8_u': [0x2d],
  'i32.load16_u': [0x2f],
  'i32.store': [0x36],
  'i64.store': [0x37],
  'f64.store': [0x39],
  'i32.store8': [0x3a],
  'i32.store16': [0x3b],
};

/** After the byte 0xfd. */
const VECTOR: Readonly<Record<string, number>> = {
  'v128.const': 12,
  'i8x16.shuffle': 13,
  'i32x4.extract_lane': 27,
  'i64x2.extract_lane': 29,
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

/** Numbers between the name and the operands. */
const LANES: Readonly<Record<string, number>> = {
  'v128.const': 16,
  'i8x16.shuffle': 16,
  'i32x4.extract_lane': 1,
  'i64x2.extract_lane': 1,
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

/** Writes the bytes of instructions, in scope and within labels, from the inside out. */
class Coder {
  readonly bytes: number[] = [];
  readonly #scope: Scope;
  readonly #labels: string[] = [];

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** All of a list from an index on. */
  code(nodes: readonly Node[], from = 0): void {
    for (let i = from; i < nodes.length; i += 1) {
      const node = nodes[i];
      if (typeof node === 'string' || node === undefined) {
        throw new Error(`not in parentheses: ${node}`);
      }
      this.#instruction(node);
    }
  }

  #instruction(list: readonly Node[]): void {
    const op = word(list[0]);
    const indexed = INDEXED[op];
    if (indexed !== undefined) {
      const [opcode, space] = indexed;
      const names = space === 'labels' ? this.#labels : this.#scope[space];
      this.code(list, 2);
      this.bytes.push(opcode, ...unsigned(indexIn(names, list[1])));
      return;
    }
    switch (op) {
      case 'block':
      case 'loop':
        this.bytes.push(op === 'block' ? 0x02 : 0x03, VOID);
        this.#within(word(list[1]), list, 2);
        this.bytes.push(0x0b);
        return;
      case 'if':
        this.#choice(list);
        return;
      case 'i32.const':
        this.bytes.push(0x41, ...signed(BigInt.asIntN(32, BigInt(word(list[1])))));
        return;
      case 'i64.const':
        this.bytes.push(0x42, ...signed(BigInt.asIntN(64, BigInt(word(list[1])))));
        return;
      case 'f64.const':
        this.bytes.push(0x44, ...new Uint8Array(Float64Array.of(Number(word(list[1]))).buffer));
        return;
      default:
        this.#other(op, list);
    }
  }

  #within(label: string, list: readonly Node[], from: number): void {
    this.#labels.unshift(label);
    this.code(list, from);
    this.#labels.shift();
  }

  /** (if CONDITION (then ...) (else ...)?) */
  #choice([, condition, then, otherwise]: readonly Node[]): void {
    if (!isList(condition) || !isList(then)) throw new Error('an if without condition or then');
    this.#instruction(condition);
    this.bytes.push(0x04, VOID);
    this.#within('', then, 1);
    if (isList(otherwise)) {
      this.bytes.push(0x05);
      this.#within('', otherwise, 1);
    }
    this.bytes.push(0x0b);
  }

  #other(op: string, list: readonly Node[]): void {
    const vector = VECTOR[op];
    const memory = MEMORY[op];
    const plain = OPS[op];
    if (vector !== undefined) {
      const lanes = LANES[op] ?? 0;
      this.code(list, 1 + lanes);
      this.bytes.push(0xfd, ...unsigned(vector));
      for (const lane of list.slice(1, 1 + lanes)) this.bytes.push(Number(word(lane)) & 0xff);
    } else if (memory !== undefined) {
      const [, first] = list;
      const isOffset = typeof first === 'string';
      this.code(list, isOffset ? 2 : 1);
      const offset = isOffset ? Number(first.replace('offset=', '')) : 0;
      this.bytes.push(...memory, 0, ...unsigned(offset));
    } else {
      if (plain === undefined) throw new Error(`unknown instruction: ${op}`);
      this.code(list, 1);
      this.bytes.push(plain);
    }
  }
}

function isList(node: Node | undefined): node is readonly Node[] {
  return Array.isArray(node);
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
    const coder = new Coder({ ...scope, locals });
    coder.bytes.push(...counted(f.locals.map(([, type]) => [1, type])));
    coder.code(f.body);
    coder.bytes.push(0x0b);
    return [...unsigned(coder.bytes.length), ...coder.bytes];
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
