import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { anyDifference, difference, REAL } from '../../../test/differences.ts';
import type { Change, Difference } from '../../compare/difference.ts';
import { rulesFor } from '../../kvm/timeline.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { composeQuestions } from '../../resolve/compose.ts';
import { resolve } from '../../resolve/resolution.ts';
import { diffHtml } from './html.ts';
import { diffJson } from './json.ts';
import { diffMail } from './mail.ts';
import { diffMarkdown } from './markdown.ts';
import { diffSchema } from './schema.ts';
import { diffSvg } from './svg.ts';
import { diffText } from './text.ts';
import { coverWords } from './words.ts';

const DIFFERENCES: readonly (readonly [string, Difference])[] = REAL.map(([a, b]) => [
  `${a} to ${b}`,
  difference(a, b),
]);

const ONCE = { numRuns: 60 };

/** Line breaks and what indents them do not count. */
const joined = (text: string): string => text.replace(/\s+/g, ' ');
const dense = (text: string): string => text.replace(/\s+/g, '');

function longest(text: string): number {
  return Math.max(...text.split('\n').map((line) => Array.from(line).length));
}

function known(d: Difference): readonly Change[] {
  return d.platforms
    .flatMap((g) => g.causes.flatMap((c) => c.changes))
    .filter((c) => !c.unknownKind);
}

/** Elements that do not nest, text outside of tags with a bare < or &. */
function malformed(markup: string, empty: readonly string[]): readonly string[] {
  const wrong: string[] = [];
  const open: string[] = [];
  const body = markup.replace(/^<!DOCTYPE html>/, '').replace(/<style>[^<]*<\/style>/, '');
  const tag = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+="[^"<]*")*)\s*(\/?)>/g;
  for (const [, close, name = '', , self] of body.matchAll(tag)) {
    if (close === '/') {
      if (open.pop() !== name) wrong.push(`</${name}>`);
    } else if (self !== '/' && !empty.includes(name)) open.push(name);
  }
  const rest = body.replace(tag, '');
  if (/[<>]/.test(rest)) wrong.push(/.{0,20}[<>].{0,20}/.exec(rest)?.[0] ?? '');
  if (/&(?!amp;|lt;|gt;|quot;)/.test(rest)) wrong.push('&');
  return [...wrong, ...open];
}

// ---- text and mail ------------------------------------------------------------------------------

describe.each(DIFFERENCES)('text and mail of %s', (_, d) => {
  it('keep to their width, and are the same every time', () => {
    for (const width of [72, 80, 120]) {
      for (const all of [false, true]) {
        const text = diffText(d, { all, width });
        expect(longest(text)).toBeLessThanOrEqual(width);
        expect(diffText(d, { all, width })).toBe(text);
      }
    }
    const mail = diffMail(d);
    expect(longest(mail)).toBeLessThanOrEqual(72);
    expect(mail).toMatch(/^[\n -~]+$/);
    expect(diffMail(d)).toBe(mail);
  });

  it('have every consequence and every condition of known kinds of page', () => {
    const short = dense(diffText(d, { all: false, width: 80 }));
    const full = dense(diffText(d, { all: true, width: 80 }));
    for (const change of known(d)) {
      expect(full).toContain(dense(coverWords(change.when)));
      for (const { text } of change.kinds.flatMap((k) => k.consequences)) {
        for (const part of text.split(/: (?=.* times )/)) expect(short).toContain(dense(part));
      }
    }
    for (const cause of d.platforms.flatMap((g) => g.causes)) {
      expect(full).toContain(dense(coverWords(cause.when)));
      if (cause.changes.every((c) => c.unknownKind)) {
        expect(short).toContain(dense(`${cause.before.rule} -> ${cause.after.rule}`));
      } else expect(short).toContain(dense(coverWords(cause.when)));
    }
  });

  it('name every user, every rule, every event, every family with its bound', () => {
    const text = dense(diffText(d, { all: false, width: 80 }));
    const mail = dense(diffMail(d));
    for (const { title } of d.users) {
      expect(text).toContain(dense(title));
      expect(mail).toContain(dense(title));
    }
    for (const { id } of d.usersUnchanged) {
      expect(text).toContain(id);
      expect(mail).toContain(id);
    }
    for (const r of d.rules)
      for (const w of [r.what, r.before, r.after]) {
        expect(text).toContain(dense(w));
        expect(mail).toContain(dense(w));
      }
    for (const e of d.existing.changes) {
      expect(text).toContain(dense(e.consequence));
      expect(mail).toContain(dense(e.consequence));
    }
    for (const f of d.families) {
      expect(text).toContain(dense(f.bound));
      expect(mail).toContain(dense(f.title));
    }
    for (const { why } of d.notCompared) {
      expect(text).toContain(dense(why));
      expect(mail).toContain(dense(why));
    }
  });
});

