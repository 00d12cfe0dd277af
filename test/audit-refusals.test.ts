import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { Audit } from '../src/audit/audit.ts';
import { Follow } from '../src/report/audit/follow.ts';
import { batchesOf } from './audit-batches.ts';
import { memtype, ROOT } from './console.ts';

// A real trace, and what becomes of it between the kernel and the one who reads it.

const scratch = mkdtempSync(join(tmpdir(), 'memtype-refusals-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const TRACE = readFileSync(`${ROOT}docs/examples/trace.txt`, 'latin1');

function written(name: string, data: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
  return path;
}

function audited(name: string, data: string | Uint8Array, ...flags: string[]) {
  const { stdout, stderr, status } = memtype(['audit', written(name, data), ...flags]);
  return { status, out: stdout.replaceAll(/\s+/g, ' '), err: stderr };
}

describe('what is not there', () => {
  test('events that were overwritten before the buffer was read are lost', () => {
    const head = '# tracer: nop\n#\n# entries-in-buffer/entries-written: 32/1032   #P:1\n#\n';
    const { status, out } = audited('overwritten.txt', head + TRACE.replace(/^#.*\n/gm, ''));
    expect(status).toBe(3);
    expect(out).toContain('MT708');
    expect(out).toContain('1000 events lost at 1 place');
  });

  test('a value that may be cut is no value', () => {
    const line =
      '  a-7 [000] ..... 17.0: kvm_tdp_mmu_spte_changed: as id 0 gfn 10 level 1 old_spte 0 new_spte 860\n';
    const register = '  a-7 [000] ..... 17.0: kvm_msr: msr_write 277 = 0x0\n';
    for (const last of [line, register]) {
      const whole = audited('whole.txt', TRACE + last);
      expect([whole.status, whole.out.includes('MT709')]).toEqual([0, false]);
      const cut = audited('cut.txt', TRACE + last.trimEnd());
      expect(cut.status).toBe(3);
      expect(cut.out).toContain('MT709');
      expect(cut.out).toContain('1 line that is cut: it has no end');
    }
    expect(audited('end.txt', TRACE.trimEnd()).status).toBe(0);
  });

  test('packed, with junk behind it: all is read, and the junk is said', () => {
    const { status, out } = audited(
      'junk.gz',
      Buffer.concat([gzipSync(TRACE), Buffer.from('junk\n')]),
    );
    expect([status, out]).toEqual([3, expect.stringContaining('16 leaf entries installed')]);
    expect(out).toContain('Left open the end that cannot be unpacked (gzip: what follows its end');
  });

  test('what the trace options raw and hex leave of events is said as such', () => {
    const raw = '30386 0 1611593613606 type: 128\n30386 0 1611593647006 type: 133\n';
    const { status, out } = audited('raw.txt', `# tracer: nop\n${raw}`);
    expect(status).toBe(3);
    expect(out).toContain('2 events; 2 could not be read.');
    expect(out).not.toContain('no event of KVM');
  });
});

describe('what is no trace', () => {
  test.each([
    'README.md',
    'package.json',
    'docs/diff.md',
    'docs/examples/tracefs/events/header_page',
  ])('%s', (path) => {
    const { status, stdout, stderr } = memtype(['audit', path]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`${path} is no trace: `);
  });

  test('what audit itself prints, and a capture', () => {
    for (const format of ['json', 'sarif', 'jsonl', 'csv', 'svg', 'perfetto'])
      expect(
        audited(format, memtype(['audit', 'docs/examples/trace.txt', '--format', format]).stdout)
          .status,
        format,
      ).toBe(2);
    expect(memtype(['audit', 'docs/examples/host.json']).stderr).toContain('given with --host');
  });

  test('a trace is no capture, and is said not to be one', () => {
    const { status, stderr } = memtype([
      'audit',
      'docs/examples/trace.txt',
      '--host',
      'docs/examples/trace.txt',
    ]);
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /^error: docs\/examples\/trace.txt is neither a capture .*\n {2}help: .*\n$/,
    );
  });

  test('the mark of the byte order is no event', () => {
    const { status, out } = audited('bom.txt', `\xef\xbb\xbf${TRACE}`);
    expect([status, out.includes('tracer')]).toEqual([0, false]);
  });
});

test('threads that the capture does not know have no number', () => {
  const flags = ['docs/examples/trace.txt', '--host', 'docs/examples/host.json'];
  const { stdout } = memtype(['audit', ...flags]);
  expect(stdout).toContain('One VM: 32 events');
  expect(stdout).not.toContain('VM -1');
  const { vms } = JSON.parse(memtype(['audit', ...flags, '--format', 'json']).stdout) as {
    readonly vms: readonly { readonly vm: number | null }[];
  };
  expect(vms.map(({ vm }) => vm)).toEqual([null]);
});

test('a summary without changes is a line where one is due', () => {
  const follow = new Follow();
  const audit = new Audit();
  for (const batch of batchesOf(TRACE)) audit.push(batch);
  const result = audit.result();
  expect(follow.changes(result, 1).length).toBeGreaterThan(3);
  expect(follow.changes(result, 2)).toEqual([]);
  expect(follow.changes(result, 31, true)).toEqual(['31.0 s  all  nothing has changed']);
});

test('one bad value keeps none of the others', () => {
  const { status, stdout, stderr } = memtype(
    ['spte', '-', '--paging', 'ept'],
    '860000000597cb77\n....\n6000000029c4b77\n',
  );
  expect(status).toBe(2);
  expect(stdout).toContain('frame 597c');
  expect(stdout).toContain('frame 29c4');
  expect(stderr).toContain('standard input:2:1');
});

test('binary traces that are cut say what is missing', () => {
  const cut = (name: string, share: number) => {
    const whole = gunzipSync(readFileSync(`${ROOT}src/trace/fixtures/${name}.gz`));
    const { out, err } = audited(name, whole.subarray(0, Math.floor(whole.length * share)));
    expect(out + err).not.toMatch(/-\d+ (?:is|are) left|\b0 CPUs/);
    return out + err;
  };
  expect(cut('nested61.v7.dat', 0.9)).toContain(
    'the options: the file is cut: they begin at byte 45056, and say where the records are',
  );
  expect(cut('nested61.v7.dat', 0.3)).toContain('damaged trace.dat');
  expect(cut('nested61.v6.dat', 0.9)).toContain('47 leaf entries installed');
  expect(cut('perf-plain.data', 0.5)).toContain('give the file as a whole');
  expect(cut('perf-plain.data', 0.9)).toContain('110 leaf entries installed');
});
