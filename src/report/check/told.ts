import type { Cause } from '../../explore/cause.ts';
import type { Run } from '../../explore/check.ts';
import type { Repairs } from '../../explore/repair.ts';
import type { Trace } from '../../explore/trace.ts';
import { printValue } from '../../litmus/print-parts.ts';
import { printOutcome } from '../../litmus/result.ts';
import { nameOf } from '../../machine/config.ts';

/** A test as a machine, under one setting. */
export type Subject = Pick<Run, 'compiled' | 'machine' | 'setting'>;

/** An execution of a test, and what is to be said of it. */
export interface Told {
  readonly run: Subject;
  readonly trace: Trace;
  readonly title: string;
  /** What makes it possible, and what would not; null where that was not asked. */
  readonly why: { readonly causes: readonly Cause[]; readonly repairs: Repairs } | null;
  /** What the numbers of the machine stand for, where that is not themselves. */
  readonly values: readonly string[];
}

/** Agents of the machine, in their order. */
export function agentsOf({ run }: Pick<Told, 'run'>): readonly string[] {
  return run.compiled.config.agents.map(nameOf);
}

/** `1 stands for 200`, where a number of the machine is not that of the test. */
export function valueWords({ compiled }: Subject): readonly string[] {
  const words = Array.from({ length: Math.min(compiled.config.values ?? 0, 64) }, (_, code) => ({
    code: String(code),
    value: printValue(compiled.decode(code)),
  }));
  const others = words.filter(({ code, value }) => code !== value);
  if (others.length === 0) return [];
  return [`values: ${others.map(({ code, value }) => `${code} stands for ${value}`).join(', ')}`];
}

/** What an execution is: `SB: 6 steps to 0:rax=0; 1:rax=0;`. */
export function titleOf(run: Subject, trace: Trace, isWitness: boolean): string {
  const { compiled, machine } = run;
  const steps = `${trace.steps.length} step${trace.steps.length === 1 ? '' : 's'}`;
  const outcome = trace.isFinal ? compiled.observe(machine, trace.last, 0) : null;
  const end = outcome === null ? 'a state that is not final' : printOutcome(compiled, outcome);
  return `${compiled.test.name}: ${isWitness ? 'at least ' : ''}${steps} to ${end}`;
}
