import { must } from '../../base/assert.ts';
import type { Expression, Statement, Variable } from './expression.ts';
import type { Command, System } from './system.ts';

/** What a model says of itself in states where `when` holds: lines of Promela, from the terms in them. */
export interface Remark {
  readonly when: Expression;
  readonly say: (term: (e: Expression) => string) => readonly string[];
}

/** Names that Promela takes, one for each variable: `P0.store buffer[0]` is `P0_store_buffer_0`. */
function namesOf(variables: readonly Variable[]): readonly string[] {
  const used = new Set<string>();
  return variables.map(({ name, index }) => {
    const plain = name.replace(/[^A-Za-z0-9]+/g, '_').replace(/_$/, '');
    const unique = used.has(plain) ? `${plain}_${index}` : plain;
    used.add(unique);
    return unique;
  });
}

/** Bits of an int that nothing but a sign would fill. */
const INT_BITS = 31;

/** A table as fields of a number that is shifted by the index; of several where one has no room for it. */
function lookup(table: readonly number[], index: string): string {
  const width = Math.max(1, 32 - Math.clz32(Math.max(...table)));
  const room = Math.floor(INT_BITS / width);
  if (table.length === 1) return String(table[0]);
  if (table.length > room) {
    const [first, rest] = [table.slice(0, room), table.slice(room)];
    return `(${index} < ${room} -> ${lookup(first, index)} : ${lookup(rest, `(${index} - ${room})`)})`;
  }
  const packed = table.reduce((sum, v, i) => sum + v * 2 ** (i * width), 0);
  const shift = width === 1 ? index : `(${index} * ${width})`;
  return `((${packed} >> ${shift}) & ${2 ** width - 1})`;
}

class Writer {
  readonly #names: readonly string[];

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  nameOf(v: Variable): string {
    return must(this.#names[v.index], `${v.name}: not declared`);
  }

  term(e: Expression): string {
    const of = (x: Expression): string => this.term(x);
    switch (e.kind) {
      case 'constant':
        return String(e.value);
      case 'variable':
        return this.nameOf(e.variable);
      case 'equal':
        return `(${of(e.left)} == ${of(e.right)})`;
      case 'less':
        return `(${of(e.left)} < ${of(e.right)})`;
      case 'plus':
        return `(${of(e.left)} + ${of(e.right)})`;
      case 'all':
        return `(${e.of.map(of).join(' && ')})`;
      case 'any':
        return `(${e.of.map(of).join(' || ')})`;
      case 'not':
        return `!${of(e.of)}`;
      case 'choose':
        return `(${of(e.test)} -> ${of(e.yes)} : ${of(e.no)})`;
      case 'lookup':
        return lookup(e.table, of(e.index));
    }
  }

  statement(s: Statement): string {
    if (s.kind === 'set') return `${this.nameOf(s.variable)} = ${this.term(s.value)}`;
    return `if :: ${this.term(s.test)} -> ${this.#block(s.yes)} :: else -> ${this.#block(s.no)} fi`;
  }

  #block(of: readonly Statement[]): string {
    return of.length === 0 ? 'skip' : of.map((s) => this.statement(s)).join('; ');
  }

  /** Not even a step that changes nothing is left out: it is one of the machine's transitions. */
  command({ guard, effect, agent, rule, text }: Command): string {
    const test = guard.map((g) => this.term(g)).join(' && ');
    const what = text.map((part) => (typeof part === 'string' ? part : '_')).join('');
    return `    /* ${agent}: ${what} (${rule.id}) */\n    :: d_step { ${test} -> ${this.#block(effect)} }`;
  }
}

function declaration({ size }: Variable, name: string, initial: number): string {
  const value = initial === 0 ? '' : ` = ${initial}`;
  return `unsigned ${name} : ${32 - Math.clz32(size - 1)}${value};`;
}

/**
 * The machine in Promela: one process that takes one command after the other, each in one step, so that SPIN stores
 * the states of the machine and no others. A remark is a step to the same state, in addition to those of the machine.
 */
export function promelaSource(system: System, remarks: readonly Remark[]): string {
  const names = namesOf(system.variables);
  const writer = new Writer(names);
  const remark = ({ when, say }: Remark): string =>
    [
      `    :: d_step { ${writer.term(when)} ->`,
      ...say((e) => writer.term(e)).map((line) => `         ${line};`),
      '       }',
    ].join('\n');
  return [
    ...system.variables.map((v, i) =>
      declaration(v, must(names[i], 'a name'), system.initial[i] ?? 0),
    ),
    '',
    'active proctype machine()',
    '{',
    'end:',
    '    do',
    ...system.commands.map((c) => writer.command(c)),
    ...remarks.map(remark),
    '    od',
    '}',
    '',
  ].join('\n');
}
