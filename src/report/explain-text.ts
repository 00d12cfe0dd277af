import type { Flip } from '../resolve/flips.ts';
import { leafWords as wordsOfLeaf } from '../resolve/leaf-words.ts';
import type { JudgedVerdict, Resolution } from '../resolve/resolution.ts';
import type { Step } from '../resolve/step.ts';
import { labelled, table, wrap } from './wrap.ts';

export interface TextOptions {
  /** Columns: 80 for a terminal or a pipe, 72 for a mail. */
  readonly width: number;
}

/** What KVM put into its page tables, in a few words. */
export function leafWords(r: Resolution): string {
  if (r.common.leaf === null) return 'differs between the possibilities';
  return wordsOfLeaf(r.world.result.leaf);
}

/** The kernel or policy and the era its rules belong to. */
export function policyWords(r: Resolution): string {
  const { question, world } = r;
  if (question.rules.size > 1) return `${question.rules.size} possible sets of KVM rules`;
  const subject = question.subject(world.rules);
  const { vmx, svm } = world.rules;
  const era = world.paging === 'npt' ? svm.id : vmx.id;
  return subject === era || subject.startsWith(era) ? subject : `${subject} (${era})`;
}

function headline(r: Resolution): readonly string[] {
  const types = r.types.join(' or ');
  const label = r.undefined ? 'Undefined' : r.types.length > 1 ? 'Undetermined' : 'Effective type';
  const mmio = r.common.isMmio === null ? '' : r.common.isMmio ? 'host MMIO' : 'not host MMIO';
  return [
    `${label}: ${types}`,
    ...table([
      ['  KVM installs', leafWords(r)],
      ['  by the rules of', policyWords(r)],
      ...(mmio === '' ? [] : [['  kvm_is_mmio_pfn', mmio]]),
    ]),
  ];
}

function whenWords(when: JudgedVerdict['when']): string {
  return when.map(({ fact, values }) => `${fact} ${shortList(values)}`).join('; ');
}

const SHOWN_VALUES = 6;

function shortList(values: readonly string[]): string {
  if (values.length <= SHOWN_VALUES) return values.join(', ');
  return `${values.slice(0, SHOWN_VALUES - 1).join(', ')} and ${values.length - SHOWN_VALUES + 1} more`;
}

function alternatives(r: Resolution, width: number): readonly string[] {
  if (r.alternatives.length === 0) return [];
  return [
    '',
    'It is one of these:',
    ...r.alternatives.flatMap((a) =>
      labelled(`  ${a.type.padEnd(4)}`, `with ${whenWords(a.when)}`, width),
    ),
    ...labelled('  To decide, say: ', r.unknown.join(', '), width),
  ];
}

function verdictLines(
  v: JudgedVerdict,
  before: readonly JudgedVerdict[],
  width: number,
): readonly string[] {
  const same = before.find((b) => b.fix === v.fix);
  const possible = v.certain ? '' : 'possible ';
  return [
    '',
    ...wrap(`${possible}${v.severity} ${v.code}: ${v.title}`, width, '  '),
    ...(v.certain || v.when.length === 0 ? [] : labelled('  if    ', whenWords(v.when), width)),
    ...labelled('  fix   ', same === undefined ? v.fix : `as for ${same.code}`, width),
    ...labelled('  who   ', v.agents.join(' <-> '), width),
    ...labelled('  what  ', v.text, width),
  ];
}

