import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ROOT } from './console.ts';
import { readRun } from './mmu-replay.ts';
import { readRecording, replayed, runText, scenarioText } from './mmu-vectors.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;

/** Recorded runs of which parts are kept here. */
const KEPT = {
  'bochs-ept-6.1-skx': ['ncdma_cdq', 'ncdma_flip'],
  'bochs-ept-6.12-snb': ['ncdma_flip'],
  'bochs-ept-7.3-ivb': ['nopat'],
  'qemu-npt-6.12': ['remap'],
  'bochs-shadow-6.12-skx': ['dirty', 'remap'],
  'pvm-shadow-6.18-ring3': ['remap'],
  'qemu-npt-6.1-allkvm-events-notdpmmu': ['base'],
} as const;

const HEAD = [
  '# A program, the memslots it made and what it did, and every entry that KVM installed (= gfn level bits)',
  '# or zapped (- gfn level). Recorded by test/mmu-vectors.test.ts; see vectors/README.md.',
];

function text(path: string): string {
  const file = existsSync(path) ? path : `${path}.gz`;
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

describe.each(Object.entries(KEPT))('%s', (run, scenarios) => {
  const path = `${ROOT}vectors/mmu/${run}.txt`;

  test.runIf(folder !== '')('is what the recorded run says', async () => {
    const at = join(folder, 'realkvm', run);
    const json = (name: string) => JSON.parse(text(join(at, name))) as Record<string, never>;
    const lines = scenarios.flatMap((name) =>
      scenarioText(name, text(join(at, `trace-${name}.txt`))),
    );
    const facts = readRun(json('meta.json'), json('regions.json'), run.includes('notdpmmu'));
    const all = [...HEAD, ...runText(facts), ...lines].map((line) => `${line}\n`).join('');
    await expect(all).toMatchFileSnapshot(path);
  });

  test.each(scenarios)('%s: the same entries, in the same order', (name) => {
    const recording = readRecording(readFileSync(path, 'utf8'));
    const scenario = recording.scenarios.find((s) => s.name === name);
    if (scenario === undefined) throw new Error(name);
    expect(scenario.entries.length).toBeGreaterThan(15);
    expect(replayed(recording, scenario)).toEqual(scenario.entries);
  });
});
