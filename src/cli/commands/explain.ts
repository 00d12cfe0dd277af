import { InputError } from '../../base/diagnostic.ts';
import { EXPLAIN_SCHEMA_VERSION, explainJson } from '../../report/explain-json.ts';
import { compareText, explainText } from '../../report/explain-text.ts';
import { composeQuestions, type Entry, EXPLAIN_KEYS } from '../../resolve/compose.ts';
import { type Flip, flips } from '../../resolve/flips.ts';
import { exitCodeOf, type Resolution, resolve, TooManyWorlds } from '../../resolve/resolution.ts';
import { MappingRefused } from '../../resolve/world.ts';
import type { ExplainFormat } from '../formats.ts';
import { complainTo, type Io, readText } from '../io.ts';

/** Flags as given: for each key of EXPLAIN_KEYS the values, in order. */
export type ExplainFlags = Readonly<Record<string, readonly string[] | undefined>>;

function flagEntries(flags: ExplainFlags): readonly Entry[] {
  return EXPLAIN_KEYS.flatMap((key) => {
    const given = flags[key] ?? [];
    if (given.length === 0) return [];
    return [{ key, words: given.map((text) => ({ text })) }];
  });
}

/** The YAML parser is loaded only when there is a file to parse: it costs as much as all the rest. */
async function fileEntries(file: string): Promise<readonly Entry[]> {
  const { readCaseFile } = await import('../case-file.ts');
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

async function render(
  answers: readonly { r: Resolution; f: readonly Flip[] }[],
  format: ExplainFormat,
): Promise<string> {
  const [first] = answers;
  if (format === 'json') {
    const all = answers.map(({ r, f }) => explainJson(r, f));
    const json =
      all.length === 1 ? all[0] : { schemaVersion: EXPLAIN_SCHEMA_VERSION, compare: all };
    return `${JSON.stringify(json, null, 2)}\n`;
  }
  if (format === 'svg') {
    const { explainSvg } = await import('../../report/explain-svg.ts');
    return explainSvg(answers.map(({ r }) => r));
  }
  const width = format === 'mail' ? 72 : 80;
  if (answers.length === 1 && first !== undefined) return explainText(first.r, first.f, { width });
  return compareText(
    answers.map(({ r }) => r),
    { width },
  );
}

/** The gravest of several exit codes: undetermined before findings before fine. */
function worst(codes: readonly number[]): number {
  return Math.max(0, ...codes);
}

/** `memtype explain`: from facts to the answer. */
export async function runExplain(
  flags: ExplainFlags,
  file: string | undefined,
  format: ExplainFormat,
  io: Io,
): Promise<number> {
  try {
    const fromFile = file === undefined ? [] : await fileEntries(file);
    const questions = composeQuestions(merge(fromFile, flagEntries(flags)));
    const answers = questions.map((q) => {
      const r = resolve(q);
      return { r, f: questions.length === 1 ? flips(r) : [] };
    });
    io.write(await render(answers, format));
    return worst(answers.map(({ r }) => exitCodeOf(r)));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    if (error instanceof MappingRefused) return 1;
    return error instanceof TooManyWorlds ? 3 : 2;
  }
}
