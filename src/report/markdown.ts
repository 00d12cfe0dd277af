/** What Markdown would take for its own; and an @ would call somebody. */
export function plain(text: string): string {
  return text.replace(/[\\`*<|[\]]/g, '\\$&').replaceAll('@', '&#64;');
}

export function code(text: string): string {
  return `\`${text}\``;
}

/** @param words Markdown */
export function link(words: string, url: string): string {
  return `[${words}](${url})`;
}

/** @param rows cells of Markdown */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