function inputWords(step: Step): string {
  return Object.entries(step.inputs)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

function stepLines(step: Step, i: number, width: number): readonly string[] {
  const lead = `${String(i + 1).padStart(3)}. `;
  const inputs = inputWords(step);
  return [
    ...labelled(lead, `${step.room.padEnd(9)}${step.rule}`, width),
    ...labelled('     ', inputs === '' ? step.output : `${inputs} -> ${step.output}`, width),
    ...(step.why === '' ? [] : labelled('     ', step.why, width)),
    ...labelled('     [', `${step.source}]`, width),
  ];
}

function flipWords(f: Flip): string {
  const change = [
    `-> ${f.types.join(' or ')}`,
    ...(f.cured.length > 0 ? [`without ${f.cured.join(' ')}`] : []),
    ...(f.brought.length > 0 ? [`with ${f.brought.join(' ')}`] : []),
  ];
  return `${f.to} ${change.join(', ')}`;
}

function flipLines(flips: readonly Flip[], width: number): readonly string[] {
  if (flips.length === 0) return [];
  const wide = Math.max(...flips.map((f) => f.fact.length));
  return [
    '',
    'Would change if:',
    ...flips.flatMap((f) => labelled(`  ${f.fact.padEnd(wide)}  `, flipWords(f), width)),
  ];
}

function assumptionLines(r: Resolution, width: number): readonly string[] {
  if (r.assumptions.length === 0) return [];
  return [
    '',
    'Taken as given, because nothing was said:',
    ...r.assumptions.flatMap((a) => labelled(`  ${a.fact} ${a.value}: `, a.why, width)),
  ];
}

/** A resolution as text: the answer, what is wrong, why, and what would change it. */
export function explainText(r: Resolution, flips: readonly Flip[], options: TextOptions): string {
  const { width } = options;
  const shown = r.types.length > 1 ? `Why (with the first of ${r.worlds} possibilities):` : 'Why:';
  const lines = [
    ...headline(r),
    ...r.question.notes.flatMap((note) => labelled('  note: ', note, width)),
    ...alternatives(r, width),
    ...r.verdicts.flatMap((v, i) => verdictLines(v, r.verdicts.slice(0, i), width)),
    '',
    shown,
    ...r.steps.flatMap((step, i) => stepLines(step, i, width)),
    ...assumptionLines(r, width),
    ...flipLines(flips, width),
  ];
  return `${lines.join('\n')}\n`;
}

/** Several resolutions side by side, one column each. */
export function compareText(resolutions: readonly Resolution[], options: TextOptions): string {
  const head = ['', ...resolutions.map((r) => r.question.subject(r.world.rules))];
  const rows = [
    head,
    ['effective type', ...resolutions.map((r) => r.types.join('|'))],
    [
      'KVM installs',
      ...resolutions.map((r) => (r.common.leaf === null ? '(differs)' : shortLeaf(r))),
    ],
    [
      'host MMIO',
      ...resolutions.map((r) => ({ true: 'yes', false: 'no', null: '?' })[`${r.common.isMmio}`]),
    ],
    ['errors', ...resolutions.map((r) => codes(r, 'error'))],
    ['warnings', ...resolutions.map((r) => codes(r, 'warning'))],
    ['to decide', ...resolutions.map((r) => r.unknown.join(',') || '-')],
  ];
  const lines = table(rows);
  if (lines.every((line) => line.length <= options.width)) return `${lines.join('\n')}\n`;
  return `${stacked(rows).join('\n')}\n`;
}

function codes(r: Resolution, severity: 'error' | 'warning'): string {
  const found = r.verdicts.filter((v) => v.severity === severity);
  return found.map((v) => v.code + (v.certain ? '' : '?')).join(',') || '-';
}

function shortLeaf(r: Resolution): string {
  const { leaf } = r.world.result;
  if (leaf.paging === 'ept') return `${leaf.ept.memtype}${leaf.ept.ipat ? '+IPAT' : ''}`;
  return leaf.hostPat;
}

/** The same rows as one block a column, where they would not fit side by side. */
function stacked(rows: readonly (readonly string[])[]): readonly string[] {
  const columns = (rows[0]?.length ?? 1) - 1;
  return Array.from({ length: columns }, (_, i) => [
    rows[0]?.[i + 1] ?? '',
    ...table(rows.slice(1).map((row) => [`  ${row[0] ?? ''}`, row[i + 1] ?? ''])),
  ]).flatMap((block, i) => (i === 0 ? block : ['', ...block]));
}
