// Everything that can be said of the sources without running them: types, format, lint, dead code, package.
import { runBin, runNode } from './run.mjs';

const CHECKS = [
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['format and lint', 'biome', ['check', '--error-on-warnings', '.']],
  ['typed lint', 'oxlint', ['--type-aware', '--deny-warnings', 'src', 'test']],
  ['dead code', 'knip', ['--no-progress']],
  ['build', 'tsc', ['-p', 'tsconfig.build.json']],
  ['package', 'publint', ['--strict']],
];

const failed = CHECKS.filter(([what, bin, args]) => {
  const ok = runBin(bin, args);
  process.stdout.write(`check ${what}: ${ok ? 'ok' : 'FAILED'}\n`);
  return !ok;
});
const vectors = runNode('tools/vectors.mjs', ['--check']);
process.stdout.write(`check vectors: ${vectors ? 'ok' : 'FAILED'}\n`);
process.exit(failed.length > 0 || !vectors ? 1 : 0);
