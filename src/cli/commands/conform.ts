import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { must } from '../../base/assert.ts';
import { InputError } from '../../base/diagnostic.ts';
import { own } from '../../base/own.ts';
import { eraOfDirectory, isTableFunction, replaysOf } from '../../conform/kvm.ts';
import { type Replay, type Replayed, type Row, RowError } from '../../conform/table.ts';
import { X86_TABLES } from '../../conform/x86.ts';
import { jsonLines } from '../../conform/x86-rows.ts';
import { complainTo, type Io } from '../io.ts';

const SHOWN = 5;

interface Bad {
  readonly row: number;
  readonly what: string;
  readonly steps: readonly string[];
}

interface FileResult {
  readonly file: string;
  readonly rows: number;
  readonly mismatches: number;
  /** The first few. */
  readonly first: readonly Bad[];
}

interface Table {
  readonly parse: (text: string) => readonly Row[];
  /** One for each reading of what the table is about. */
  readonly replays: readonly Replay[];
}

/** Files that stand beside the tables and are none. */
const BESIDE = /^(README.*|manifest\.json|eras\.json|.*\.md)$/;

function noTable(message: string): never {
  throw new InputError([
    {
      severity: 'error',
      message,
      help: 'tables are <era>/<function>.jsonl, e.g. v6.16/vmx_get_mt_mask.jsonl, or those of vectors/x86',
    },
  ]);
}

/** "xen.heldout.jsonl" is another table of the kind of "xen.jsonl". */
const NAME = /^([^.]+)(?:\..*)?\.(jsonl|json|txt)$/;

/** The table a file holds; null: it is none. @throws InputError when it looks like one but is unknown. */
function tableOf(path: string): Table | null {
  const name = basename(path).replace(/\.gz$/, '');
  if (BESIDE.test(name)) return null;
  const [, stem = '', form = ''] = NAME.exec(name) ?? [];
  const x86 = own(X86_TABLES, `${stem}.${form}`);
  if (x86 !== undefined) return { parse: x86.parse, replays: [x86.replay] };
  const kin = Object.keys(X86_TABLES).find((known) => known.startsWith(`${stem}.`));
  if (kin !== undefined) noTable(`${path}: tables of this name are read as ${kin}`);
  if (form !== 'jsonl') {
    if (form === 'json' && isTableFunction(stem)) {
      noTable(`${path}: tables of this name are read as ${stem}.jsonl`);
    }
    return null;
  }
  const directory = basename(dirname(resolve(path)));
  const era = eraOfDirectory(directory);
  const replays = era === null ? [] : replaysOf(stem, era);
  if (replays.length === 0) noTable(`${path}: no model of "${stem}" for "${directory}"`);
  return { parse: jsonLines, replays };
}

function filesUnder(path: string): readonly string[] {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw new InputError([
      { severity: 'error', message: `cannot read ${path}: ${(error as Error).message}` },
    ]);
  }
  if (!isDirectory) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesUnder(join(path, name)));
}

function textOf(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

function badRow(row: number, replayed: Replayed): Bad {
  const what = replayed.differences
    .map((d) => `${d.field} is ${JSON.stringify(d.want)} there, ${JSON.stringify(d.got)} here`)
    .join('; ');
  return { row, what, steps: replayed.steps };
}

/** @throws InputError when the file cannot be read, is not of its table's shape, or has no rows */
function rowsOf(path: string, table: Table): readonly Row[] {
  let rows: readonly Row[];
  try {
    rows = table.parse(textOf(path));
  } catch (error) {
    if (!(error instanceof RowError) && !(error instanceof SyntaxError)) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      throw new InputError([{ severity: 'error', message: `cannot read ${path}: ${message}` }]);
    }
    throw new InputError([{ severity: 'error', message: `${path}: ${error.message}` }]);
  }
  if (rows.length === 0) {
    throw new InputError([{ severity: 'error', message: `${path}: the table has no rows` }]);
  }
  return rows;
}

function replayRows(path: string, rows: readonly Row[], replay: Replay): FileResult {
  const first: Bad[] = [];
  let mismatches = 0;
  const bad = (b: Bad): void => {
    mismatches += 1;
    if (first.length < SHOWN) first.push(b);
  };
  for (const [i, row] of rows.entries()) {
    try {
      const replayed = replay(row);
      if (replayed.differences.length > 0) bad(badRow(i + 1, replayed));
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      bad({ row: i + 1, what: error.message, steps: [] });
    }
  }
  return { file: path, rows: rows.length, mismatches, first };
}

/** By the reading with which most rows agree: an open boundary conforms when one reading does. */
function replayFile(path: string, table: Table): FileResult {
  const rows = rowsOf(path, table);
  const [first, ...others] = table.replays.map((replay) => replayRows(path, rows, replay));
  return others.reduce(
    (best, other) => (other.mismatches < best.mismatches ? other : best),
    must(first, 'a table without a replay'),
  );
}

/** A file named on the command line must be a table; of a directory, what is none is passed over. */
function tablesUnder(path: string): readonly { readonly file: string; readonly table: Table }[] {
  const files = filesUnder(path);
  return files.flatMap((file) => {
    const table = tableOf(file);
    if (table === null && file === path) noTable(`${path}: not a golden table`);
    return table === null ? [] : [{ file, table }];
  });
}

function resultText(r: FileResult): string {
  const lines = [
    `${r.file}: ${r.rows} rows, ${r.mismatches} mismatches`,
    ...r.first.flatMap((b) => [`  row ${b.row}: ${b.what}`, ...b.steps.map((s) => `    ${s}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

/** `memtype conform PATH...`: 0 when every row agrees, 1 on a mismatch, 2 when a path is no table. */
export async function runConform(
  paths: readonly string[],
  format: 'text' | 'json',
  io: Io,
): Promise<number> {
  try {
    const results: FileResult[] = [];
    for (const { file, table } of paths.flatMap(tablesUnder)) {
      const result = replayFile(file, table);
      results.push(result);
      if (format === 'text') io.write(resultText(result));
    }
    if (results.length === 0) {
      throw new InputError([
        { severity: 'error', message: `no golden table under ${paths.join(' ')}` },
      ]);
    }
    const rows = results.reduce((n, r) => n + r.rows, 0);
    const mismatches = results.reduce((n, r) => n + r.mismatches, 0);
    const json = { schemaVersion: 1, files: results, rows, mismatches };
    if (format === 'json') io.write(`${JSON.stringify(json, null, 2)}\n`);
    else io.write(`total: ${results.length} files, ${rows} rows, ${mismatches} mismatches\n`);
    return mismatches > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
