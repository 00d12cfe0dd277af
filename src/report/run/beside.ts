import type { Resolution } from '../../resolve/resolution.ts';
import type { Hinge } from '../../scenario/hinges.ts';
import { isOfRun, type Run, type RunEvent } from '../../scenario/run.ts';
import { effectiveOf } from '../../scenario/stage/effective.ts';
import type { EffectiveType } from '../../x86/types.ts';

/** What stands beside a run: what the resolver says of its facts, and what of it is contested. */
export interface Beside {
  /** Null: it could not say, or the guest kernel refuses. */
  readonly resolution: Resolution | null;
  /** Null: not looked at. */
  readonly hinges: readonly Hinge[] | null;
}

/** The blob goes, after the program. */
const LAST_STEP = 10;

/** The events under THE RUN, in the order of their numbers. */
export function shownEvents({ events }: Run): readonly RunEvent[] {
  return events.filter((e) => e.kind === 'machine' || e.step === null || e.step === LAST_STEP);
}

/** Verdicts of wrong data. */
const WRONG_DATA = ['MT101', 'MT102', 'MT103', 'MT401', 'MT240', 'MT241'];

interface Retyped {
  /** Number of the event that mapped the blob anew. */
  readonly event: number;
  /** Number of the first access of the other type. */
  readonly access: number;
  readonly type: EffectiveType;
}

/** Where the guest's accesses to the blob stopped to be of the type that the first touch got; the last such place. */
function retyped(run: Run): Retyped | null {
  const lines = new Set(run.program.memory.blob.map((line) => line.join('')));
  let type = run.stage.touched;
  let found: Retyped | null = null;
  let mapped = 0;
  shownEvents(run).forEach((e, i) => {
    if (e.kind === 'stage') {
      if (e.type !== null) mapped = i + 1;
      return;
    }
    if (e.who !== 'guest' || e.type === null || !lines.has(e.line ?? '')) return;
    const now = effectiveOf(e.type);
    if (now !== type && type !== null) found = { event: mapped, access: i + 1, type: now };
    type = now;
  });
  return found;
}

function changeWords(run: Run): readonly string[] {
  const change = retyped(run);
  if (change === null) return [];
  const by = change.event === 0 ? '' : ` Event ${change.event} mapped it anew.`;
  return [
    `It is about the first touch, ${run.stage.touched ?? ''}; from event ${change.access} on the guest's accesses are ${change.type}.${by}`,
  ];
}

function violatedWords(run: Run): readonly string[] {
  const changes = changeWords(run);
  const dirty =
    run.program.cleared === 'dirty'
      ? ['The host left the lines that it cleared in its caches: of that no verdict knows.']
      : [];
  if (changes.length > 0 || dirty.length > 0) return [...changes, ...dirty];
  return ['It is about the types, which stay as they are: what fails here is in the program.'];
}

/** How the verdict and the run go together. The resolver knows the facts, not what a program does on them. */
export function reconciled(run: Run, { verdicts }: Resolution): readonly string[] {
  const codes = verdicts.filter((v) => WRONG_DATA.includes(v.code)).map((v) => v.code);
  const isWrong = run.violations.some(isOfRun);
  if (isWrong) return codes.length > 0 ? changeWords(run) : violatedWords(run);
  if (codes.length === 0 || run.searched === null) return changeWords(run);
  const which = codes.join(' and ');
  const changes = changeWords(run);
  if (changes.length > 0) return changes;
  return [`This program does not exercise ${which}: no schedule of it meets what it warns of.`];
}

/** What the result depends on and no source settles. */
export function hingeWords(run: Run, all: Beside['hinges']): readonly string[] {
  if (all === null)
    return ['Contested switches of the machine were not tried: there are too many states.'];
  const other = run.violations.some(isOfRun)
    ? 'no schedule violates it'
    : 'some schedule violates it';
  return all.map(
    ({ name, on }) =>
      `Contested: with the switch ${name} ${on ? 'off' : 'on'} (here ${on ? 'on' : 'off'}) ${other} (memtype rule machine/switch/${name}).`,
  );
}
