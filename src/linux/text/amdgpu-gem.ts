import type { Parsed } from '../../base/diagnostic.ts';
import { type Fields, type Form, type Format, Problems, readLines, readRow } from './common.ts';

/** A buffer object that a client has a handle of, as debugfs dri/N/amdgpu_gem_info prints it. */
export interface AmdgpuBuffer {
  readonly size: number;
  /**
   * Where it is now: `visible` is VRAM that the CPU reaches through the BAR; `vram` also what it does not
   * reach (up to 6.3 the two are not told apart); `system` is RAM that the GPU does not reach at the moment ("CPU"); `other` an
   * on-chip store, doorbells or registers; `unknown` when the buffer was busy.
   */
  readonly placement: 'visible' | 'vram' | 'gtt' | 'system' | 'other' | 'unknown';
  /** AMDGPU_GEM_CREATE_CPU_GTT_USWC: its pages in RAM are WC, else WB. */
  readonly uswc: boolean;
  /** AMDGPU_GEM_CREATE_NO_CPU_ACCESS: no CPU mapping is meant. */
  readonly noCpuAccess: boolean;
  /** Memory of another exporter: placement and flags say nothing of its pages. */
  readonly imported: boolean;
  /** Inode of the dma-buf that it is exported as; null: not exported, or a kernel that prints a pointer. */
  readonly inode: string | null;
}

/** A client of the GPU: the process that opened its node, or (from 6.7 on, recalled) used it first. */
export interface AmdgpuClient {
  readonly pid: number;
  readonly buffers: readonly AmdgpuBuffer[];
}

export interface AmdgpuGem {
  /** In the order of the file; a process may be several clients. */
  readonly clients: readonly AmdgpuClient[];
}

const FORMAT: Format = {
  name: 'amdgpu_gem_info',
  shape: '0x00000002:         4096 byte GTT exported as ino:7 CPU_GTT_USWC',
  refusals: { 'Permission denied': 'only root reads debugfs: capture it again as root' },
};

const CLIENT = /^pid +(?<pid>\d{1,10}) command (?<command>.{0,64}):$/d;
const BUFFER = /^0x(?<id>[0-9a-f]{8}): +(?<size>\d{1,15}) byte +(?<rest>[A-Z].{0,2000})$/d;
/** What dma_resv_describe adds in newer kernels: the first fence stands at the end of the buffer's own line. */
const FENCE = /^(?:kernel|write|read|bookkeep) fence:/;

/** First match decides. */
const PLACEMENTS: readonly (readonly [RegExp, AmdgpuBuffer['placement']])[] = [
  [/^VRAM VISIBLE\b/, 'visible'],
  [/^VRAM\b/, 'vram'],
  [/^(?:GTT|PREEMPTIBLE)\b/, 'gtt'],
  [/^CPU(?![_\w])/, 'system'],
  [/^UNKNOWN\b/, 'unknown'],
];

type Row = { readonly pid: number } | { readonly buffer: AmdgpuBuffer };

function readBuffer(f: Fields): Row {
  const rest = f.text('rest');
  const words = rest.split(/[ \t]/);
  const placement = PLACEMENTS.find(([pattern]) => pattern.test(rest))?.[1] ?? 'other';
  return {
    buffer: {
      size: Number(f.text('size')),
      placement,
      uswc: words.includes('CPU_GTT_USWC'),
      noCpuAccess: words.includes('NO_CPU_ACCESS'),
      imported: rest.includes(' imported from '),
      inode: / exported as ino:(\d{1,20})\b/.exec(rest)?.[1] ?? null,
    },
  };
}

const FORMS: readonly Form<Row>[] = [
  { pattern: CLIENT, read: (f) => ({ pid: Number(f.text('pid')) }) },
  { pattern: BUFFER, read: readBuffer },
];

/**
 * Reads debugfs dri/N/amdgpu_gem_info (amdgpu_bo_print_info, 6.1 to 7.3). Commands are not kept. Lines about
 * fences are passed over.
 */
export function parseAmdgpuGem(text: string, file: string): Parsed<AmdgpuGem> {
  const problems = new Problems(file, FORMAT);
  const clients: { pid: number; buffers: AmdgpuBuffer[] }[] = [];
  for (const line of readLines(text, problems)) {
    if (FENCE.test(line.text)) continue;
    const row = readRow(line, FORMS, problems);
    if (row === null) continue;
    if ('pid' in row) clients.push({ pid: row.pid, buffers: [] });
    else clients.at(-1)?.buffers.push(row.buffer);
  }
  return { value: { clients }, problems: problems.list };
}
