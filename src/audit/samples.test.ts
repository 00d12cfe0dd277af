import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { batchesOf } from '../../test/audit-batches.ts';
import { readFactsTree } from '../cli/facts-tree.ts';
import { rulesOfPolicy } from '../kvm/policies.ts';
import { parsePageFlagRanges } from '../linux/text/kpageflags.ts';
import { Audit } from './audit.ts';
import { capturedFacts } from './captured-facts.ts';
import { auditFindings } from './findings.ts';
import { framesOfFlags, hostOfRanges } from './host-pages.ts';
import { type Prediction, Predictor } from './predict.ts';
import type { PredictFacts } from './predict-facts.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;
const real = join(folder, 'realkvm');

function text(path: string): string {
  const file = existsSync(path) ? path : `${path}.gz`;
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

function factsOf(run: string): PredictFacts {
  const tree = (name: string) => readFactsTree(text(join(real, run, name)), name);
  return capturedFacts({ meta: tree('meta.json'), regions: tree('regions.json') });
}

function predict(facts: PredictFacts, run: string, scenario: string): Prediction {
  const predictor = new Predictor(facts);
  for (const batch of batchesOf(text(join(real, run, `trace-${scenario}.txt`))))
    predictor.push(batch);
  return predictor.result();
}

const RUNS =
  folder === '' ? [] : readdirSync(real).filter((run) => existsSync(join(real, run, 'meta.json')));
const SCENARIOS = RUNS.flatMap((run) =>
  readdirSync(join(real, run))
    .flatMap((file) => /^trace-(\w+)\.txt/.exec(file)?.[1] ?? [])
    .map((scenario) => ({ run, scenario })),
);

/** All of them; and what is not predicted, by run. */
function predictAll(change: (facts: PredictFacts) => PredictFacts): {
  readonly entries: number;
  readonly wrong: readonly unknown[];
} {
  let entries = 0;
  const wrong = SCENARIOS.flatMap(({ run, scenario }) => {
    const found = predict(change(factsOf(run)), run, scenario);
    entries += found.entries;
    const { predicted, mismatched, mismatches, unknown, contradictions } = found;
    if (predicted === found.entries && contradictions.length === 0) return [];
    return [{ run, scenario, mismatched, unknown, contradictions, first: mismatches[0] }];
  });
  return { entries, wrong };
}

describe.skipIf(folder === '')('every leaf SPTE of real kernels', () => {
  // 15,460 of them lie in a region that was touched; the rest are page tables and code of the guest, and
  // those of the runs in which memory is replaced.
  test('is predicted from the facts beside the trace', () => {
    expect(predictAll((facts) => facts)).toEqual({ entries: 16_914, wrong: [] });
  });

  test('is predicted from the page facts alone, without being told what is host MMIO', () => {
    const untold = (facts: PredictFacts): PredictFacts => ({
      ...facts,
      slots: facts.slots.map((slot) => ({ ...slot, isMmio: null })),
    });
    expect(predictAll(untold)).toEqual({ entries: 16_914, wrong: [] });
  });

  test('is not predicted by the rules of another kernel', () => {
    const older = (facts: PredictFacts): PredictFacts => ({ ...facts, rules: rulesOfPolicy('E5') });
    expect(predictAll(older).wrong.length).toBeGreaterThan(20);
  });
});

const FLAGS = 'host/kpageflags_with_memtype_bits';

describe.skipIf(folder === '')('what is found in traces of real kernels', () => {
  test('the founding bug, where KVM ignores the guest PAT under EPT or shadow paging', () => {
    const found = SCENARIOS.filter(({ run }) => existsSync(join(real, run, FLAGS))).flatMap(
      ({ run, scenario }) => {
        const { kernel, way } = factsOf(run);
        const list = parsePageFlagRanges(text(join(real, run, FLAGS)), FLAGS).value.ranges;
        const frames = kernel === null ? [] : framesOfFlags(list, kernel);
        const paging = way === 'ept' || way === 'npt' ? way : 'shadow';
        const audit = new Audit({ kernel, paging, host: hostOfRanges(frames, null) });
        for (const batch of batchesOf(text(join(real, run, `trace-${scenario}.txt`))))
          audit.push(batch);
        return auditFindings(audit.result())
          .filter((f) => f.severity === 'error' || f.code === 'MT705')
          .map((f) => ({ run, code: f.code, count: f.count }));
      },
    );
    const sums: Record<string, number> = {};
    for (const { run, code, count } of found) {
      const key = `${code} ${run.split('-').slice(0, 2).join('-')}`;
      sums[key] = (sums[key] ?? 0) + count;
    }
    // None under NPT, where the guest PAT rules; stale: CR0.CD was set after the guest's tables were mapped.
    expect(sums).toEqual({
      'MT701 bochs-ept': 69,
      'MT701 bochs-shadow': 14,
      'MT701 qemu-shadow': 22,
      'MT705 bochs-ept': 5,
    });
  });
});
