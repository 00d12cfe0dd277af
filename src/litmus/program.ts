import type { Diagnostic } from '../base/diagnostic.ts';
import { ACCEPTED, bitsOf, type Form, formsOf, LOCKABLE, type Slot } from './instructions.ts';
import { Cursor, PROGRAM_SHAPES, problemAt, Refused, refuseAt, tokens } from './lex.ts';
import { registerOf, symbolicRegister } from './registers.ts';
import type { Instruction, Operand, ProgramLine, Register, Source, Span, Thread } from './test.ts';

/** With the characters of a type (`EPT=UC+IPAT`, `UC-`), which only `remap` takes. */
const SHAPES = [
  ...PROGRAM_SHAPES,
  ['punctuation', /[=+-]/y],
] as const satisfies typeof PROGRAM_SHAPES;

const IMMEDIATE_MAX = 2 ** 53;

function numberOf(cursor: Cursor, text: string): number {
  const value = Number(text.replace('$', ''));
  return Math.abs(value) < IMMEDIATE_MAX ? value : cursor.refuse('number too large');
}

/** A register with or without `%`; null when the next token is none. */
function takeRegister(cursor: Cursor): Register | null {
  const token = cursor.peek();
  if (token.kind === 'register') {
    cursor.next();
    const name = token.text.slice(1);
    return registerOf(name) ?? symbolicRegister(name);
  }
  const register = token.kind === 'name' ? registerOf(token.text) : null;
  if (register !== null) cursor.next();
  return register;
}

function expectRegister(cursor: Cursor): Register {
  return takeRegister(cursor) ?? cursor.refuse('expected a register', '%rax, %eax ...');
}

/** Inside the brackets: `x`, `%rax`, `%rax,%rbx,8`. */
function bracketed(cursor: Cursor, displacement: number | null): Operand {
  const round = cursor.next().text === '(';
  const base = takeRegister(cursor);
  let operand: Operand;
  if (base !== null) {
    let scaled: { index: Register; scale: number } | null = null;
    if (round && cursor.take(',') !== null) {
      const index = expectRegister(cursor);
      cursor.expect(',', 'herd7 wants base, index and scale: 4(%rax,%rbx,8)');
      const scale = cursor.expectKind('number', 'a scale');
      scaled = { index, scale: numberOf(cursor, scale.text) };
    }
    operand = {
      kind: 'indirect',
      base,
      ...(scaled === null ? {} : { index: scaled.index }),
      scale: scaled?.scale ?? 1,
      displacement: displacement ?? 0,
    };
  } else {
    const name = cursor.expectKind('name', 'a location or a register');
    if (displacement !== null) {
      refuseAt(cursor.source, name, 'a displacement needs a register', 'herd7 has no 4(x)');
    }
    operand = { kind: 'symbol', name: name.text };
  }
  cursor.expect(round ? ')' : ']');
  return operand;
}

function place(cursor: Cursor): Operand | null {
  // `%cs:0(%rax,%rbx,8)`, as compilers write it for padding: herd7 drops the segment.
  if (cursor.looksLike('register', ':')) {
    cursor.next();
    cursor.next();
  }
  if (cursor.looksLike('number', '(') || cursor.looksLike('number', '[')) {
    const displacement = numberOf(cursor, cursor.next().text);
    return bracketed(cursor, displacement);
  }
  if (cursor.looksLike('(') || cursor.looksLike('[')) return bracketed(cursor, null);
  const register = takeRegister(cursor);
  if (register === null) return null;
  return { kind: 'register', register };
}

function isXmm(operand: Operand | null): boolean {
  return operand?.kind === 'register' && operand.register.bits === 128;
}

function isMemory(operand: Operand | null): boolean {
  return operand?.kind === 'symbol' || operand?.kind === 'indirect';
}

function immediate(cursor: Cursor): Operand | null {
  if (!cursor.looksLike('immediate') && !cursor.looksLike('number')) return null;
  return { kind: 'immediate', value: numberOf(cursor, cursor.next().text) };
}

