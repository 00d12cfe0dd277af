import { type Row, RowError } from './table.ts';

/** How the rows of one golden file are read. */
export type Parse = (text: string) => Row[];

function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws RowError with what JSON.parse says */
function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RowError(`${where}not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function lines(text: string): readonly { readonly text: string; readonly number: number }[] {
  return text
    .split('\n')
    .map((line, i) => ({ text: line.replace(/\r$/, ''), number: i + 1 }))
    .filter((line) => line.text.trim() !== '');
}

/** One object per line. */
export const jsonLines: Parse = (text) =>
  lines(text).map((line) => {
    const row = parseJson(line.text, `line ${line.number}: `);
    if (!isRow(row)) throw new RowError(`line ${line.number}: not an object`);
    return row;
  });

/** An array of objects. */
export const jsonArray: Parse = (text) => {
  const rows = parseJson(text, '');
  if (!Array.isArray(rows)) throw new RowError('line 1: not an array');
  return rows.map((row: unknown, i) => {
    if (!isRow(row)) throw new RowError(`row ${i + 1}: not an object`);
    return row;
  });
};

/** Lines of the given form; the named groups are the fields. */
export function textLines(
  form: RegExp,
  read: (groups: Readonly<Record<string, string | undefined>>) => Row,
): Parse {
  return (text) =>
    lines(text).map((line) => {
      const match = form.exec(line.text);
      if (match === null) throw new RowError(`line ${line.number}: not "${form.source}"`);
      return read({ ...match.groups });
    });
}

/** The line on which a key of a JSON document first stands. */
function lineOfKey(text: string, key: string): number {
  const at = text.indexOf(`"${key}"`);
  return at < 0 ? 1 : text.slice(0, at).split('\n').length;
}

/** A JSON document whose keys are known, for the readers of its sections. */
export class JsonDocument {
  readonly #text: string;
  readonly #root: Row;

  /**
   * @param keys the known ones, separated by blanks
   * @throws RowError when the text is not an object, or has another key
   */
  constructor(text: string, keys: string) {
    this.#text = text;
    const root = parseJson(text, '');
    if (!isRow(root)) throw new RowError('line 1: not an object');
    this.#root = root;
    for (const key of Object.keys(root)) {
      if (!keys.split(' ').includes(key)) throw this.#error(key, 'unknown section');
    }
  }

  #error(key: string, what: string): RowError {
    return new RowError(`line ${lineOfKey(this.#text, key)}: ${what} "${key}"`);
  }

  /** The object under a path of keys. @throws RowError when there is none */
  object(...path: readonly string[]): Row {
    let found: Row = this.#root;
    for (const key of path) {
      const next = found[key];
      if (!isRow(next)) throw this.#error(key, 'no object');
      found = next;
    }
    return found;
  }

  /** The rows of a section, each with its name as `section`. @throws RowError when it is no array */
  rows(...path: readonly [string, ...string[]]): Row[] {
    const key = path.at(-1) ?? '';
    const section = this.object(...path.slice(0, -1))[key];
    if (!Array.isArray(section)) throw this.#error(key, 'no array');
    return section.map((row: unknown, i) => {
      if (!isRow(row)) throw this.#error(key, `row ${i + 1} is no object in`);
      return { section: path.join('.'), ...row };
    });
  }
}

/**
 * Names are separated by blanks.
 *
 * @throws RowError unless the row has all of `fields`, perhaps some of `optional`, and no others
 */
export function expectFields(row: Row, fields: string, optional = ''): void {
  const needed = fields.split(' ');
  const missing = needed.filter((field) => !(field in row));
  if (missing.length > 0) throw new RowError(`without "${missing.join('", "')}"`);
  const known = [...needed, ...optional.split(' ')];
  const unknown = Object.keys(row).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new RowError(`unknown field "${unknown.join('", "')}"`);
}
