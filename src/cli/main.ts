#!/usr/bin/env node
import { PROCESS_IO } from './io.ts';

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
const INTERRUPTED = 130;

process.on('SIGINT', () => process.exit(INTERRUPTED));

try {
  process.exitCode = await main();
} catch (error) {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  PROCESS_IO.error(
    `memtype: internal error, please report it with this command:\n  ${replay(process.argv.slice(2))}\n${stack}\n`,
  );
  process.exitCode = INTERNAL;
}
