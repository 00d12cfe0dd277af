import { printPath } from '../../explore/path.ts';
import type { Moment } from '../../explore/trace.ts';
import type { Step } from '../../machine/machine.ts';
import type { Told } from './told.ts';

/** A value as the Informal Trace Format has it: integers of any size, and maps by name. */
function value(of: unknown): unknown {
  if (typeof of === 'number') return { '#bigint': String(of) };
  if (of === null) return 'nothing';
  if (Array.isArray(of)) return of.map(value);
  if (typeof of !== 'object') return of;
  return { '#map': Object.entries(of).map(([key, inner]) => [key, value(inner)]) };
}

const VARIABLES = ['step', 'memory', 'coherent', 'cores', 'devices', 'flags', 'pageTable'] as const;

function stateOf(index: number, { view }: Moment, step: Step | null): object {
  const { memory, coherent, cores, devices, flags, pageTable } = view;
  const record = {
    agent: step?.agent ?? '',
    text: step?.text ?? 'initial state',
    rule: step?.rule ?? '',
    sources: step?.sources ?? [],
  };
  const maps = Object.fromEntries(
    Object.entries({ memory, coherent, cores, devices, flags, pageTable }).map(([name, of]) => [
      name,
      value(of),
    ]),
  );
  return { '#meta': { index }, step: record, ...maps };
}

/** An execution in the Informal Trace Format of Apalache, which its viewers show. */
export function traceItf(told: Told): object {
  const { trace, title, run } = told;
  return {
    '#meta': {
      format: 'ITF',
      'format-description': 'https://apalache-mc.org/docs/adr/015adr-trace.html',
      source: run.compiled.test.name,
      description: title,
      path: printPath(trace.path),
      varTypes: {},
    },
    vars: VARIABLES,
    states: [
      stateOf(0, trace.initial, null),
      ...trace.steps.map((step, i) => stateOf(i + 1, step, step.step)),
    ],
  };
}
