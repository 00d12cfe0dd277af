import type { Cause, DecidedBy, Difference } from '../../compare/difference.ts';
import { ADVANCE, COLOURS, FONT, LINE, textAt } from '../svg-parts.ts';
import { fitted } from '../wrap.ts';
import { unchangedFor } from './build.ts';
import { drawnTables } from './drawn-grid.ts';
import { effectsOf } from './effects.ts';
import {
  type GroupView,
  groupViews,
  knownChanges,
  type Numbered,
  pointsOf,
  type UserRow,
  unknownChanges,
  userViews,
} from './gather.ts';
import { effectItems, userItems } from './letter-words.ts';
import { pagesOfCause, pageWords } from './pages.ts';
import {
  CHIP,
  chipAt,
  PAD,
  type Piece,
  space,
  stacked,
  tablePiece,
  WIDTH,
  words,
} from './svg-parts.ts';
import { samePlatforms, sameWords, sidesWords, verdictSentences } from './verdict.ts';
import {
  counted,
  coverWords,
  listed,
  minimalWords,
  pairsWords,
  percent,
  platformWords,
} from './words.ts';

const INNER = 2 * PAD;
const GAP = 40;
const BOX = (WIDTH - 2 * PAD - GAP) / 2;
const BOX_COLUMNS = Math.floor((BOX - 2 * PAD) / ADVANCE);

// ---- what is installed --------------------------------------------------------------------------

const TYPE = /(?:^|[ ,])(WB|WC|UC-?|WT|WP)(?=$|[ ,+])/;

/** The colour of the type that a leaf has, where it is one. */
function leafColour(leaf: string): string {
  return COLOURS[TYPE.exec(leaf)?.[1] ?? ''] ?? '#eeeeee';
}

interface Side {
  readonly lines: readonly (readonly [text: string, style: string])[];
  readonly fill: string;
}

/** What one side installs, by which line, and what kvm_is_mmio_pfn() says where the two disagree. */
function sideOf({ rule, leaf }: DecidedBy, mmio: DecidedBy | undefined): Side {
  const lines = (text: string, style: string): Side['lines'] =>
    fitted(text, BOX_COLUMNS).map((line) => [line, style]);
  return {
    lines: [
      ...lines(leaf, 'strong'),
      ...lines(rule, 'cite'),
      ...(mmio === undefined ? [] : lines(`${mmio.rule}: ${mmio.leaf}`, 'cite')),
    ],
    fill: leafColour(leaf),
  };
}

function sideAt(x: number, y: number, height: number, { lines, fill }: Side): string {
  return [
    `<rect x="${x}" y="${y}" width="${BOX}" height="${height}" rx="6" fill="${fill}" class="box"/>`,
    ...lines.map(([text, style], i) => textAt(x + PAD, y + PAD + 12 + i * LINE, text, style)),
  ].join('\n');
}

function leaves({ before, after, mmio }: Cause): Piece {
  const left = sideOf(before, mmio?.before);
  const right = sideOf(after, mmio?.after);
  const height = Math.max(left.lines.length, right.lines.length) * LINE + 2 * PAD - 4;
  return (y) => ({
    svg: [
      sideAt(PAD, y, height, left),
      `<path d="M${PAD + BOX + 6} ${y + height / 2} h${GAP - 12} m-7 -5 l7 5 l-7 5" class="arrow"/>`,
      sideAt(PAD + BOX + GAP, y, height, right),
    ].join('\n'),
    height: height + 6,
  });
}

// ---- causes -------------------------------------------------------------------------------------

const inner = (text: string, style = ''): Piece => words(text, style, INNER);

/** The tables that known kinds of page reach; without one, the changes and when. */
function typePieces(cause: Cause): readonly Piece[] {
  const tables = cause.grid === null ? [] : drawnTables(cause.grid);
  const shown = tables.filter((t) => t.backings.length > 0);
  if (shown.length > 0) return shown.map((t) => tablePiece(t, INNER));
  return knownChanges(cause).map((c) =>
    inner(`${pairsWords([c])}: ${coverWords(c.when)}${minimalWords(c.when)}`),
  );
}

function causePieces({ no, cause }: Numbered, whole: number): readonly Piece[] {
  const rest = unknownChanges(cause);
  const unknown = `no known kind of page: ${pairsWords(rest)} (${counted(pointsOf(rest), 'point')})`;
  return [
    words(`${no}. ${percent(cause.differing, whole)} of the inputs`, 'strong'),
    space(5),
    leaves(cause),
    inner(`when ${coverWords(cause.when)}${minimalWords(cause.when)}`),
    space(4),
    ...typePieces(cause),
    inner(`pages: ${pageWords(pagesOfCause(cause))}`),
    ...effectItems(effectsOf(knownChanges(cause))).map((item) => inner(`- ${item}`)),
    ...(rest.length === 0 ? [] : [inner(unknown, 'cite')]),
    space(16),
  ];
}

