// Everything that can be said of the project without running its tests: types, format, lint, dead code,
// build, package, and whether what is made from tables is up to date.
import { runBin, runNode } from './run.mjs';

const CHECKS = [
  ['types', () => runBin('tsc', ['-p', 'tsconfig.json'])],
  ['purity of the core', () => runBin('tsc', ['-p', 'tsconfig.core.json'])],
  ['format and lint', () => runBin('biome', ['check', '--error-on-warnings', '.'])],
  ['typed lint', () => runBin('oxlint', ['--type-aware', '--deny-warnings', 'src', 'test'])],
  ['dead code', () => runBin('knip', ['--no-progress'])],
  ['build', () => runNode('tools/build.mjs', [])],
  ['package', () => runBin('publint', ['--strict'])],
  ['vectors', () => runNode('tools/vectors.mjs', ['--check'])],
  ['pages of rules', () => runNode('tools/docs.mjs', ['--check'])],
];

const failed = CHECKS.filter(([what, run]) => {
  const ok = run();
  process.stdout.write(`check ${what}: ${ok ? 'ok' : 'FAILED'}\n`);
  return !ok;
});
process.exit(failed.length > 0 ? 1 : 0);
