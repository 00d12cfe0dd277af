import { type Diagnostic, InputError } from '../../base/diagnostic.ts';
import type { Severity, VerdictCode } from '../../resolve/verdict.ts';
import type { DoctorFinding } from '../findings.ts';
import { type FleetRow, type HostRow, SHARDS_MAX, type Shard } from './fleet.ts';

/** A line of the JSON Lines that doctor prints of many hosts: a host, or a summary of so many files and of which part. */
export type FleetLine =
  | { readonly kind: 'host'; readonly row: FleetRow }
  | { readonly kind: 'summary'; readonly files: number; readonly shard: Shard | null };

type Plain = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class LineReader {
  readonly #file: string;
  readonly #line: number;

  constructor(file: string, line: number) {
    this.#file = file;
    this.#line = line;
  }

  fail(message: string): never {
    const place = { file: this.#file, line: this.#line, column: 1, length: 1 };
    const help = 'give the lines that memtype doctor --format json printed of many files';
    const diagnostic: Diagnostic = { severity: 'error', message, place, help };
    throw new InputError([diagnostic]);
  }

  object(value: unknown, what: string): Plain {
    return isObject(value) ? value : this.fail(`${what} is an object`);
  }

  string(value: unknown, what: string): string {
    return typeof value === 'string' ? value : this.fail(`"${what}" is a string`);
  }

  orNull<T>(value: unknown, read: (value: unknown) => T): T | null {
    return value === null ? null : read(value);
  }

  strings(value: unknown, what: string): readonly string[] {
    if (!Array.isArray(value)) return this.fail(`"${what}" is a list of strings`);
    return value.map((item) => this.string(item, what));
  }

  count(value: unknown, what: string): number {
    const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
    return isCount ? value : this.fail(`"${what}" is a number`);
  }

  oneOf<T>(value: unknown, words: readonly T[], what: string): T {
    return words.find((w) => w === value) ?? this.fail(`"${what}" is one of ${words.join(', ')}`);
  }
}

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'info'];

function findingFrom(r: LineReader, value: unknown): DoctorFinding {
  const f = r.object(value, 'a finding');
  const code = r.string(f['code'], 'code');
  if (!/^MT\d{3}$/.test(code)) r.fail(`"${code}" is no code of a verdict`);
  const { certain } = f;
  if (typeof certain !== 'boolean') r.fail('"certain" is true or false');
  return {
    code: code as VerdictCode,
    severity: r.oneOf(f['severity'], SEVERITIES, 'severity'),
    title: r.string(f['title'], 'title'),
    certain,
    when: r.string(f['when'], 'when'),
    given: r.string(f['given'], 'given'),
    places: r.strings(f['places'], 'places'),
    agents: r.strings(f['agents'], 'agents'),
    text: r.string(f['text'], 'text'),
    fix: r.string(f['fix'], 'fix'),
    commands: r.strings(f['commands'], 'commands'),
  };
}

const VERDICTS = ['problem', 'undetermined', 'ok'] as const;
const EXIT_CODES = [0, 1, 3] as const;

function hostFrom(r: LineReader, row: Plain): HostRow {
  const { findings } = row;
  if (!Array.isArray(findings)) return r.fail('"findings" is a list');
  return {
    verdict: r.oneOf(row['verdict'], VERDICTS, 'verdict'),
    file: r.string(row['file'], 'file'),
    exitCode: r.oneOf(row['exitCode'], EXIT_CODES, 'exitCode'),
    kernel: r.orNull(row['kernel'], (v) => r.string(v, 'kernel')),
    paging: r.orNull(row['paging'], (v) => r.string(v, 'paging')),
    eras: r.orNull(row['eras'], (v) => r.strings(v, 'eras')),
    vms: r.count(row['vms'], 'vms'),
    regions: r.count(row['regions'], 'regions'),
    findings: findings.map((f) => findingFrom(r, f)),
    undetermined: r.strings(row['undetermined'], 'undetermined'),
  };
}

/** "0/8"; null, or absent in lines of an older version: all of a list. */
function shardFrom(r: LineReader, value: unknown): Shard | null {
  if (value === null || value === undefined) return null;
  const [, index, of] = /^(\d{1,7})\/(\d{1,7})$/.exec(r.string(value, 'shard')) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  return shard.index < shard.of && shard.of <= SHARDS_MAX
    ? shard
    : r.fail('"shard" is no part: I/N');
}

/** The version of these lines that is read. */
const VERSION = 1;

/** @throws InputError with the line's number when it is no such line, or of a newer version */
export function fleetRowFrom(line: string, file: string, number: number): FleetLine {
  const r = new LineReader(file, number);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return r.fail('this line is not JSON');
  }
  const object = r.object(value, 'a line');
  const { schemaVersion } = object;
  if (schemaVersion !== VERSION) {
    r.fail(`"schemaVersion" is ${JSON.stringify(schemaVersion)}; this version reads ${VERSION}`);
  }
  const kind = r.oneOf(object['kind'], ['host', 'summary'] as const, 'kind');
  if (kind === 'summary') {
    const files = r.count(object['files'], 'files');
    return { kind, files, shard: shardFrom(r, object['shard']) };
  }
  if (object['verdict'] !== 'error') return { kind, row: hostFrom(r, object) };
  const of = r.string(object['file'], 'file');
  return { kind, row: { verdict: 'error', file: of, error: r.string(object['error'], 'error') } };
}
