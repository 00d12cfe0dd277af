import { cite, SOURCES, type SourceId } from '../cite/sources.ts';
import type { TimedAnswer } from '../compare/history/answer.ts';
import type { HistoryCause } from '../compare/history/attribution.ts';
import { exitCodeOfTimeline, type Timeline } from '../compare/history/timeline.ts';

/** Version of the JSON that `diff --timeline` prints; it grows when a field changes its meaning or goes. */
export const TIMELINE_SCHEMA_VERSION = 1;

function answerJson({ assumptions: _, ...answer }: TimedAnswer): object {
  return answer;
}

/** Source, commit id (null for what is no commit) and citation. */
export function sourceJson(id: SourceId): object {
  const source = SOURCES[id];
  return { source: id, commit: source.kind === 'commit' ? source.hash : null, citation: cite(id) };
}

function causeJson({ source, parts }: HistoryCause): object {
  return { ...sourceJson(source), evidence: SOURCES[source].evidence, parts };
}

/** A timeline as a plain object, field order fixed. The schema is printed by `memtype schema timeline`. */
export function timelineJson(t: Timeline): object {
  return {
    schemaVersion: TIMELINE_SCHEMA_VERSION,
    facts: t.said,
    newest: t.newest,
    stretches: t.stretches.map(({ from, to, kernels, eras, unsettled, answer, causes }) => ({
      from,
      to,
      kernels,
      eras,
      unsettled,
      answer: answerJson(answer),
      causes: causes.map(causeJson),
    })),
    branches: t.branches.map(({ from, series, kernels, as, answer, causes }) => ({
      from,
      series,
      kernels,
      as,
      answer: answerJson(answer),
      causes: causes.map(causeJson),
    })),
    verdicts: t.verdicts,
    unknown: t.unknown,
    assumptions: t.assumptions,
    exitCode: exitCodeOfTimeline(t),
  };
}
