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

/** Bytes from `offset` on to the end of a line, `least` of them where there are so many. */
function* wholeLines(file: ByteSource): Generator<Uint8Array> {
  for (let at = 0; at < file.size; ) {
    const bytes = file.read(at, PIECE);
    const feed = bytes.lastIndexOf(10);
    const length = feed < 0 ? bytes.length : feed + 1;
    if (length === 0) return;
    yield bytes.subarray(0, length);
    at += length;
  }
}

/** Fills in the names of a file: all of them where a sample shows several VMs and no processes. */
export function namesInFile(file: ByteSource, names: Map<number, string>): void {
  const found = new Map<number, string>();
  const step = Math.max(SAMPLE, Math.floor(file.size / SAMPLES));
  for (let at = 0; at < file.size; at += step)
    if (PROCESS.test(namesIn(file.read(at, SAMPLE), found))) return;
  if (vmsByNames(found).least > 1) for (const piece of wholeLines(file)) namesIn(piece, found);
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