const rule: Piece = (y) => ({
  svg: `<path d="M${PAD} ${y} H${WIDTH - PAD}" class="rule"/>`,
  height: 10,
});

function groupPieces({ group, known, unknown }: GroupView): readonly Piece[] {
  const points = unknown.reduce((n, { cause }) => n + cause.differing, 0);
  const share = percent(group.differing, group.points);
  return [
    rule,
    words(`${listed(platformWords(group.platforms))}: ${share} of the inputs`, 'title'),
    space(8),
    ...known.flatMap((n) => causePieces(n, group.points)),
    ...(unknown.length === 0
      ? []
      : [
          words(
            `No known kind of page gets into ${counted(unknown.length, 'more cause')} (${counted(points, 'point')}).`,
            'cite',
          ),
          space(10),
        ]),
  ];
}

// ---- users --------------------------------------------------------------------------------------

/** The types on their colours, or in words where there are several. */
function userPiece(row: UserRow): Piece {
  const { before, after } = row;
  const text = `${listed(platformWords(row.platforms))}: ${userItems(row).join('; ')}`;
  const [from, to] = [before[0] ?? '', after[0] ?? ''];
  if (before.length + after.length > 2) {
    return inner(`  ${before.join('/')} \u2192 ${after.join('/')}, ${text}`);
  }
  const left = INNER + PAD;
  return (y) => {
    const body = words(text, '', left + 2 * CHIP + 40, '')(y + 2);
    const arrow = textAt(left + CHIP + 8, y + 15, '\u2192');
    return {
      svg: [chipAt(left, y, from), arrow, chipAt(left + CHIP + 24, y, to), body.svg].join('\n'),
      height: Math.max(body.height, LINE) + 10,
    };
  };
}

function userPieces(d: Difference): readonly Piece[] {
  const views = userViews(d);
  if (views.length === 0) return [];
  return [
    rule,
    words('Known users', 'title'),
    space(6),
    ...views.flatMap(({ title, rows }) => [inner(title), space(3), ...rows.map(userPiece)]),
    space(8),
  ];
}

// ---- all ----------------------------------------------------------------------------------------

function unchangedPieces(d: Difference, views: readonly GroupView[]): readonly Piece[] {
  const same = samePlatforms(d);
  const users = d.usersUnchanged.map(({ id }) => id);
  const items = [
    ...(same.length === 0 ? [] : [`${sameWords(d)} on ${listed(same)}`]),
    ...unchangedFor(views),
    ...(users.length === 0 ? [] : [`known users: ${users.join(', ')}`]),
  ];
  if (items.length === 0) return [];
  return [
    rule,
    words('Unchanged', 'title'),
    space(4),
    ...items.map((i) => inner(`- ${i}`)),
    space(10),
  ];
}

/** What a picture does not show stands in the report. */
function alsoPieces(d: Difference): readonly Piece[] {
  const items = [
    ...d.rules.map((r) => `${r.what}: ${r.before} \u2192 ${r.after}`),
    ...d.existing.changes.map((c) => `${c.title}: ${c.consequence}`),
    ...d.families.map((f) => `${f.title}: ${f.differing} of ${f.members} differ; ${f.bound}`),
    ...d.notCompared.map((n) => `not compared: ${n.platform.title}: ${n.why}`),
  ];
  if (items.length === 0) return [];
  return [
    rule,
    words('Beside the type', 'title'),
    space(4),
    ...items.map((i) => inner(`- ${i}`)),
    space(10),
  ];
}

function differencePieces(d: Difference): readonly Piece[] {
  const views = groupViews(d);
  const restricted = d.restrictedTo.length === 0 ? '' : `, with ${d.restrictedTo.join('; ')}`;
  return [
    space(PAD),
    words(sidesWords(d).replace('->', '\u2192'), 'title'),
    space(4),
    words(`${d.a.name}: ${d.a.title}`),
    words(`${d.b.name}: ${d.b.title}`),
    ...[...d.a.notes, ...d.b.notes].map((note) => words(`note: ${note}`, 'cite')),
    space(6),
    words(verdictSentences(d).join(' '), '', PAD, ''),
    words(`${counted(d.points, 'point')} folded${restricted}.`, 'cite'),
    space(12),
    ...userPieces(d),
    ...views.flatMap(groupPieces),
    ...unchangedPieces(d, views),
    ...alsoPieces(d),
  ];
}

const STYLE =
  FONT +
  '.title{font-weight:bold;font-size:15px}.strong{font-weight:bold}.cite{fill:#555555}' +
  '.box{stroke:#555555}.cell{stroke:#999999}.rule{stroke:#cccccc}' +
  '.arrow{fill:none;stroke:#333333;stroke-width:2}';

/** Each cause of each difference: what was installed, what is, when, and what that means. */
export function diffSvg(differences: readonly Difference[]): string {
  const { svg, height } = stacked(differences.flatMap(differencePieces), 0);
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="what differs between two memory-type policies">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    svg,
    '</svg>\n',
  ].join('\n');
}
