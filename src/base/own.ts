/** The value of a key that the record itself has: "toString" and its like are no keys of a table. */
export function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
