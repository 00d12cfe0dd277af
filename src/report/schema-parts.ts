/** Pieces that JSON Schemas are made of. */
export type Json = Readonly<Record<string, unknown>>;

export const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

export const STRING: Json = { type: 'string' };
export const BOOLEAN: Json = { type: 'boolean' };
export const COUNT: Json = { type: 'integer', minimum: 0 };
export const STRINGS: Json = { type: 'array', items: STRING };

export const nullable = (type: string): Json => ({ type: [type, 'null'] });

export const listOf = (items: Json): Json => ({ type: 'array', items });

/** An object with these properties, and others that a later version may add. */
export function object(
  properties: Json,
  required: readonly string[] = Object.keys(properties),
): Json {
  return { type: 'object', properties, required };
}

export const ref = (name: string): Json => ({ $ref: `#/$defs/${name}` });
