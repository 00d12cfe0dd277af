/** Fill per type: told apart without colour by the letters. */
export const COLOURS: Readonly<Record<string, string>> = {
  WB: '#cfe3f7',
  WT: '#d9ead3',
  WP: '#d9ead3',
  WC: '#fff2cc',
  'WC+': '#fff2cc',
  UC: '#f4cccc',
  'UC-': '#f4cccc',
  CD: '#f4cccc',
};

/** Text as it may stand in XML and HTML, also in an attribute. */
export function escaped(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}

/** A piece of a picture, and how far down it reaches, pixels. */
export interface Block {
  readonly svg: string;
  readonly height: number;
}

export const FONT =
  'text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1c1c1c}';

/** Width of a character of the font, at most, and from one line to the next. */
export const ADVANCE = 8;
export const LINE = 17;

/** Blanks in front of a text would not be drawn: they move it. */
export function textAt(x: number, y: number, text: string, style = ''): string {
  const plain = text.trimStart();
  const left = x + (text.length - plain.length) * ADVANCE;
  return `<text x="${left}" y="${y}"${style === '' ? '' : ` class="${style}"`}>${escaped(plain)}</text>`;
}
