import { type SpteReading, spteDigits } from '../kvm/spte-reading.ts';
import { type DiagramPart, diagramRows } from './spte-diagram.ts';
import {
  editionWords,
  meaningWords,
  originWords,
  PAGING_WORDS,
  readingWords,
  type SpteAnswer,
} from './spte-words.ts';
import { ADVANCE, type Block, COLOURS, escaped, FONT, LINE, textAt } from './svg-parts.ts';
import { fitted, labelled } from './wrap.ts';

const WIDTH = 800;
const PAD = 12;
/** Of a bit. */
const CELL = 23;
const BOX = 26;
const COLUMNS = 90;

/** By who reads a field; the memory type has the colour of its type. */
const FILLS = { cpu: '#ffffff', kvm: '#ece9f6', nobody: '#eeeeee' } as const;

function fillOf({ field }: DiagramPart, reading: SpteReading): string {
  if (field.wrong !== null) return '#ff9d9d';
  const type = reading.leaf?.memtype;
  const isType = field.name === 'memory type' || field.name === 'IPAT';
  return (isType && type ? COLOURS[type] : undefined) ?? FILLS[field.reader];
}

function xOf(bit: number): number {
  return PAD + (31 - (bit % 32)) * CELL;
}

function centred(x: number, y: number, text: string, style: string): string {
  return `<text x="${x}" y="${y}" text-anchor="middle" class="${style}">${escaped(text)}</text>`;
}

function partBox(part: DiagramPart, y: number, reading: SpteReading): readonly string[] {
  const { high, low, bits } = part;
  const [x, width] = [xOf(high), bits.length * CELL];
  const numbers = high === low ? [high] : [high, low];
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${BOX}" fill="${fillOf(part, reading)}" class="box"/>`,
    ...numbers.map((bit) => centred(xOf(bit) + CELL / 2, y - 5, String(bit), 'number')),
    ...[...bits].map((bit, i) => centred(x + i * CELL + CELL / 2, y + 18, bit, 'bit')),
  ];
}

/** Bits 63:32 or 31:0: boxes, and below them the names, the rightmost highest. */
function rowBlock(parts: readonly DiagramPart[], y: number, reading: SpteReading): Block {
  const top = y + 16;
  const names = parts.map((part, i) => {
    const line = top + BOX + (parts.length - i) * LINE;
    const x = xOf(part.high) + CELL / 2;
    const leader = `<path d="M${x} ${top + BOX} V${line - 4} h8" class="leader"/>`;
    const room = Math.floor((WIDTH - x - 14) / ADVANCE);
    return `${leader}${textAt(x + 12, line, part.name.slice(0, room))}`;
  });
  return {
    svg: [...parts.flatMap((part) => partBox(part, top, reading)), ...names].join('\n'),
    height: 16 + BOX + parts.length * LINE + 16,
  };
}

function textBlock(lines: readonly (readonly [string, string])[], y: number): Block {
  const svg = lines.map(([text, style], i) => textAt(PAD, y + i * LINE, text, style)).join('\n');
  return { svg, height: lines.length * LINE };
}

function headLines(answer: SpteAnswer, first: SpteReading): readonly (readonly [string, string])[] {
  const title = answer.fits
    ? `${PAGING_WORDS[first.paging]} ${readingWords(first)}`
    : 'no kernel in question writes this';
  const origin = originWords(answer);
  return [
    ...fitted(`${spteDigits(answer.value)}: ${title}`, COLUMNS, '  ').map(
      (l) => [l, 'strong'] as const,
    ),
    ...(origin === null ? [] : fitted(origin, COLUMNS).map((l) => [l, ''] as const)),
    ...fitted(`${PAGING_WORDS[first.paging]}, ${editionWords(first)}`, COLUMNS).map(
      (l) => [l, ''] as const,
    ),
    ...first.contradictions
      .flatMap((c) => labelled('! ', c, COLUMNS))
      .map((l) => [l, 'wrong'] as const),
  ];
}

/** Where the columns of the list of fields stand, characters. */
const AT = { name: 7, value: 23, says: 36 };

/** A list of fields as columns: blanks in a text would be drawn as one. */
function fieldBlock({ fields }: SpteReading, y: number): Block {
  const shown = fields.filter(({ name }) => name !== 'unused');
  const svg = shown.map(({ high, low, name, value, says, wrong }, i) => {
    const line = y + i * LINE;
    const cells: readonly (readonly [number, string])[] = [
      [0, high === low ? String(high) : `${high}:${low}`],
      [AT.name, name],
      [AT.value, value],
      [AT.says, says],
    ];
    const style = wrong === null ? '' : 'wrong';
    return cells.map(([at, text]) => textAt(PAD + at * ADVANCE, line, text, style)).join('');
  });
  return { svg: svg.join('\n'), height: (shown.length + 1) * LINE };
}

function footLines(
  { question }: SpteAnswer,
  first: SpteReading,
): readonly (readonly [string, string])[] {
  const words = [...meaningWords(first, question), ...first.notes];
  return words.flatMap((w) => labelled('- ', w, COLUMNS)).map((l) => [l, ''] as const);
}

function answerBlock(answer: SpteAnswer, y: number): Block {
  const [first] = answer.readings;
  if (first === undefined) return textBlock([[spteDigits(answer.value), 'strong']], y + LINE);
  let bottom = y + LINE;
  const parts: string[] = [];
  const add = ({ svg, height }: Block): void => {
    parts.push(svg);
    bottom += height;
  };
  add(textBlock(headLines(answer, first), bottom));
  for (const row of diagramRows(first)) add(rowBlock(row, bottom, first));
  bottom += LINE;
  add(fieldBlock(first, bottom));
  add(textBlock(footLines(answer, first), bottom));
  return { svg: parts.join('\n'), height: bottom - y + LINE };
}

const STYLE = [
  FONT,
  '.strong{font-weight:bold}',
  '.wrong{fill:#a40000}',
  '.number{font-size:10px}',
  '.box{stroke:#555}',
  '.leader{stroke:#999;fill:none}',
].join(' ');

/** The field diagram of each SPTE, with what each field says. */
export function spteSvg(answers: readonly SpteAnswer[]): string {
  let y = 0;
  const parts = answers.map((answer) => {
    const { svg, height } = answerBlock(answer, y);
    y += height;
    return svg;
  });
  const height = y + PAD;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">
<style>${STYLE}</style>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
