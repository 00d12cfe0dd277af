import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type Line, Replay, readLines, readRun } from './mmu-replay.ts';

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
  folder === '' ? [] : readdirSync(real).filter((run) => existsSync(join(real, run, 'meta.json')));

/** As the program goes through them; each trace begins with the end of the VM before. */
const ORDER = [
  ...['base', 'raw', 'bulk', 'mtrr', 'cd', 'nopat', 'ncdma', 'ncdma_mtrr', 'ncdma_cd', 'ncdma_cdq'],
  ...['ncdma_flip', 'vfio', 'dirty', 'remap'],
];

/** What is simulated, but for exits to the VMM and, with EPT and NPT, KVM's emulator. */
const EVENTS =
  /^(?:kvm_mmu_(?!pagetable_walk|paging_element)\w+|kvm_(?:tdp_mmu_spte_changed|page_fault|msr|cr|unmap_hva_range)|fast_page_fault|\w+_mmio_\w+)$/;
const SHADOW_EVENTS = /^(?:kvm_mmu_\w+|kvm_(?:page_fault|msr|cr|unmap_hva_range)|\w+_mmio_\w+)$/;
/** Of KVM-PVM, that takes page faults without the event. */
const PVM_EVENTS = /^(?:kvm_mmu_\w+|kvm_(?:msr|cr|unmap_hva_range)|\w+_mmio_\w+)$/;

function eventsOf(run: string): RegExp {
  if (run.startsWith('pvm-')) return PVM_EVENTS;
  return run.includes('shadow') ? SHADOW_EVENTS : EVENTS;
}

/** An entry less its frame, which is the host's business; an MMIO entry has the gfn there. */
function masked(word: string, hex: string): string {
  const low = Number.parseInt(hex.slice(-3), 16);
  const bit51 = hex.length === 13 && hex.startsWith('8');
  const isMmio = (low & 0x800) === 0 && ((low & 7) === 6 || bit51);
  const isEmpty = hex.length <= 3 || /^80+$/.test(hex);
  if (isMmio || isEmpty) return `${word} ${hex}`;
  return `${word} ${hex.slice(0, Math.max(0, hex.length - 13))}_${hex.slice(-3)}`;
}

/** A line less what the simulation cannot know: frames, addresses of entries. */
function normal({ event, text: line }: Line): string {
  const kept = line
    .replace(
      /\b(spte|new_spte|old_spte|old|new) (?:0x)?([0-9a-f]+)/g,
      (_, word: string, hex: string) => masked(word, hex),
    )
    .replace(/\bpfn (?!8000000000000000)[0-9a-f]+/, 'pfn _')
    .replace(/ at [0-9a-f]+$/, '')
    .replace(/sptep:?\s?\S+/, 'sptep _')
    // QEMU's TCG leaves P clear where a reserved bit is set; the CPU sets both.
    .replace(/(error_code 0x10000000)e/, '$1f')
    .replace(/(error_code 0x10000000)c/, '$1d')
    .replace(/^(addr \w+ pferr) \w+ (?:P\|?)?/, '$1 ')
    .replace(
      /(error_code 0x)(8|a)$/,
      (_, head: string, low: string) => `${head}${low === '8' ? '9' : 'b'}`,
    );
  return `${event}: ${kept}`;
}

/** A of an NPT entry that goes: the host ages pages when it likes. */
function unaged(line: string): string {
  return line.replace(
    /(old_spte _)([0-9a-f]{3})(?= new_spte 8000000000000000$)/,
    (_, head: string, low: string) => `${head}${(Number.parseInt(low, 16) | 0x20).toString(16)}`,
  );
}

/** The same, where nothing else changes. */
function isAging({ event, text: line }: Line): boolean {
  const match = /level 1 old_spte (\w+)65 new_spte (\w+)45$/.exec(line);
  return event === 'kvm_tdp_mmu_spte_changed' && match !== null && match[1] === match[2];
}

interface Compared {
  readonly expected: readonly string[];
  readonly got: readonly string[];
}

/** One scenario, driven by the marks of its trace; `before`: what the VM before printed when it went. */
function compare(
  replay: Replay,
  trace: string,
  before: readonly Line[] | null,
  events: RegExp,
): Compared {
  const expected: string[] = [];
  const first = replay.lines.length;
  let isInside = false;
  let touched = '';
  for (const line of readLines(trace)) {
    if (line.event !== 'tracing_mark_write') {
      const isCounted =
        isInside || (before !== null && /spte_changed|prepare_zap|zap_all_fast/.test(line.event));
      if (isCounted && events.test(line.event) && !isAging(line)) expected.push(normal(line));
      continue;
    }
    const mark = JSON.parse(line.text.slice('MT '.length)) as Record<string, unknown>;
    if (mark['ev'] === 'end' || mark['ok'] === 0) break;
    if (mark['ev'] === 'scenario') isInside = true;
    if (!isInside) continue;
    replay.mark(mark);
    if (mark['ev'] === 'touch') touched = `${mark['op']} ${mark['gpa']}`;
    // The program marks the change to read-only, not the change back.
    if (mark['ev'] === 'touched' && touched === 'ld 0x41004000' && trace.includes('mprotect_ro'))
      replay.mark({ ev: 'mprotect_rw' });
  }
  const lines = [...(before ?? []), ...replay.lines.slice(first)];
  const got = lines.filter(({ event }) => events.test(event)).map(normal);
  return { expected, got };
}

const counts = { scenarios: 0, events: 0, sptes: 0 };

describe.each(RUNS)('%s', (run) => {
  const replay = new Replay(
    readRun(json(run, 'meta.json'), json(run, 'regions.json'), run.includes('notdpmmu')),
  );
  const files = readdirSync(join(real, run));
  const scenarios = ORDER.filter((name) =>
    files.some((file) => file.startsWith(`trace-${name}.txt`)),
  );
  let isKnownBefore = false;
  for (const scenario of scenarios)
    test(scenario, () => {
      const ended = replay.destroy();
      const before = isKnownBefore ? ended : null;
      // In scenario nopat the VM ends before the trace is read, if there was one.
      isKnownBefore = scenario !== 'nopat' || replay.vm.slots.all().length === 1;
      const { expected, got } = compare(
        replay,
        text(join(real, run, `trace-${scenario}.txt`)),
        before,
        eventsOf(run),
      );
      counts.scenarios += 1;
      counts.events += got.length;
      counts.sptes += got.filter((line) => line.startsWith('kvm_mmu_set_spte')).length;
      const lines = (of: readonly string[]) => (run.startsWith('qemu') ? of.map(unaged) : of);
      expect(lines(got)).toEqual(lines(expected));
    });
});

test.runIf(RUNS.length > 0)('how many were compared', () => {
  expect(counts).toEqual({ scenarios: 92, events: 115_881, sptes: 16_914 });
});
