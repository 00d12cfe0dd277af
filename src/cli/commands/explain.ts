import { InputError } from '../../base/diagnostic.ts';
import { EXPLAIN_SCHEMA_VERSION, explainJson } from '../../report/explain-json.ts';
import { compareText, explainText } from '../../report/explain-text.ts';
import { composeQuestions } from '../../resolve/compose.ts';
import { type Flip, flips } from '../../resolve/flips.ts';
import { exitCodeOf, type Resolution, resolve, TooManyWorlds } from '../../resolve/resolution.ts';
import { MappingRefused } from '../../resolve/world.ts';
import { type ExplainFlags, entriesOf } from '../fact-flags.ts';
import type { ExplainFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

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
    const questions = composeQuestions(await entriesOf(flags, file));
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
