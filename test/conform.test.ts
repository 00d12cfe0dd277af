import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { runConform } from '../src/cli/commands/conform.ts';
import { ROOT } from './console.ts';

const scratch = mkdtempSync(join(tmpdir(), 'memtype-conform-'));
afterAll(() => rmSync(scratch, { recursive: true }));

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function conform(...paths: readonly string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const io = {
    write: (text: string) => {
      out += text;
    },
    error: (text: string) => {
      err += text;
    },
  };
  const status = await runConform(paths, 'text', io);
  return { status, out, err };
}

let count = 0;

/** A file in a directory of its own. */
function put(name: string, content: string | Uint8Array): string {
  count += 1;
  const path = join(scratch, `${count}`, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function golden(path: string): string {
  return gunzipSync(readFileSync(`${ROOT}vectors/${path}.gz`)).toString('utf8');
}

type Fields = Readonly<Record<string, unknown>>;

function firstRow(path: string): Fields {
  return JSON.parse(golden(path).split('\n')[0] ?? '') as Fields;
}

function without(row: Fields, field: string): Fields {
  return Object.fromEntries(Object.entries(row).filter(([key]) => key !== field));
}

const TABLES = [
  'v2.6.29/leaf_spte_memtype.jsonl',
  'v2.6.31/vmx_get_mt_mask.jsonl',
  'v3.13/vmx_get_mt_mask.jsonl',
  'v6.16/vmx_get_mt_mask.jsonl',
  'v5.2/kvm_is_mmio_pfn.jsonl',
  'v2.6.28/kvm_is_mmio_pfn.jsonl',
  'v2.6.29/kvm_mtrr_get_guest_memory_type.jsonl',
  'v4.4/kvm_mtrr_get_guest_memory_type.jsonl',
  'v6.16/quirk_caps.jsonl',
  'common/pat_mtrr_type_validity.jsonl',
] as const;

async function rowOf(table: string, row: unknown): Promise<Ran> {
  return conform(put(table, `${JSON.stringify(row)}\n`));
}

/** Fields that a row may do without: derived, a name, or one of two kinds of questions. */
const OPTIONAL = new Set(['noncoherent_dma of v2.6.31', 'id', 'queries', 'ranges']);

describe.each(TABLES)('a row of %s', (table) => {
  const row = firstRow(`kvm/${table}`);
  const fields = Object.keys(row);

  test('agrees as it is, and with a name', async () => {
    expect(await rowOf(table, row)).toMatchObject({ status: 0 });
    expect(await rowOf(table, { ...row, id: 7 })).toMatchObject({ status: 0 });
  });

  test('needs every field', async () => {
    for (const field of fields) {
      if (OPTIONAL.has(field) || OPTIONAL.has(`${field} of ${table.split('/')[0]}`)) continue;
      expect(await rowOf(table, without(row, field)), field).toMatchObject({ status: 1 });
    }
  });

  test('needs every field to be of its kind', async () => {
    for (const field of fields.filter((f) => f !== 'id')) {
      for (const value of [null, 'x', 2.5, -1, 99999999999, [], {}, [null]]) {
        const mayBeEmpty = field === 'queries' || field === 'ranges';
        if (mayBeEmpty && JSON.stringify(value) === '[]') continue;
        const ran = await rowOf(table, { ...row, [field]: value });
        expect(ran, `${field} ${JSON.stringify(value)}`).toMatchObject({ status: 1 });
      }
    }
  });

  test('has no other field', async () => {
    const ran = await rowOf(table, { ...row, host_pat: 'WC' });
    expect(ran).toMatchObject({ status: 1 });
    expect(ran.out).toContain('unknown field "host_pat"');
  });
});

describe('guest MTRRs', () => {
  const table = 'v4.4/kvm_mtrr_get_guest_memory_type.jsonl';
  const row = firstRow(`kvm/${table}`);
  const fixed = row['fixed'] as readonly string[];

  test.each<readonly [string, Fields]>([
    ['"queries" must hold objects', { queries: [null] }],
    ['"ranges" must hold objects', { ranges: [[]] }],
    ['"fixed" must have 11', { fixed: [] }],
    ['"fixed" must have 11', { fixed: [...fixed, '0x0'] }],
    ['no MTRR type', { fixed: ['0x0202020202020202', ...fixed.slice(1)] }],
    ['"var" must have 8', { var: [] }],
    ['"var" must hold pairs', { var: Array.from({ length: 8 }, () => ['0x0']) }],
    ['"maxphyaddr" must be an integer from 36', { maxphyaddr: 35 }],
    ['"maxphyaddr" must be an integer from 36', { maxphyaddr: 53 }],
    ['reserved bits', { def_type: '0x1c06' }],
    ['no MTRR type', { def_type: '0xc07' }],
    ['"def_type" must be a hexadecimal', { def_type: 'c06' }],
    ['"gfn" must be a hexadecimal', { queries: [{ gfn: 5, type: 6 }] }],
    ['above 52 address bits', { queries: [{ gfn: '0x10000000000', type: 6 }] }],
    ['without "type"', { queries: [{ gfn: '0x5' }] }],
    ['"npages" must be an integer from 1', { ranges: [{ gfn: '0x5', npages: 0, consistent: 1 }] }],
    ['neither "queries" nor "ranges"', { queries: [], ranges: [] }],
  ])('%s: %j', async (message, change) => {
    const ran = await rowOf(table, { ...row, ...change });
    expect(ran.status).toBe(1);
    expect(ran.out).toContain(message);
  });

  test('a wrong answer is named by its place', async () => {
    const ran = await rowOf(table, { ...row, queries: [{ gfn: '0x7fffff', type: 5 }] });
    expect(ran).toMatchObject({ status: 1 });
    expect(ran.out).toContain('queries[0].type is 5 there, 6 here');
  });

  test('queries alone, or ranges alone, are enough', async () => {
    expect(await rowOf(table, without(row, 'ranges'))).toMatchObject({ status: 0 });
    expect(await rowOf(table, without(row, 'queries'))).toMatchObject({ status: 0 });
  });
});

describe('legacy IOMMU domains', () => {
  const table = 'v2.6.31/vmx_get_mt_mask.jsonl';
  const row = firstRow(`kvm/${table}`);

  test('noncoherent_dma may be left out, but not contradict the domain', async () => {
    expect(await rowOf(table, without(row, 'noncoherent_dma'))).toMatchObject({ status: 0 });
    expect(await rowOf(table, { ...row, noncoherent_dma: 1 })).toMatchObject({ status: 1 });
  });

  test('no later version has them', async () => {
    expect(await rowOf('v3.13/vmx_get_mt_mask.jsonl', row)).toMatchObject({ status: 1 });
  });
});

describe('a table', () => {
  const EMPTY: readonly string[] = [...TABLES, 'x86/xen.jsonl'];
  test.each(EMPTY)('%s without rows is refused', async (table) => {
    for (const text of ['', '\n\n']) {
      const ran = await conform(put(table, text));
      expect(ran.status).toBe(2);
      expect(ran.err).toContain('no rows');
    }
  });

  test.each([
    ['x86/xen.jsonl', 'xen.heldout.jsonl'],
    ['x86/ept-combine.json', 'ept-combine.public.json'],
    ['x86/kvm61-uc-hole.txt', 'kvm61-uc-hole.mine.v2.txt'],
    ['kvm/v6.7/vmx_get_mt_mask.jsonl', 'v6.7/vmx_get_mt_mask.held.out.jsonl'],
  ])('%s may be called %s', async (path, name) => {
    const text = golden(path);
    expect(await conform(put(name, text))).toMatchObject({ status: 0 });
    expect(await conform(put(`${name}.gz`, gzipSync(text)))).toMatchObject({ status: 0 });
  });

  test.each([
    'x86/xenon.jsonl',
    'x86/xen.json',
    'v6.16/kvm_is_mmio_pfn.json',
    'v6.16/leaf_spte_memtype.jsonl',
    'v6.1/quirk_caps.jsonl',
    'common/quirk_caps.jsonl',
    'v6.11/kvm_mtrr_get_guest_memory_type.jsonl',
    'v2.4.0/vmx_get_mt_mask.jsonl',
  ])('%s is none, and is refused even among others', async (name) => {
    const path = put(name, '{}\n');
    expect(await conform(path)).toMatchObject({ status: 2 });
    expect(await conform(join(path, '..'))).toMatchObject({ status: 2 });
  });

  test('a file that is named must be one', async () => {
    const ran = await conform(`${ROOT}vectors/x86/xen.jsonl.gz`, put('notes.txt', 'none\n'));
    expect(ran).toMatchObject({ status: 2 });
  });
});

describe('a version with two readings', () => {
  const older = golden('kvm/v2.6.30/kvm_is_mmio_pfn.jsonl');
  const newer = golden('kvm/v3.13/kvm_is_mmio_pfn.jsonl');

  test('conforms to either, not to a mixture', async () => {
    expect(older).not.toBe(newer);
    const name = 'v3.12/kvm_is_mmio_pfn.jsonl';
    expect(await conform(put(name, older))).toMatchObject({ status: 0 });
    expect(await conform(put(name, newer))).toMatchObject({ status: 0 });
    expect(await conform(put(name, older + newer))).toMatchObject({ status: 1 });
    expect(await conform(put('v3.13/kvm_is_mmio_pfn.jsonl', older))).toMatchObject({ status: 1 });
  });
});
