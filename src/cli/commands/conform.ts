import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { InputError } from '../../base/diagnostic.ts';
import { own } from '../../base/own.ts';
import { eraOfDirectory, replayOf } from '../../conform/kvm.ts';
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
  readonly replay: Replay;
}

/** Files that stand beside the tables and are none. */
const BESIDE = /^(README.*|manifest\.json|eras\.json|.*\.md)$/;

/** The table a file holds; null: it is none. @throws InputError when it looks like one but is unknown. */
function tableOf(path: string): Table | null {
  const name = basename(path).replace(/\.gz$/, '');
  const x86 = own(X86_TABLES, name);
  if (x86 !== undefined) return x86;
  if (BESIDE.test(name) || !name.endsWith('.jsonl')) return null;
  const fn = name.split('.')[0] ?? '';
  const directory = basename(dirname(path));
  const era = eraOfDirectory(directory);
  const replay = era === null ? null : replayOf(fn, era);
  if (replay !== null) return { parse: jsonLines, replay };
  throw new InputError([
    {
      severity: 'error',
      message: `${path}: no model of "${fn}" for "${directory}"`,
      help: 'tables are <era>/<function>.jsonl, e.g. v6.16/vmx_get_mt_mask.jsonl, or those of golden/x86',
    },
  ]);
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

function replayFile(path: string, table: Table): FileResult {
  const first: Bad[] = [];
  let mismatches = 0;
  const bad = (b: Bad): void => {
    mismatches += 1;
    if (first.length < SHOWN) first.push(b);
  };
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
  for (const [i, row] of rows.entries()) {
    try {
      const replayed = table.replay(row);
      if (replayed.differences.length > 0) bad(badRow(i + 1, replayed));
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      bad({ row: i + 1, what: error.message, steps: [] });
    }
  }
  return { file: path, rows: rows.length, mismatches, first };
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
    for (const path of paths.flatMap(filesUnder)) {
      const table = tableOf(path);
      if (table === null) continue;
      const result = replayFile(path, table);
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
