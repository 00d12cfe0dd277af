import { readFileSync } from 'node:fs';

/** The version in package.json, two folders above the built command line. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: string }).version);
}

/** The shell script that captures without Node, with this version in it. */
export function captureScript(): string {
  const text = readFileSync(new URL('../../scripts/memtype-capture.sh', import.meta.url), 'utf8');
  return text.replaceAll('@VERSION@', packageVersion());
}
