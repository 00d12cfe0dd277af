import { describe, expect, test } from 'vitest';
import { composeQuestions } from '../resolve/compose.ts';
import { type Resolution, resolve } from '../resolve/resolution.ts';
import { explainSvg } from './explain-svg.ts';

function ask(line: string): readonly Resolution[] {
  const entries = line.split(' ').map((part) => {
    const [key = '', values = ''] = part.split('=');
    return { key, words: values.split(',').map((text) => ({ text })) };
  });
  return composeQuestions(entries).map(resolve);
}

const FOUNDING = 'cpu=intel paging=ept backing=ttm-wc guest=WC device=nosnoop';
const PICTURES: Readonly<Record<string, string>> = {
  founding: `kernel=6.8 ${FOUNDING}`,
  open: 'kernel=6.8',
  rhel: `kernel=5.14.0-503.11.1.el9_5.x86_64 ${FOUNDING}`,
  two: `kernel=6.8,6.16 ${FOUNDING}`,
  fine: 'kernel=6.16 cpu=intel paging=ept backing=ram guest=WB device=snoop self-snoop=yes',
};

const WIDTH = 760;
const ADVANCE = 7.9;

function texts(svg: string): readonly { readonly x: number; readonly text: string }[] {
  return [...svg.matchAll(/<text x="([\d.]+)"[^>]*>([^<]*)</g)].map(([, x, text = '']) => ({
    x: Number(x),
    text: text.replace(/&(?:amp|lt|gt|quot);/g, '.'),
  }));
}

/** All that is written, lines joined. */
function prose(svg: string): string {
  return texts(svg)
    .map(({ text }) => text.trim())
    .join(' ');
}

function overflowing(svg: string): readonly string[] {
  return texts(svg)
    .filter(({ x, text }) => x + Array.from(text).length * ADVANCE > WIDTH)
    .map(({ text }) => text);
}

describe.each(Object.entries(PICTURES))('the picture "%s"', (_, line) => {
  const svg = explainSvg(ask(line));

  test('is the same every time, and nothing leaves it', () => {
    expect(explainSvg(ask(line))).toBe(svg);
    expect(overflowing(svg)).toEqual([]);
    expect(texts(svg).filter(({ text }) => text.startsWith(' '))).toEqual([]);
  });

  test('says what was noted and taken as given', () => {
    const said = prose(svg).replace(/\s/g, '');
    for (const r of ask(line)) {
      for (const note of r.question.notes) expect(said).toContain(note.replace(/\s/g, ''));
      for (const a of r.assumptions) expect(said).toContain(`${a.fact}${a.value}:`);
    }
  });
});

test('an open answer says so, and which types are possible when', () => {
  const [r] = ask(PICTURES['open'] ?? '');
  const said = prose(explainSvg(r === undefined ? [] : [r]));
  expect(said).toContain(`the first of ${r?.worlds} possibilities`);
  for (const { type, when } of r?.alternatives ?? []) {
    expect(said).toContain(`${type} with ${when[0]?.fact}`);
  }
  expect(prose(explainSvg(ask(PICTURES['founding'] ?? '')))).not.toContain('possibilities');
});

test('a certain error has a red border and its fix', () => {
  const wrong = explainSvg(ask(PICTURES['founding'] ?? ''));
  expect(wrong).toContain('class="wrong"');
  expect(prose(wrong)).toContain('fix for MT101:');
  expect(explainSvg(ask(PICTURES['fine'] ?? ''))).not.toContain('class="wrong"');
});

test('a word longer than a line is broken', () => {
  const [r] = ask(PICTURES['founding'] ?? '');
  if (r === undefined) throw new Error('no answer');
  const long = 'x'.repeat(500);
  const assumption = { fact: 'guest', value: long, why: long } as const;
  const question = { ...r.question, notes: [`${long} ${long}`], subject: () => long };
  const steps = r.steps.map((s) => ({ ...s, why: long, output: long, source: long }));
  const verdicts = r.verdicts.map((v) => ({ ...v, title: long, fix: long }));
  const svg = explainSvg([{ ...r, question, steps, verdicts, assumptions: [assumption] }]);
  expect(overflowing(svg)).toEqual([]);
  expect(svg.split('x').length).toBeGreaterThan(500 * 20);
});
