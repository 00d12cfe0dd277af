import { must } from '../../base/assert.ts';
import type { FactValues } from '../../facts/facts.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { NEWEST_READ } from '../../kvm/timeline.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { composeQuestions } from '../../resolve/compose.ts';
import { complain, type Entry } from '../../resolve/entries.ts';
import type { Question } from '../../resolve/question.ts';
import { type Assumption, type FactName, TooManyWorlds } from '../../resolve/resolution.ts';
import { VERDICTS } from '../../resolve/verdicts/index.ts';
import { Answers, keyOf, type TimedAnswer } from './answer.ts';
import { attribute, type HistoryCause } from './attribution.ts';
import {
  axisOf,
  BESIDE,
  endOnAxis,
  MAINLINE,
  RELEASES,
  type Run,
  runWords,
  type SideLine,
} from './releases.ts';

/** A run of mainline versions over which the answer is the same. */
export interface Stretch {
  /** The first version: "6.11-rc1". */
  readonly from: string;
  /** The first version with another answer; null: it holds to the newest kernel read. */
  readonly to: string | null;
  /** "2.6.31 to 4.1" */
  readonly kernels: string;
  /** Where it begins and ends on an axis on which a release is one unit wide; 0 is the first candidate of 2.6.26. */
  readonly axis: { readonly from: number; readonly to: number };
  /** The rules over it, oldest first: eras of vmx_get_mt_mask(), or of SVM where only NPT is possible. */
  readonly eras: readonly string[];
  /** The sources do not settle which of several rules these versions have. */
  readonly unsettled: boolean;
  readonly answer: TimedAnswer;
  /** What made the answer change from that of the stretch before; empty for the first. */
  readonly causes: readonly HistoryCause[];
}

/** A stable series that took over later rules, with another answer than its release has. */
export interface SideBranch {
  /** "6.12.78 and later 6.12.y" */
  readonly kernels: string;
  readonly from: string;
  readonly series: string;
  /** Where its release ends on the axis. */
  readonly axis: number;
  /** The mainline kernels with the same answer, or with the same types and leaf; null: none has them. */
  readonly as: { readonly kernels: string; readonly exactly: boolean } | null;
  readonly answer: TimedAnswer;
  readonly causes: readonly HistoryCause[];
}

/** How the answer to one set of facts moved, from the first kernel with EPT to the newest read. */
export interface Timeline {
  /** The facts, as they were given. */
  readonly said: readonly { readonly key: string; readonly values: readonly string[] }[];
  readonly newest: string;
  /** Mainline, oldest first: each follows on the one before. */
  readonly stretches: readonly Stretch[];
  readonly branches: readonly SideBranch[];
  /** Every verdict code of an answer, with its title. */
  readonly verdicts: readonly { readonly code: string; readonly title: string }[];
  /** Sentences: what was taken as given, because nothing was said. */
  readonly assumptions: readonly Assumption[];
  /** Facts that would decide where several types are possible. */
  readonly unknown: readonly FactName[];
}

// ---- the question -----------------------------------------------------------------------------

const KERNEL_KEYS = ['kernel', 'policy', 'quirks2'];

function questionOf(entries: readonly Entry[]): Question {
  const named = entries.find(({ key }) => KERNEL_KEYS.includes(key));
  if (named !== undefined) {
    complain(
      named.words[0] ?? named,
      `a timeline asks every kernel, and ${named.key} names one`,
      `leave out ${named.key}`,
    );
  }
  return must(composeQuestions(entries)[0], 'a question');
}

// ---- stretches --------------------------------------------------------------------------------

interface Part {
  readonly runs: readonly [Run, ...Run[]];
  readonly answer: TimedAnswer;
  readonly settled: boolean;
}

/** Neighbours with the same answer put together. */
function partsOf(answers: Answers): readonly Part[] {
  const found: Part[] = [];
  for (const run of MAINLINE) {
    const answer = answers.underOneOf(run.rules);
    const settled = answers.agree(run.rules);
    const last = found.at(-1);
    if (last?.settled === settled && keyOf(last.answer) === keyOf(answer)) {
      found[found.length - 1] = { ...last, runs: [...last.runs, run] };
    } else found.push({ runs: [run], answer, settled });
  }
  return found;
}

/** Of rules that all give the same answer, those nearest to the ones before; the last, to the ones after. */
function edge({ runs }: Part, at: 0 | -1): KvmRules {
  return must(must(runs.at(at), 'a part has runs').rules.at(at), 'a run has rules');
}

/** @param all as far as the part in question, which is the last */
function causesAt(answers: Answers, all: readonly Part[]): readonly HistoryCause[] {
  const part = must(all.at(-1), 'a part');
  const from = all.slice(0, -1).findLastIndex((p) => p.settled);
  const before = all[from];
  if (before === undefined) return [];
  const to = part.settled ? [edge(part, 0)] : part.runs[0].rules;
  const causes = to.flatMap((rules) => attribute(answers, edge(before, -1), rules));
  // What is told where the sources leave it open is not told again where they settle it.
  const between = all.slice(from + 1, -1);
  const told = between.flatMap((_, i) => causesAt(answers, all.slice(0, from + 2 + i)));
  const sources = [...told, ...causes].map(({ source }) => source);
  return causes.filter(({ source }, i) => sources.indexOf(source) === told.length + i);
}

type Paging = readonly FactValues['paging'][] | undefined;

/** Shadow paging asks no era, and NPT those of SVM. */
function erasOf(part: Part, paging: Paging): readonly string[] {
  if (paging?.every((p) => p === 'shadow') === true) return [];
  const npt = paging?.every((p) => p !== 'ept') === true;
  return [...new Set(part.runs.flatMap(({ rules }) => rules.map((r) => (npt ? r.svm : r.vmx).id)))];
}

