/** Text broken at blanks to `width` columns; continuation lines start with `indent`. */
export function wrap(text: string, width: number, indent = ''): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((w) => w !== '')) {
    const lead = lines.length === 0 ? '' : indent;
    if (line !== '' && lead.length + line.length + 1 + word.length > width) {
      lines.push(lead + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push((lines.length === 0 ? '' : indent) + line);
  return lines;
}

/** Like `wrap`, and a word that is longer than a line is broken. */
export function fitted(text: string, width: number, indent = ''): readonly string[] {
  return wrap(text, width, indent).flatMap((line) => {
    const rest = Array.from(line);
    const pieces: string[] = [rest.splice(0, width).join('')];
    while (rest.length > 0) pieces.push(indent + rest.splice(0, width - indent.length).join(''));
    return pieces;
  });
}

/** A label, then text wrapped in a column of its own. */
export function labelled(label: string, text: string, width: number): readonly string[] {
  const [first = '', ...rest] = wrap(text, width - label.length);
  return [(label + first).trimEnd(), ...rest.map((line) => ' '.repeat(label.length) + line)];
}

function widest(text: string, by: RegExp): number {
  return text.split(by).reduce((max, part) => Math.max(max, part.length), 0);
}

/** The natural widths of columns, and while they do not fit, the widest that can give narrowed to its words. */
function columnWidths(rows: readonly (readonly string[])[], width: number): readonly number[] {
  const widths: number[] = [];
  const least: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
      least[i] = Math.max(least[i] ?? 0, widest(cell.trimStart(), / /) + leadOf(cell).length);
    });
  }
  const gaps = 2 * Math.max(0, widths.length - 1);
  let over = gaps + widths.reduce((sum, w) => sum + w, 0) - width;
  while (over > 0) {
    const slack = widths.map((w, i) => w - (least[i] ?? 0));
    const most = Math.max(...slack);
    if (most <= 0) break;
    const i = slack.indexOf(most);
    const give = Math.min(most, over);
    widths[i] = (widths[i] ?? 0) - give;
    over -= give;
  }
  return widths;
}

const leadOf = (cell: string): string => /^ */.exec(cell)?.[0] ?? '';

/** A cell as lines; those after the first stand below its first word. */
function cellLines(cell: string, width: number): readonly string[] {
  if (cell.length <= width) return [cell];
  const lead = leadOf(cell);
  return wrap(cell, width - lead.length).map((line) => lead + line);
}

/**
 * Rows of cells as columns two blanks apart; the last column is not padded.
 *
 * @param width a wider table has cells of several lines, broken at blanks; a word is not broken
 */
export function table(
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): readonly string[] {
  const widths = columnWidths(rows, width);
  return rows.flatMap((row) => {
    const cells = row.map((cell, i) => cellLines(cell, widths[i] ?? 0));
    const height = Math.max(0, ...cells.map((c) => c.length));
    return Array.from({ length: height }, (_, line) =>
      cells
        .map((c, i) =>
          i === row.length - 1 ? (c[line] ?? '') : (c[line] ?? '').padEnd(widths[i] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    );
  });
}
