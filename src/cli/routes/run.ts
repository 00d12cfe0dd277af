import { buildCommand } from '@stricli/core';
import { RUN_FORMATS, type RunFormat } from '../formats.ts';
import { act, type Context, optionalWord, word } from '../route.ts';
import { factFlags } from './facts.ts';

interface RunArguments {
  readonly format: RunFormat;
  readonly program?: string;
  readonly seed?: string;
  readonly outcomes: boolean;
}

export const run = buildCommand<RunArguments, [string], Context>({
  docs: {
    brief: 'runs a scenario: firmware, guest, VMM, KVM, caches and a GPU, byte for byte',
    fullDescription:
      'A scenario file (YAML; memtype schema scenario) says facts, under the names of explain, and small ' +
      'programs. Every schedule is looked at; the one shown violates what must hold, if any does. Facts given ' +
      'as flags replace those of the file; several kernels or policies are compared. Exit code 0: holds; 1: ' +
      'violated, or somebody refuses; 2: bad input; 3: undetermined.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: RUN_FORMATS, default: 'text', brief: 'output format' },
      program: optionalWord('one of its programs, or all; the first without this', 'name'),
      seed: optionalWord('which schedule is shown; 0, the default: the shortest', 'number'),
      outcomes: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'runs the table of outcomes in the file and compares',
      },
      ...factFlags(),
    },
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'scenario file, - for standard input', parse: word, placeholder: 'scenario' },
      ],
    },
  },
  func: async function (this: Context, flags: RunArguments, file: string) {
    const { runRun } = await import('../commands/run.ts');
    const { format, program, seed, outcomes, ...facts } = flags;
    const options = { format, program: program ?? null, seed: seed ?? '0', outcomes };
    await act(this, () => runRun(facts, file, options, this.io));
  },
} as never);