/** The rest of the cell as it stands, in the text itself: `EPT=UC+IPAT` is no token of herd's. */
function rest(cursor: Cursor, cell: Span): Operand {
  const start = cursor.peek().start;
  const raw = cursor.source.text.slice(start, cell.end);
  cursor.skipToCharacter(cell.end);
  return { kind: 'word', word: raw.trim() };
}

const EXPECTED: Readonly<Record<Slot, string>> = {
  place: 'a register or memory',
  operand: 'a register, memory or a number',
  register: 'a register',
  xmm: 'a register %xmm0 .. %xmm7',
  memory: 'memory',
  immediate: 'a number',
  label: 'a label',
  flag: 'the name of a flag',
  type: 'a type',
};

function read(cursor: Cursor, slot: Slot, cell: Span): Operand {
  const before = cursor.peek();
  let operand: Operand | null;
  switch (slot) {
    case 'type':
      return rest(cursor, cell);
    case 'label':
    case 'flag':
      operand = { kind: 'word', word: cursor.expectKind('name', EXPECTED[slot]).text };
      break;
    case 'immediate':
      operand = immediate(cursor);
      break;
    case 'operand':
      operand = cursor.looksLike('number', '(')
        ? place(cursor)
        : (immediate(cursor) ?? place(cursor));
      break;
    case 'place':
    case 'register':
    case 'xmm':
    case 'memory':
      operand = place(cursor);
  }
  const fits = {
    place: !isXmm(operand),
    operand: !isXmm(operand),
    register: operand?.kind === 'register' && !isXmm(operand),
    xmm: isXmm(operand),
    memory: isMemory(operand),
    immediate: true,
    label: true,
    flag: true,
  }[slot];
  if (operand !== null && fits) return operand;
  if (operand !== null) refuseAt(cursor.source, before, `expected ${EXPECTED[slot]}`);
  return cursor.refuse(`expected ${EXPECTED[slot]}`);
}

function shape(form: Form): string {
  return `${form.mnemonic} ${form.slots.map((slot) => EXPECTED[slot]).join(', ')}`;
}

/** The form that the operands look like; `mov` is the only name with two. */
function chooseForm(cursor: Cursor, candidates: readonly Form[], name: string): Form {
  const [only] = candidates;
  if (only === undefined) {
    return cursor.refuse(`unknown instruction "${name}"`, `accepted are ${ACCEPTED}`);
  }
  const first = cursor.peek(1);
  const xmm = first.kind === 'register' && registerOf(first.text.slice(1))?.bits === 128;
  const empty = [';', '|', ''].includes(first.text);
  return (
    candidates.find((form) =>
      empty ? form.slots.length === 0 : form.slots.length > 0 && (form.slots[0] === 'xmm') === xmm,
    ) ?? only
  );
}

function readOperands(cursor: Cursor, form: Form, cell: Span): readonly Operand[] {
  const operands: Operand[] = [];
  for (const [i, slot] of form.slots.entries()) {
    if (i > 0) cursor.expect(',', shape(form));
    operands.push(read(cursor, slot, cell));
  }
  return operands;
}

/** herd7's order of `cmpxchg` is not that of assemblers. */
function checkOrder(cursor: Cursor, instruction: Instruction): void {
  const [first] = instruction.operands;
  if (instruction.mnemonic === 'cmpxchg' && first?.kind === 'register' && cursor.looksLike(',')) {
    cursor.refuse('the address goes first', 'herd7 reads cmpxchgl (x),%ecx');
  }
}

function readInstruction(cursor: Cursor, cellEnd: number): Instruction {
  const start = cursor.peek();
  const locked = cursor.looksLike('name') && /^(?:lock|LOCK)$/.test(start.text);
  if (locked) {
    cursor.next();
    cursor.take(';');
  }
  const word = cursor.peek();
  if (word.kind !== 'name') cursor.refuse('expected an instruction');
  const form = chooseForm(cursor, formsOf(word.text), word.text);
  if (locked && !LOCKABLE.includes(form.mnemonic)) {
    refuseAt(cursor.source, start, `"${word.text}" takes no lock`, `lock ${LOCKABLE.join(' ')}`);
  }
  if (!locked && form.onlyLocked === true) {
    refuseAt(cursor.source, word, `"${word.text}" is read with lock only`, `lock ${word.text} ...`);
  }
  cursor.next();
  const operands = readOperands(cursor, form, { start: word.start, end: cellEnd });
  const last = Math.max(word.end, lastEnd(cursor, cellEnd));
  const instruction: Instruction = {
    mnemonic: form.mnemonic,
    bits: bitsOf(form, word.text),
    locked,
    operands,
    at: { start: start.start, end: last },
  };
  checkOrder(cursor, instruction);
  return instruction;
}

