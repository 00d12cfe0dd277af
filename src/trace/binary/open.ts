import { openPerfData, PERF_MAGIC, PERF_MAGIC_BIG } from './perf-data.ts';
import { type ByteSource, type Codecs, latin1 } from './source.ts';
import type { BinaryTrace } from './trace.ts';
import { openTraceDat, TRACE_DAT_MAGIC } from './trace-dat.ts';

/** A binary form, by its first bytes; null: none that says so itself. Raw pages of a ring buffer do not. */
export function binaryForm(start: Uint8Array): 'trace.dat' | 'perf.data' | null {
  const text = latin1(start.subarray(0, 16));
  if (text.startsWith(TRACE_DAT_MAGIC)) return 'trace.dat';
  return text.startsWith(PERF_MAGIC) || text.startsWith(PERF_MAGIC_BIG) ? 'perf.data' : null;
}

/**
 * Opens a trace.dat or a perf.data.
 *
 * @returns null when it is neither
 * @throws InputError when it is one, and nothing in it can be read
 */
export function openBinaryTrace(source: ByteSource, codecs: Codecs): BinaryTrace | null {
  const form = binaryForm(source.read(0, 16));
  if (form === 'trace.dat') return openTraceDat(source, codecs);
  return form === 'perf.data' ? openPerfData(source, codecs) : null;
}
