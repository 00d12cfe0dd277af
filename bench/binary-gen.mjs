// Makes a trace.dat or perf.data of any length out of a captured one: the records of one buffer again and again, so
// that time begins anew with each round.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const u64 = (bytes, at) => Number(bytes.readBigUInt64LE(at));
const setU64 = (bytes, at, value) => bytes.writeBigUInt64LE(BigInt(value), at);

function fixture(name) {
  return gunzipSync(readFileSync(new URL(`../src/trace/fixtures/${name}`, import.meta.url)));
}

/** Writes a file of about `bytes`: what comes before, rounds of the records, what comes after. */
function write(file, before, records, rounds, after) {
  const fd = openSync(file, 'w');
  writeSync(fd, before);
  for (let i = 0; i < rounds; i++) writeSync(fd, records);
  writeSync(fd, after);
  closeSync(fd);
}

/** Version 6: after "flyrecord" offset and size of each buffer, in pages. The first one that has any is moved behind. */
export function writeTraceDat(file, bytes) {
  const whole = fixture('nested61.v6.dat.gz');
  let at = whole.indexOf('flyrecord\0') + 10;
  while (u64(whole, at + 8) === 0) at += 16;
  const from = u64(whole, at);
  const records = whole.subarray(from, from + u64(whole, at + 8));
  const rounds = Math.ceil(bytes / records.length);
  const page = 4096;
  const start = Math.ceil(whole.length / page) * page;
  const before = Buffer.concat([whole, Buffer.alloc(start - whole.length)]);
  setU64(before, at, start);
  setU64(before, at + 8, records.length * rounds);
  write(file, before, records, rounds, Buffer.alloc(0));
}

/** Offset and size of the records in the header; behind them a table of other sections, one for each bit set. */
export function writePerfData(file, bytes) {
  const whole = fixture('perf-plain.data.gz');
  const from = u64(whole, 40);
  const size = u64(whole, 48);
  const end = from + size;
  const rounds = Math.ceil(bytes / size);
  const after = Buffer.from(whole.subarray(end));
  const sections = countBits(whole.subarray(72, 104));
  for (let i = 0; i < sections; i++)
    setU64(after, 16 * i, u64(after, 16 * i) + size * (rounds - 1));
  const before = Buffer.from(whole.subarray(0, from));
  setU64(before, 48, size * rounds);
  write(file, before, whole.subarray(from, end), rounds, after);
}

function countBits(bytes) {
  let count = 0;
  for (const byte of bytes) for (let bit = byte; bit > 0; bit >>= 1) count += bit & 1;
  return count;
}
