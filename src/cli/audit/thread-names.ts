import { vmsByNames } from '../../audit/vms.ts';
import type { ByteSource } from '../../trace/binary/source.ts';

// The names of the threads of vCPUs, out of the text of a trace. Batches do not have them: only a trace of
// several VMs that has no processes needs them, to tell these apart.

/** At the begin of a line as ftrace, trace-cmd and perf script print it, with the number of the thread. */
const TASK =
  /^ *(CPU \d+\/KVM|crosvm_vcpu\d+|fc_vcpu \d+|vcpu\d+|kvm-vcpu-\d+)(?:-| +)(\d{1,10}) /gm;
/** With the option record-tgid the process follows. */
const PROCESS = /^ *\S.{0,15}-\d+ +\( *\d+\) /m;

const PIECE = 1 << 20;
const SAMPLE = 1 << 16;
const SAMPLES = 64;

function namesIn(bytes: Uint8Array, names: Map<number, string>): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  for (const [, name = '', tid] of text.matchAll(TASK)) names.set(Number(tid), name);
  return text;
}

const LINE_FEED = 10;
/** The name of a task, 16 bytes, and its number are within these of a line. */
const HEAD = 28;
const HEADS_MAX = 1 << 16;

/** All names of a file. Most lines begin as one before them does: those are not looked at again. */
function allNames(file: ByteSource, names: Map<number, string>): void {
  const heads = new Set<string>();
  for (let at = 0; at < file.size; ) {
    const bytes = file.read(at, PIECE);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const last = text.lastIndexOf(LINE_FEED);
    const end = last < 0 ? text.length : last + 1;
    if (end === 0) return;
    for (let start = 0; start < end; ) {
      const head = text.toString('latin1', start, Math.min(end, start + HEAD));
      if (!heads.has(head)) {
        if (heads.size >= HEADS_MAX) heads.clear();
        heads.add(head);
        for (const [, name = '', tid] of head.matchAll(TASK)) names.set(Number(tid), name);
      }
      const feed = text.indexOf(LINE_FEED, start);
      start = feed < 0 ? end : feed + 1;
    }
    at += end;
  }
}

/** Fills in the names of a file: all of them where a sample shows several VMs and no processes. */
export function namesInFile(file: ByteSource, names: Map<number, string>): void {
  const found = new Map<number, string>();
  const step = Math.max(SAMPLE, Math.floor(file.size / SAMPLES));
  for (let at = 0; at < file.size; at += step)
    if (PROCESS.test(namesIn(file.read(at, SAMPLE), found))) return;
  if (vmsByNames(found).least > 1) allNames(file, found);
  for (const [tid, name] of found) names.set(tid, name);
}

/** Fills in the names of the first pieces of a pipe. */
export function namesInPieces(pieces: readonly Uint8Array[], names: Map<number, string>): void {
  let left = SAMPLE * SAMPLES;
  for (const piece of pieces) {
    if (left <= 0) return;
    if (PROCESS.test(namesIn(piece.subarray(0, left), names))) {
      names.clear();
      return;
    }
    left -= piece.length;
  }
}
