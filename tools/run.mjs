import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program of node_modules/.bin in the root of the project; true when it succeeded. */
export function runBin(name, args) {
  const bin = `${ROOT}node_modules/.bin/${name}`;
  const { status, error } = spawnSync(bin, args, { cwd: ROOT, stdio: 'inherit' });
  if (error) process.stderr.write(`${name}: ${error.message}\n`);
  return status === 0;
}

/** Runs a script of the project with this Node; true when it succeeded. */
export function runNode(script, args) {
  return (
    spawnSync(process.execPath, [`${ROOT}${script}`, ...args], { cwd: ROOT, stdio: 'inherit' })
      .status === 0
  );
}
