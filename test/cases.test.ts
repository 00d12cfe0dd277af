import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { InputError } from '../src/base/diagnostic.ts';
import { readCaseFile } from '../src/cli/case-file.ts';
import { captureFrom } from '../src/doctor/capture/capture-file.ts';
import { reduce } from '../src/doctor/capture/mask.ts';
import { diagnose } from '../src/doctor/diagnosis/diagnose.ts';
import { gather } from '../src/doctor/gather.ts';
import { doctorText } from '../src/report/doctor-text.ts';
import { explainText } from '../src/report/explain-text.ts';
import { composeQuestions } from '../src/resolve/compose.ts';
import { resolve } from '../src/resolve/resolution.ts';

/** What a case expects, beside the facts. */
interface Expected {
  /** Number of the report in the list of 48; absent for a case of our own. */
  readonly report?: number;
  readonly command: 'doctor' | 'explain';
  /** The verdict that comes first; "none": there is nothing wrong with the memory types. */
  readonly code?: string;
  readonly certain?: boolean;
  /** Words of the fix of the first verdict. */
  readonly fix?: string | readonly string[];
  /** Words of the whole answer. */
  readonly says?: string | readonly string[];
  /** Words that the answer does not have. */
  readonly silent?: string | readonly string[];
  /** Words of the error, where the case is outside of what the program answers. */
  readonly error?: string;
  /** How well the public report knows its cause. */
  readonly cause: 'established' | 'suspected' | 'refuted';
  /** For a cause that is not established: words of the answer that say what would settle it. */
  readonly settles?: string | readonly string[];
}

interface Case {
  readonly name: string;
  readonly text: string;
  readonly title: string;
  readonly about: string;
  readonly url: string;
  readonly date: string;
  readonly expect: Expected;
  readonly capture?: unknown;
}

const DIRECTORY = new URL('../cases/', import.meta.url);

const CASES: readonly Case[] = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.yaml'))
  .sort()
  .map((name) => {
    const text = readFileSync(new URL(name, DIRECTORY), 'utf8');
    return { name, text, ...(parse(text) as Omit<Case, 'name' | 'text'>) };
  });

interface Answer {
  readonly code: string | null;
  readonly certain: boolean | null;
  readonly fix: string;
  readonly text: string;
}

function flat(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function words(list: string | readonly string[] | undefined): readonly string[] {
  return list === undefined ? [] : [list].flat();
}

function explained({ text, name }: Case): Answer {
  const [question] = composeQuestions(readCaseFile(text, name));
  if (question === undefined) throw new Error('no question');
  const r = resolve(question);
  const [first] = r.verdicts;
  return {
    code: first?.code ?? null,
    certain: first?.certain ?? null,
    fix: first?.fix ?? '',
    text: explainText(r, [], { width: 80 }),
  };
}

function doctored({ capture, name }: Case): Answer {
  const file = captureFrom(capture, (path, message) => ({
    severity: 'error',
    message: `${name}: ${path.join('.')}: ${message}`,
  }));
  expect([name, file.notes]).toEqual([name, []]);
  const d = diagnose(gather(reduce(file.capture)));
  const [first] = d.findings;
  return {
    code: first?.code ?? null,
    certain: first?.certain ?? null,
    fix: first?.fix ?? '',
    text: doctorText(d),
  };
}

function answered(c: Case): Answer {
  return c.expect.command === 'doctor' ? doctored(c) : explained(c);
}

describe('the public reports', () => {
  test.each(CASES.map((c) => [c.name, c] as const))('%s', (_, c) => {
    expect(c.title.length).toBeGreaterThan(8);
    expect(c.about.length).toBeGreaterThan(20);
    const { expect: expected } = c;
    if (expected === undefined) return;
    expect(['established', 'suspected', 'refuted']).toContain(expected.cause);
    expect(c.url).toMatch(/^https:\/\//);
    expect(String(c.date)).toMatch(/^20\d\d/);
    if (expected.error !== undefined) {
      expect(() => answered(c)).toThrow(InputError);
      expect(() => answered(c)).toThrow(expected.error);
      return;
    }
    const answer = answered(c);
    expect(answer.code ?? 'none').toBe(expected.code);
    if (expected.certain !== undefined) expect(answer.certain).toBe(expected.certain);
    for (const part of words(expected.fix)) expect(flat(answer.fix)).toContain(part);
    for (const part of words(expected.says)) expect(flat(answer.text)).toContain(part);
    for (const part of words(expected.silent)) expect(flat(answer.text)).not.toContain(part);
    if (expected.cause !== 'established') expect(words(expected.settles)).not.toEqual([]);
    for (const part of words(expected.settles)) expect(flat(answer.text)).toContain(part);
  });

  test('each of the 48 is there once', () => {
    const numbers = CASES.flatMap((c) => c.expect?.report ?? []).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 48 }, (_, i) => i + 1));
  });
});
