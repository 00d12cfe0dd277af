import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { normal } from './twin.ts';

/** Why there is no herd7 to ask; null where there is one. */
export function whyNoHerd(): string | null {
  const { error, status } = spawnSync('herd7', ['-version']);
  if (error !== undefined) return 'no herd7 on the PATH';
  return status === 0 ? null : 'herd7 -version fails';
}

const MODEL = readFileSync(new URL('../litmus/x86-memory-types.cat', import.meta.url), 'utf8');

/** Our model for herd7; `ntPassesOlder` as its comment says. */
function modelText(ntPassesOlder: boolean): string {
  const lines = MODEL.split('\n');
  const kept = lines.filter((line) => !line.includes('ntPassesOlder=on'));
  if (kept.length !== lines.length - 1) throw new Error('one line is marked');
  return ntPassesOlder ? kept.join('\n') : MODEL;
}

/** All final states that herd7 allows for a test, sorted. */
export function herdOutcomes(text: string, ntPassesOlder: boolean): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'herd-'));
  try {
    const [model, test] = [join(folder, 'model.cat'), join(folder, 'test.litmus')];
    writeFileSync(model, modelText(ntPassesOlder));
    writeFileSync(test, text);
    const { stdout, stderr } = spawnSync('herd7', ['-model', model, test], { encoding: 'utf8' });
    const lines = stdout.split('\n');
    const at = lines.findIndex((line) => line.startsWith('States '));
    if (at < 0) throw new Error(`herd7: ${stderr}${stdout}\n${text}`);
    const count = Number(lines[at]?.slice('States '.length));
    return lines
      .slice(at + 1, at + 1 + count)
      .map(normal)
      .sort();
  } finally {
    rmSync(folder, { recursive: true });
  }
}
