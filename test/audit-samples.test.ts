import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from './console.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;
const real = join(folder, 'realkvm');
const RUNS =
  folder === ''
    ? []
    : readdirSync(real)
        .filter((run) => existsSync(join(real, run, 'meta.json')))
        .map((run) => join(real, run));

interface Predicted {
  readonly sptes: number;
  readonly prediction: { readonly predicted: number; readonly mismatched: number };
}

describe.skipIf(folder === '')('the command on traces of real kernels', () => {
  test('predicts every leaf SPTE', () => {
    let sptes = 0;
    const wrong = RUNS.flatMap((run) =>
      readdirSync(run)
        .filter((name) => name.startsWith('trace-'))
        .flatMap((name) => {
          const args = [join(run, name), '--predict', run, '--format', 'json'];
          const ran = spawnSync(process.execPath, [`${ROOT}dist/bin/main.js`, 'audit', ...args], {
            encoding: 'utf8',
            maxBuffer: 2 ** 26,
          });
          const found = JSON.parse(ran.stdout) as Predicted;
          sptes += found.sptes;
          const { predicted, mismatched } = found.prediction;
          return predicted === found.sptes && mismatched === 0 ? [] : [`${run}/${name}`];
        }),
    );
    expect(wrong).toEqual([]);
    expect(sptes).toBe(16_914);
  }, 300_000);
});