function stretchesOf(answers: Answers, paging: Paging): readonly Stretch[] {
  const all = partsOf(answers);
  return all.map((part, i): Stretch => {
    const [first] = part.runs;
    const last = must(part.runs.at(-1), 'a run');
    return {
      from: first.from.text,
      to: last.to?.text ?? null,
      kernels: runWords(first.from, last.to),
      axis: {
        from: axisOf(first.from),
        to: last.to === null ? RELEASES.length : axisOf(last.to),
      },
      eras: erasOf(part, paging),
      unsettled: !part.settled,
      answer: part.answer,
      causes: causesAt(answers, all.slice(0, i + 1)),
    };
  });
}

// ---- side branches ----------------------------------------------------------------------------

function looksLike(a: TimedAnswer, b: TimedAnswer): boolean {
  return a.types.join() === b.types.join() && a.leaf === b.leaf;
}

/** Neighbours in a series with the same answer put together; what has that of the release before it is left out. */
interface SidePart {
  readonly runs: readonly [Run, ...Run[]];
  readonly answer: TimedAnswer;
  readonly causes: readonly HistoryCause[];
}

function sideParts(answers: Answers, line: SideLine): readonly SidePart[] {
  const found: SidePart[] = [];
  let before = line.base;
  for (const run of line.runs) {
    const answer = answers.underOneOf(run.rules);
    const same = keyOf(answer) === keyOf(answers.underOneOf(before.rules));
    const last = found.at(-1);
    if (!same) {
      const from = must(before.rules.at(-1), 'rules');
      const causes = attribute(answers, from, must(run.rules[0], 'rules'));
      found.push({ runs: [run], answer, causes });
    } else if (last !== undefined) {
      found[found.length - 1] = { ...last, runs: [...last.runs, run] };
    }
    before = run;
  }
  return found;
}

function nearestAs(part: SidePart, axis: number, stretches: readonly Stretch[]): SideBranch['as'] {
  const eras = new Set(part.runs[0].rules.flatMap(({ vmx, svm }) => [vmx.id, svm.id]));
  const key = keyOf(part.answer);
  const nearest = (same: (s: Stretch) => boolean): Stretch | undefined => {
    const later = stretches.filter((s) => s.axis.from > axis && same(s));
    const own = later.find((s) => s.eras.some((id) => eras.has(id)));
    return own ?? later[0] ?? stretches.findLast(same);
  };
  const exactly = nearest((s) => keyOf(s.answer) === key);
  const as = exactly ?? nearest((s) => looksLike(s.answer, part.answer));
  return as === undefined ? null : { kernels: as.kernels, exactly: as === exactly };
}

function branchesOf(
  answers: Answers,
  line: SideLine,
  stretches: readonly Stretch[],
): readonly SideBranch[] {
  if (answers.underOneOf(line.base.rules).refused?.by === 'kvm') return [];
  const axis = endOnAxis(parseKernelVersion(line.series));
  return sideParts(answers, line).map((part): SideBranch => {
    const { from } = part.runs[0];
    const to = must(part.runs.at(-1), 'a run').to;
    return {
      kernels: line.words(from, to),
      from: from.text,
      series: line.series,
      axis,
      as: nearestAs(part, axis, stretches),
      answer: part.answer,
      causes: part.causes,
    };
  });
}

// ---- all of it --------------------------------------------------------------------------------

/** The same thing is taken as given everywhere, but not every kernel asks for it. */
function assumptionsOf(all: readonly TimedAnswer[]): readonly Assumption[] {
  const found = new Map<string, Assumption>();
  for (const { assumptions } of all) {
    for (const a of assumptions) {
      const name = `${a.fact} ${a.value}`;
      if (!found.has(name)) found.set(name, a);
    }
  }
  return [...found.values()];
}

function verdictsOf(all: readonly TimedAnswer[]): Timeline['verdicts'] {
  const codes = new Set(all.flatMap((a) => [...a.errors, ...a.warnings, ...a.refusals]));
  return VERDICTS.filter(({ code }) => codes.has(code)).map(({ code, title }) => ({ code, title }));
}

function build(entries: readonly Entry[]): Timeline {
  const q = questionOf(entries);
  const answers = new Answers(q);
  const stretches = stretchesOf(answers, q.facts.paging);
  const branches = BESIDE.flatMap((line) => branchesOf(answers, line, stretches));
  const all = [...stretches, ...branches].map(({ answer }) => answer);
  return {
    said: entries.map(({ key, words }) => ({ key, values: words.map(({ text }) => text) })),
    newest: NEWEST_READ,
    stretches,
    branches,
    verdicts: verdictsOf(all),
    assumptions: assumptionsOf(all),
    unknown: [...new Set(all.flatMap(({ unknown }) => unknown))].filter((f) => f !== 'kernel'),
  };
}

/**
 * How the answer to these facts moved, kernel by kernel.
 *
 * @throws InputError when the facts are wrong, or name a kernel
 * @throws TooManyWorlds when too much is open
 */
export function timeline(entries: readonly Entry[]): Timeline {
  try {
    return build(entries);
  } catch (error) {
    if (!(error instanceof TooManyWorlds)) throw error;
    const help = 'say at least the paging mode, the backing and what the guest maps';
    throw new TooManyWorlds(error.diagnostics.map((d) => ({ ...d, help })));
  }
}

/** 1: the answer was not always the same; 3: it is open under every kernel; else 0. */
export function exitCodeOfTimeline({ stretches, branches }: Timeline): 0 | 1 | 3 {
  const open = stretches.every(({ answer }) => answer.types.length > 1 && !answer.undefined);
  if (open) return 3;
  return stretches.length > 1 || branches.length > 0 ? 1 : 0;
}
