#!/usr/bin/env node
import { OutputError, PROCESS_IO } from './io.ts';

/** Replays the command line in the words of a shell. */
function replay(args: readonly string[]): string {
  const quoted = args.map((a) =>
    /^[\w./:=,+@%-]+$/.test(a) ? a : `'${a.replaceAll("'", "'\\''")}'`,
  );
  return ['memtype', ...quoted].join(' ');
}

async function main(): Promise<number> {
  const { runApplication } = await import('./app.ts');
  return runApplication(process.argv.slice(2), PROCESS_IO);
}

const INTERNAL = 70;
const NO_OUTPUT = 2;

/** Tells the user that there is no answer; where stderr cannot be written either, the code alone does. */
function complain(text: string): void {
  try {
    PROCESS_IO.error(text);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
  }
}

// No handler for SIGINT: it could not run while this thread works or reads, and would keep the signal from
// ending the program.
try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof OutputError) {
    complain(`memtype: ${error.message}\n`);
    process.exitCode = NO_OUTPUT;
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    complain(
      `memtype: internal error, please report it with this command:\n  ${replay(process.argv.slice(2))}\n${stack}\n`,
    );
    process.exitCode = INTERNAL;
  }
}
