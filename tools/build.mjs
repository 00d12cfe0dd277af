// dist/ from src/, always whole: a file that is gone from src/ must be gone from the package too.
import { chmodSync, rmSync } from 'node:fs';
import { ROOT, runBin } from './run.mjs';

rmSync(`${ROOT}dist`, { recursive: true, force: true });
if (!runBin('tsc', ['-p', 'tsconfig.build.json'])) process.exit(1);
chmodSync(`${ROOT}dist/cli/main.js`, 0o755);
