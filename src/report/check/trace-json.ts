import { cite } from '../../cite/sources.ts';
import { printPath } from '../../explore/path.ts';
import type { Moment } from '../../explore/trace.ts';
import { COUNT, type Json, listOf, nullable, object, STRING, STRINGS } from '../schema-parts.ts';
import type { Told } from './told.ts';

function copiesJson({ copies }: Moment): readonly object[] {
  return Object.entries(copies).map(([line, list]) => ({
    line,
    copies: list.map(({ agent, place, holds }) => ({
      agent,
      place: place === '' ? null : place,
      holds: typeof holds === 'string' ? holds : holds.map((v) => v ?? '-').join(' '),
    })),
  }));
}

/** An execution, and what makes it possible. */
export function traceJson({ trace, title, why, values }: Told): object {
  return {
    title,
    path: printPath(trace.path),
    values,
    initial: copiesJson(trace.initial),
    steps: trace.steps.map(({ choice, choices, step, ...after }) => ({
      choice,
      choices,
      agent: step.agent,
      text: step.text,
      rule: step.rule,
      sources: step.sources,
      instruction: step.instruction,
      lines: copiesJson(after),
    })),
    why:
      why === null
        ? null
        : {
            causes: why.causes.map(({ rule, how }) => ({
              rule: rule.id,
              title: rule.title,
              how,
              sources: rule.sources.map(cite),
            })),
            repairs: why.repairs.repairs.map((changes) => changes.map((c) => c.text)),
            undecided: why.repairs.undecided,
          },
  };
}

/** Schema of it. */
export function traceSchema(): Json {
  const copy = object({ agent: STRING, place: nullable('string'), holds: STRING });
  const lines = listOf(object({ line: STRING, copies: listOf(copy) }));
  const step = object({
    choice: { ...COUNT, description: 'which of the steps that were possible' },
    choices: COUNT,
    agent: STRING,
    text: STRING,
    rule: STRING,
    sources: STRINGS,
    instruction: { ...nullable('integer'), description: 'null: what hardware does by itself' },
    lines,
  });
  const cause = object({
    rule: STRING,
    title: STRING,
    how: { enum: ['late', 'happens'] },
    sources: STRINGS,
  });
  const why = object({
    causes: listOf(cause),
    repairs: { ...listOf(STRINGS), description: 'changes that together forbid it' },
    undecided: { ...COUNT, description: 'changes whose search was cut' },
  });
  return object({
    title: STRING,
    path: { ...STRING, description: 'for --replay' },
    values: { ...STRINGS, description: 'what numbers stand for, where not for themselves' },
    initial: lines,
    steps: listOf(step),
    why: { anyOf: [why, { type: 'null' }] },
  });
}
