import type { CommandContext } from '@stricli/core';
import type { Io } from './io.ts';

/** What a command of this program runs in. */
export interface Context extends CommandContext {
  readonly io: Io;
  /** Set by a command; the contract's exit codes. */
  exit: number;
  failure: { readonly error: unknown } | null;
}

/** Runs a command; what it throws is a bug and is thrown again past the framework. */
export async function act(context: Context, job: () => Promise<number>): Promise<void> {
  try {
    context.exit = await job();
  } catch (error) {
    context.failure = { error };
  }
}

export type TextOrJson = 'text' | 'json';
const TEXT_OR_JSON = ['text', 'json'] as const;
/** Words are parsed by whoever knows them. */
export const word = (text: string): string => text;

export const format = {
  kind: 'enum',
  values: TEXT_OR_JSON,
  default: 'text',
  brief: 'output format',
} as const;

export function optionalWord(brief: string, placeholder: string) {
  return { kind: 'parsed', parse: word, optional: true, brief, placeholder } as const;
}
