import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { batchesOf } from '../../test/audit-batches.ts';
import { readFactsTree } from '../cli/facts-tree.ts';
import { SPTE_EDITIONS } from '../kvm/spte-editions.ts';
import { readSpteAs } from '../kvm/spte-reading.ts';
import { Audit, type AuditOptions, type AuditResult } from './audit.ts';
import { capturedFacts } from './captured-facts.ts';
import { editionsIn, editionsOfLeaf } from './editions.ts';
import { type AuditFinding, auditFindings } from './findings.ts';
import { inferences } from './infer.ts';
import { type Prediction, Predictor } from './predict.ts';
import { type PredictFacts, parsePredictFacts } from './predict-facts.ts';
import { inForce, isComparable, type Said, saidByFacts } from './said.ts';

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string) => readFileSync(at(path), 'utf8');
/** A run of Linux 6.12 with EPT; its facts name what is behind each memslot, and the frames. */
const TRACE = read('docs/examples/trace.txt');
const FACTS = read('docs/examples/trace.facts.yaml');
const [WITHOUT_FRAMES = ''] = FACTS.split('frames:');
const NPT = read('vectors/audit/qemu-npt-6.12/trace-vfio.txt');

const facts = (yaml: string): PredictFacts => parsePredictFacts(readFactsTree(yaml, 'facts.yaml'));

function captured(run: string): PredictFacts {
  const tree = (name: string) => readFactsTree(read(`vectors/audit/${run}/${name}`), name);
  return capturedFacts({ meta: tree('meta.json'), regions: tree('regions.json') });
}

interface Judged {
  readonly result: AuditResult;
  readonly prediction: Prediction | null;
  readonly findings: readonly AuditFinding[];
  /** Code and count of each finding. */
  readonly codes: readonly string[];
}

function judged(
  text: string,
  beside: PredictFacts | null = null,
  more: readonly Said[] = [],
  options: AuditOptions = {},
): Judged {
  const said = [...more, ...(beside === null ? [] : [saidByFacts(beside)])];
  const audit = new Audit({ ...inForce(said), facts: beside, said, ...options });
  const predictor = beside === null ? null : new Predictor(beside);
  for (const batch of batchesOf(text)) {
    audit.push(batch);
    predictor?.push(batch);
  }
  const result = audit.result();
  const told = isComparable(result) ? predictor : null;
  const prediction = told?.result() ?? null;
  const findings = auditFindings(result, prediction, told?.standing(result.vms) ?? []);
  const codes = findings.map(({ code, count }) => `${code} ${count}`);
  return { result, prediction, findings, codes };
}

describe('what memslots have, by the facts', () => {
  test('tells the founding bug without a list of frames', () => {
    expect(judged(TRACE, facts(FACTS)).codes).toEqual(['MT701 3', 'MT703 3', 'MT713 1']);
    expect(judged(TRACE, facts(WITHOUT_FRAMES)).codes).toEqual(['MT701 3', 'MT703 3', 'MT713 1']);
    const untracked = WITHOUT_FRAMES.replace(
      'backing: vgem-wc',
      'backing: ram, host-memtype: WC, vmm-mapping: WC',
    );
    expect(judged(TRACE, facts(untracked)).codes).toContain('MT701 3');
  });

  test('counts for less than a frame that is named, and for more than all others', () => {
    const named = `${WITHOUT_FRAMES}frames: [{pfn: 0x597c, count: 98, memtype: WB}]\nother-frames: ram\n`;
    expect(judged(TRACE, facts(named)).codes).toEqual(['MT701 2', 'MT703 3', 'MT713 1']);
  });

  test.each([
    ['bochs-ept-7.3-ivb', 'trace-base', ['MT701 3', 'MT703 3', 'MT713 1']],
    // From the mark on the quirk is disabled: the guest PAT rules, and what it asks for VGA is cacheable.
    ['bochs-ept-6.12-skx', 'trace-nopat', ['MT703 3']],
    ['qemu-npt-6.12', 'trace-vfio', []],
  ])('%s %s', (run, trace, codes) => {
    const text = read(`vectors/audit/${run}/${trace}.txt`);
    const graver = judged(text, captured(run)).codes.filter((code) => !code.startsWith('MT707'));
    expect(graver).toEqual(codes);
  });
});

