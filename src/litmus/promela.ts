import { must } from '../base/assert.ts';
import { buildHardware } from '../machine/build.ts';
import { coherentExpression, finalExpression } from '../machine/edges.ts';
import {
  all,
  any,
  constant,
  type Expression,
  equal,
  NO,
  not,
  YES,
} from '../machine/language/expression.ts';
import { promelaSource, type Remark } from '../machine/language/promela.ts';
import type { Hardware } from '../machine/state.ts';
import type { CompiledTest, Holder } from './compiled.ts';
import { printSwitches } from './print.ts';
import { printLocation, printProposition, printValue } from './print-parts.ts';
import type { Location, Proposition, Value } from './test.ts';
import { sameValue } from './values.ts';

/** What the variables of the machine hold at a location, as its number. */
function codeAt(hw: Hardware, holder: Exclude<Holder, { kind: 'known' }>): Expression {
  if (holder.kind === 'register') {
    const agent = [...hw.cores, ...hw.devices].find((a) => a.name === holder.agent);
    return must(agent?.registers.get(holder.register), `no register ${holder.register}`);
  }
  const line = hw.plan.lines.findIndex((l) => l.name === holder.line);
  return holder.kind === 'cell'
    ? coherentExpression(hw, line, holder.cell)
    : must(hw.memory[line]?.[holder.cell], `no line ${holder.line}`);
}

class Asked {
  readonly #test: CompiledTest;
  readonly #hw: Hardware;
  /** By number. */
  readonly #values: readonly Value[];

  constructor(test: CompiledTest, hw: Hardware) {
    this.#test = test;
    this.#hw = hw;
    const { size, decode } = test.encoding;
    this.#values = Array.from({ length: size }, (_, code) => decode(code));
  }

  #equals(holder: Holder, value: Value): Expression {
    if (holder.kind === 'known') return sameValue(holder.value, value) ? YES : NO;
    const code = codeAt(this.#hw, holder);
    return any(...this.#values.flatMap((v, c) => (sameValue(v, value) ? [equal(code, c)] : [])));
  }

  #same(left: Holder, right: Holder): Expression {
    if (left.kind === 'known') return this.#equals(right, left.value);
    if (right.kind === 'known') return this.#equals(left, right.value);
    return equal(codeAt(this.#hw, left), codeAt(this.#hw, right));
  }

  proposition(p: Proposition): Expression {
    const { holderOf } = this.#test;
    switch (p.kind) {
      case 'constant':
        return constant(p.value ? 1 : 0);
      case 'equals':
        return this.#equals(holderOf(p.left), p.right);
      case 'same':
        return this.#same(holderOf(p.left), holderOf(p.right));
      case 'not':
        return not(this.proposition(p.of));
      case 'and':
        return all(...p.of.map((q) => this.proposition(q)));
      case 'or':
        return any(...p.of.map((q) => this.proposition(q)));
      case 'implies':
        return any(not(this.proposition(p.left)), this.proposition(p.right));
    }
  }

  /** Statements that print a location as herd does: a number is printed, what stands for something else is looked up. */
  print(location: Location, term: (e: Expression) => string): string {
    const holder = this.#test.holderOf(location);
    const name = printLocation(location);
    if (holder.kind === 'known') return `printf("${name}=${printValue(holder.value)}; ")`;
    const code = term(codeAt(this.#hw, holder));
    if (this.#values.every((v, c) => v === c)) return `printf("${name}=%d; ", ${code})`;
    const cases = this.#values.map(
      (v, c) => `:: ${code} == ${c} -> printf("${name}=${printValue(v)}; ")`,
    );
    return `if ${cases.join(' ')} fi`;
  }
}

function head({ test, config }: CompiledTest): readonly string[] {
  const { quantifier, proposition } = test.condition;
  const { name } = test;
  return [
    '/*',
    ` * ${name}, as memtype's machine executes it. SPIN stores as many states as memtype`,
    ' * counts. It counts one transition more for the initial state, and one for each',
    ' * final state, which is printed there.',
    ' *',
    ' *   spin -a -o2 MODEL.pml',
    ' *   gcc -O2 -DSAFETY -DNOREDUCE -DPRINTF -o pan pan.c && ./pan -m1000000',
    ' *',
    ' * (-o2: without it SPIN drops what is written and not read again, and with that',
    ' * states.) A path to the condition, instead of all states:',
    ' *',
    ' *   spin -a -o2 -DFIND MODEL.pml; gcc ...; ./pan -i; spin -t -p -DFIND MODEL.pml',
    ' *',
    ...printSwitches(config.switches ?? {}).map((words) => ` * with ${words}`),
    ` * ${quantifier} (${printProposition(proposition)})`,
    ' */',
  ];
}

/**
 * A test as a model for SPIN, with exactly the states of the machine. In a final state it prints `outcome:` and what
 * `printOutcome` says of it; with `-DFIND` a final state that decides the condition fails an assertion: one that
 * satisfies it where it begins with `exists` or `~exists`, one that does not with `forall`.
 */
export function promelaOf(test: CompiledTest): string {
  const hw = buildHardware(test.config);
  const asked = new Asked(test, hw);
  const { filter, condition } = test.test;
  const final = all(finalExpression(hw), filter === null ? YES : asked.proposition(filter));
  const inside = asked.proposition(condition.proposition);
  const decides = condition.quantifier === 'forall' ? not(inside) : inside;
  const remark: Remark = {
    when: final,
    say: (term) => [
      'printf("outcome: ")',
      ...test.columns.map((location) => asked.print(location, term)),
      'printf("\\n")',
      `FOUND(${term(decides)})`,
    ],
  };
  return [
    ...head(test),
    '#ifdef FIND',
    '#define FOUND(c) assert(!(c))',
    '#else',
    '#define FOUND(c) skip',
    '#endif',
    '',
    promelaSource(hw.builder.system, [remark]),
  ].join('\n');
}
