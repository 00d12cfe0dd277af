import { must } from '../../base/assert.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { NEWEST_READ, rulesFor, SPANS, UBUNTU_6_8_QUIRK_ABI } from '../../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';

/** The last release of each major number that has ended; 2.6.39 went before 3.0. */
const LAST_MINOR: Readonly<Record<number, number>> = { 3: 19, 4: 20, 5: 19, 6: 19 };

function seriesOf(major: number, from: number, to: number): readonly string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `${major}.${from + i}`);
}

/** Every release of mainline since EPT, oldest first, up to the newest read. */
export const RELEASES: readonly KernelVersion[] = [
  ...seriesOf(6, 26, 39).map((release) => `2.${release}`),
  ...Object.entries(LAST_MINOR).flatMap(([major, last]) => seriesOf(Number(major), 0, last)),
  ...seriesOf(7, 0, parseKernelVersion(NEWEST_READ).minor),
].map(parseKernelVersion);

/** "6.12" of 6.12.78 and of 6.12-rc1. */
function releaseOf({ major, minor, patch }: KernelVersion): string {
  return major === 2 ? `${major}.${minor}.${patch}` : `${major}.${minor}`;
}

function indexOfRelease(version: KernelVersion): number {
  const name = releaseOf(version);
  return RELEASES.findIndex((release) => release.text === name);
}

/** Of a stable series: not on one line with mainline. */
function isStable({ major, patch, rc }: KernelVersion): boolean {
  return major > 2 && patch > 0 && rc === null;
}

/** The first candidate after a release: where mainline goes on while its stable series goes its own way. */
function nextCandidate(version: KernelVersion): KernelVersion | null {
  const next = RELEASES[indexOfRelease(version) + 1];
  return next === undefined ? null : parseKernelVersion(`${next.text}-rc1`);
}

// ---- names ------------------------------------------------------------------------------------

function lastBefore(to: KernelVersion): string {
  if (to.rc === null) return `${releaseOf(to)}-rc`;
  if (to.rc > 1) return `${releaseOf(to)}-rc${to.rc - 1}`;
  return must(RELEASES[indexOfRelease(to) - 1], 'a release before').text;
}

function firstOf(from: KernelVersion, last: string): string {
  const own = releaseOf(from);
  return from.rc === 1 && !last.startsWith(`${own}-rc`) ? own : from.text;
}

/**
 * A run of mainline versions in words: "2.6.31 to 4.1", "6.11-rc" (all candidates of 6.11), "4.2-rc1 to
 * 4.2-rc3". A first candidate goes by its release, unless the run ends with that.
 *
 * @param to the first version that is not in it; null: it goes on to the newest read
 */
export function runWords(from: KernelVersion, to: KernelVersion | null): string {
  const last = to === null ? must(RELEASES.at(-1), 'a release').text : lastBefore(to);
  if (from.rc === 1 && last === `${releaseOf(from)}-rc`) return last;
  const first = firstOf(from, last);
  return first === last ? first : `${first} to ${last}`;
}

// ---- the line of mainline, and what left it ---------------------------------------------------

/** A run of mainline versions with the same rules. */
export interface Run {
  readonly from: KernelVersion;
  /** The first version that is not in it; null: it goes on to the newest read. */
  readonly to: KernelVersion | null;
  /** Several: the sources do not settle which of them. */
  readonly rules: readonly KvmRules[];
}

/** Kernels beside mainline that took over later rules: a stable series, or a distribution's. */
export interface SideLine {
  /** "6.12" */
  readonly series: string;
  /** What the release of the series has. */
  readonly base: Run;
  /** Oldest first. Null as the end of the last: to the end of the series. */
  readonly runs: readonly [Run, ...Run[]];
  /** "6.12.78 and later 6.12.y", of the versions from the first to before the second. */
  readonly words: (from: KernelVersion, to: KernelVersion | null) => string;
}

/** The first version of a run, as `--kernel` takes it: "6.7", "6.11-rc1". */
export function oldestIn({ from, to }: Run): string {
  return to === null ? releaseOf(from) : firstOf(from, lastBefore(to));
}

/** The last version of a run that has a name of its own; of the newest run, which goes on, the first. */
export function newestIn(run: Run): string {
  const last = run.to === null ? null : lastBefore(run.to);
  return last === null || last.endsWith('-rc') ? oldestIn(run) : last;
}

function mainlineRuns(): readonly Run[] {
  const starts = SPANS.flatMap(({ from, to, rules }) => {
    const start = isStable(from) ? nextCandidate(from) : from;
    const ended = start !== null && to !== null && compareVersions(start, to) >= 0;
    return start === null || ended ? [] : [{ from: start, rules }];
  });
  return starts.map(({ from, rules }, i) => ({ from, to: starts[i + 1]?.from ?? null, rules }));
}

/** Mainline from 2.6.26-rc2 on, oldest first: releases and candidates only. */
export const MAINLINE: readonly Run[] = mainlineRuns();

function runOf(version: KernelVersion): Run {
  const run = MAINLINE.findLast(({ from }) => compareVersions(from, version) <= 0);
  return must(run, `no mainline run for ${version.text}`);
}

function stableLine(series: string): SideLine {
  const release = parseKernelVersion(series);
  const [first, ...more] = SPANS.flatMap(({ from, to, rules }): readonly Run[] => {
    if (!isStable(from) || releaseOf(from) !== series) return [];
    return [{ from, to: to !== null && releaseOf(to) === series ? to : null, rules }];
  });
  return {
    series,
    base: runOf(release),
    runs: [must(first, `nothing in ${series}.y`), ...more],
    words: (from, to) =>
      to === null ? `${from.text} and later ${series}.y` : `${from.text} to before ${to.text}`,
  };
}

const STABLE_SERIES = new Set(
  SPANS.filter(({ from }) => isStable(from)).map((s) => releaseOf(s.from)),
);

function ubuntuLine(): SideLine {
  const from = parseKernelVersion(`6.8.0-${UBUNTU_6_8_QUIRK_ABI}-generic`);
  return {
    series: '6.8',
    base: runOf(parseKernelVersion('6.8')),
    runs: [{ from, to: null, rules: rulesFor(from) }],
    words: ({ text }) => `Ubuntu ${text} and later`,
  };
}

/** Everything that left the line of mainline, oldest series first. */
export const BESIDE: readonly SideLine[] = [
  ...[...STABLE_SERIES].map(stableLine),
  ubuntuLine(),
].toSorted((a, b) => compareVersions(parseKernelVersion(a.series), parseKernelVersion(b.series)));

/**
 * Where a version stands on an axis on which every release is one unit wide, its candidates before it.
 * 2.6.26 ends at 1; a first candidate begins where the release before it ends.
 */
export function axisOf(version: KernelVersion): number {
  const index = indexOfRelease(version);
  if (version.rc === null) return index + CANDIDATES;
  return index + CANDIDATES * ((version.rc - 1) / MOST_CANDIDATES);
}

/** Share of a release's unit that stands for its candidates. */
const CANDIDATES = 0.5;
/** Linus makes seven or eight. */
const MOST_CANDIDATES = 8;

/** Where a release ends on that axis, and its stable series begins. */
export function endOnAxis(release: KernelVersion): number {
  return indexOfRelease(release) + 1;
}
