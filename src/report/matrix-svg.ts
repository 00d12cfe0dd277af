import type { Matrix, MatrixCell, MatrixSide } from '../compare/history/matrix.ts';
import { percent } from './diff/words.ts';
import {
  cellsOf,
  cellWords,
  headline,
  MEANING,
  missingWords,
  NEAREST,
  sameWords,
  short,
} from './matrix-words.ts';
import { escaped } from './svg-parts.ts';
import { wrap } from './wrap.ts';

const PAD = 20;
const CELL = 46;
const ROW = 34;
const LINE = 16;
/** Width of a character of the font at 12 pixels, at most. */
const ADVANCE = 7.4;
/** Between the eras and the proposals. */
const GAP = 8;
const SLANT = 45;
/** Room at the right for the names of the last columns. */
const OVERHANG = 110;

/** Fill and ink by the share that differs; the last one holds all above. */
const HEAT: readonly { readonly upTo: number; readonly fill: string; readonly ink: string }[] = [
  { upTo: 0.05, fill: '#eff3ff', ink: '#1c1c1c' },
  { upTo: 0.15, fill: '#d2e3f3', ink: '#1c1c1c' },
  { upTo: 0.3, fill: '#a9cce6', ink: '#1c1c1c' },
  { upTo: 0.5, fill: '#73b2d8', ink: '#1c1c1c' },
  { upTo: 0.7, fill: '#2f76b5', ink: '#ffffff' },
  { upTo: 1, fill: '#0b4a8f', ink: '#ffffff' },
];

function heatOf(cell: MatrixCell, m: Matrix): { readonly fill: string; readonly ink: string } {
  const share = cell.differing / m.points;
  return HEAT.find(({ upTo }) => share <= upTo) ?? { fill: '#0b4a8f', ink: '#ffffff' };
}

const IN_A_CELL =
  'In a cell: percent of all points, and below it their number. = means no difference at all.';

