import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memtype, ROOT } from './console.ts';

const scratch = mkdtempSync(join(tmpdir(), 'memtype-query-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const TRACES = ['trace', 'MT704', 'MT705'].map((name) => `docs/examples/${name}.txt`);
/** The query of the document. */
const QUERY =
  /```sql\n([\s\S]*?);\n```/.exec(readFileSync(`${ROOT}docs/audit.md`, 'utf8'))?.[1] ?? '';

/** A program that runs a query and prints rows as CSV; null: DuckDB is not here. */
function duckdb(): ((sql: string) => string) | null {
  const cwd = scratch;
  const run = (command: string, args: readonly string[]) =>
    spawnSync(command, args, { cwd, encoding: 'utf8' });
  const shell = (sql: string): string => run('duckdb', ['-csv', '-noheader', '-c', sql]).stdout;
  if (run('duckdb', ['--version']).status === 0) return shell;
  const { DUCKDB_PYTHON: python = 'python3' } = process.env;
  const program =
    'import duckdb,sys\n' +
    'say=lambda v: "" if v is None else str(v).lower() if isinstance(v,bool) else str(v)\n' +
    'for row in duckdb.sql(sys.argv[1]).fetchall(): print(",".join(say(v) for v in row))';
  if (run(python, ['-I', '-c', 'import duckdb']).status !== 0) return null;
  return (sql) => run(python, ['-I', '-c', program, sql]).stdout;
}

/** What the query means, by hand. */
function grouped(csv: string): readonly string[] {
  const [head = [], ...rows] = csv
    .trimEnd()
    .split('\r\n')
    .map((line) => line.split(','));
  const cell = (row: readonly string[], name: string): string => row[head.indexOf(name)] ?? '';
  const sums = new Map<string, number>();
  for (const row of rows.filter((r) => cell(r, 'as_id') === '0')) {
    const key = ['file', 'vm', 'memtype', 'ipat'].map((name) => cell(row, name)).join(',');
    sums.set(key, (sums.get(key) ?? 0) + Number(cell(row, 'pages')));
  }
  return [...sums].map(([key, pages]) => `${key},${pages}`).sort();
}

const EXPECTED = [
  'docs/examples/MT704.txt,,WC,true,1',
  'docs/examples/MT705.txt,,WB,false,3',
  'docs/examples/MT705.txt,,WB,true,2',
  'docs/examples/trace.txt,,UC,false,3',
  'docs/examples/trace.txt,,WB,true,1035',
];

function hasParquet(): boolean {
  const code = "import('hyparquet-writer').then(()=>0,()=>process.exit(1))";
  return spawnSync(process.execPath, ['-e', code], { cwd: ROOT }).status === 0;
}

describe('the query of the document', () => {
  let csv = '';
  beforeAll(() => {
    csv = memtype(['audit', '--format', 'csv', ...TRACES]).stdout;
    writeFileSync(join(scratch, 'regions.csv'), csv);
  });

  test('is there, and means this', () => {
    expect(QUERY).toContain("FROM 'regions.parquet'");
    expect(QUERY).toContain('GROUP BY file, vm, memtype, ipat');
    expect(grouped(csv)).toEqual(EXPECTED);
  });

  const query = duckdb();

  // Where DuckDB is not installed, the test above is all: what the query means, computed from the CSV.
  test.skipIf(query === null)('DuckDB reads the CSV', () => {
    const rows = query?.(QUERY.replace('regions.parquet', 'regions.csv'));
    expect(rows?.trimEnd().split(/\r?\n/).sort()).toEqual(EXPECTED);
  });

  test.skipIf(query === null || !hasParquet())('DuckDB reads the Parquet file', () => {
    const { status } = spawnSync(
      'sh',
      [
        '-c',
        `"${process.execPath}" dist/bin/main.js audit --format parquet ${TRACES.join(' ')} > "${join(scratch, 'regions.parquet')}"`,
      ],
      { cwd: ROOT },
    );
    expect(status).toBe(1);
    expect(query?.(QUERY).trimEnd().split(/\r?\n/).sort()).toEqual(EXPECTED);
  });
});

describe.skipIf(!hasParquet())('Parquet', () => {
  test('has the rows of the CSV, with types', async () => {
    const { parquetReadObjects } = await import('hyparquet');
    const bytes = spawnSync(
      process.execPath,
      ['dist/bin/main.js', 'audit', '--format', 'parquet', ...TRACES],
      { cwd: ROOT },
    ).stdout;
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const rows = await parquetReadObjects({ file });
    const csv = memtype(['audit', '--format', 'csv', ...TRACES]).stdout;
    const [head = '', ...lines] = csv.trimEnd().split('\r\n');
    const names = head.split(',');
    const asCsv = rows.map((row) => names.map((name) => String(row[name] ?? '')).join(','));
    expect(asCsv).toEqual(lines);
    expect(typeof rows[0]?.['gfn_start']).toBe('bigint');
  });
});
