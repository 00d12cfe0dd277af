import { describe, expect, test } from 'vitest';
import { parseEventFormat, parseField } from './format.ts';
import { DEFAULT_LAYOUT, PageReader, parsePageHeader } from './ring.ts';

/** A page of a 64-bit little-endian kernel that begins at a time. */
function page(
  time: bigint,
  flags: number,
  words: readonly number[],
  after: readonly number[] = [],
) {
  const view = new DataView(new ArrayBuffer(4096));
  view.setBigUint64(0, time, true);
  view.setUint32(8, words.length * 4 + flags, true);
  [...words, ...after].forEach((word, i) => {
    view.setUint32(16 + 4 * i, word, true);
  });
  return view;
}

const head = (type: number, delta: number): number => ((delta << 5) | type) >>> 0;
const MISSED = 2 ** 31;
const COUNTED = 2 ** 30;

function read(view: DataView, size = view.byteLength) {
  const reader = new PageReader(DEFAULT_LAYOUT);
  reader.load(view, 0, size);
  const records: { at: number; length: number; time: bigint }[] = [];
  while (reader.next()) {
    const time = (BigInt(reader.timeHi) << 32n) | BigInt(reader.timeLo);
    records.push({ at: reader.at, length: reader.length, time });
  }
  return { records, lost: reader.lost, broken: reader.broken };
}

describe('records of a page', () => {
  test('short and long ones, their times added up past 32 bits', () => {
    const start = 2n ** 32n - 5n;
    const view = page(start, 0, [head(2, 3), 11, 12, head(0, 4), 12, 21, 22, head(1, 0), 31]);
    expect(read(view)).toEqual({
      records: [
        { at: 20, length: 8, time: start + 3n },
        { at: 36, length: 8, time: start + 7n },
        { at: 48, length: 4, time: start + 7n },
      ],
      lost: 0,
      broken: null,
    });
  });

  test('a long pause, an absolute time, a record that was discarded', () => {
    const start = 0x0800_0001_0000_0000n;
    const pause = (5n << 27n) + 9n;
    const absolute = (0x1234_5678n << 27n) + 77n;
    const words = [
      ...[head(30, 9), 5, head(1, 1), 0],
      ...[head(29, 2), 8, 0, head(1, 1), 0],
      ...[head(31, 77), 0x1234_5678, head(1, 1), 0],
    ];
    expect(read(page(start, 0, words)).records.map(({ time }) => time)).toEqual([
      start + pause + 1n,
      start + pause + 4n,
      // Its five upper bits are those of the page.
      0x0800_0000_0000_0000n + absolute + 1n,
    ]);
  });

  test('padding to the end of the page ends it', () => {
    expect(read(page(1n, 0, [head(1, 1), 0, head(29, 0), 0, head(1, 1), 0])).records).toHaveLength(
      1,
    );
  });

  test('lost events: how many, or that it is not said', () => {
    const words = [head(1, 1), 0];
    expect(read(page(1n, 0, words)).lost).toBe(0);
    expect(read(page(1n, MISSED, words, [7, 0])).lost).toBe(-1);
    expect(read(page(1n, MISSED + COUNTED, words, [7, 0])).lost).toBe(7);
    expect(read(page(1n, MISSED + COUNTED, words, [7, 1])).lost).toBe(2 ** 32 + 7);
  });

  test.each([
    ['a record past the end', [head(5, 1), 0], /does not fit/],
    ['a long record past the end', [head(0, 1), 400, 0], /says that it has 400 bytes/],
    ['a long record of no length', [head(0, 1), 0, 0], /says that it has 0 bytes/],
    ['padding past the end', [head(29, 1), 400], /padding says/],
    ['half a time', [head(30, 1)], /is cut/],
  ])('%s', (_, words, message) => {
    const { records, broken } = read(page(1n, 0, words));
    expect(records).toEqual([]);
    expect(broken).toMatch(message);
  });

  test('a page that is cut, or holds more than it has', () => {
    const view = page(1n, 0, [head(1, 1), 0]);
    expect(read(view, 10).broken).toBe('a page ends after 10 bytes');
    expect(read(view, 20).broken).toBe('a page of 20 bytes says that it holds 8');
    expect(read(page(1n, 5000, [])).broken).toBe('a page of 4096 bytes says that it holds 5000');
  });
});

describe('descriptions', () => {
  test('of a page: a 32-bit kernel, large pages, and none', () => {
    const text = (size: number, data: number, room: number) =>
      `\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:${size};\tsigned:1;
\tfield: char data;\toffset:${data};\tsize:${room};\tsigned:1;`;
    expect(parsePageHeader(text(8, 16, 4080), true)).toEqual(DEFAULT_LAYOUT);
    expect(parsePageHeader(text(4, 12, 4084), false)).toEqual({
      pageSize: 4096,
      longSize: 4,
      dataOffset: 12,
      little: false,
    });
    expect(parsePageHeader(text(8, 16, 65_520), true)?.pageSize).toBe(65_536);
    expect(parsePageHeader(text(2, 16, 4080), true)).toBeNull();
    expect(parsePageHeader('', true)).toBeNull();
  });

  test.each([
    ['unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;', 'common_type', 'unsigned short'],
    ['void * sptep;\toffset:8;\tsize:8;\tsigned:0;', 'sptep', 'void *'],
    ['signed char u;\toffset:35;\tsize:1;\tsigned:1;', 'u', 'signed char'],
  ])('of a field: %s', (line, name, type) => {
    const signed = line.includes('signed:1');
    expect(parseField(`\tfield:${line}`)).toMatchObject({
      name,
      type,
      signed,
      place: 'inline',
      isArray: false,
    });
  });

  test('of a field that is elsewhere, or many', () => {
    const of = (text: string) => parseField(`\tfield:${text};\toffset:8;\tsize:4;\tsigned:0;`);
    expect(of('__data_loc char[] name')).toMatchObject({ place: 'data', isArray: true });
    expect(of('__rel_loc char[] name')).toMatchObject({ place: 'relative', isArray: true });
    expect(of('char comm[16]')).toMatchObject({ name: 'comm', place: 'inline', isArray: true });
    expect(of('unsigned long args[6]')).toMatchObject({ type: 'unsigned long', isArray: true });
    expect(of('')).toBeNull();
  });

  test('of an event without a name, an ID or a field', () => {
    const field = '\tfield:u8 a;\toffset:8;\tsize:1;\tsigned:0;';
    expect(parseEventFormat(`name: a\nID: 3\n${field}`, 'kvm')).toMatchObject({ id: 3, name: 'a' });
    expect(parseEventFormat(`ID: 3\n${field}`, 'kvm')).toBeNull();
    expect(parseEventFormat(`name: a\n${field}`, 'kvm')).toBeNull();
    expect(parseEventFormat(`name: a\nID: -1\n${field}`, 'kvm')).toBeNull();
    expect(parseEventFormat('name: a\nID: 3\n', 'kvm')).toBeNull();
  });
});
