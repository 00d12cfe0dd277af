import { must } from '../../base/assert.ts';
import type { SourceId } from '../../cite/sources.ts';
import { ERAS } from '../../kvm/eras/index.ts';
import { PROPOSALS, type Proposal } from '../../kvm/policies.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { SVM_ERAS } from '../../kvm/svm.ts';
import { notOn, type Platform } from '../platforms.ts';
import { fold } from '../space/fold.ts';
import { MAINLINE, newestIn, oldestIn, type Run, runWords } from './releases.ts';

/** A row and a column of the matrix. */
export interface MatrixSide {
  readonly id: string;
  readonly kind: 'era' | 'proposal';
  /** Of an era, the mainline kernels with it: "6.7 to 6.10"; of a proposal, its title. */
  readonly title: string;
  /** What brought it. */
  readonly source: SourceId;
}

/** Two sides beside each other. */
export interface MatrixCell {
  /** The later one: an era after another, a proposal after every era. */
  readonly row: string;
  readonly column: string;
  /** The kernels in which they were compared. */
  readonly rowIn: string;
  readonly columnIn: string;
  /** Points of the space at which the effective types differ. */
  readonly differing: number;
}

/** Every era and every proposal against every other, on one platform. */
export interface Matrix {
  readonly platform: Platform;
  /** Points of the whole space, all of them folded for each cell. */
  readonly points: number;
  readonly sides: readonly MatrixSide[];
  /** One for each two sides, by row and then by column: the lower triangle. */
  readonly cells: readonly MatrixCell[];
  /** Eras next to each other between which nothing differs at all, oldest first; at least two in a group. */
  readonly alike: readonly (readonly string[])[];
  /** What does not run on this platform. */
  readonly missing: readonly { readonly id: string; readonly why: string }[];
}

// ---- sides ------------------------------------------------------------------------------------

interface EraSide {
  readonly era: Era;
  /** Mainline kernels whose rules are settled, oldest first; with those that do not run here left out. */
  readonly runs: readonly Settled[];
}

type Era = KvmRules['vmx' | 'svm'];

interface Settled {
  readonly run: Run;
  readonly rules: KvmRules;
}

/** Rules of one kernel, and its name. */
interface In {
  readonly rules: KvmRules;
  readonly kernel: string;
}

/** Under NPT it is SVM's rules that decide. */
function erasFor({ paging }: Platform): readonly Era[] {
  return paging === 'npt' ? SVM_ERAS : ERAS;
}

function runsOf(era: Era): readonly Settled[] {
  return MAINLINE.flatMap((run) => {
    const [rules, other] = run.rules;
    const own = rules !== undefined && (rules.vmx === era || rules.svm === era);
    return own && other === undefined ? [{ run, rules }] : [];
  });
}

/** The kernels whose rules are not settled are among them where every reading is of the era. */
function sideOf({ era, runs }: EraSide): MatrixSide {
  const first = must(runs[0], 'an era has kernels').run;
  const isOwn = (rules: KvmRules): boolean => rules.vmx === era || rules.svm === era;
  const last = must(
    MAINLINE.findLast((run) => run.rules.every(isOwn)),
    'an era has kernels',
  );
  return { id: era.id, kind: 'era', title: runWords(first.from, last.to), source: era.sources[0] };
}

function newest({ runs }: Pick<EraSide, 'runs'>): In {
  const { run, rules } = must(runs.at(-1), 'an era has kernels');
  return { rules, kernel: newestIn(run) };
}

function oldest({ runs }: EraSide): In {
  const { run, rules } = must(runs[0], 'an era has kernels');
  return { rules, kernel: oldestIn(run) };
}

function onto(proposal: Proposal, { rules, kernel }: In): In {
  return { rules: proposal.apply(rules), kernel: `${kernel}+${proposal.id}` };
}

