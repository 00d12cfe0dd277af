import type { SideBranch, Stretch, Timeline } from '../compare/history/timeline.ts';
import { COLOURS, escaped } from './svg-parts.ts';
import {
  asWords,
  branchGroups,
  detailWords,
  factWords,
  headline,
  shortSource,
  sourceWords,
  typeWords,
} from './timeline-words.ts';
import { fitted } from './wrap.ts';

const WIDTH = 960;
const PAD = 20;
/** Room at the right for labels that lean over the end of the bar. */
const OVERHANG = 80;
const BAR = 64;
const LINE = 16;
/** Width of a character of the font at 12 pixels, at most. */
const ADVANCE = 7.4;
/** No stretch is narrower: its types must be legible, and the labels at its ends apart. */
const LEAST = 46;
const SLANT = 42;

interface Drawn {
  readonly svg: readonly string[];
  /** Where it ends. */
  readonly y: number;
}

function text(x: number, y: number, words: string, style: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${style}">${escaped(words)}</text>`;
}

const round = (n: number): number => Math.round(n * 10) / 10;

/** Lines one below the other, none longer than the picture is wide. */
function prose(
  words: string,
  style: string,
  { x, y, indent = 0 }: { readonly x: number; readonly y: number; readonly indent?: number },
): Drawn {
  const advance = style === 'tl-title' ? ADVANCE * 1.25 : ADVANCE;
  const columns = Math.floor((WIDTH - PAD - x - indent) / advance);
  const lines = fitted(words, columns);
  return {
    svg: lines.map((line, i) => text(i === 0 ? x : x + indent, y + i * LINE, line, style)),
    y: y + lines.length * LINE,
  };
}

function fillOf({ answer, ...row }: Stretch | SideBranch): string {
  const [only, other] = answer.types;
  if (only === undefined) return '#ffffff';
  if (other !== undefined || ('unsettled' in row && row.unsettled)) return 'url(#tl-open)';
  return COLOURS[only] ?? '#ffffff';
}

// ---- the axis ---------------------------------------------------------------------------------

/** Every stretch has room for its types; what is left is dealt out by the number of releases. */
function edgesOf(stretches: readonly Stretch[]): readonly number[] {
  const inner = WIDTH - 2 * PAD - OVERHANG;
  const least = Math.min(LEAST, inner / stretches.length);
  const spare = inner - least * stretches.length;
  const length = ({ axis }: Stretch): number => axis.to - axis.from;
  const total = stretches.reduce((n, s) => n + length(s), 0);
  let x = PAD;
  return [
    PAD,
    ...stretches.map((s) => {
      x += least + (spare * length(s)) / total;
      return x;
    }),
  ];
}

/** Where a point of the axis lies between the edges. */
function xOf(stretches: readonly Stretch[], edges: readonly number[], axis: number): number {
  const i = stretches.findLastIndex((s) => s.axis.from <= axis);
  const own = stretches[Math.max(i, 0)];
  const [left, right] = [edges[Math.max(i, 0)] ?? PAD, edges[Math.max(i, 0) + 1] ?? PAD];
  if (own === undefined) return left;
  const share = (axis - own.axis.from) / (own.axis.to - own.axis.from);
  return left + (right - left) * Math.min(Math.max(share, 0), 1);
}

function slanted(x: number, y: number, words: string, style: string, up: boolean): string {
  const turn = `rotate(${up ? -SLANT : SLANT} ${round(x)} ${round(y)})`;
  return `<text x="${round(x)}" y="${round(y)}" class="${style}" transform="${turn}">${escaped(words)}</text>`;
}

/** How far a slanted label of so many characters reaches up or down. */
function reach(characters: number): number {
  return Math.ceil(characters * 6.8 * 0.67) + 14;
}

// ---- the bar ----------------------------------------------------------------------------------

/** Types in lines of at most two, and the leaf below them where there is room. */
function barWords({ answer }: Stretch, width: number): readonly [string, string][] {
  const types = answer.types.length === 0 ? ['none'] : answer.types;
  const each = width > 120 ? types.length : 2;
  const lines: [string, string][] = [];
  for (let i = 0; i < types.length; i += each) {
    lines.push([types.slice(i, i + each).join(' '), 'tl-type']);
  }
  const leaf = answer.leaf ?? '';
  if (lines.length < 3 && leaf !== '' && leaf.length * 6.8 < width - 8)
    lines.push([leaf, 'tl-leaf']);
  return lines;
}

