import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { gunzip } from './gunzip.ts';

/** What comes out of packed bytes that come in pieces, and how it ended. */
async function unpack(packed: Uint8Array, piece: number) {
  const out: Uint8Array[] = [];
  async function* pieces() {
    for (let at = 0; at < packed.length; at += piece) yield packed.subarray(at, at + piece);
  }
  try {
    for await (const bytes of gunzip(pieces())) out.push(bytes);
    return { text: Buffer.concat(out).toString('latin1'), why: null };
  } catch (error) {
    return { text: Buffer.concat(out).toString('latin1'), why: (error as Error).message };
  }
}

const TEXT = 'kvm_mmu_set_spte: gfn 49000 spte 860000000597cb77 (rwxu) level 1\n'.repeat(3000);

test('members of any kind in pieces of any length give what was packed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 400 }),
      fc.nat(9),
      async (texts, piece, zeros) => {
        const members = texts.map((text) => gzipSync(Buffer.from(text, 'latin1')));
        const packed = Buffer.concat([...members, Buffer.alloc(zeros)]);
        const whole = Buffer.from(texts.join(''), 'latin1').toString('latin1');
        expect(await unpack(packed, piece)).toEqual({ text: whole, why: null });
      },
    ),
    { numRuns: 60 },
  );
});

test.each([7, 1 << 20])(
  'what is whole comes out before what is not, in pieces of %s',
  async (piece) => {
    const packed = gzipSync(TEXT);
    const junk = Buffer.from('junk\n');
    expect(await unpack(Buffer.concat([packed, junk]), piece)).toEqual({
      text: TEXT,
      why: 'what follows its end is no gzip',
    });
    const cut = await unpack(packed.subarray(0, packed.length - 20), piece);
    expect(cut.why).toMatch(/unexpected end/);
    expect(TEXT.startsWith(cut.text)).toBe(true);
    expect(cut.text.length).toBeGreaterThan(0);
    expect((await unpack(packed.subarray(0, packed.length - 3), piece)).text).toBe(TEXT);
  },
);

test('another check sum is said', async () => {
  const packed = gzipSync(TEXT);
  packed[packed.length - 8] = (packed[packed.length - 8] ?? 0) ^ 1;
  expect(await unpack(packed, 1 << 20)).toEqual({ text: TEXT, why: 'its check sum is another' });
});

test('heads with a name, a comment and further fields', async () => {
  const plain = gzipSync('abc');
  const head = Buffer.from([0x1f, 0x8b, 8, 31, 0, 0, 0, 0, 0, 3]);
  const fields = Buffer.from('\u0002\0xya.txt\0text\0\0\0', 'latin1');
  const packed = Buffer.concat([head, fields, plain.subarray(10)]);
  expect(await unpack(packed, 1)).toEqual({ text: 'abc', why: null });
});
