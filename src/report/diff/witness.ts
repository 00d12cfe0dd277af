import type { Witness } from '../../compare/difference.ts';

const SAFE = /^[\w.,:+@/-]+$/;

function quoted(word: string): string {
  return SAFE.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line, in pieces that are not broken. */
function pieces(facts: Witness['facts']): readonly string[] {
  const flags = Object.entries(facts).map(
    ([key, value]) => `--${key} ${quoted(value.replaceAll(', ', ','))}`,
  );
  return ['memtype explain', ...flags];
}

/**
 * A command that can be pasted, or one for each platform, broken with backslashes so that no line is longer
 * than `width`.
 */
export function commandLines({ facts, other }: Witness, width: number): readonly string[] {
  return [facts, ...(other === null ? [] : [other])].flatMap((one) => broken(one, width));
}

function broken(facts: Witness['facts'], width: number): readonly string[] {
  const lines: string[] = [];
  for (const piece of pieces(facts)) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(piece);
    else if (last.length + 1 + piece.length + 2 <= width)
      lines[lines.length - 1] = `${last} ${piece}`;
    else lines.push(`  ${piece}`);
  }
  return lines.map((line, i) => (i < lines.length - 1 ? `${line} \\` : line));
}
