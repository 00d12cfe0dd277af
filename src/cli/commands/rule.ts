import '../../rules.ts';
import { didYouMean } from '../../facts/words.ts';
import { findRulePage, pageCitations, type RulePage, rulePages } from '../../report/rule-page.ts';
import { labelled, wrap } from '../../report/wrap.ts';
import { complainTo, type Io } from '../io.ts';

const WIDTH = 80;

/** A line of a table or a decision list: as it is drawn; only where it is too long, wrapped below itself. */
function tableLine(line: string): readonly string[] {
  if (line.length + 4 <= WIDTH) return [`    ${line}`.trimEnd()];
  const lead = `    ${/^\s*(?:\d+\. )?/.exec(line)?.[0] ?? ''}`;
  return labelled(lead, line.slice(lead.length - 4), WIDTH);
}

function pageText(page: RulePage): string {
  const lines = [
    ...wrap(`${page.id}: ${page.title}`, WIDTH, '  '),
    ...page.sections.flatMap(({ name, text, table }) =>
      table === true
        ? ['', `  ${name}:`, ...text.split('\n').flatMap(tableLine)]
        : ['', ...labelled(`  ${name}: `, text, WIDTH)],
    ),
    '',
    '  sources:',
    ...pageCitations(page).flatMap((c) => labelled('    - ', c, WIDTH)),
  ];
  return `${lines.join('\n')}\n`;
}

function listText(): string {
  const lines = rulePages().flatMap((p) => labelled(`${p.id.padEnd(26)} `, p.title, WIDTH));
  return `${lines.join('\n')}\n`;
}

function pageJson(page: RulePage): object {
  return { schemaVersion: 1, ...page, citations: pageCitations(page) };
}

/** `memtype rule [CODE]`. */
export async function runRule(
  code: string | undefined,
  format: 'text' | 'json',
  io: Io,
): Promise<number> {
  if (code === undefined) {
    const json = { schemaVersion: 1, pages: rulePages() };
    io.write(format === 'json' ? `${JSON.stringify(json, null, 2)}\n` : listText());
    return 0;
  }
  const page = findRulePage(code);
  if (page === null) {
    const near = didYouMean(
      code,
      rulePages().flatMap((p) => [p.id, p.id.split('/').at(-1) ?? '']),
    );
    const help =
      near === null ? 'memtype rule lists them' : `did you mean ${near}? memtype rule lists all`;
    complainTo(io, [
      { severity: 'error', message: `no rule, era, backing or verdict "${code}"`, help },
    ]);
    return 2;
  }
  io.write(format === 'json' ? `${JSON.stringify(pageJson(page), null, 2)}\n` : pageText(page));
  return 0;
}