describe('a trace of kvm_tdp_mmu_spte_changed alone', () => {
  const alone = TRACE.replace(/.*kvm_mmu_set_spte.*\n/g, '');

  test('is judged by new_spte as one with kvm_mmu_set_spte is', () => {
    const beside = facts(FACTS);
    const both = judged(TRACE, beside);
    const one = judged(alone, beside);
    expect(one.result.sptes).toBe(16);
    expect(one.prediction).toMatchObject({ entries: 16, predicted: 16, mismatched: 0 });
    expect(one.prediction?.rows).toEqual(both.prediction?.rows);
    expect(one.codes).toEqual(both.codes);
    const kinds = ({ result }: Judged) => result.counts.map((c) => [c.memtype, c.ipat, c.installs]);
    expect(kinds(one)).toEqual(kinds(both));
    const wrong = facts(FACTS.replace('backing: bar}', 'backing: ram}'));
    expect(judged(alone, wrong).prediction?.mismatched).toBe(3);
  });

  test('a change of permissions is no further entry', () => {
    const [first = ''] = alone.split('\n').filter((line) => line.includes('spte_changed'));
    const later = first
      .replace('old_spte 8000000000000000 ', 'old_spte 8600000002beeb77 ')
      .replace('new_spte 8600000002beeb77', 'new_spte 8600000002beeb75');
    expect(later).not.toBe(first);
    expect(judged(`${alone}${later}\n`).result.sptes).toBe(16);
  });
});

describe('what is said of the host, against the entries', () => {
  const said = (kernel: string) => facts(FACTS.replace('6.12.113+deb12-amd64', kernel));

  test.each([
    ['5.4.0', 'The facts say Linux 5.4.0, and the entries are of Linux 6.11 to 7.1.'],
    ['6.8', 'The facts say Linux 6.8, and the entries are of Linux 6.11 to 7.1.'],
    ['9.9', 'The facts say Linux 9.9, and the entries are of Linux 6.11 to 7.1.'],
  ])('kernel %s', (kernel, text) => {
    const found = judged(TRACE, said(kernel)).findings.filter(({ code }) => code === 'MT717');
    expect(found).toMatchObject([{ text, at: { place: 3 } }]);
  });

  test.each(['6.9', '6.12', '7.1', '5.14.0-503.el9.x86_64'])('kernel %s can be', (kernel) => {
    expect(judged(TRACE, said(kernel)).codes).not.toContain('MT717 1');
  });

  test('the software bits are those of the entries, whatever kernel is said', () => {
    const texts = (kernel: string) =>
      inferences(judged(TRACE, said(kernel)).result)
        .filter(({ about }) => about === 'software bits' || about === 'kernel')
        .map(({ text }) => text);
    const own = [
      'layout B: Linux 6.11 to 7.1',
      'these entries are possible with Linux 6.9-rc1 to before 7.2-rc1 (E8 E9 E10 E11)',
    ];
    expect(texts('6.12')).toEqual(own);
    expect(texts('5.4')).toEqual(own);
    expect(texts('9.9')).toEqual([
      ...own,
      '9.9 is newer than the newest kernel read (7.3.4): its rules are assumed unchanged',
    ]);
  });

  test('another paging mode: one finding, and nothing is made of it', () => {
    const npt = facts(
      FACTS.replace('paging: ept', 'paging: npt').replace('cpu: intel', 'cpu: amd'),
    );
    const { result, prediction, findings, codes } = judged(TRACE, npt);
    expect(result.paging).toBe('ept');
    expect(prediction).toBe(null);
    expect(codes).toEqual(['MT717 1', 'MT713 1']);
    expect(findings[0]?.text).toBe('The facts say NPT, and the entries are of EPT.');
    const option: Said = { by: 'options', paging: 'shadow', kernel: null };
    expect(judged(TRACE, null, [option]).codes).toEqual(['MT717 1', 'MT713 1']);
    const ept: Said = { by: 'capture', paging: 'ept', kernel: null };
    const [wrong] = judged(NPT, null, [ept]).findings;
    expect(wrong?.text).toMatch(/^The capture says EPT, and the entries are of page tables/);
    // As the run prints it with kvm_tdp_mmu_spte_changed on.
    const changed =
      'kvmmt-216 [000] ...1. 5.715545: kvm_tdp_mmu_spte_changed: as id 0 gfn 40000 level 1 ' +
      'old_spte 8000000000000000 new_spte 2bc4e67';
    const { findings: tdp } = judged(`${NPT}${changed}\n`, null, [option]);
    expect(tdp.find(({ code }) => code === 'MT717')?.text).toMatch(/the TDP MMU changes entries/);
  });

  test('the facts tell shadow paging from NPT', () => {
    const run = 'qemu-shadow-amd-6.1';
    const { result, codes } = judged(read(`vectors/audit/${run}/trace-remap.txt`), captured(run));
    expect(result.paging).toBe('shadow');
    expect(codes.filter((code) => code.startsWith('MT717'))).toEqual([]);
  });
});