function proposalSide(proposal: Proposal, base: In): MatrixSide {
  const { vmx, mmio } = onto(proposal, base).rules;
  const { sources } = mmio === base.rules.mmio ? vmx : mmio;
  return { id: proposal.id, kind: 'proposal', title: proposal.title, source: sources[0] };
}

// ---- cells ------------------------------------------------------------------------------------

function differing(a: In, b: In, platform: Platform): number {
  const { paths } = fold({ rules: a.rules, platform }, { rules: b.rules, platform }, [{}]);
  return paths.reduce((n, path) => (path.a.code === path.b.code ? n : n + path.points), 0);
}

/** Groups of neighbours without a difference. */
function alikeOf(eras: readonly EraSide[], cells: readonly MatrixCell[]): Matrix['alike'] {
  const groups: string[][] = [];
  eras.forEach(({ era }, i) => {
    const before = eras[i - 1]?.era.id;
    const cell = cells.find((c) => c.row === era.id && c.column === before);
    if (cell?.differing === 0) groups.at(-1)?.push(era.id);
    else groups.push([era.id]);
  });
  return groups.filter((group) => group.length > 1);
}

function cellsOf(
  platform: Platform,
  eras: readonly EraSide[],
  proposals: readonly Proposal[],
  base: In,
): readonly MatrixCell[] {
  const cells: MatrixCell[] = [];
  const add = (row: string, column: string, later: In, earlier: In): void => {
    if ([later, earlier].some(({ rules }) => notOn(platform, rules) !== null)) return;
    const count = differing(earlier, later, platform);
    cells.push({ row, column, rowIn: later.kernel, columnIn: earlier.kernel, differing: count });
  };
  eras.forEach((later, i) => {
    for (const earlier of eras.slice(0, i)) {
      add(later.era.id, earlier.era.id, oldest(later), newest(earlier));
    }
  });
  proposals.forEach((proposal, i) => {
    for (const era of eras) {
      add(proposal.id, era.era.id, onto(proposal, newest(era)), newest(era));
    }
    for (const earlier of proposals.slice(0, i)) {
      add(proposal.id, earlier.id, onto(proposal, base), onto(earlier, base));
    }
  });
  return cells;
}

/**
 * The matrix of one platform. An era stands beside another with its kernel that is nearest to the other,
 * so that as little else as possible differs; a proposal stands beside an era on the newest kernel of that
 * era, and beside another proposal on the newest kernel of all.
 */
export function matrix(platform: Platform): Matrix {
  const all = erasFor(platform).map((era) => ({ era, runs: runsOf(era) }));
  const eras = all.flatMap(({ era, runs: every }): readonly EraSide[] => {
    const runs = every.filter(({ rules }) => notOn(platform, rules) === null);
    return runs.length === 0 ? [] : [{ era, runs }];
  });
  const base = newest(must(eras.at(-1), `no kernel runs on ${platform.id}`));
  const whyNot = (rules: KvmRules): string | null => notOn(platform, rules);
  const proposals = PROPOSALS.filter((p) => whyNot(onto(p, base).rules) === null);
  const cells = cellsOf(platform, eras, proposals, base);
  const absent = [
    ...all.map(({ era, runs }) => ({ id: era.id, why: whyNot(newest({ runs }).rules) })),
    ...PROPOSALS.map((p) => ({ id: p.id, why: whyNot(onto(p, base).rules) })),
  ];
  return {
    platform,
    points: fold({ rules: base.rules, platform }, { rules: base.rules, platform }, [{}]).points,
    sides: [...eras.map(sideOf), ...proposals.map((p) => proposalSide(p, base))],
    cells,
    alike: alikeOf(eras, cells),
    missing: absent.flatMap(({ id, why }) => (why === null ? [] : [{ id, why }])),
  };
}

/** 1 when any two sides differ. */
export function exitCodeOfMatrix({ cells }: Matrix): 0 | 1 {
  return cells.some((cell) => cell.differing > 0) ? 1 : 0;
}
