import '../src/rules.ts';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { diagnosisOf, fileSource } from '../src/cli/doctor-sources.ts';
import { isListed } from '../src/doctor/capture/reads.ts';
import { DOCTOR_FINDINGS } from '../src/doctor/findings.ts';
import { doctorText } from '../src/report/doctor-text.ts';
import { exampleCommand } from '../src/report/rule-page.ts';
import { VERDICTS } from '../src/resolve/verdicts/index.ts';
import { consoleCommands, ROOT } from './console.ts';

const KINDS = Object.values(DOCTOR_FINDINGS);
const CODES: readonly string[] = KINDS.map((kind) => kind.code);

/** What no capture can settle: how a firmware, crosvm or vfio-pci was built. */
const NEVER_CERTAIN: readonly string[] = ['MT608', 'MT611', 'MT633'];

const pathOf = (code: string): string => `docs/examples/${code}.yaml`;

interface Example {
  readonly title: string;
  readonly about: string;
  readonly capture: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

function read(code: string): Example {
  return parse(readFileSync(ROOT + pathOf(code), 'utf8')) as Example;
}

test('each verdict has a command that shows it', () => {
  // That those of the resolver show it: explain.test.ts.
  for (const v of VERDICTS) expect(exampleCommand(v)).toBe(`memtype explain ${v.example}`);
  for (const v of KINDS) expect(exampleCommand(v)).toBe(`memtype doctor ${pathOf(v.code)}`);
});

test('each finding of doctor has a captured host, and each captured host a finding', () => {
  const names = readdirSync(`${ROOT}docs/examples`).filter((name) => /^MT\d+\.yaml$/.test(name));
  expect(names.map((name) => name.slice(0, -'.yaml'.length)).sort()).toEqual([...CODES].sort());
});

describe.each(CODES)('the host of %s', (code) => {
  test('shows it', async () => {
    const d = diagnosisOf(await fileSource(ROOT + pathOf(code)).read());
    const found = d.findings.filter((f) => f.code === code);
    expect(found).not.toEqual([]);
    expect(found.some((f) => f.certain)).toBe(!NEVER_CERTAIN.includes(code));
    expect(doctorText(d)).toContain(` ${code}: `);
    expect(d.facts.problems).toEqual([]);
  });

  test('says what it is', () => {
    const { title, about } = read(code);
    expect(title).toMatch(/^\S.+\S$/);
    expect(about).toMatch(/^(?:Synthetic|Cut down from|The lines|The MTRRs)\b/);
  });

  test('is what doctor could have read', () => {
    const { capture } = read(code);
    const keys = ['texts', 'lists', 'links', 'linkLists', 'bytes'].flatMap((kind) =>
      Object.keys(capture[kind] ?? {}).map((key) => (kind === 'bytes' ? key.split(' ')[0] : key)),
    );
    const odd = keys.filter((key = '') => !isListed(key) && !/^(?:trace$|monitor\/)/.test(key));
    expect(odd).toEqual([]);
  });

  test('is on its page', () => {
    const commands = consoleCommands(`docs/rules/${code}.md`);
    const shown = commands.find((c) => c.command.startsWith(`memtype doctor ${pathOf(code)}`));
    expect(shown?.expected).toContain(` ${code}: `);
  });
});
