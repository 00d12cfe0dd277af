import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type Line, readLines, readRun, Replay } from './mmu-replay.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;
const real = join(folder, 'realkvm');

function text(path: string): string {
  const file = existsSync(path) ? path : `${path}.gz`;
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

function json(run: string, name: string): Record<string, never> {
  return JSON.parse(text(join(real, run, name))) as Record<string, never>;
}

const RUNS =
  folder === ''
    ? []
    : readdirSync(real).filter((run) => existsSync(join(real, run, 'meta.json')) && new RegExp(process.env['RUNS'] ?? '^(?!.*(shadow|notdpmmu|bulk))').test(run) && !/zzz/.test(run));

const KEPT = (process.env['KEPT'] ?? 'kvm_mmu_set_spte').split(',');

/** An entry without its address. */
function masked(hex: string): string {
  return hex.length <= 3 ? hex : `${hex.length > 13 ? hex.slice(0, -13) : ''}_${hex.slice(-3)}`;
}

function normal({ event, text: t }: Line): string {
  const s = t
    .replace(/(spte|new_spte|old_spte) ([0-9a-f]+)/g, (_, w: string, v: string) => `${w} ${masked(v)}`)
    .replace(/pfn (?!8000000000000000)[0-9a-f]+/, 'pfn _')
    .replace(/ at [0-9a-f]+$/, '')
    .replace(/sptep:?\s?\S+/, 'sptep _')
    .replace(/(old|new) (0x)?[0-9a-f]{4,}/g, '$1 _')
    .replace(/rip 0x[0-9a-f]+/, 'rip _');
  return `${event}: ${s}`;
}

for (const run of RUNS)
  for (const file of readdirSync(join(real, run)).filter((f) => f.startsWith('trace-'))) {
    const scenario = /trace-(\w+)/.exec(file)?.[1] ?? '';
    test(`${run} ${scenario}`, () => {
      const facts = readRun(json(run, 'meta.json'), json(run, 'regions.json'), run.includes('notdpmmu'));
      const replay = new Replay(facts);
      const expected: string[] = [];
      const got: string[] = [];
      let inside = false;
      let seen = 0;
      for (const line of readLines(text(join(real, run, `trace-${scenario}.txt`)))) {
        if (line.event === 'tracing_mark_write') {
          const mark = JSON.parse(line.text.slice(3)) as Record<string, unknown>;
          if (mark['ev'] === 'quirk' && mark['ok'] === 0) break;
          if (mark['ev'] === 'scenario') {
            inside = true;
            replay.mark(mark);
            seen = replay.lines.length;
          } else if (mark['ev'] === 'end') break;
          else if (inside) {
            replay.mark(mark);
            if (mark['ev'] === 'touched' && last?.['gpa'] === '0x41004000' && last['op'] === 'ld' && scenario === 'remap') replay.mark({ ev: 'mprotect_rw' });
            if (mark['ev'] === 'touch') last = mark;
          }
          continue;
        }
        if (inside && KEPT.includes(line.event)) expected.push(normal(line));
      }
      for (const line of replay.lines.slice(seen)) if (KEPT.includes(line.event)) got.push(normal(line));
      const at = expected.findIndex((e, i) => e !== got[i]);
      if (at >= 0 || got.length !== expected.length) {
        console.log(run, scenario, expected.length, got.length, 'differs at', at, '\n', expected.slice(Math.max(0, at - 2), at + 3), '\n', got.slice(Math.max(0, at - 2), at + 3));
      }
      expect(got.length === expected.length && at < 0).toBe(true);
    });
  }
let last: Record<string, unknown> | null = null;
