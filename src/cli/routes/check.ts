import { buildCommand } from '@stricli/core';
import type { CheckFlags } from '../commands/check.ts';
import { CHECK_FORMATS } from '../formats.ts';
import { act, type Context, optionalWord, word } from '../route.ts';

export const check = buildCommand<CheckFlags, string[], Context>({
  docs: {
    brief: 'every outcome of a litmus test, with memory types, aliases and devices',
    fullDescription:
      'Searches all executions of tests in the language of herd7, as docs/litmus.md extends it, and prints the ' +
      'result block of herd7. A test that says what it expects is run under each of these settings. Exit code 1: ' +
      'something is not as expected, or a condition with ~exists or forall does not hold; 3: a search was cut.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: CHECK_FORMATS, default: 'text', brief: 'output format' },
      with: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'switch=on|off',
        brief: 'a switch of the machine, in place of what the test expects something for',
      },
      trace: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'also the shortest execution that the condition asks for, or that refutes it',
      },
      why: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'that, the rules that make it possible, and the smallest change that forbids it',
      },
      replay: optionalWord('the execution along this path, nothing is searched', '0.3.1'),
      reduce: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'leave out states in between; the final ones are the same (docs/explore.md)',
      },
      'max-states': optionalWord('end a search that finds more, e.g. 20M', 'count'),
      threads: optionalWord('threads that search one test together; 1 unless given', 'count'),
      resume: optionalWord('keep the search in this file, and go on with what is there', 'file'),
      'keep-every': optionalWord('how often, 30 unless given', 'seconds'),
      shard: optionalWord('only every N-th test, I from 0; auto: as the scheduler says', 'I/N'),
      against: optionalWord('a log of litmus7, klitmus7 or herd7 to compare with', 'log'),
      to: {
        kind: 'enum',
        values: ['herd', 'promela'],
        optional: true,
        brief: 'print the test for herd7, or as a model for SPIN; nothing is searched',
      },
      memory: optionalWord('what the states may take, e.g. 4G; half of the machine', 'size'),
    },
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: {
        brief: 'a litmus test, a directory of them, - for standard input',
        parse: word,
        placeholder: 'path',
      },
    },
  },
  async func(flags, ...paths) {
    const { runCheck } = await import('../commands/check.ts');
    await act(this, () => runCheck(paths, flags, this.io));
  },
});
