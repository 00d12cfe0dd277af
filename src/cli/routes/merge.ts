import { buildCommand } from '@stricli/core';
import { act, type Context, format, type TextOrJson, word } from '../route.ts';

export const merge = buildCommand<{ format: TextOrJson }, string[], Context>({
  docs: {
    brief: 'the shards of a check as the one run that they are',
    fullDescription:
      'FILEs are what check --shard printed with --format json, in any order. Shards that are missing, there twice, ' +
      'or of other inputs are refused. The exit code is that of the one run.',
  },
  parameters: {
    flags: { format },
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: { brief: 'output of a shard', parse: word, placeholder: 'file' },
    },
  },
  async func(flags, ...files) {
    const { runMerge } = await import('../commands/merge.ts');
    await act(this, () => runMerge(files, flags.format, this.io));
  },
});
