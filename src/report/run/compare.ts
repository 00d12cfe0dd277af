import type { Run } from '../../scenario/run.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { storeNs } from '../../x86/cost.ts';
import { table, wrap } from '../wrap.ts';

const WIDTH = 80;

/** Runs of one program, one for each kernel or policy, in the same order for every program. */
export type ProgramRuns = readonly Run[];

function subjectOf({ question }: Run): string {
  const [rules] = [...question.rules.values()];
  return rules === undefined ? '' : question.subject(rules);
}

function seenWords(run: Run): string {
  if (run.result === 'refused') return 'refused';
  const wrong = run.violations.length > 0 ? 'x' : run.result;
  return run.holds === null ? `${wrong}?` : wrong;
}

function row(name: string, runs: ProgramRuns, cell: (run: Run) => string): readonly string[] {
  return [name, ...runs.map(cell)];
}

/** Programs below, kernels and policies across: what each ends with. */
export function compareRunsText(all: readonly ProgramRuns[], { title }: Scenario): string {
  const [first = []] = all;
  const store = (run: Run): string => {
    const [type] = run.types;
    return type === undefined ? '-' : storeNs(type, 'Sapphire Rapids').toFixed(1);
  };
  const rows = [
    ['', ...first.map(subjectOf)],
    row('guest maps', first, (r) => r.stage.mapping?.granted ?? '-'),
    row('KVM installs', first, (r) => r.stage.leaf ?? '-'),
    row('guest gets', first, (r) => r.types.join(', ') || '-'),
    row('ns a store', first, store),
    ...all.map((runs) => {
      const [{ program }] = runs as readonly [Run];
      return row(`${program.name} ${program.title}`, runs, seenWords);
    }),
  ];
  const legend =
    'ok: holds on every schedule. slow: holds, and stores go out one by one. x: some schedule violates it. ' +
    'refused: there is no run. The rows above the programs are those of the first program; a store on Sapphire Rapids.';
  return [...wrap(title, WIDTH), '', ...table(rows, WIDTH), '', ...wrap(legend, WIDTH), ''].join(
    '\n',
  );
}
