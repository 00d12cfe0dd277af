import { InputError, refuse } from '../../base/diagnostic.ts';
import type { Category } from '../../compare/categories.ts';
import { compare } from '../../compare/compare.ts';
import { type Difference, exitCodeOfDifference } from '../../compare/difference.ts';
import { PLATFORM_NAMES, type Platform, platformsOf } from '../../compare/platforms.ts';
import { pairsOf, type SidePairs } from '../../compare/sides.ts';
import type { Restriction } from '../../compare/space/fold.ts';
import { SWEEP_INPUTS, type SweepInput } from '../../compare/space/space.ts';
import { didYouMean, parseValue, vocabulary } from '../../facts/words.ts';
import { BACKINGS, type BackingClass, backingClass } from '../../linux/backing.ts';
import { complain, type Word } from '../../resolve/entries.ts';
import type { DiffFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

/** Flags of `diff A B`: what is looked at, and how it is printed. */
export interface DiffFlags {
  readonly format: DiffFormat;
  readonly only?: Category;
  readonly platform?: readonly string[];
  readonly backing?: readonly string[];
  readonly all: boolean;
  readonly matrix: boolean;
  readonly timeline: boolean;
}

/** Facts, as `explain` takes them. */
type FactFlags = Readonly<Record<string, readonly string[] | undefined>>;

const OWN = ['format', 'only', 'platform', 'backing', 'all', 'matrix', 'timeline'];

function factsOf(flags: DiffFlags): FactFlags {
  return Object.fromEntries(
    Object.entries(flags).filter(([key]) => !OWN.includes(key)),
  ) as FactFlags;
}

function separated(values: readonly string[]): readonly Word[] {
  return values.flatMap((v) => v.split(',').map((text) => ({ text: text.trim() })));
}

function platformOf(word: Word): readonly Platform[] {
  const found = platformsOf(word.text.toLowerCase());
  if (found.length > 0) return found;
  const near = didYouMean(word.text, PLATFORM_NAMES);
  complain(
    word,
    `unknown platform "${word.text}"`,
    `${near === null ? '' : `did you mean ${near}? `}one of ${PLATFORM_NAMES.join(' ')}`,
  );
}

function backingOf(word: Word): BackingClass {
  const found = backingClass(word.text.toLowerCase());
  if (found !== null) return found;
  const ids = BACKINGS.map((b) => b.id);
  const near = didYouMean(word.text, ids);
  complain(
    word,
    `unknown backing "${word.text}"`,
    `${near === null ? '' : `did you mean ${near}? `}one of ${ids.join(' ')}`,
  );
}

function isInput(key: string): key is SweepInput {
  return (SWEEP_INPUTS as readonly string[]).includes(key);
}

/** @throws InputError for a fact that no rule of KVM looks at, and for a value that the fact does not have */
function restrictionOf(flags: FactFlags, backings: readonly BackingClass[]): Restriction {
  const given = Object.entries(flags).filter(([, values]) => values !== undefined);
  const facts: Record<string, readonly unknown[]> = {};
  for (const [key, values = []] of given) {
    if (!isInput(key)) {
      refuse(
        `--${key} is no input of the comparison`,
        `it folds over ${SWEEP_INPUTS.join(', ')}; --timeline takes every fact`,
      );
    }
    facts[key] = separated(values).map((word) => {
      const parsed = parseValue(key, word.text);
      if (parsed.ok) return parsed.value;
      return complain(word, `"${word.text}" is no value of ${key}`, `one of ${vocabulary(key)}`);
    });
  }
  const [first] = backings;
  const ofPage = ['pfn-valid', 'zero-page', 'page-reserved', 'compound', 'host-memtype'];
  const twice = [...ofPage, 'vmm-mapping', 'e820-ram', 'host-mtrr', 'host-pat'].find(
    (key) => facts[key] !== undefined,
  );
  if (first !== undefined && twice !== undefined) {
    refuse(`--backing and --${twice} both say what the page is`, 'give one of them');
  }
  return facts;
}

/** Which platform of one side stands against which of the other. */
function platformPairs(
  { platformsA, platformsB }: SidePairs,
  named: readonly Platform[] | null,
): readonly (readonly [Platform, Platform])[] | null {
  if (platformsA === null && platformsB === null) {
    return named === null ? null : named.map((p) => [p, p] as const);
  }
  if (named !== null) {
    refuse('--platform and an @platform both say where', 'give one of them');
  }
  const left = platformsA ?? platformsB ?? [];
  const right = platformsB ?? platformsA ?? [];
  const [onlyLeft] = left;
  const [onlyRight] = right;
  if (left.length === right.length) {
    return left.flatMap((p, i) => (right[i] === undefined ? [] : [[p, right[i]] as const]));
  }
  if (left.length === 1 && onlyLeft !== undefined) return right.map((p) => [onlyLeft, p] as const);
  if (right.length === 1 && onlyRight !== undefined)
    return left.map((p) => [p, onlyRight] as const);
  return refuse(
    `the two sides name ${left.length} and ${right.length} platforms`,
    'name one for each, e.g. 6.16@intel-ept 6.16@amd-npt',
  );
}

async function render(ds: readonly Difference[], { format, all }: DiffFlags): Promise<string> {
  const prose = format === 'text' || format === 'mail' || format === 'md';
  if (prose && !all) {
    const { FULL_READINGS, readingsText } = await import('../../report/diff/readings.ts');
    if (ds.length > FULL_READINGS) return readingsText(ds, format === 'mail' ? 72 : 80);
  }
  switch (format) {
    case 'text': {
      const { diffText } = await import('../../report/diff/text.ts');
      return ds.map((d) => diffText(d, { all, width: 80 })).join('\n');
    }
    case 'mail': {
      const { diffMail } = await import('../../report/diff/mail.ts');
      return ds.map(diffMail).join('\n');
    }
    case 'md': {
      const { diffMarkdown } = await import('../../report/diff/markdown.ts');
      return ds.map((d) => diffMarkdown(d, { all })).join('\n');
    }
    case 'json': {
      const { diffJson } = await import('../../report/diff/json.ts');
      return `${JSON.stringify(diffJson(ds), null, 2)}\n`;
    }
    case 'svg': {
      const { diffSvg } = await import('../../report/diff/svg.ts');
      return diffSvg(ds);
    }
    case 'html': {
      const { diffHtml } = await import('../../report/diff/html.ts');
      return diffHtml(ds);
    }
  }
}

/** `memtype diff A B`: what changes between two policies, for whom. */
function compareSides(names: readonly string[], flags: DiffFlags): readonly Difference[] {
  const [a, b, more] = names;
  if (a === undefined || b === undefined || more !== undefined) {
    refuse(
      `diff compares two, not ${names.length}`,
      'for example memtype diff 6.10 6.11, or memtype diff 6.16 host-pat',
    );
  }
  const sides = pairsOf({ text: a }, { text: b });
  const platforms =
    flags.platform === undefined
      ? null
      : [...new Set(separated(flags.platform).flatMap(platformOf))];
  const backings = separated(flags.backing ?? []).map(backingOf);
  const asked = {
    platforms: platformPairs(sides, platforms),
    backings,
    facts: restrictionOf(factsOf(flags), backings),
    only: flags.only ?? null,
  };
  return sides.pairs.map((pair) => compare({ ...pair, ...asked }));
}

/** The one case file of a timeline, if any. */
function caseFile(names: readonly string[]): string | undefined {
  const [file, more] = names;
  if (more !== undefined) refuse('a timeline is of one set of facts', 'name one case file at most');
  return file;
}

async function runTimelineOf(names: readonly string[], flags: DiffFlags, io: Io): Promise<number> {
  for (const key of ['only', 'platform', 'all'] as const) {
    if (flags[key] !== undefined && flags[key] !== false) {
      refuse(`--${key} means nothing for a timeline`, 'state the facts, as for explain');
    }
  }
  const { runTimeline } = await import('./timeline.ts');
  const backing = flags.backing === undefined ? {} : { backing: flags.backing };
  return runTimeline({ ...factsOf(flags), ...backing }, caseFile(names), flags.format, io);
}

async function runMatrixOf(names: readonly string[], flags: DiffFlags, io: Io): Promise<number> {
  const [name] = names;
  if (name !== undefined) refuse(`--matrix compares all with all: what is ${name} for?`);
  const [fact] = Object.entries(factsOf(flags)).filter(([, values]) => values !== undefined);
  const other = fact?.[0] ?? (['only', 'backing'] as const).find((k) => flags[k] !== undefined);
  if (other !== undefined) refuse(`--${other} means nothing for the matrix`, 'it folds everything');
  const { runMatrix } = await import('./matrix.ts');
  return runMatrix(flags.platform ?? [], flags.format, io);
}

/** `memtype diff`. */
export async function runDiff(names: readonly string[], flags: DiffFlags, io: Io): Promise<number> {
  try {
    if (flags.matrix && flags.timeline) refuse('--matrix and --timeline are two questions');
    if (flags.matrix) return await runMatrixOf(names, flags, io);
    if (flags.timeline) return await runTimelineOf(names, flags, io);
    const all = compareSides(names, flags);
    io.write(await render(all, flags));
    return Math.max(...all.map(exitCodeOfDifference));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
