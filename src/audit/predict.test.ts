import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { batchesOf } from '../../test/audit-batches.ts';
import { InputError, renderDiagnostic } from '../base/diagnostic.ts';
import { readFactsTree } from '../cli/facts-tree.ts';
import { Audit } from './audit.ts';
import { capturedFacts, capturedKind } from './captured-facts.ts';
import { auditFindings } from './findings.ts';
import { type Prediction, Predictor } from './predict.ts';
import { type PredictFacts, parsePredictFacts } from './predict-facts.ts';

const REAL = fileURLToPath(new URL('../../vectors/audit/', import.meta.url));
const RUNS = readdirSync(REAL, { withFileTypes: true }).filter((e) => e.isDirectory());

function factsOf(run: string): PredictFacts {
  const tree = (name: string) => readFactsTree(readFileSync(`${REAL}${run}/${name}`, 'utf8'), name);
  return capturedFacts({ meta: tree('meta.json'), regions: tree('regions.json') });
}

function predicted(facts: PredictFacts, text: string, capacity?: number): Prediction {
  const predictor = new Predictor(facts);
  for (const batch of batchesOf(text, capacity)) predictor.push(batch);
  return predictor.result();
}

function scenarios(run: string): readonly string[] {
  return readdirSync(REAL + run).filter((name) => name.startsWith('trace-'));
}

describe('SPTEs of real kernels', () => {
  test('each is predicted from the facts beside the trace', () => {
    let entries = 0;
    for (const { name: run } of RUNS) {
      for (const file of scenarios(run)) {
        const text = readFileSync(`${REAL}${run}/${file}`, 'utf8');
        const found = predicted(factsOf(run), text);
        expect(found, `${run} ${file}`).toMatchObject({
          predicted: found.entries,
          mismatches: [],
          unknown: [],
          contradictions: [],
        });
        entries += found.entries;
      }
    }
    expect(entries).toBe(578);
  });

  test('it does not matter where a batch ends', () => {
    const run = 'bochs-ept-6.1-skx';
    const text = readFileSync(`${REAL}${run}/trace-ncdma_cdq.txt`, 'utf8');
    expect(predicted(factsOf(run), text, 3)).toEqual(predicted(factsOf(run), text));
  });

  test('facts that are wrong are told, and what would explain it', () => {
    const run = 'bochs-ept-6.12-skx';
    const text = readFileSync(`${REAL}${run}/trace-nopat.txt`, 'utf8').replace(
      /.*"quirk".*\n/g,
      '',
    );
    const found = predicted(factsOf(run), text);
    expect(found.mismatched).toBeGreaterThan(30);
    const [first] = found.mismatches;
    expect(first).toMatchObject({ installed: 'EPT WB', expected: ['EPT WB+IPAT'] });
    expect(first?.reasons.slice(0, 2)).toEqual([
      'noncoherent-dma yes gives it',
      'quirk-ignore-guest-pat off gives it',
    ]);
  });
});

const FACTS = `kernel: 6.1.0-56-amd64
cpu: intel
paging: ept
self-snoop: yes
noncoherent-dma: no
from-reset: yes
cr0-cd: no
maxphyaddr: 39
memslots:
  - {name: ram, gpa: 0x40000000, size: 4M, backing: ram}
`;
const SET =
  'q-1 [000] ..... 1.5: kvm_mmu_set_spte: gfn 40000 spte 6000000029c4b77 (rwxu) level 1 at 8';
const LATER =
  'q-1 [000] ..... 2.5: kvm_mmu_set_spte: gfn 40001 spte 6000000029c5b07 (rwxu) level 1 at 8';

function parsed(text: string): PredictFacts {
  return parsePredictFacts(readFactsTree(text, 'facts.yaml'));
}

