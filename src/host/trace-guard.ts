import { spawn } from 'node:child_process';

/** Reads until the other end of its input is gone, which a killed process cannot prevent. */
const SCRIPT = `trap '' HUP INT QUIT TERM PIPE
cd /
read -r _
i=0
while [ -d "$1" ] && [ $i -lt 50 ]; do
  [ -e "$1/tracing_on" ] && echo 0 >"$1/tracing_on"
  rmdir "$1"
  [ -d "$1" ] && sleep 0.2
  i=$((i + 1))
done 2>/dev/null`;

/**
 * A shell that takes a trace instance away when this process is killed in a way that it cannot see (SIGKILL, a
 * crash). Where there is no shell there is no guard.
 *
 * @returns ends the guard: to be called when the instance is gone
 */
export function guard(instance: string): () => void {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'memtype-guard', instance], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  child.on('error', () => {});
  child.unref();
  const { stdin } = child;
  if (stdin === null) return () => {};
  stdin.on('error', () => {});
  (stdin as { unref?: () => void }).unref?.();
  return () => void stdin.end();
}
