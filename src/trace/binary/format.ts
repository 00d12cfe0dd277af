/** A field of an event as the kernel describes it in events/SYSTEM/NAME/format. */
export interface EventField {
  readonly name: string;
  /** As declared: "unsigned long", "char". */
  readonly type: string;
  /** In bytes from the start of the event. */
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
  /**
   * `data`: the field holds a 16-bit offset and, above it, a 16-bit length of bytes further on (__data_loc);
   * `relative`: the same, counted from the field's end (__rel_loc).
   */
  readonly place: 'inline' | 'data' | 'relative';
  readonly isArray: boolean;
}

export interface EventFormat {
  /** "kvmmmu"; empty where it is not known. */
  readonly system: string;
  readonly name: string;
  /** `common_type` of its records. */
  readonly id: number;
  readonly fields: ReadonlyMap<string, EventField>;
}

/** No kernel writes longer lines of fields; print formats can be long and are not looked at. */
const LINE_MAX = 512;
const FIELD =
  /^\s*field(?: special)?:([^;]+);\s*offset:\s*(\d{1,6});\s*size:\s*(\d{1,6});(?:\s*signed:\s*([01]);)?/;
const DECLARED = /([A-Za-z_]\w*)\s*(\[[^\]]*\])?$/;
const LOCATIONS = [
  ['__data_loc', 'data'],
  ['__rel_loc', 'relative'],
] as const;

/** One line of a description; null when it is none of a field. */
export function parseField(line: string): EventField | null {
  if (line.length > LINE_MAX) return null;
  const [, declaration = '', offset, size, signed] = FIELD.exec(line) ?? [];
  const declared = DECLARED.exec(declaration.trim());
  if (declared === null) return null;
  const type = declaration.trim().slice(0, declared.index).trim();
  const [word, place] = LOCATIONS.find(([prefix]) => type.startsWith(prefix)) ?? ['', 'inline'];
  return {
    name: declared[1] ?? '',
    type: type.slice(word.length).trim(),
    offset: Number(offset),
    size: Number(size),
    // Kernels before 2.6.33 do not say: there the type does.
    signed: signed === undefined ? !/^u|\bunsigned\b|_t$|\*$/.test(type) : signed === '1',
    place,
    isArray: declared[2] !== undefined || type.endsWith(']'),
  };
}

/**
 * Reads the text of a `format` file. What it says about printing is not read.
 *
 * @returns null when it has no name, no ID or no field
 */
export function parseEventFormat(text: string, system: string): EventFormat | null {
  let name = '';
  let id = -1;
  const fields = new Map<string, EventField>();
  for (const line of text.split('\n')) {
    if (line.startsWith('name:')) name = line.slice(5).trim();
    else if (line.startsWith('ID:'))
      id = /^\d{1,9}$/.test(line.slice(3).trim()) ? Number(line.slice(3)) : -1;
    else if (line.startsWith('print fmt:')) break;
    const field = parseField(line);
    if (field !== null) fields.set(field.name, field);
  }
  return name === '' || id < 0 || fields.size === 0 ? null : { system, name, id, fields };
}
