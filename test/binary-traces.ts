import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { loadCodecs } from '../src/cli/audit/binary.ts';
import { type EventBatch, KIND } from '../src/trace/batch.ts';
import type { Codecs } from '../src/trace/binary/source.ts';
import type { BinaryTrace } from '../src/trace/binary/trace.ts';

const FIXTURES = fileURLToPath(new URL('../src/trace/fixtures/', import.meta.url));

/** A file, decompressed where it ends in .gz; found with or without that end. */
export function bytesOf(path: string): Uint8Array {
  const file = existsSync(path) ? path : `${path}.gz`;
  const bytes = readFileSync(file);
  return new Uint8Array(file.endsWith('.gz') ? gunzipSync(bytes) : bytes);
}

export function fixture(name: string): Uint8Array {
  return bytesOf(`${FIXTURES}${name}`);
}

export function fixtureText(name: string): string {
  return Buffer.from(fixture(name)).toString('latin1');
}

/** The zstd program, to make what is to be unpacked. */
export const hasZstd: boolean = spawnSync('zstd', ['--version']).status === 0;

export const CODECS: Codecs = await loadCodecs();

const NAMES: Readonly<Record<number, string>> = {
  [KIND.set]: 'kvm_mmu_set_spte',
  [KIND.changed]: 'kvm_tdp_mmu_spte_changed',
  [KIND.requested]: 'kvm_mmu_spte_requested',
  [KIND.mmioMarked]: 'mark_mmio_spte',
  [KIND.mmioFault]: 'handle_mmio_page_fault',
  [KIND.zapPage]: 'kvm_mmu_prepare_zap_page',
  [KIND.zapAll]: 'kvm_mmu_zap_all_fast',
  [KIND.msr]: 'kvm_msr',
  [KIND.cr]: 'kvm_cr',
  [KIND.pageFault]: 'kvm_page_fault',
  [KIND.exit]: 'kvm_exit',
};

/** An event as it can be compared with a line of text. */
export interface Row {
  readonly cpu: number;
  readonly tid: number;
  readonly time: number;
  /** "kvm_mmu_set_spte gfn 1 spte 3fba6e67 level 1" */
  readonly event: string;
}

function payload(batch: EventBatch, i: number): string {
  const hex = (hi = 0, lo = 0): string =>
    hi === 0 ? lo.toString(16) : hi.toString(16) + lo.toString(16).padStart(8, '0');
  const value = hex(batch.valueHi[i], batch.valueLo[i]);
  const before = hex(batch.beforeHi[i], batch.beforeLo[i]);
  const key = (batch.key[i] ?? 0).toString(16);
  const { [i]: level = 0 } = batch.level;
  const { [i]: flags = 0 } = batch.flags;
  const way = flags & 1 ? 'write' : 'read';
  const kind: number = batch.kind[i] ?? 0;
  switch (kind) {
    case KIND.set:
      return `gfn ${key} spte ${value} level ${level}`;
    case KIND.changed:
      return `as id ${flags} gfn ${key} level ${level} old_spte ${before} new_spte ${value}`;
    case KIND.requested:
      return `gfn ${key} pfn ${value} level ${level}`;
    case KIND.mmioMarked:
      return `gfn ${key} gen ${value}`;
    case KIND.mmioFault:
      return `gfn ${key}`;
    case KIND.zapPage:
      return `gfn ${key} l${level}`;
    case KIND.msr:
      return `msr_${way} ${key} = 0x${value}${flags & 2 ? ' (#GP)' : ''}`;
    case KIND.cr:
      return `cr_${way} ${key} = 0x${value}`;
    case KIND.pageFault:
      return `address 0x${key.padStart(16, '0')} error_code 0x${value}`;
    default:
      return '';
  }
}

