import { deflateSync } from 'node:zlib';

/** Writes numbers of either byte order. */
class Out {
  readonly #parts: Buffer[] = [];
  readonly #little: boolean;
  length = 0;

  constructor(little: boolean) {
    this.#little = little;
  }

  bytes(part: Uint8Array): this {
    this.#parts.push(Buffer.from(part));
    this.length += part.length;
    return this;
  }

  text(text: string): this {
    return this.bytes(Buffer.from(text, 'latin1'));
  }

  #number(size: number, value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    const part = bytes.subarray(0, size);
    return this.bytes(this.#little ? part : Buffer.from(part).reverse());
  }

  u16(value: number): this {
    return this.#number(2, BigInt(value));
  }

  u32(value: number): this {
    return this.#number(4, BigInt(value >>> 0));
  }

  u64(value: number | bigint): this {
    return this.#number(8, BigInt(value));
  }

  pad(multiple: number): this {
    return this.bytes(Buffer.alloc((multiple - (this.length % multiple)) % multiple));
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** What is written: kvm_mmu_set_spte, as a kernel of 6.x has it, with a `long` of 4 or 8 bytes. */
export interface WrittenEvent {
  /** Nanoseconds. */
  readonly time: bigint;
  readonly gfn: number;
  readonly spte: bigint;
  readonly level: number;
}

export interface Kernel {
  readonly little: boolean;
  readonly longSize: 4 | 8;
  readonly pageSize: number;
}

const SPTE_ID = 1432;
const COMMON = `	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
`;
export const SPTE_FORMAT = `name: kvm_mmu_set_spte
ID: ${SPTE_ID}
format:
${COMMON}
	field:u64 gfn;	offset:8;	size:8;	signed:0;
	field:u64 spte;	offset:16;	size:8;	signed:0;
	field:u64 sptep;	offset:24;	size:8;	signed:0;
	field:u8 level;	offset:32;	size:1;	signed:0;

print fmt: "gfn %llx", REC->gfn
`;
const PRINT_FORMAT = `name: print
ID: 5
format:
${COMMON}
	field:unsigned long ip;	offset:8;	size:8;	signed:0;
	field:char buf[];	offset:16;	size:0;	signed:0;

print fmt: "%ps: %s", (void *)REC->ip, REC->buf
`;

function headerPage({ longSize, pageSize }: Kernel): string {
  const data = 8 + longSize;
  return `	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:${longSize};	signed:1;
	field: int overwrite;	offset:8;	size:1;	signed:1;
	field: char data;	offset:${data};	size:${pageSize - data};	signed:0;
`;
}

/** A type, a delta of 27 bits, and what follows it. */
function head(out: Out, little: boolean, type: number, delta: bigint): void {
  const low = Number(delta & 0x7ffffffn);
  out.u32(little ? (low << 5) | type : (type << 27) | low);
}

const LARGE = 1n << 27n;

/** The pages of a CPU's ring buffer that hold the events. */
export function ringPages(events: readonly WrittenEvent[], kernel: Kernel): Buffer {
  const { little, longSize, pageSize } = kernel;
  const room = pageSize - 8 - longSize;
  const pages: Buffer[] = [];
  for (let next = 0; next < events.length; ) {
    const start = events[next]?.time ?? 0n;
    const body = new Out(little);
    let last = start;
    while (next < events.length && body.length + 48 <= room) {
      const event = events[next];
      if (event === undefined) break;
      let delta = event.time - last;
      if (delta >= LARGE) {
        head(body, little, 30, delta);
        body.u32(Number(delta >> 27n));
        delta = 0n;
      }
      head(body, little, 9, delta);
      body.u16(SPTE_ID).bytes(Buffer.alloc(2)).u32(177).u64(event.gfn).u64(event.spte).u64(0);
      body.bytes(Buffer.from([event.level, 0, 0, 0]));
      last = event.time;
      next += 1;
    }
    const page = new Out(little).u64(start);
    if (longSize === 8) page.u64(body.length);
    else page.u32(body.length);
    pages.push(page.bytes(body.done()).pad(pageSize).done());
  }
  return Buffer.concat(pages);
}

function described(out: Out, text: string): void {
  out.u64(text.length).text(text);
}

function headerInfo(little: boolean, kernel: Kernel): Buffer {
  const out = new Out(little).text('header_page\0');
  described(out, headerPage(kernel));
  out.text('header_event\0');
  described(out, '# compressed entry header\n');
  return out.done();
}

function ftraceFormats(little: boolean): Buffer {
  const out = new Out(little).u32(1);
  described(out, PRINT_FORMAT);
  return out.done();
}

function eventFormats(little: boolean): Buffer {
  const out = new Out(little).u32(1).text('kvmmmu\0').u32(1);
  described(out, SPTE_FORMAT);
  return out.done();
}

export interface WrittenBuffer {
  readonly name: string;
  readonly clock?: string;
  /** Pages of each CPU. */
  readonly cpus: readonly Buffer[];
}

export interface WrittenFile {
  readonly kernel: Kernel;
  readonly buffers: readonly WrittenBuffer[];
  readonly clock?: string;
  readonly compression?: 'none' | 'zlib';
  /** Options by number, besides those that are needed. */
  readonly options?: readonly (readonly [number, Buffer])[];
  /** Latency text instead of records. */
  readonly latency?: string;
}

function magic(out: Out, version: string, { little, longSize, pageSize }: Kernel): void {
  out.bytes(Buffer.from([0x17, 8, 0x44])).text(`tracing${version}\0`);
  out.bytes(Buffer.from([little ? 0 : 1, longSize])).u32(pageSize);
}

function clockText(clock: string): string {
  return `local global [${clock}]`.replace('local global [local]', '[local] global');
}

/** trace-cmd.dat.v6(5). */
export function writeVersion6(file: WrittenFile): Buffer {
  const { kernel, buffers, latency, clock = 'local', options = [] } = file;
  const { little, pageSize } = kernel;
  const [top] = buffers;
  const cpus = top?.cpus.length ?? 0;
  const build = (offsets: readonly number[], instanceAt: number): Out => {
    const out = new Out(little);
    magic(out, '6', kernel);
    out.bytes(headerInfo(little, kernel)).bytes(ftraceFormats(little)).bytes(eventFormats(little));
    out.u32(5).text('syms\n').u32(0).u64(0).u32(cpus).text('options  \0');
    for (const [id, data] of options) out.u16(id).u32(data.length).bytes(data);
    out.u16(4).u32(clockText(clock).length).text(clockText(clock));
    for (const { name } of buffers.slice(1)) {
      out
        .u16(3)
        .u32(9 + name.length)
        .u64(instanceAt)
        .text(`${name}\0`);
    }
    out.u16(0);
    if (latency !== undefined) return out.text('latency  \0').text(latency);
    out.text('flyrecord\0');
    let at = 0;
    for (const data of top?.cpus ?? []) out.u64(offsets[at++] ?? 0).u64(data.length);
    described(out, clockText(clock));
    return out;
  };
  const lists = buffers.slice(1).map(({ cpus: own }) => 10 + 16 * own.length);
  const instanceAt = build([], 0).length;
  let next = instanceAt + lists.reduce((sum, n) => sum + n, 0);
  const offsets = buffers.flatMap((buffer) =>
    buffer.cpus.map((data) => {
      const at = Math.ceil(next / pageSize) * pageSize;
      next = at + data.length;
      return at;
    }),
  );
  const out = build(offsets, instanceAt);
  if (latency !== undefined) return out.done();
  let at = cpus;
  for (const { cpus: own } of buffers.slice(1)) {
    out.text('flyrecord\0');
    for (const data of own) out.u64(offsets[at++] ?? 0).u64(data.length);
  }
  for (const buffer of buffers) for (const data of buffer.cpus) out.pad(pageSize).bytes(data);
  return out.done();
}

const CHUNK_PAGES = 2;

function chunked(data: Buffer, { little, pageSize }: Kernel): Buffer {
  const chunks = Array.from({ length: Math.ceil(data.length / pageSize / CHUNK_PAGES) }, (_, i) =>
    data.subarray(i * pageSize * CHUNK_PAGES, (i + 1) * pageSize * CHUNK_PAGES),
  );
  const out = new Out(little).u32(chunks.length);
  for (const chunk of chunks) {
    const packed = deflateSync(chunk);
    out.u32(packed.length).u32(chunk.length).bytes(packed);
  }
  return out.done();
}

/** trace-cmd.dat.v7(5). */
export function writeVersion7(file: WrittenFile): Buffer {
  const { kernel, buffers, latency, clock = 'local', compression = 'none', options = [] } = file;
  const { little, pageSize } = kernel;
  const out = new Out(little);
  const packs = compression === 'zlib';
  magic(out, '7', kernel);
  out.text(`${compression}\0${'1.0'}\0`);
  const head = out.done();
  const parts = new Out(little).bytes(head).u64(0);
  const section = (id: number, data: Buffer, isPacked: boolean): number => {
    const at = parts.length;
    const body = new Out(little);
    if (isPacked) {
      const packed = deflateSync(data);
      body.u32(packed.length).u32(data.length).bytes(packed);
    } else body.bytes(data);
    parts
      .u16(id)
      .u16(isPacked ? 1 : 0)
      .u32(0)
      .u64(body.length)
      .bytes(body.done());
    return at;
  };
  const option = (list: Out, id: number, data: Buffer): void => {
    list.u16(id).u32(data.length).bytes(data);
  };
  const offset = (at: number): Buffer => new Out(little).u64(at).done();
  const list = new Out(little);
  for (const [id, data] of options) option(list, id, data);
  option(list, 16, offset(section(16, headerInfo(little, kernel), packs)));
  option(list, 17, offset(section(17, ftraceFormats(little), packs)));
  option(list, 18, offset(section(18, eventFormats(little), packs)));
  option(list, 4, Buffer.from(`${clockText(clock)}\0`));
  if (latency !== undefined) {
    const data = Buffer.from(latency);
    const at = packs
      ? sectionOf(parts, 22, chunkedText(data, little), 1)
      : section(22, data, false);
    option(list, 22, new Out(little).u64(at).text('\0').text(`${clock}\0`).done());
  }
  for (const buffer of buffers) {
    const at = parts.length;
    parts
      .u16(3)
      .u16(packs ? 1 : 0)
      .u32(0)
      .u64(0);
    const own = new Out(little).u64(at).text(`${buffer.name}\0${buffer.clock ?? clock}\0`);
    own.u32(pageSize).u32(buffer.cpus.length);
    buffer.cpus.forEach((data, cpu) => {
      parts.pad(pageSize);
      const stored = packs ? chunked(data, kernel) : data;
      own.u32(cpu).u64(parts.length).u64(stored.length);
      parts.bytes(stored);
    });
    option(list, 3, own.done());
  }
  option(list, 0, offset(0));
  const first = section(0, list.done(), false);
  const all = parts.done();
  const where = new Out(little).u64(first).done();
  where.copy(all, head.length);
  return all;
}

function sectionOf(parts: Out, id: number, body: Buffer, flags: number): number {
  const at = parts.length;
  parts.u16(id).u16(flags).u32(0).u64(body.length).bytes(body);
  return at;
}

function chunkedText(data: Buffer, little: boolean): Buffer {
  const packed = deflateSync(data);
  return new Out(little).u32(1).u32(packed.length).u32(data.length).bytes(packed).done();
}
