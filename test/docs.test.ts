import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { consoleCommands, ROOT, runConsole } from './console.ts';

function markdownUnder(directory: string): readonly string[] {
  return readdirSync(ROOT + directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return markdownUnder(path);
    return path.endsWith('.md') ? [path] : [];
  });
}

const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'vectors/README.md',
  'bench/README.md',
  ...markdownUnder('docs'),
];

describe('what the documents show is what the program prints', () => {
  const shown = DOCUMENTS.map((file) => ({ file, commands: consoleCommands(file) })).filter(
    (d) => d.commands.length > 0,
  );
  test.each(shown)('$file', ({ commands }) => {
    for (const { command, got } of runConsole(commands)) {
      expect(got, `${command.file}:${command.line}: $ ${command.command}`).toBe(command.expected);
    }
  });

  test('there are enough of them', () => {
    expect(shown.flatMap((d) => d.commands).length).toBeGreaterThan(20);
  });
});

describe('links', () => {
  test.each(DOCUMENTS)('%s points at files that are there', (file) => {
    const text = readFileSync(ROOT + file, 'utf8');
    const targets = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)].map(
      (m) => m[1] ?? '',
    );
    const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(file), target)));
    expect(missing).toEqual([]);
  });
});