/** The rows of a trace, where events were lost, and what programs wrote to trace_marker. */
export function rowsOf(trace: BinaryTrace): {
  rows: Row[];
  lost: { cpu: number; count: number }[];
  marks: string[];
} {
  const rows: Row[] = [];
  const marks: string[] = [];
  const lost: { cpu: number; count: number }[] = [];
  for (const batch of trace.batches()) {
    for (let i = 0; i < batch.count; i += 1) {
      const { [i]: kind = 0 } = batch.kind;
      const { [i]: cpu = 0 } = batch.cpu;
      const { [i]: key = 0 } = batch.key;
      if (kind === KIND.lost) {
        lost.push({ cpu, count: key });
        continue;
      }
      if (kind === KIND.mark) {
        marks.push(batch.names[key] ?? '');
        continue;
      }
      const name = NAMES[kind] ?? `${kind === KIND.unreadable ? '!' : ''}${batch.names[key]}`;
      rows.push({
        cpu,
        tid: batch.tid[i] ?? 0,
        time: batch.time[i] ?? 0,
        event: `${name} ${payload(batch, i)}`.trim(),
      });
    }
  }
  return { rows, lost, marks };
}

const FTRACE = /^\s*.*-(\d+)\s+\[(\d+)\]\s+(?:\S{5,6}\s+)?([\d.]+): (\w+): +(.*)$/;
const PERF = /^\s*.*?\s+(\d+)\s+\[(\d+)\]\s+([\d.]+):\s+\w+:(\w+): *(.*)$/;

/** What is compared of a line; of the page that perf and trace-cmd cannot print, its fields. */
function compared(name: string, text: string): string {
  const gfn = /gfn \w+/.exec(text)?.[0] ?? '';
  if (name === 'kvm_mmu_set_spte') return text.replace(/ \([^)]*\)/, '').replace(/ at .*/, '');
  if (name === 'mark_mmio_spte') return `${gfn} ${/gen \w+/.exec(text)?.[0]}`;
  if (name === 'handle_mmio_page_fault') return gfn;
  if (name === 'kvm_page_fault') return text.replace(/^.*(?=address)/, '');
  if (name === 'kvm_mmu_prepare_zap_page') {
    const [, page, role] = /gfn=(\d+) role=(\d+)/.exec(text) ?? [];
    if (page === undefined) return /gfn \w+ l\d/.exec(text)?.[0] ?? '';
    return `gfn ${Number(page).toString(16)} l${Number(role) & 15}`;
  }
  return name in KEPT ? text : '';
}

const KEPT = { kvm_tdp_mmu_spte_changed: 1, kvm_mmu_spte_requested: 1, kvm_msr: 1, kvm_cr: 1 };

/** The same of the text of a trace; events of ftrace itself are left out, as they are of a binary one. */
export function rowsOfText(text: string): Row[] {
  return text.split('\n').flatMap((line) => {
    if (line === '' || line.startsWith('#') || line.startsWith('cpus=')) return [];
    const found = PERF.exec(line) ?? FTRACE.exec(line);
    if (found === null) throw new Error(`not a line of a trace: ${line}`);
    const [, tid, cpu, time, name = '', rest = ''] = found;
    if (name === 'print' || name === 'tracing_mark_write') return [];
    const event = `${name} ${compared(name, rest.trim())}`.trim();
    return { cpu: Number(cpu), tid: Number(tid), time: Number(time), event };
  });
}

/** What differs: the first rows, and how many. Times are printed rounded or cut. */
export function differences(
  rows: readonly Row[],
  text: readonly Row[],
  precision: number,
): { count: number; first: readonly unknown[] } {
  const pairs = Array.from({ length: Math.max(rows.length, text.length) }, (_, i) => [
    rows[i],
    text[i],
  ]);
  const wrong = pairs.filter(
    ([a, b]) =>
      a === undefined ||
      b === undefined ||
      a.cpu !== b.cpu ||
      a.tid !== b.tid ||
      a.event !== b.event ||
      Math.abs(a.time - b.time) > precision,
  );
  return { count: wrong.length, first: wrong.slice(0, 3) };
}