function barOf(
  stretches: readonly Stretch[],
  edges: readonly number[],
  y: number,
): readonly string[] {
  return stretches.flatMap((s, i) => {
    const [x, end] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const words = barWords(s, end - x);
    const first = y + BAR / 2 - ((words.length - 1) * LINE) / 2 + 4;
    const shape = `x="${round(x)}" y="${y}" width="${round(end - x)}" height="${BAR}"`;
    return [
      `<rect ${shape} fill="${fillOf(s)}" class="tl-box"><title>${escaped(titleOf(s))}</title></rect>`,
      ...words.map(([line, style], n) => text((x + end) / 2, first + n * LINE, line, style)),
    ];
  });
}

function titleOf(s: Stretch | SideBranch): string {
  return `${s.kernels}: ${typeWords(s.answer)}; ${detailWords(s)}`;
}

/** The first version of each stretch above its left edge, and what began it below. */
function ticks(
  t: Timeline,
  edges: readonly number[],
  { top, bottom }: { readonly top: number; readonly bottom: number },
): readonly string[] {
  return t.stretches.flatMap((s, i) => {
    const x = edges[i] ?? 0;
    const commits = s.causes.map(({ source }) => shortSource(source).id);
    return [
      `<path d="M${round(x)} ${top - 6} V${bottom + 6}" class="tl-tick"/>`,
      slanted(x + 2, top - 9, s.from, 'tl-version', true),
      ...commits.map((id, n) => slanted(x + 2 + n * 15, bottom + 15, id, 'tl-commit', false)),
    ];
  });
}

// ---- beside mainline --------------------------------------------------------------------------

const SIDE = 26;

/** The words stand left of the box, where no line of a later branch comes down; right where they do not fit. */
function branchRow(b: SideBranch, x: number, y: number): readonly string[] {
  const words = [b.kernels, asWords(b)].filter((w) => w !== '').join(', ');
  const types = b.answer.types.length === 0 ? 'none' : b.answer.types.join('|');
  const width = Math.max(40, types.length * 8.5 + 12);
  const long = words.length * ADVANCE;
  const left = x - 8 - long > PAD;
  const shape = `x="${round(x)}" y="${y}" width="${round(width)}" height="${SIDE - 6}"`;
  const at = left ? x - 8 : x + width + 8;
  const behind = `x="${round(left ? at - long : at - 2)}" y="${y}" width="${round(long + 2)}" height="${SIDE - 6}"`;
  return [
    `<rect ${shape} fill="${fillOf(b)}" class="tl-box"><title>${escaped(titleOf(b))}</title></rect>`,
    text(x + width / 2, y + 14.5, types, 'tl-type'),
    `<rect ${behind} class="tl-page"/>`,
    text(at, y + 14.5, words, left ? 'tl-text tl-end' : 'tl-text'),
  ];
}

function branchesOf(t: Timeline, edges: readonly number[], bar: number, y: number): Drawn {
  if (t.branches.length === 0) return { svg: [], y };
  const rows = t.branches.map((b, i) => {
    const x = Math.min(xOf(t.stretches, edges, b.axis), WIDTH - PAD - OVERHANG);
    return { b, x, y: y + 24 + i * SIDE };
  });
  return {
    svg: [
      text(PAD, y + 10, 'Beside mainline:', 'tl-strong'),
      ...rows.map((r) => `<path d="M${round(r.x)} ${bar} V${r.y}" class="tl-branch"/>`),
      ...rows.flatMap((r) => branchRow(r.b, r.x, r.y)),
    ],
    y: y + 24 + rows.length * SIDE + 8,
  };
}

// ---- the list ---------------------------------------------------------------------------------

function listRow(s: Stretch | SideBranch, y: number): Drawn {
  const head = prose(titleOf(s), 'tl-text', {
    x: PAD + 22,
    y: y + 12,
  });
  const svg = [
    `<rect x="${PAD}" y="${y + 2}" width="14" height="12" fill="${fillOf(s)}" class="tl-box"/>`,
    ...head.svg,
  ];
  let end = head.y;
  const perhaps = 'unsettled' in s && s.unsettled ? 'perhaps ' : '';
  for (const { source } of s.causes) {
    const words = `${perhaps}by ${sourceWords(source)}`;
    const line = prose(words, 'tl-cite', { x: PAD + 38, y: end });
    svg.push(...line.svg);
    end = line.y;
  }
  return { svg, y: end - 6 };
}

