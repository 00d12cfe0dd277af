// What is measured is the built package, as it is shipped.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

if (!existsSync(`${ROOT}dist/compare/space/sweep.js`)) {
  process.stderr.write('bench: there is no dist/; run npm run build first\n');
  process.exit(2);
}

export const { compileMtrrs, mtrrCode } = await import('../dist/x86/mtrr.js');
export const { eptCode, fastMtrrs, NATIVE, nativeCode, nptCode, patCodes, ptePatCode } =
  await import('../dist/x86/fast.js');
export const { fold } = await import('../dist/compare/space/fold.js');
export const { pairsOf } = await import('../dist/compare/sides.js');
export const { PLATFORMS } = await import('../dist/compare/platforms.js');
export const { sweep } = await import('../dist/compare/space/sweep.js');
export const { SWEEP_POINTS } = await import('../dist/compare/space/space.js');
