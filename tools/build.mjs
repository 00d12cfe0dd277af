// dist/ from src/, always whole: a file that is gone from src/ must be gone from the package too. The
// command line is then bundled: Node takes half a millisecond for every module it loads, and there are a
// hundred.
import { chmodSync, rmSync } from 'node:fs';
import { rolldown } from 'rolldown';
import { ROOT, runBin } from './run.mjs';

rmSync(`${ROOT}dist`, { recursive: true, force: true });
if (!runBin('tsc', ['-p', 'tsconfig.build.json'])) process.exit(1);

const bundle = await rolldown({
  input: { main: `${ROOT}dist/cli/main.js` },
  platform: 'node',
  external: [/^node:/, '@stricli/core', 'yaml', 'koffi', 'hyparquet-writer', 'fzstd'],
});
await bundle.write({
  dir: `${ROOT}dist/bin`,
  format: 'esm',
  chunkFileNames: '[name].js',
  // Each file that is loaded costs half a millisecond: what every explain needs is one.
  codeSplitting: {
    groups: [
      {
        name: 'core',
        test: /dist\/(?:base|cite|facts|x86|kvm|resolve|platform)\/|dist\/linux\/[^/]*$/,
      },
    ],
  },
  minify: false,
});
await bundle.close();
rmSync(`${ROOT}dist/cli`, { recursive: true });
chmodSync(`${ROOT}dist/bin/main.js`, 0o755);