function listOf(t: Timeline, top: number): Drawn {
  const svg: string[] = [];
  let y = top;
  for (const row of [...t.stretches, ...branchGroups(t)]) {
    const drawn = listRow(row, y);
    svg.push(...drawn.svg);
    y = drawn.y;
  }
  const notes = [
    ...t.verdicts.map(({ code, title }) => `${code}: ${title}`),
    ...(t.unknown.length > 0 ? [`To decide, say: ${t.unknown.join(', ')}`] : []),
    ...t.assumptions.map((a) => `Taken as given: ${a.fact} ${a.value} (${a.why})`),
  ];
  y += 14;
  for (const note of notes) {
    const drawn = prose(note, 'tl-cite', { x: PAD, y: y + 6, indent: 16 });
    svg.push(...drawn.svg);
    y = drawn.y - 6;
  }
  return { svg, y };
}

const FONT = 'ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace';

/** Ink on the fills stays dark, whatever the page is. */
const STYLE =
  `.tl text{font:12px ${FONT};fill:#1c1c1c}` +
  '.tl .tl-page{fill:#fafafa}' +
  '.tl .tl-title{font-weight:bold;font-size:15px}.tl .tl-strong{font-weight:bold}' +
  '.tl .tl-type{font-weight:bold;font-size:13px;text-anchor:middle;fill:#1c1c1c}' +
  '.tl .tl-leaf{font-size:11px;text-anchor:middle;fill:#1c1c1c}' +
  '.tl .tl-version{font-size:11px}.tl .tl-commit{font-size:11px;fill:#555555}' +
  '.tl .tl-cite{fill:#555555}.tl .tl-end{text-anchor:end}' +
  '.tl .tl-box{stroke:#666666}.tl .tl-tick{stroke:#333333;fill:none}' +
  '.tl .tl-branch{stroke:#bbbbbb;stroke-dasharray:3 3;fill:none}' +
  '@media (prefers-color-scheme:dark){.tl text{fill:#e8e8e8}.tl .tl-page{fill:#1b1b1d}' +
  '.tl .tl-type,.tl .tl-leaf{fill:#1c1c1c}.tl .tl-commit,.tl .tl-cite{fill:#b4b4b4}' +
  '.tl .tl-tick{stroke:#cccccc}.tl .tl-branch{stroke:#666666}}';

/** Grey stripes: more than one type is possible. */
const OPEN =
  '<defs><pattern id="tl-open" width="8" height="8" patternUnits="userSpaceOnUse">' +
  '<rect width="8" height="8" fill="#eeeeee"/><path d="M0 8 L8 0" stroke="#d0d0d0"/></pattern></defs>';

/** The bar over the releases, what began each stretch below it, and the series that left it. */
function chart(t: Timeline, y: number): Drawn {
  const edges = edgesOf(t.stretches);
  const top = y + reach(Math.max(...t.stretches.map(({ from }) => from.length)));
  const bottom = top + BAR;
  const below = t.stretches.some(({ causes }) => causes.length > 0) ? reach(12) : 0;
  const branches = branchesOf(t, edges, bottom, bottom + below + 16);
  const end = edges.at(-1) ?? 0;
  return {
    svg: [
      ...branches.svg,
      ...barOf(t.stretches, edges, top),
      ...ticks(t, edges, { top, bottom }),
      slanted(end + 2, top - 9, t.newest, 'tl-version', true),
    ],
    y: branches.y,
  };
}

function picture(t: Timeline, parts: readonly string[], bottom: number): string {
  const height = Math.ceil(bottom);
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} class="tl" role="img" aria-label="${escaped(headline(t))}">`,
    `<style>${STYLE}</style>`,
    OPEN,
    `<rect width="${WIDTH}" height="${height}" class="tl-page"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** The picture alone, for a page that has the words already. */
export function timelineChart(t: Timeline): string {
  const drawn = chart(t, 0);
  return picture(t, drawn.svg, drawn.y + PAD);
}

/** How one answer moved, drawn, and below it everything once more as a list. */
export function timelineSvg(t: Timeline): string {
  const title = prose(headline(t), 'tl-title', { x: PAD, y: 28 });
  const facts = prose(factWords(t), 'tl-cite', { x: PAD, y: title.y + 4 });
  const drawn = chart(t, facts.y);
  const list = listOf(t, drawn.y + 14);
  const parts = [...title.svg, ...facts.svg, ...drawn.svg, ...list.svg];
  return picture(t, parts, list.y + PAD);
}
