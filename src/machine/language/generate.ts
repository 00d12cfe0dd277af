import { must } from '../../base/assert.ts';
import { type Expression, isTruth, type Statement, type Variable } from './expression.ts';
import { bitsOf, type Layout } from './layout.ts';
import type { Command, System } from './system.ts';

/** Where two languages with C's syntax differ. */
export interface Dialect {
  /** Unsigned shift to the right. */
  readonly shift: string;
  readonly equals: string;
  /** A 32-bit constant. */
  readonly word: (value: number) => string;
  /** `a0`: the successors of one group of commands, `word0`.. being the state, appended to `out` from `o` on. */
  readonly group: (name: string, words: number, body: string) => string;
  /** A table of small constants. */
  readonly table: (name: string, values: readonly number[]) => string;
}

/** Commands in one function: what optimizing compilers still take. */
const GROUP = 64;

/** Numbers the constant tables of a program. */
class Tables {
  readonly #names = new Map<string, string>();
  readonly texts: string[] = [];
  readonly dialect: Dialect;

  constructor(dialect: Dialect) {
    this.dialect = dialect;
  }

  name(values: readonly number[]): string {
    const key = values.join();
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = `table${this.#names.size}`;
    this.#names.set(key, name);
    this.texts.push(this.dialect.table(name, values));
    return name;
  }
}

class Generator {
  readonly #layout: Layout;
  readonly #dialect: Dialect;
  readonly #tables: Tables;

  constructor(layout: Layout, tables: Tables) {
    this.#layout = layout;
    this.#dialect = tables.dialect;
    this.#tables = tables;
  }

  #bits(v: Variable, from: string): string {
    const { word, shift, mask } = bitsOf(this.#layout, v);
    const whole = `${from}${word}`;
    return shift === 0
      ? `(${whole} & ${mask})`
      : `((${whole} ${this.#dialect.shift} ${shift}) & ${mask})`;
  }

  /** @param from `w`, the words of the state, or `n`, those of the next one */
  expression(e: Expression, from: string): string {
    const of = (x: Expression): string => this.expression(x, from);
    switch (e.kind) {
      case 'constant':
        return String(e.value);
      case 'variable':
        return this.#bits(e.variable, from);
      case 'equal':
        return this.#equal(e.left, e.right, from);
      case 'less':
        return `(${this.#number(e.left, from)} < ${this.#number(e.right, from)})`;
      case 'plus':
        return `(${this.#number(e.left, from)} + ${this.#number(e.right, from)})`;
      case 'all':
        return this.#conjunction(e.of, from);
      case 'any':
        return `(${e.of.map(of).join(' || ')})`;
      case 'not':
        return `!${of(e.of)}`;
      case 'choose':
        return `(${of(e.test)} ? ${this.#number(e.yes, from)} : ${this.#number(e.no, from)})`;
      case 'lookup':
        return this.#lookup(e, from);
    }
  }