/** Where the instruction ends: before the blanks in front of what comes next. */
function lastEnd(cursor: Cursor, cellEnd: number): number {
  const end = Math.min(cursor.peek().start, cellEnd);
  const text = cursor.source.text.slice(0, end);
  return text.trimEnd().length;
}

/** The character at which the cell ends that begins here. */
function endOfCell(cursor: Cursor): number {
  for (let i = 0; ; i++) {
    const token = cursor.peek(i);
    const lock = i > 0 && /^(?:lock|LOCK)$/.test(cursor.peek(i - 1).text);
    if (token.kind === 'end' || token.text === '|' || (token.text === ';' && !lock)) {
      return token.start;
    }
  }
}

function readCell(cursor: Cursor): ProgramLine {
  const end = endOfCell(cursor);
  const { start } = cursor.peek();
  const labels: string[] = [];
  while (cursor.looksLike('name', ':')) {
    labels.push(cursor.next().text);
    cursor.next();
  }
  const empty = cursor.looksLike('|') || cursor.looksLike(';') || cursor.peek().start >= end;
  const instruction = empty ? null : readInstruction(cursor, end);
  if (cursor.peek().start < end) cursor.refuse('expected "|" or ";" after the instruction');
  return { labels, instruction, at: { start, end: Math.max(start, lastEnd(cursor, end)) } };
}

function readHead(cursor: Cursor): readonly number[] {
  cursor.take(';');
  const procs: number[] = [];
  do {
    const token = cursor.expectKind('proc', 'P0, P1 ...', 'the first line names the threads');
    const proc = Number(token.text.slice(1));
    if (proc !== procs.length) {
      refuseAt(
        cursor.source,
        token,
        `expected P${procs.length}`,
        'threads are P0, P1 ... in order',
      );
    }
    procs.push(proc);
  } while (cursor.take('|') !== null);
  cursor.expect(';');
  return procs;
}

/** One row. What is wrong in a cell does not keep the others from being read. */
function readRow(cursor: Cursor, threads: number, problems: Diagnostic[]): readonly ProgramLine[] {
  const row = cursor.peek();
  const before = problems.length;
  const cells: ProgramLine[] = [];
  do {
    const end = endOfCell(cursor);
    try {
      cells.push(readCell(cursor));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problems.push(error.diagnostic);
      cells.push({ labels: [], instruction: null, at: { start: end, end } });
      cursor.skipToCharacter(end);
    }
  } while (cursor.take('|') !== null);
  const fine = problems.length === before;
  if (cursor.take(';') === null && fine) {
    cursor.refuse(
      'expected ";"',
      'each row of the table ends in ";", and then comes the condition',
    );
  }
  if (fine && cells.length !== threads) {
    const count = `${cells.length} cells, but ${threads} threads`;
    problems.push(problemAt(cursor.source, row, count));
  }
  return cells;
}

/** The table of threads, and what is wrong in it. @throws Refused when it cannot be cut into cells */
export function readProgram(
  source: Source,
  part: Span,
): { readonly threads: readonly Thread[]; readonly problems: readonly Diagnostic[] } {
  const cursor = new Cursor(source, tokens(source, SHAPES, part));
  const problems: Diagnostic[] = [];
  const procs = readHead(cursor);
  const columns: ProgramLine[][] = procs.map(() => []);
  while (cursor.peek().kind !== 'end') {
    const cells = readRow(cursor, procs.length, problems);
    for (const [i, cell] of cells.entries()) columns[i]?.push(cell);
  }
  const threads = columns.map((lines, proc) => ({ proc, lines }));
  return { threads, problems };
}
