import { machine, release, type } from 'node:os';
import type { Refusal } from '../doctor/reading.ts';
import type { HelperRequest } from './helper.ts';
import { askKvm } from './kvm-device.ts';
import { PatientReader } from './patient.ts';
import type { HostReader } from './reader.ts';
import { refusalOf } from './refusal.ts';

/** /proc/cpuinfo of a thousand processors is about 1.5 MB, maps of the largest VMM seen below 1 MB. */
const TEXT_LIMIT = 4 << 20;
/** The ring buffer is 2^CONFIG_LOG_BUF_SHIFT bytes, 2^17 to 2^21 as a rule. */
const LOG_LIMIT = 8 << 20;
const ENTRIES_LIMIT = 1 << 16;
const LENGTH_LIMIT = 1 << 16;
const DEADLINE_MS = 4000;

type Answered<T> = { readonly ok: true; readonly value: T; readonly cut: boolean } | Refusal;

async function asked<T>(reader: PatientReader, request: HelperRequest): Promise<Answered<T>> {
  const outcome = await reader.ask(request);
  if (!outcome.ok) return outcome;
  const { answer } = outcome;
  if ('error' in answer) return refusalOf(answer.error);
  return { ok: true, value: answer.value as T, cut: answer.cut };
}

/**
 * The machine this program runs on. Files are read in a helper process, each read with a size limit and
 * a deadline; call `close` when done.
 */
export function liveHost(deadline: number = DEADLINE_MS): HostReader {
  const reader = new PatientReader(deadline);
  return {
    uname: () => ({ sysname: type(), release: release(), machine: machine() }),
    async readText(path, limit = TEXT_LIMIT) {
      const got = await asked<string>(reader, { op: 'text', path, limit });
      return got.ok ? { ok: true, text: got.value, cut: got.cut } : got;
    },
    async readAt(path, offset, length) {
      const limit = Math.min(length, LENGTH_LIMIT);
      const got = await asked<string>(reader, { op: 'bytes', path, offset, limit });
      return got.ok ? { ok: true, hex: got.value } : got;
    },
    async list(path) {
      const got = await asked<string[]>(reader, { op: 'list', path, limit: ENTRIES_LIMIT });
      return got.ok ? { ok: true, names: got.value, cut: got.cut } : got;
    },
    async link(path) {
      const got = await asked<string>(reader, { op: 'link', path, limit: 0 });
      return got.ok ? { ok: true, target: got.value } : got;
    },
    async links(path) {
      const got = await asked<[string, string][]>(reader, {
        op: 'links',
        path,
        limit: ENTRIES_LIMIT,
      });
      if (!got.ok) return got;
      const links = got.value.map(([name, target]) => ({ name, target }));
      return { ok: true, links, cut: got.cut };
    },
    async kernelLog() {
      const request = { op: 'log', path: '/dev/kmsg', limit: LOG_LIMIT } as const;
      const got = await asked<string>(reader, request);
      return got.ok ? { ok: true, text: got.value, cut: got.cut } : got;
    },
    kvmApiVersion: () => askKvm('api'),
    kvmExtension: (extension) => askKvm({ extension }),
    close: () => reader.close(),
  };
}
