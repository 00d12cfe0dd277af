import { type Entry, EXPLAIN_KEYS } from '../resolve/compose.ts';
import { readText } from './io.ts';

/** Flags as given: for each key of EXPLAIN_KEYS the values, in order. */
export type ExplainFlags = Readonly<Record<string, readonly string[] | undefined>>;

/** What was said on the command line. */
export function flagEntries(flags: ExplainFlags): readonly Entry[] {
  return EXPLAIN_KEYS.flatMap((key) => {
    const given = flags[key] ?? [];
    if (given.length === 0) return [];
    return [{ key, words: given.map((text) => ({ text })) }];
  });
}

/** The YAML parser is loaded only when there is a file to parse: it costs as much as all the rest. */
async function fileEntries(file: string): Promise<readonly Entry[]> {
  const { readCaseFile } = await import('./case-file.ts');
  return readCaseFile(readText(file), file === '-' ? '<stdin>' : file);
}

/** Flags go before the file: what is said on the command line replaces the file's word. */
function merge(file: readonly Entry[], flags: readonly Entry[]): readonly Entry[] {
  const replaced = new Set(flags.map((e) => e.key));
  const columns = replaced.has('kernel') || replaced.has('policy');
  return [
    ...flags,
    ...file.filter(
      (e) => !replaced.has(e.key) && !(columns && (e.key === 'kernel' || e.key === 'policy')),
    ),
  ];
}

/** What was said on the command line, and in a case file. @throws InputError when the file is no case */
export async function entriesOf(
  flags: ExplainFlags,
  file: string | undefined,
): Promise<readonly Entry[]> {
  const fromFile = file === undefined ? [] : await fileEntries(file);
  return merge(fromFile, flagEntries(flags));
}
