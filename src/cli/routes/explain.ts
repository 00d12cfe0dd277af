import { buildCommand } from '@stricli/core';
import { EXPLAIN_FORMATS, type ExplainFormat } from '../formats.ts';
import { act, type Context, word } from '../route.ts';
import { factFlags } from './facts.ts';

interface ExplainArguments {
  readonly format: ExplainFormat;
}

export const explain = buildCommand<ExplainArguments, [string?], Context>({
  docs: {
    brief: 'what a guest access gets, why, and so what',
    fullDescription:
      'From facts, given as flags or in a case file (YAML, or JSON with comments), to the effective ' +
      'memory type, step by step, with sources. A flag may name several values, joined by commas. What is ' +
      'not said is not guessed: the answer is then the set of possible types, and exit code 3.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: EXPLAIN_FORMATS, default: 'text', brief: 'output format' },
      ...factFlags(),
    },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: 'case file, - for standard input',
          parse: word,
          placeholder: 'case',
          optional: true,
        },
      ],
    },
  },
  func: async function (this: Context, flags: ExplainArguments, file?: string) {
    const { runExplain } = await import('../commands/explain.ts');
    const { format: shape, ...facts } = flags;
    await act(this, () => runExplain(facts, file, shape, this.io));
  },
} as never);
