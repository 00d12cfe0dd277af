import { composeQuestions } from '../src/resolve/compose.ts';
import { type Resolution, resolve } from '../src/resolve/resolution.ts';

/** Facts as the command line has them: "6.8", ["WC", "WB"]. */
export type Flags = Readonly<Record<string, string | readonly string[]>>;

/** The answers to a command line, one for each column. */
export function answers(flags: Flags): readonly Resolution[] {
  const entries = Object.entries(flags).map(([key, value]) => ({
    key,
    words: [value].flat().map((text) => ({ text })),
  }));
  return composeQuestions(entries).map(resolve);
}

/** The only answer to a command line. */
export function answer(flags: Flags): Resolution {
  const [first, second] = answers(flags);
  if (first === undefined || second !== undefined) throw new Error('expected one answer');
  return first;
}

/** The codes of the verdicts of a severity that hold for certain. */
export function codes(r: Resolution, ...severities: readonly string[]): readonly string[] {
  return r.verdicts.filter((v) => v.certain && severities.includes(v.severity)).map((v) => v.code);
}

/** "--a b --c 'd e'" to flags, as a shell would split it. */
export function shellFlags(line: string): Flags {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
  const flags: Record<string, string> = {};
  for (let i = 0; i < words.length; i += 2)
    flags[(words[i] ?? '').replace(/^--/, '')] = words[i + 1] ?? '';
  return flags;
}
