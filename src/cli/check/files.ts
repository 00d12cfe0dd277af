import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { refuse } from '../../base/diagnostic.ts';

/** What files of litmus tests are called. */
export const EXTENSION = '.litmus';

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function testsUnder(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return testsUnder(path);
      return entry.name.endsWith(EXTENSION) ? [path] : [];
    });
}

/** The files that are meant: those named, and the tests under directories that are named. @throws InputError */
export function litmusFiles(paths: readonly string[]): readonly string[] {
  return paths.flatMap((path) => {
    if (path === '-' || !isDirectory(path)) return [path];
    const files = testsUnder(path);
    if (files.length === 0) refuse(`there is no litmus test in ${path}`, `files are *${EXTENSION}`);
    return files;
  });
}
