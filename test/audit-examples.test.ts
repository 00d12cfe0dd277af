import '../src/rules.ts';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Audit } from '../src/audit/audit.ts';
import { type AuditFinding, auditFindings } from '../src/audit/findings.ts';
import { AUDIT_FINDINGS, hasExampleFacts } from '../src/audit/kinds.ts';
import { Predictor } from '../src/audit/predict.ts';
import { parsePredictFacts } from '../src/audit/predict-facts.ts';
import { inForce, isComparable, saidByFacts } from '../src/audit/said.ts';
import { readFactsTree } from '../src/cli/facts-tree.ts';
import { exampleCommand } from '../src/report/rule-page.ts';
import { batchesOf } from './audit-batches.ts';
import { ROOT } from './console.ts';

const KINDS = Object.values(AUDIT_FINDINGS);
const EXAMPLES = `${ROOT}docs/examples/`;

interface Shown {
  readonly findings: readonly AuditFinding[];
  readonly lines: readonly string[];
}

/** What the audit finds in an example. */
function examine(code: string): Shown {
  const text = readFileSync(`${EXAMPLES}${code}.txt`, 'utf8');
  const file = `${EXAMPLES}${code}.facts.yaml`;
  const facts = existsSync(file)
    ? parsePredictFacts(readFactsTree(readFileSync(file, 'utf8'), file))
    : null;
  const said = facts === null ? [] : [saidByFacts(facts)];
  const audit = new Audit({ ...inForce(said), facts, said });
  const predictor = facts === null ? null : new Predictor(facts);
  for (const batch of batchesOf(text)) {
    audit.push(batch);
    predictor?.push(batch);
  }
  const result = audit.result();
  const told = isComparable(result) ? predictor : null;
  const standing = told?.standing(result.vms) ?? [];
  const findings = auditFindings(result, told?.result() ?? null, standing);
  return { findings, lines: text.split('\n') };
}

test('each finding of the audit has a trace, and each trace a finding', () => {
  const names = readdirSync(EXAMPLES).filter((name) => /^MT7\d\d\.txt$/.test(name));
  const codes: readonly string[] = KINDS.map((kind) => kind.code);
  expect(names.map((name) => name.slice(0, -'.txt'.length)).sort()).toEqual([...codes].sort());
  expect(new Set(codes).size).toBe(codes.length);
});

describe.each(KINDS)('the trace of $code', ({ code, severity }) => {
  test('shows it, and where', () => {
    const { findings, lines } = examine(code);
    const [found] = findings.filter((f) => f.code === code);
    expect(found?.severity).toBe(severity);
    expect(found?.text).toMatch(/^[A-Z\d].+\.$/s);
    if (found?.at == null) return;
    const line = lines[found.at.place - 1] ?? '';
    expect(line).not.toBe('');
    expect(line).not.toMatch(/^#/);
    if (found.mark !== null) expect(line).toContain(found.mark);
  });

  test('is named by its page', () => {
    const facts = `docs/examples/${code}.facts.yaml`;
    expect(existsSync(ROOT + facts)).toBe(hasExampleFacts(code));
    const command = `memtype audit docs/examples/${code}.txt`;
    const kind = KINDS.find((k) => k.code === code);
    expect(kind && exampleCommand(kind)).toBe(
      hasExampleFacts(code) ? `${command} --predict ${facts}` : command,
    );
  });

  test('says what it is', () => {
    const [first = ''] = readFileSync(`${EXAMPLES}${code}.txt`, 'utf8').split('\n');
    expect(first).toMatch(/^# (?:Synthetic:|Cut down from|Lines of) /);
  });
});

test('no example is worse than what it is for', () => {
  const worse = KINDS.flatMap(({ code, severity }) =>
    examine(code)
      .findings.filter((f) => f.severity === 'error' && f.code !== code && severity !== 'error')
      .map((f) => `${code}: ${f.code} ${f.text}`),
  );
  expect(worse).toEqual([]);
});
