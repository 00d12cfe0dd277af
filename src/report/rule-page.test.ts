import '../rules.ts';
import { expect, test } from 'vitest';
import { runRule } from '../cli/commands/rule.ts';
import { TYPE_PROPERTIES } from '../x86/properties.ts';
import { rulePages } from './rule-page.ts';

async function page(code: string): Promise<string> {
  let out = '';
  const io = {
    write: (text: string) => {
      out += text;
    },
    error: () => {},
  };
  expect(await runRule(code, 'text', io)).toBe(0);
  return out;
}

test('tables are printed as they are drawn wherever they fit', async () => {
  let tables = 0;
  for (const { id, sections } of rulePages()) {
    const drawn = sections.filter((s) => s.table === true).flatMap((s) => s.text.split('\n'));
    if (drawn.length === 0) continue;
    tables += 1;
    const lines = (await page(id)).split('\n');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    for (const line of drawn) {
      if (line.length <= 76) expect(lines, id).toContain(`    ${line}`.trimEnd());
    }
  }
  expect(tables).toBeGreaterThan(20);
});

test('the properties of the types are a table', async () => {
  const text = await page('x86/type-properties');
  for (const line of TYPE_PROPERTIES.drawing.split('\n')) expect(text).toContain(`    ${line}\n`);
});
