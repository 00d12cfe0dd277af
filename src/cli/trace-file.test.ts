import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readTrace } from './trace-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-trace-'));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const LINE =
  '           kvmmt-179     [000] ...1.    16.399794: kvm_mmu_set_spte: gfn 40000 spte 8600000002beeb77 (rwxu) level 1 at 7e62000';
const REDUCED = `# memtype: 1 events, 0 unreadable, 0 pages dropped
task-179 [000] kvm_mmu_set_spte: gfn 40000 spte 8600000002beeb77 level 1
`;

describe('a file with a trace', () => {
  test.each([
    ['as ftrace writes it', `# tracer: nop\n${LINE}\n`],
    ['with the line ends of Windows', `# tracer: nop\r\n${LINE}\r\n`],
    ['without a last line end', LINE],
    [
      'with bytes that are no UTF-8',
      Buffer.concat([Buffer.from([0xff, 0xfe, 10]), Buffer.from(LINE)]),
    ],
  ])('%s', async (name, content) => {
    expect(await readTrace(file(name, content))).toBe(REDUCED);
  });

  test('larger than one read: no line is lost where two meet', async () => {
    const lines = Array.from({ length: 2000 }, (_, i) =>
      LINE.replace('40000', (i + 16).toString(16)),
    );
    const text = await readTrace(file('large', lines.join('\n')));
    expect(text.split('\n')).toHaveLength(2000 + 2);
    expect(text).toContain('# memtype: 2000 events, 0 unreadable');
  });

  test.each([
    ['trace.dat', Buffer.from('\u0017\bDtracing7\0', 'latin1'), /is no text/],
    ['perf.data', Buffer.from('PERFILE2'), /is no text/],
    ['trace.gz', Buffer.from([0x1f, 0x8b, 8, 0]), /is no text/],
    ['zeros', Buffer.alloc(1 << 18), /is no text/],
    ['other events', 'a-1 [000] ..... 1.0: kvm_exit: vcpu 0\n', /no event of page-table entries/],
    ['empty', '', /no event of page-table entries/],
  ])('%s is refused', async (name, content, message) => {
    await expect(readTrace(file(name, content))).rejects.toThrow(message);
  });

  test('that is not there, or is a directory', async () => {
    await expect(readTrace(join(directory, 'none'))).rejects.toThrow(/cannot read .*ENOENT/);
    await expect(readTrace(directory)).rejects.toThrow(/cannot read .*EISDIR/);
  });
});