describe('entries of two hosts', () => {
  test('have no type where they can be of EPT or of a page table', () => {
    const { result, codes } = judged(`${TRACE}${NPT}`);
    expect(codes).toContain('MT716 1');
    expect(codes.filter((code) => /MT70[45]/.test(code))).toEqual([]);
    const types = new Set(result.counts.map(({ memtype, ipat }) => `${memtype} ${ipat}`));
    expect(types).toEqual(new Set(['WB true', 'null null']));
    expect(judged(`${TRACE}${NPT}`, facts(FACTS)).prediction).toBe(null);
  });

  test('of one paging mode are told by their software bits', () => {
    const newer = read('vectors/audit/bochs-ept-7.3-ivb/trace-base.txt');
    const [found] = judged(`${TRACE}${newer}`).findings.filter(({ code }) => code === 'MT716');
    expect(found?.text).toBe('Their software bits are of several kernels out of 6.11 and later.');
  });
});

test('editions are told of leaves as the reader of one SPTE tells them', () => {
  const texts = [TRACE, NPT, read('vectors/audit/bochs-ept-6.1-skx/trace-ncdma_cdq.txt')];
  const leaves = texts.flatMap((text) =>
    batchesOf(text).flatMap((batch) =>
      Array.from({ length: batch.count }, (_, i) => ({
        isSet: batch.kind[i] === 1,
        level: batch.level[i] ?? 1,
        value: { hi: batch.valueHi[i] ?? 0, lo: batch.valueLo[i] ?? 0 },
        paging: text === NPT ? ('npt' as const) : ('ept' as const),
      })).filter(({ isSet }) => isSet),
    ),
  );
  expect(leaves.length).toBeGreaterThan(150);
  for (const { value, level, paging } of leaves) {
    const fits = SPTE_EDITIONS.filter(
      (edition) => readSpteAs(value, paging, edition, level).contradictions.length === 0,
    );
    const told = editionsIn(editionsOfLeaf(value.hi, value.lo, paging === 'ept'));
    for (const edition of fits) expect(told).toContain(edition);
  }
});

describe('stale entries', () => {
  test('were right when they were installed: with facts that never were there are none', () => {
    const wrong = facts(WITHOUT_FRAMES.replace('backing: bar}', 'backing: ram}'));
    const { prediction, codes } = judged(TRACE, wrong);
    expect(prediction?.mismatched).toBe(3);
    expect(codes.filter((code) => /MT7(?:05|11)/.test(code))).toEqual(['MT711 3']);
  });

  test('are one finding, with all memslots and types', () => {
    const run = 'bochs-ept-6.1-skx';
    const { findings } = judged(read(`vectors/audit/${run}/trace-ncdma_cdq.txt`), captured(run));
    const found = findings.filter(({ code }) => code === 'MT705');
    expect(found).toHaveLength(1);
    expect(found[0]?.text).toMatch(/^\d+ pages of elsewhere, anon4k, thp and \d more memslots/);
    expect(found[0]?.text).toMatch(/EPT WB \(\d+\), EPT WC \(\d+\)/);
    expect(found[0]?.fix).not.toContain('Add the device');
  });
});

test('what would explain a mismatch is a kernel that writes and prints such an entry', () => {
  const wrong = facts(WITHOUT_FRAMES.replace('backing: bar}', 'backing: ram}'));
  const { mismatches = [] } = judged(TRACE, wrong).prediction ?? {};
  expect(mismatches).toHaveLength(3);
  for (const { reasons } of mismatches)
    expect(reasons.filter((reason) => /2\.6|3\.\d|[45]\.\d/.test(reason))).toEqual([]);
});

describe('a clock that goes backwards', () => {
  const lines = TRACE.trimEnd().split('\n');
  const events = lines.filter((line) => !line.startsWith('#'));

  test('is told on one CPU, however small the steps are', () => {
    const { findings } = judged(events.toReversed().join('\n'));
    const [found] = findings.filter(({ code }) => code === 'MT714');
    expect(found?.at?.place).toBeLessThan(4);
    expect(found?.count).toBeGreaterThan(10);
  });

  test('is not where CPUs print at the same time, and is where small steps add up', () => {
    const on = (cpu: number, ms: number) =>
      (events[1] ?? '').replace('[000]', `[00${cpu}]`).replace('16.399794', `16.${400 + ms}000`);
    const told = (...times: readonly (readonly [number, number])[]) =>
      judged(times.map(([cpu, ms]) => on(cpu, ms)).join('\n')).codes.includes('MT714 1');
    expect(told([0, 50], [1, 45], [0, 51], [1, 47])).toBe(false);
    expect(told([0, 50], [1, 45], [2, 43], [3, 38])).toBe(true);
    expect(told([0, 50], [0, 49], [0, 52])).toBe(true);
  });
});

test('threads that the capture does not have are of one VM without a number', () => {
  const owners = new Map([[4711, 4711]]);
  const { result } = judged(TRACE, null, [], { owners });
  expect(result.told).toBe('one');
  expect(result.vms.map(({ id }) => id)).toEqual([null]);
  const own = new Map([[179, 170]]);
  const [vm] = judged(TRACE, null, [], { owners: own }).result.vms;
  expect(vm).toMatchObject({ id: 170, sptes: 16 });
});