describe('a file of facts', () => {
  test.each(['time: 2', 'line: 2'])('changes by %s', (when) => {
    const facts = parsed(`${FACTS}changes:\n  - {${when}, noncoherent-dma: yes}\n`);
    expect(predicted(facts, `${SET}\n${LATER}\n`)).toMatchObject({ entries: 2, predicted: 2 });
  });

  test('JSON is as good', () => {
    const json = JSON.stringify({
      kernel: '6.1',
      cpu: 'intel',
      paging: 'ept',
      'noncoherent-dma': false,
      memslots: [{ gfn: '0x40000', pages: 16, backing: 'ram' }],
    });
    expect(predicted(parsed(json), SET)).toMatchObject({ entries: 1, predicted: 1 });
  });

  test('that of the documentation is one', () => {
    const doc = fileURLToPath(new URL('../../docs/audit.md', import.meta.url));
    const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readFileSync(doc, 'utf8')) ?? [];
    const facts = parsed(yaml);
    expect(facts.slots.map((slot) => [slot.name, slot.gfnStart, slot.gfnEnd])).toEqual([
      ['ram', 0, 0x80000],
      ['blob', 0x4000000, 0x4001000],
      ['bar', 0x46000, 0x46400],
    ]);
    expect(facts).toMatchObject({ way: 'ept', vm: 1234, maxphyaddr: 39 });
    expect(facts.changes).toMatchObject([{ place: 4711 }, { time: 12.5 }]);
    expect(facts.host?.kindOf(0x597d)).toMatchObject({ kind: 'ram', memtype: 'WC' });
    expect(facts.host?.kindOf(0xa0)).toMatchObject({ kind: 'device', memtype: null });
    expect(facts.host?.kindOf(7)).toMatchObject({ kind: 'ram', memtype: 'WB' });
  });

  test('what is still mapped under facts that no longer hold is told', () => {
    const facts = parsed(`${FACTS}changes:\n  - {line: 2, noncoherent-dma: yes}\n`);
    const predictor = new Predictor(facts);
    const audit = new Audit();
    for (const batch of batchesOf(`${SET}\n${LATER}\n`)) {
      predictor.push(batch);
      audit.push(batch);
    }
    const result = audit.result();
    const standing = predictor.standing(result.vms);
    expect(standing).toMatchObject([
      { slot: 'ram', installed: 'EPT WB+IPAT', expected: ['EPT UC'], pages: 1 },
    ]);
    const codes = auditFindings(result, predictor.result(), standing).map((f) => f.code);
    expect(codes).toContain('MT705');
  });

  test('a fact that is missing is named, and nothing is guessed', () => {
    const facts = parsed(FACTS.replace('backing: ram', 'pfn-valid: yes'));
    expect(predicted(facts, SET)).toMatchObject({
      predicted: 0,
      mismatched: 0,
      unknown: [{ fact: 'zero-page', entries: 1 }],
    });
  });

  const NONCOHERENT = FACTS.replace('noncoherent-dma: no', 'noncoherent-dma: yes');
  test.each([
    ['noncoherent-dma', FACTS.replace('noncoherent-dma: no\n', '')],
    ['cr0-cd', NONCOHERENT.replace('from-reset: yes\ncr0-cd: no\n', '')],
    ['guest-mtrr', NONCOHERENT.replace('from-reset: yes\n', '')],
    ['maxphyaddr', NONCOHERENT.replace('maxphyaddr: 39\n', '')],
    ['quirk-ignore-guest-pat', FACTS.replace('6.1.0-56-amd64', '6.16')],
  ])('nor is it what a VM begins with: %s', (fact, text) => {
    expect(predicted(parsed(text), SET)).toMatchObject({
      predicted: 0,
      mismatched: 0,
      unknown: [{ fact, entries: 1 }],
    });
  });

  test('after reset CR0.CD is set, until the guest writes CR0', () => {
    const quirk = 'noncoherent-dma: yes\nquirk-cd-nw-cleared: off';
    const text = FACTS.replace('noncoherent-dma: no', quirk).replace('cr0-cd: no\n', '');
    expect(predicted(parsed(text), SET).mismatches).toMatchObject([
      { installed: 'EPT WB+IPAT', expected: ['EPT UC+IPAT'] },
    ]);
    const cleared = 'q-1 [000] ..... 1.4: kvm_cr: cr_write 0 = 0x80050033';
    expect(predicted(parsed(text), `${cleared}\n${SET}`).mismatches).toMatchObject([
      { installed: 'EPT WB+IPAT', expected: ['EPT UC'] },
    ]);
    expect(parsed(text).facts).toMatchObject({ 'cr0-cd': true });
    expect(parsed(FACTS).facts).toMatchObject({ 'cr0-cd': false });
  });

  test.each([
    [FACTS.replace('backing: ram', 'backing: rom'), 'unknown backing "rom"', 10],
    [FACTS.replace('self-snoop: yes', 'self-snop: yes'), 'unknown key "self-snop"', 4],
    [FACTS.replace('paging: ept', 'paging: epf'), 'unknown paging "epf"', 3],
    [FACTS.replace('size: 4M', 'size: four'), 'not a size: "four"', 10],
    [FACTS.replace('kernel: 6.1.0-56-amd64\n', ''), 'the facts name no kernel and no policy', 1],
    [`${FACTS}changes:\n  - {noncoherent-dma: yes}\n`, 'a change needs line, offset or time', 12],
    [
      `${FACTS}quirk-ignore-guest-pat: maybe\n`,
      'not a value of quirk-ignore-guest-pat: "maybe"',
      11,
    ],
    [`${FACTS}cpu: amd\n`, '"cpu" is said twice', 11],
  ])('what is wrong is shown in its place: %#', (text, message, line) => {
    let shown = '';
    try {
      parsed(text);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      shown = error.diagnostics.map(renderDiagnostic).join('\n');
    }
    expect(shown).toContain(message);
    expect(shown).toContain(`facts.yaml:${line}:`);
    expect(shown).toContain('^');
  });

  test('the files of a capture are known from what is in them', () => {
    const kind = (text: string) => capturedKind(readFactsTree(text, 'x.json'));
    expect(kind(readFileSync(`${REAL}qemu-npt-6.12/meta.json`, 'utf8'))).toBe('meta');
    expect(kind(readFileSync(`${REAL}qemu-npt-6.12/regions.json`, 'utf8'))).toBe('regions');
    expect(kind(FACTS)).toBe(null);
  });
});