describe('text', () => {
  it('says what is equal', () => {
    const text = joined(diffText(difference('6.16', '6.16'), { all: false, width: 80 }));
    expect(text).toContain('No guest access gets another memory type.');
    expect(text).toMatch(/1,393,459,200 points: .*; 0 differ/);
  });

  it('has commands that can be pasted, and they show the change', () => {
    const text = diffText(difference('6.16', 'host-pat'), { all: false, width: 80 });
    const commands = text
      .replace(/ \\\n\s*/g, ' ')
      .split('\n')
      .flatMap((line) => /memtype explain (.*)$/.exec(line)?.[1] ?? []);
    expect(commands.length).toBeGreaterThan(8);
    for (const line of commands) {
      const entries = [...line.matchAll(/--([\w-]+) (\S+)/g)].map(([, key = '', value = '']) => ({
        key,
        words: value.split(',').map((word) => ({ text: word })),
      }));
      const types = composeQuestions(entries).map((q) => resolve(q).types.join());
      expect(new Set(types).size, line).toBe(2);
    }
  });

  it('leaves what no known kind of page reaches to --all, and says so', () => {
    const d = difference('6.16', 'xen');
    const short = diffText(d, { all: false, width: 80 });
    const full = diffText(d, { all: true, width: 80 });
    expect(short).toContain('No known kind of page gets into');
    expect(full.length).toBeGreaterThan(short.length);
    const changes = d.platforms.flatMap((g) => g.causes.flatMap((c) => c.changes));
    expect(full.match(/memtype explain/g)?.length).toBe(changes.length);
  });
});

// ---- JSON ---------------------------------------------------------------------------------------

describe('JSON', () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  const validate = ajv.compile(diffSchema());

  test.each(DIFFERENCES)('%s: everything of it, by the schema', (_, d) => {
    const json: unknown = JSON.parse(JSON.stringify(diffJson([d, d])));
    expect(validate(json), ajv.errorsText(validate.errors)).toBe(true);
    const plain = ({ rules: _rules, ...side }: Difference['a']): object => side;
    const whole: unknown = JSON.parse(JSON.stringify({ ...d, a: plain(d.a), b: plain(d.b) }));
    expect(json).toEqual({ schemaVersion: 1, differences: [whole, whole] });
  });

  it('is refused by the schema when a field is missing', () => {
    const d = difference('6.16', 'wc-as-mmio');
    const { users: _users, ...rest } = d;
    expect(validate(diffJson([rest as Difference]))).toBe(false);
  });
});

// ---- Markdown, SVG, HTML ------------------------------------------------------------------------

function brokenTables(markdown: string): readonly string[] {
  const lines = markdown.split('\n');
  const cells = (line: string): number => line.replace(/\\\|/g, '').split('|').length;
  return lines.filter(
    (line, i) =>
      line.startsWith('|') &&
      lines[i - 1]?.startsWith('|') &&
      cells(line) !== cells(lines[i - 1] ?? ''),
  );
}

const SVG_WIDTH = 900;
const ADVANCE = 7.9;
const TITLE_ADVANCE = 9.1;

interface Drawn {
  readonly left: number;
  readonly right: number;
  readonly y: number;
  readonly text: string;
}

function drawnTexts(svg: string): readonly Drawn[] {
  const form = /<text x="([\d.]+)" y="([\d.]+)"(?: class="(\w+)")?>([^<]*)</g;
  return [...svg.matchAll(form)].map(([, x, y, style, escaped = '']) => {
    const text = escaped.replace(/&(?:amp|lt|gt|quot);/g, '.');
    const advance = style === 'title' ? TITLE_ADVANCE : ADVANCE;
    const left = Number(x);
    return { left, right: left + Array.from(text).length * advance, y: Number(y), text };
  });
}

function overlaps(texts: readonly Drawn[]): readonly string[] {
  const sorted = texts.toSorted((p, q) => p.y - q.y || p.left - q.left);
  return sorted.flatMap((t, i) => {
    const next = sorted[i + 1];
    return next !== undefined && next.y - t.y < 12 && next.left < t.right && t.left < next.right
      ? [`${t.text} | ${next.text}`]
      : [];
  });
}

function checkPictures(d: Difference): void {
  const svg = diffSvg([d]);
  expect(malformed(svg, [])).toEqual([]);
  const texts = drawnTexts(svg);
  expect(texts.filter(({ right }) => right > SVG_WIDTH).map(({ text }) => text)).toEqual([]);
  expect(overlaps(texts)).toEqual([]);
  const html = diffHtml([d]);
  expect(malformed(html, ['meta', 'br'])).toEqual([]);
  expect(html).not.toMatch(/<script|https?:\/\/|src=/);
  for (const all of [false, true]) expect(brokenTables(diffMarkdown(d, { all }))).toEqual([]);
}

describe.each(DIFFERENCES)('pictures and pages of %s', (_, d) => {
  it('are well-formed, and nothing leaves them or overlaps', () => checkPictures(d));

  it('are the same every time, and name every user', () => {
    expect(diffSvg([d, d])).toBe(diffSvg([d, d]));
    expect(diffHtml([d])).toBe(diffHtml([d]));
    for (const { id } of d.users) {
      expect(diffHtml([d])).toContain(`<b>${id}</b>`);
      expect(diffMarkdown(d, { all: false })).toContain(`**${id}**`);
    }
  });
});

// ---- anything -----------------------------------------------------------------------------------

describe('any difference', () => {
  it('keeps to the widths', () => {
    fc.assert(
      fc.property(anyDifference, fc.boolean(), (d, all) => {
        expect(longest(diffText(d, { all, width: 80 }))).toBeLessThanOrEqual(80);
        const mail = diffMail(d);
        expect(longest(mail)).toBeLessThanOrEqual(72);
        expect(mail).toMatch(/^[\n -~]+$/);
      }),
      ONCE,
    );
  });

  it('makes well-formed pictures and pages, whatever the words in it are', () => {
    fc.assert(fc.property(anyDifference, checkPictures), ONCE);
  });
});

test('rules of a side are not printed', () => {
  const [rules] = rulesFor(parseKernelVersion('6.16'));
  expect(rules).toBeDefined();
  expect(JSON.stringify(diffJson([difference('6.16', '6.16')]))).not.toContain('"rules":{');
});