  /** A truth as 1 or 0: JavaScript tells them apart. */
  #number(e: Expression, from: string): string {
    const text = this.expression(e, from);
    return isTruth(e) ? `+${text}` : text;
  }

  #lookup(e: Extract<Expression, { kind: 'lookup' }>, from: string): string {
    const index = this.#number(e.index, from);
    if (e.table.length > 31 || e.table.some((v) => v > 1))
      return `${this.#tables.name(e.table)}[${index}]`;
    const set = e.table.reduce((bits, v, i) => bits + v * 2 ** i, 0);
    return `((${set} ${this.#dialect.shift} ${index}) & 1)`;
  }

  #equal(left: Expression, right: Expression, from: string): string {
    if (left.kind === 'variable' && right.kind === 'constant')
      return this.#masked([{ variable: left.variable, value: right.value }], from);
    const { equals } = this.#dialect;
    return `(${this.#number(left, from)} ${equals} ${this.#number(right, from)})`;
  }

  /** Variables of one word against constants, in one comparison. */
  #masked(
    tests: readonly { readonly variable: Variable; readonly value: number }[],
    from: string,
  ): string {
    let mask = 0;
    let want = 0;
    let word = 0;
    for (const { variable, value } of tests) {
      const bits = bitsOf(this.#layout, variable);
      word = bits.word;
      mask |= bits.mask << bits.shift;
      want |= value << bits.shift;
    }
    const { equals, word: constant } = this.#dialect;
    return `((${from}${word} & ${constant(mask)}) ${equals} ${constant(want)})`;
  }

  /** All of them; comparisons with constants that are in the same word become one. */
  #conjunction(of: readonly Expression[], from: string): string {
    const byWord = new Map<number, { variable: Variable; value: number }[]>();
    const parts: (() => string)[] = [];
    for (const e of of) {
      if (e.kind !== 'equal' || e.left.kind !== 'variable' || e.right.kind !== 'constant') {
        parts.push(() => this.expression(e, from));
        continue;
      }
      const { word } = bitsOf(this.#layout, e.left.variable);
      const tests = byWord.get(word) ?? [];
      tests.push({ variable: e.left.variable, value: e.right.value });
      if (byWord.has(word)) continue;
      byWord.set(word, tests);
      parts.push(() => this.#masked(tests, from));
    }
    return `(${parts.map((part) => part()).join(' && ')})`;
  }

  /** Puts bits into a word of the next state; constants that follow each other go in together. */
  #put(word: number, mask: number, bits: string): string {
    const kept = `n${word} & ${this.#dialect.word(~mask)}`;
    return bits === '' ? `n${word} = ${kept};` : `n${word} = (${kept}) | ${bits};`;
  }

  #assign(v: Variable, value: Expression): string {
    const { word, shift, mask } = bitsOf(this.#layout, v);
    const computed = this.#number(value, 'n');
    return this.#put(word, mask << shift, shift === 0 ? computed : `(${computed} << ${shift})`);
  }

  statements(of: readonly Statement[]): string {
    const lines: string[] = [];
    const constants = new Map<number, { mask: number; bits: number }>();
    const putConstants = (): void => {
      for (const [word, { mask, bits }] of constants)
        lines.push(this.#put(word, mask, bits === 0 ? '' : this.#dialect.word(bits)));
      constants.clear();
    };
    for (const s of of) {
      if (s.kind === 'set' && s.value.kind === 'constant') {
        const { word, shift, mask } = bitsOf(this.#layout, s.variable);
        const { mask: masks, bits } = constants.get(word) ?? { mask: 0, bits: 0 };
        const cleared = bits & ~(mask << shift);
        constants.set(word, {
          mask: masks | (mask << shift),
          bits: cleared | (s.value.value << shift),
        });
        continue;
      }
      putConstants();
      lines.push(
        s.kind === 'set' ? this.#assign(s.variable, s.value) : this.#when(s.test, s.yes, s.no),
      );
    }
    putConstants();
    return lines.join(' ');
  }

  #when(test: Expression, yes: readonly Statement[], no: readonly Statement[]): string {
    const otherwise = no.length === 0 ? '' : ` else { ${this.statements(no)} }`;
    return `if (${this.expression(test, 'n')}) { ${this.statements(yes)} }${otherwise}`;
  }

  /** Words that the statements may write. */
  #written(of: readonly Statement[]): readonly number[] {
    return of.flatMap((s) =>
      s.kind === 'set'
        ? [bitsOf(this.#layout, s.variable).word]
        : [...this.#written(s.yes), ...this.#written(s.no)],
    );
  }

  /** A command, without those parts of its guard that are already known to hold. */
  command(c: Command, known: number): string {
    const { words } = this.#layout;
    const every = Array.from({ length: words }, (_, w) => w);
    const written = new Set(this.#written(c.effect));
    const reads = every.map((w) => `n${w} = w${w}`).join(', ');
    const out = every.map((w) => `out[o + ${w}] = ${written.has(w) ? 'n' : 'w'}${w};`).join(' ');
    const body = `${reads}; ${this.statements(c.effect)} ${out} o += ${words};`;
    const rest = c.guard.slice(known);
    return rest.length === 0 ? `{ ${body} }` : `if (${this.#conjunction(rest, 'w')}) { ${body} }`;
  }

  /** A variable and a constant, if that is what the guard begins with. */
  leading(c: Command): { readonly variable: Variable; readonly value: number } | null {
    const [first] = c.guard;
    return first?.kind === 'equal' &&
      first.left.kind === 'variable' &&
      first.right.kind === 'constant'
      ? { variable: first.left.variable, value: first.right.value }
      : null;
  }

  /** Neighbours that begin by asking the same variable share one `switch`. */
  group(commands: readonly Command[]): string {
    const lines: string[] = [];
    for (let i = 0; i < commands.length; ) {
      const lead = this.leading(must(commands[i], 'group'));
      if (lead === null) {
        lines.push(this.command(must(commands[i++], 'group'), 0));
        continue;
      }
      lines.push(`switch (${this.#bits(lead.variable, 'w')}) {`);
      let value = -1;
      for (; i < commands.length; i++) {
        const c = must(commands[i], 'group');
        const next = this.leading(c);
        if (next?.variable !== lead.variable || next.value < value) break;
        if (next.value !== value) lines.push(`${value < 0 ? '' : 'break; '}case ${next.value}:`);
        value = next.value;
        lines.push(this.command(c, 1));
      }
      lines.push('}');
    }
    return lines.join('\n');
  }
}

/** Commands in groups, of one agent each and of bounded size, in their order. */
function grouped(commands: readonly Command[]): readonly (readonly Command[])[] {
  const groups: Command[][] = [];
  for (const c of commands) {
    const last = groups.at(-1);
    if (last === undefined || last.length === GROUP || last[0]?.agent !== c.agent) groups.push([c]);
    else last.push(c);
  }
  return groups;
}

/** The step function of a machine as source text: its tables and one function for each group of commands. */
export function generate(
  system: System,
  layout: Layout,
  dialect: Dialect,
): { readonly tables: string; readonly groups: readonly string[] } {
  const tables = new Tables(dialect);
  const generator = new Generator(layout, tables);
  const groups = grouped(system.commands).map((commands, i) =>
    dialect.group(`group${i}`, layout.words, generator.group(commands)),
  );
  return { tables: tables.texts.join('\n'), groups };
}

/** An expression of a state whose words are `w0`, `w1` ..., and the tables that it looks into. */
export function expressionSource(
  e: Expression,
  layout: Layout,
  dialect: Dialect,
): { readonly tables: string; readonly text: string } {
  const tables = new Tables(dialect);
  const text = new Generator(layout, tables).expression(e, 'w');
  return { tables: tables.texts.join('\n'), text };
}
