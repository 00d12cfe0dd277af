import type { TypePair } from '../../compare/difference.ts';
import { ADVANCE, type Block, COLOURS, LINE, textAt } from '../svg-parts.ts';
import { fitted } from '../wrap.ts';
import { captionWords, cellWords, type DrawnTable, headWords } from './drawn-grid.ts';

export const WIDTH = 900;
export const PAD = 12;
export const COLUMNS: number = Math.floor((WIDTH - 2 * PAD) / ADVANCE) - 1;

/** What is drawn from a height on. */
export type Piece = (y: number) => Block;

/** Pieces one below the other. */
export function stacked(pieces: readonly Piece[], top: number): Block {
  const svg: string[] = [];
  let y = top;
  for (const piece of pieces) {
    const block = piece(y);
    if (block.svg !== '') svg.push(block.svg);
    y += block.height;
  }
  return { svg: svg.join('\n'), height: y - top };
}

export function space(height: number): Piece {
  return () => ({ svg: '', height });
}

/** The size of the letters of a title against the others. */
const TITLE = 15 / 13;

/** Text as lines from `left` to the right edge. */
export function words(text: string, style = '', left = PAD, indent = '  '): Piece {
  const room = COLUMNS - Math.ceil((left - PAD) / ADVANCE);
  const columns = style === 'title' ? Math.floor(room / TITLE) : room;
  return (y) => {
    const lines = fitted(text, columns, indent);
    const svg = lines.map((line, i) => textAt(left, y + 13 + i * LINE, line, style));
    return { svg: svg.join('\n'), height: lines.length * LINE };
  };
}

// ---- types --------------------------------------------------------------------------------------

const ROW = 22;

/** A box with a word in its middle. */
function cellAt(x: number, y: number, width: number, text: string, fill: string): string {
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${ROW}" fill="${fill}" class="cell"/>`,
    textAt(x + (width - text.length * ADVANCE) / 2, y + 15, text),
  ].join('\n');
}

function colourOf(type: string): string {
  return COLOURS[type] ?? '#ffffff';
}

/** The width of a chip. */
export const CHIP = 40;

/** A type on its colour. */
export function chipAt(x: number, y: number, type: string): string {
  return cellAt(x, y, CHIP, type, colourOf(type));
}

function pairAt(
  pair: TypePair | null,
  before: DrawnTable['before'],
  x: number,
  y: number,
  width: number,
): string {
  if (pair === null) return '';
  const text = cellWords(pair, before).replace('>', '\u2192');
  return cellAt(x, y, width, text, pair.before === pair.after ? '#ffffff' : colourOf(pair.after));
}

/** A table of types, each change on the colour of its new type. */
export function tablePiece(table: DrawnTable, left: number): Piece {
  const [corner = '', ...head] = headWords(table);
  const labels = [corner, ...table.rows.map((r) => r.label)].map((l) => l.length);
  const label = Math.max(...labels) * ADVANCE + PAD;
  const texts = table.rows.flatMap((r) => r.cells.map((c) => cellWords(c, table.before)));
  const longest = Math.max(...[...head, ...texts].map((t) => t.length));
  const width = Math.max(44, longest * ADVANCE + 10);
  const caption = captionWords(table);
  const row = (y: number, name: string, style: string): string => textAt(left, y + 15, name, style);
  const lines: readonly Piece[] = [
    ...(caption === '' ? [] : [words(caption, 'cite', left)]),
    (y) => ({
      svg: [
        row(y, corner, ''),
        ...head.map((h, c) =>
          textAt(left + label + c * width + (width - h.length * ADVANCE) / 2, y + 15, h, 'strong'),
        ),
      ].join('\n'),
      height: ROW,
    }),
    ...table.rows.map(
      (r): Piece =>
        (y) => ({
          svg: [
            row(y, r.label, 'strong'),
            ...r.cells.map((c, i) => pairAt(c, table.before, left + label + i * width, y, width)),
          ]
            .filter((s) => s !== '')
            .join('\n'),
          height: ROW,
        }),
    ),
    space(8),
  ];
  return (y) => stacked(lines, y);
}