interface Frame {
  /** Where the first cell begins. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly eras: number;
}

function text(x: number, y: number, words: string, style: string, more = ''): string {
  return `<text x="${x}" y="${y}" class="${style}"${more}>${escaped(words)}</text>`;
}

function rowLabel({ id, kind, title }: MatrixSide): string {
  return kind === 'era' ? `${id}  ${title}` : id;
}

function frameOf(m: Matrix, top: number): Frame {
  const labels = m.sides.map((side) => rowLabel(side).length);
  const left = PAD + Math.ceil(Math.max(...labels) * ADVANCE) + 10;
  const eras = m.sides.filter(({ kind }) => kind === 'era').length;
  const width = left + m.sides.length * CELL + GAP + OVERHANG;
  return { left, top, width: Math.max(width, 620), eras };
}

const across = (f: Frame, i: number): number => f.left + i * CELL + (i >= f.eras ? GAP : 0);
const down = (f: Frame, i: number): number => f.top + i * ROW + (i >= f.eras ? GAP : 0);

function cellSvg(m: Matrix, cell: MatrixCell, x: number, y: number): readonly string[] {
  const title = `<title>${escaped(`${cell.column} to ${cell.row}, ${cellWords(m, cell)}`)}</title>`;
  const shape = `x="${x}" y="${y}" width="${CELL}" height="${ROW}"`;
  const middle = x + CELL / 2;
  if (cell.differing === 0) {
    return [
      `<rect ${shape} class="mx-same">${title}</rect>`,
      text(middle, y + ROW / 2 + 5, '=', 'mx-equal'),
    ];
  }
  const { fill, ink } = heatOf(cell, m);
  return [
    `<rect ${shape} fill="${fill}" class="mx-cell">${title}</rect>`,
    text(middle, y + 15, percent(cell.differing, m.points), 'mx-share', ` style="fill:${ink}"`),
    text(middle, y + 28, short(cell.differing), 'mx-count', ` style="fill:${ink}"`),
  ];
}

/** The names of the columns lean out of the diagonal, into the half that is empty. */
function sideSvg(side: MatrixSide, i: number, f: Frame): readonly string[] {
  const y = down(f, i);
  const x = across(f, i);
  const [atX, atY] = [x + 8, y + ROW - 6];
  const turn = ` transform="rotate(${-SLANT} ${atX} ${atY})"`;
  return [
    text(f.left - 10, y + ROW / 2 + 4, rowLabel(side), 'mx-row'),
    text(atX, atY, side.id, 'mx-column', turn),
  ];
}

function gridSvg(m: Matrix, f: Frame): readonly string[] {
  const cell = cellsOf(m);
  return m.sides.flatMap((row, i) => [
    ...sideSvg(row, i, f),
    ...m.sides.slice(0, i).flatMap((column, j) => {
      const found = cell(row.id, column.id);
      return found === undefined ? [] : cellSvg(m, found, across(f, j), down(f, i));
    }),
  ]);
}

function legendSvg(x: number, y: number): readonly string[] {
  const steps = HEAT.flatMap(({ upTo, fill, ink }, i) => {
    const at = x + (i + 1) * CELL;
    const label = i === HEAT.length - 1 ? 'more' : `to ${Math.round(upTo * 100)}%`;
    return [
      `<rect x="${at}" y="${y}" width="${CELL}" height="22" fill="${fill}" class="mx-cell"/>`,
      text(at + CELL / 2, y + 15, label, 'mx-count', ` style="fill:${ink}"`),
    ];
  });
  return [
    `<rect x="${x}" y="${y}" width="${CELL}" height="22" class="mx-same"/>`,
    text(x + CELL / 2, y + 15, '=', 'mx-equal'),
    ...steps,
  ];
}

function prose(
  sentences: readonly string[],
  style: string,
  { y, width }: { readonly y: number; readonly width: number },
): { readonly svg: readonly string[]; readonly y: number } {
  const advance = style === 'mx-title' ? ADVANCE * 1.25 : ADVANCE;
  const columns = Math.floor((width - 2 * PAD) / advance);
  const lines = sentences.flatMap((sentence) => wrap(sentence, columns, '  '));
  return {
    svg: lines.map((line, i) =>
      text(
        PAD + (line.length - line.trimStart().length) * 7,
        y + i * LINE,
        line.trimStart(),
        style,
      ),
    ),
    y: y + lines.length * LINE,
  };
}

const FONT = 'ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace';

const STYLE =
  `.mx text{font:12px ${FONT};fill:#1c1c1c}` +
  '.mx .mx-page{fill:#fafafa}.mx .mx-title{font-weight:bold;font-size:15px}' +
  '.mx .mx-row{text-anchor:end}.mx .mx-column{font-weight:bold}' +
  '.mx .mx-share{font-weight:bold;text-anchor:middle}.mx .mx-count{font-size:11px;text-anchor:middle}' +
  '.mx .mx-cell{stroke:#ffffff}.mx .mx-same{fill:#f1f1f1;stroke:#bbbbbb;stroke-dasharray:2 2}' +
  '.mx .mx-equal{fill:#666666;text-anchor:middle;font-weight:bold}.mx .mx-cite{fill:#555555}' +
  '@media (prefers-color-scheme:dark){.mx text{fill:#e8e8e8}.mx .mx-page{fill:#1b1b1d}' +
  '.mx .mx-cell{stroke:#1b1b1d}.mx .mx-same{fill:#2a2a2e;stroke:#666666}' +
  '.mx .mx-equal{fill:#b4b4b4}.mx .mx-cite{fill:#b4b4b4}}';

function picture(
  m: Matrix,
  parts: readonly string[],
  { width, height }: { readonly width: number; readonly height: number },
): string {
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} class="mx" role="img" aria-label="${escaped(headline(m))}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${width}" height="${height}" class="mx-page"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** Where the grid ends, its legend included. */
function gridEnd(m: Matrix, f: Frame): number {
  return down(f, m.sides.length - 1) + ROW + 40;
}

/** The grid and its legend alone, for a page that has the words already. */
export function matrixChart(m: Matrix): string {
  const f = frameOf(m, 16);
  const end = gridEnd(m, f);
  const parts = [...gridSvg(m, f), ...legendSvg(f.left, end - 26)];
  return picture(m, parts, { width: f.width, height: end + 10 });
}

/** Every policy against every other as a heat map: share and count in each cell, `=` where nothing differs. */
export function matrixSvg(m: Matrix): string {
  const { width } = frameOf(m, 0);
  const title = prose([headline(m)], 'mx-title', { y: 28, width });
  const f = frameOf(m, title.y + 12);
  const end = gridEnd(m, f);
  const words = [MEANING, IN_A_CELL, NEAREST, ...sameWords(m), ...missingWords(m)];
  const proposals = m.sides.filter(({ kind }) => kind === 'proposal');
  const titles = proposals.map((side) => `${side.id}: ${side.title}`);
  const notes = prose([...words, ...titles], 'mx-cite', { y: end + 18, width });
  const parts = [...title.svg, ...gridSvg(m, f), ...legendSvg(f.left, end - 26), ...notes.svg];
  return picture(m, parts, { width, height: notes.y + PAD });
}
