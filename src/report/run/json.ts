import { factWord } from '../../facts/facts.ts';
import { exitCodeOf, type Resolution } from '../../resolve/resolution.ts';
import type { Run, RunEvent } from '../../scenario/run.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { effectiveOf } from '../../scenario/stage/effective.ts';
import { COST_CPUS, loadsCached, storeFactor, storeNs } from '../../x86/cost.ts';

/** Version of the JSON that `run` prints; it grows when a field changes its meaning or goes. */
export const RUN_SCHEMA_VERSION = 1;

/** 0 holds, 1 violated or refused, 3 undetermined: never reported as fine. */
export function exitCodeOfRun({ holds }: Run): 0 | 1 | 3 {
  if (holds === null) return 3;
  return holds ? 0 : 1;
}

/** An event as a plain object, of the same fields whoever acts. */
export function eventJson(event: RunEvent, n: number): object {
  if (event.kind === 'stage') {
    const { step, who, what, type, sources, trace } = event;
    return { n, kind: event.kind, who, what, step, type, sources, trace };
  }
  const { who, what, byte, line, value, from, missed, copies, rule, sources } = event;
  const type = event.type === null ? null : effectiveOf(event.type);
  const read = value === null ? null : { value, from, missed };
  return { n, kind: event.kind, who, what, byte, line, type, read, copies, rule, sources };
}

function costJson({ types }: Run): object {
  return types.map((type) => ({
    type,
    storeNs: Object.fromEntries(COST_CPUS.map((cpu) => [cpu, storeNs(type, cpu)])),
    timesWb: Object.fromEntries(
      COST_CPUS.map((cpu) => [cpu, Math.round(storeFactor('WB', type, cpu) * 100) / 100]),
    ),
    loadsCached: loadsCached(type),
    source: 'perf/yan-2024-09-05',
  }));
}

function verdictJson(r: Resolution): object {
  return {
    types: r.types,
    verdicts: r.verdicts.map(({ code, severity, title, certain }) => ({
      code,
      severity,
      title,
      certain,
    })),
    exitCode: exitCodeOf(r),
  };
}

/** The head of a run: everything but its events. */
function headJson(run: Run, scenario: Scenario, resolution: Resolution | null): object {
  const { program, question, stage, searched } = run;
  const [rules] = [...question.rules.values()];
  return {
    schemaVersion: RUN_SCHEMA_VERSION,
    scenario: scenario.title,
    program: program.name,
    subject: rules === undefined ? null : question.subject(rules),
    seed: run.seed,
    result: run.result,
    holds: run.holds,
    violations: run.violations,
    outcome: run.outcome,
    memory: run.final?.memory ?? {},
    types: run.types,
    kvm: stage.leaf,
    guest: {
      requested: stage.mapping?.requested ?? null,
      granted: stage.mapping?.granted ?? null,
    },
    searched,
    assumptions: stage.assumed.map(({ key, value, why }) => ({ fact: key, value, why })),
    facts: Object.entries(question.facts)
      .filter(([key]) => key !== 'policy')
      .map(([fact, values]) => ({ fact, values: values.map((v) => factWord(v)) })),
    verdict: resolution === null ? null : verdictJson(resolution),
    cost: costJson(run),
    exitCode: exitCodeOfRun(run),
  };
}

/** A run as a plain object, field order fixed. The schema is printed by `memtype schema run`. */
export function runJson(run: Run, scenario: Scenario, resolution: Resolution | null): object {
  return { ...headJson(run, scenario, resolution), events: run.events.map(eventJson) };
}

/** A run as lines of JSON: its head, then its events. */
export function runJsonLines(run: Run, scenario: Scenario, resolution: Resolution | null): string {
  const lines = [
    { ...headJson(run, scenario, resolution), kind: 'run' },
    ...run.events.map(eventJson),
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}
