// Makes the text of a trace of any length out of real lines: trace-lines.txt, with other tasks, times, frames.
// The same bytes on every run.
//
//     node bench/trace-gen.mjs FILE [BYTES] [kvmmmu|all]
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** `kvmmmu`: events of page-table entries and registers; `all`: exits and entries too. */
export const PROFILES = ['kvmmmu', 'all'];

/** The virtual CPUs of two VMs, and where they run. */
const TASKS = [
  ['qemu-system-x86', 8396, 1],
  ['qemu-system-x86', 8397, 2],
  ['CPU 0/KVM', 995362, 4],
  ['CPU 1/KVM', 995363, 7],
].map(([name, tid, cpu]) => {
  const task = `${name.padStart(16)}-${String(tid).padEnd(7)}`;
  return `${task} [${String(cpu).padStart(3, '0')}] `;
});

function blocksOf(profile) {
  const text = readFileSync(new URL('trace-lines.txt', import.meta.url), 'utf8');
  const blocks = text
    .split('\n\n')
    .filter((block) => !block.startsWith('#'))
    .map((block) => {
      const [head, ...lines] = block.trim().split('\n');
      const [, ...weights] = head.split(' ');
      return { weight: Number(weights[PROFILES.indexOf(profile)]), lines };
    });
  return blocks.flatMap(({ weight, lines }) => Array(weight / 5).fill(lines));
}

/** xorshift32 */
function* numbers(seed) {
  let state = seed;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

const hex = (n) => n.toString(16);

/** The entry of a line with another frame: bits 12 to 39. Empty and frozen ones stay. */
function withFrame(spte, pfn) {
  if (spte.length <= 4 || /^80+$/.test(spte)) return spte;
  const wide = spte.padStart(16, '0');
  return (wide.slice(0, 6) + hex(pfn).padStart(7, '0') + wide.slice(13)).replace(/^0+/, '');
}

/** A line with another guest page and frame. */
function varied(line, gfn, pfn, at) {
  return line
    .replace(/\bgfn [0-9a-f]+/, () => `gfn ${hex(gfn)}`)
    .replace(/\bpfn (?!8000)[0-9a-f]+/, () => `pfn ${hex(pfn)}`)
    .replace(
      /\b((?:old_|new_)?spte) ([0-9a-f]+)/g,
      (_, name, spte) => `${name} ${withFrame(spte, pfn)}`,
    )
    .replace(/\baddress 0x[0-9a-f]+/, () => `address 0x${hex(gfn * 4096).padStart(16, '0')}`)
    .replace(/ at [0-9a-f]+$/, () => ` at ${hex(at)}`);
}

/** Pieces of the text, some 100 KB each, until there are `bytes` of them. */
export function* traceText(bytes, profile = 'kvmmmu', seed = 0x6d656d74) {
  const blocks = blocksOf(profile);
  const next = numbers(seed);
  const below = (n) => next.next().value % n;
  let micros = 1_404_389_366;
  let length = 0;
  let piece = '# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n';
  while (length + piece.length < bytes) {
    const lines = blocks[below(blocks.length)];
    const task = TASKS[below(TASKS.length)];
    const gfn = 0x100 + below(1 << 20);
    const pfn = 0x1000 + below(1 << 24);
    const at = 0x1_0000_0000 + below(1 << 28) * 8;
    for (const line of lines) {
      micros += below(6);
      const seconds = Math.floor(micros / 1e6);
      const stamp = `${String(seconds).padStart(5)}.${String(micros % 1e6).padStart(6, '0')}`;
      piece += `${task}${line.slice(0, 5)} ${stamp}: ${varied(line.slice(6), gfn, pfn, at)}\n`;
    }
    micros += below(40);
    if (piece.length > 100_000) {
      length += piece.length;
      yield piece;
      piece = '';
    }
  }
  yield piece;
}

export function writeTrace(file, bytes, profile) {
  const fd = openSync(file, 'w');
  for (const piece of traceText(bytes, profile)) writeSync(fd, piece);
  closeSync(fd);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , file, bytes = 1e9, profile] = process.argv;
  writeTrace(file, Number(bytes), profile);
}
