import { must } from '../base/assert.ts';
import { didYouMean } from '../facts/words.ts';
import { NAMED_POLICIES, POLICY_NAMES, type Proposal } from '../kvm/policies.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { NEWEST_READ, rulesFor } from '../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { at, complain, type Word } from '../resolve/entries.ts';
import type { Side } from './difference.ts';
import { MAINLINE, newestIn, oldestIn, type Run } from './history/releases.ts';
import { PLATFORM_NAMES, type Platform, platformsOf } from './platforms.ts';

/** One side as it was named, before the other is known. */
interface Named {
  readonly word: Word;
  readonly name: string;
  /** "@amd-npt"; null: every platform. */
  readonly platforms: readonly Platform[] | null;
  readonly kernel: KernelVersion | null;
  readonly proposal: Proposal | null;
  /** "E8" */
  readonly era: string | null;
}

/** The two sides of every pair that the names stand for, and the platforms that were named. */
export interface Pair {
  readonly a: Side;
  readonly b: Side;
}

export interface SidePairs {
  readonly pairs: readonly Pair[];
  readonly platformsA: readonly Platform[] | null;
  readonly platformsB: readonly Platform[] | null;
}

const PROPOSAL_NAMES = NAMED_POLICIES.map(({ id }) => id);

function proposalOf(name: string): Proposal | null {
  return NAMED_POLICIES.find((p) => p.id === name.toLowerCase()) ?? null;
}

function platformsNamed(word: Word, text: string): readonly Platform[] {
  const found = platformsOf(text.toLowerCase());
  if (found.length > 0) return found;
  const near = didYouMean(text, PLATFORM_NAMES);
  complain(
    word,
    `unknown platform "${text}"`,
    `${near === null ? '' : `did you mean ${near}? `}one of ${PLATFORM_NAMES.join(' ')}`,
  );
}

function parseNamed(word: Word): Named {
  const [text = '', platform, ...more] = word.text.split('@');
  if (more.length > 0) complain(word, `"${word.text}" names two platforms`, 'for example 6.16@amd');
  const base = {
    word,
    name: word.text,
    platforms: platform === undefined ? null : platformsNamed(word, platform),
    kernel: null,
    proposal: null,
    era: null,
  };
  if (/^e\d{1,2}$/i.test(text)) {
    const era = text.toUpperCase();
    if (runsOfEra(era).length > 0) return { ...base, era };
    complain(word, `there is no era ${era}`, 'E0 to E11: see memtype policies');
  }
  const proposal = proposalOf(text);
  if (proposal !== null) return { ...base, proposal };
  const plus = text.lastIndexOf('+');
  const added = plus > 0 ? proposalOf(text.slice(plus + 1)) : null;
  const version = added === null ? text : text.slice(0, plus);
  if (!/\d/.test(version)) {
    const near = didYouMean(text, POLICY_NAMES);
    complain(
      word,
      `"${text}" is neither a kernel nor a policy`,
      `${near === null ? '' : `did you mean ${near}? `}a version such as 6.16, or one of ${POLICY_NAMES.join(' ')}`,
    );
  }
  const local = version
    .split('+')
    .slice(1)
    .find((part) => didYouMean(part, PROPOSAL_NAMES) !== null);
  if (local !== undefined) {
    const near = didYouMean(local, PROPOSAL_NAMES);
    complain(
      word,
      `"${local}" is no proposal`,
      added === null || near !== local ? `did you mean ${near}?` : 'one proposal at a time',
    );
  }
  const kernel = at(word, () => parseKernelVersion(version));
  if (rulesFor(kernel).length === 0) {
    complain(word, `${version} is before 2.6.26-rc2, the oldest kernel known here`);
  }
  return { ...base, kernel, proposal: added };
}

/** The runs of mainline in which every reading has this era, oldest first. */
function runsOfEra(era: string): readonly Run[] {
  return MAINLINE.filter(({ rules }) => rules.every((r) => r.vmx.id === era));
}

function eraNumber(era: string): number {
  return Number(era.slice(1));
}

/** Where an era stands beside the other side: nearest to it, so that as little else as possible differs. */
function kernelOfEra(era: string, other: Named): KernelVersion {
  const runs = runsOfEra(era);
  const first = must(runs[0], `${era} has no run`);
  const last = must(runs.at(-1), `${era} has no run`);
  const older =
    other.era === null
      ? other.kernel === null || compareVersions(other.kernel, last.from) >= 0
      : eraNumber(other.era) > eraNumber(era);
  return parseKernelVersion(older ? newestIn(last) : oldestIn(first));
}

/** The kernel on which a proposal is looked at, when its own name says none. */
function kernelFor(side: Named, other: Named): KernelVersion {
  if (side.kernel !== null) return side.kernel;
  if (side.era !== null) return kernelOfEra(side.era, other);
  if (other.kernel !== null) return other.kernel;
  if (other.era !== null) return kernelOfEra(other.era, side);
  return NEWEST;
}

/** The newest mainline rules: what a proposal without a kernel beside it is applied to. */
const NEWEST: KernelVersion = parseKernelVersion('6.16');

function notesOf(kernel: KernelVersion): readonly string[] {
  const notes: string[] = [];
  if (kernel.note !== null) notes.push(`${kernel.text}: ${kernel.note}`);
  if (compareVersions(kernel, parseKernelVersion(NEWEST_READ)) > 0) {
    notes.push(
      `${kernel.text} is newer than the newest kernel read (${NEWEST_READ}): its rules are assumed unchanged`,
    );
  }
  return notes;
}

function sidesOf(named: Named, kernel: KernelVersion): readonly Side[] {
  const { proposal } = named;
  const all = rulesFor(kernel);
  return all.map((rules, i) => {
    const reading = all.length > 1 ? ` (reading ${i + 1} of ${all.length})` : '';
    const applied: KvmRules = proposal === null ? rules : proposal.apply(rules);
    return {
      name: `${named.name}${reading}`,
      kernel: proposal === null ? kernel.text : `${kernel.text}+${proposal.id}`,
      title:
        proposal === null
          ? `${rules.vmx.id} (${rules.vmx.kernels})${named.era === null ? '' : `, as in ${kernel.text}`}`
          : `${proposal.title}; on ${kernel.text}`,
      rules: applied,
      notes: notesOf(kernel),
    };
  });
}

/**
 * The pairs that two names stand for: one, or one for each reading where the sources or a
 * distribution's number leave several open.
 *
 * @throws InputError for what is no kernel, era or proposal
 */
export function pairsOf(a: Word, b: Word): SidePairs {
  const left = parseNamed(a);
  const right = parseNamed(b);
  const lefts = sidesOf(left, kernelFor(left, right));
  const rights = sidesOf(right, kernelFor(right, left));
  const together = lefts.length === rights.length && sameKernel(left, right);
  const pairs = together
    ? lefts.flatMap((l, i) => (rights[i] === undefined ? [] : [{ a: l, b: rights[i] }]))
    : lefts.flatMap((l) => rights.map((r) => ({ a: l, b: r })));
  return { pairs, platformsA: left.platforms, platformsB: right.platforms };
}

/** Both on one kernel: a reading of it is then the same on either side. */
function sameKernel(a: Named, b: Named): boolean {
  return kernelFor(a, b).text === kernelFor(b, a).text;
}
