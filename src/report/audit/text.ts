import { count } from '../doctor-words.ts';
import { labelled, table, wrap } from '../wrap.ts';
import type { AuditReport, Damage } from './document.ts';
import { damageWords, momentWords } from './document.ts';
import { findingLines } from './finding-text.ts';
import { openQuestions, outcomeOf } from './outcome.ts';
import { installedWords, vmLines } from './vm-text.ts';

const WIDTH = 80;
/** Places of proofs, and other events, that are named. */
const SHOWN = 4;
const NAMES_SHOWN = 8;

const PAGING: Readonly<Record<string, string>> = {
  ept: 'EPT',
  npt: 'NPT',
  shadow: 'shadow paging',
  pages: 'NPT or shadow paging',
};

function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

function headline(report: AuditReport): string {
  const { findings, undetermined } = outcomeOf(report);
  const problems = findings.filter((f) => f.certain && f.severity !== 'info').length;
  if (problems > 0) return `${count(problems, 'problem')} found.`;
  return undetermined.length > 0
    ? `Undetermined: nothing wrong is seen, and ${undetermined.length} left open.`
    : 'Nothing wrong found.';
}

function sourceLine({ source, result }: AuditReport): string {
  const { file, form, bytes, lines } = source;
  const name = file === '-' ? 'standard input' : file;
  const paging = result.paging === null ? '' : `${PAGING[result.paging] ?? ''}, `;
  const length = lines === null ? size(bytes) : `${size(bytes)}, ${count(lines, 'line')}`;
  const vms = result.vms.length === 0 ? '' : `, ${count(result.vms.length, 'VM')}`;
  return `${name} (${form}, ${length}): ${paging}${count(result.events, 'event')}, ${installedWords(result.sptes)}${vms}.`;
}

function inferenceLines({ inferences, source }: AuditReport): readonly string[] {
  if (inferences.length === 0) return [];
  const lines = inferences.flatMap(({ about, text, proofs }) => {
    const places = [...new Set(proofs.map((p) => p.place))].sort((a, b) => a - b);
    const words = places
      .slice(0, SHOWN)
      .map((place) => (source.unit === 'line' ? String(place) : `0x${place.toString(16)}`));
    const more = places.length > SHOWN ? ' ...' : '';
    const by = words.length === 0 ? '' : ` (${source.unit} ${words.join(' ')}${more})`;
    return labelled(`  ${about.padEnd(14)} `, `${text}${by}`, WIDTH);
  });
  return ['', 'What follows from the entries', ...lines];
}

function gapLines({ result, source }: AuditReport): readonly string[] {
  if (result.gapCount === 0) return [];
  const shown = result.gaps.slice(0, SHOWN).map((gap) => {
    const lost = gap.lost === null ? 'how many is not said' : `${gap.lost} lost`;
    return `  ${momentWords(gap, source.unit)}: ${lost}`;
  });
  const rest = result.gapCount - shown.length;
  return ['', 'Lost events', ...shown, ...(rest > 0 ? [`  and ${rest} more: --format json`] : [])];
}

function damageLines(damage: Damage, unit: string): readonly string[] {
  const { count: times, first } = damage;
  const places = first.map(({ place }) => (unit === 'line' ? place : `0x${place.toString(16)}`));
  const shown = places.slice(0, SHOWN);
  const more = times > shown.length ? ' ...' : '';
  const where = shown.length === 0 ? '' : ` (${unit} ${shown.join(' ')}${more})`;
  return labelled('  ', damageWords(damage) + where, WIDTH);
}

/** What is open beside the findings that say so. */
function openLines(report: AuditReport): readonly string[] {
  const { source } = report;
  const lost = source.damaged.filter((d) => d.isLoss);
  const lines = [
    ...lost.flatMap((d) => damageLines(d, source.unit)),
    ...openQuestions(report)
      .slice(lost.length)
      .flatMap((text) => labelled('  ', text, WIDTH)),
  ];
  return lines.length === 0 ? [] : ['', 'Left open', ...lines];
}

function sourceLines({ source, result }: AuditReport): readonly string[] {
  const harmless = source.damaged.filter((d) => !d.isLoss);
  const damaged = harmless.flatMap((d) => damageLines(d, source.unit));
  const others = [...result.others].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const names = others.slice(0, NAMES_SHOWN).map(([name, n]) => `${name} ${n}`);
  const rest = others.length - names.length;
  const more = rest > 0 ? `, and ${rest} more` : '';
  const also =
    names.length === 0 ? [] : labelled('  other events: ', `${names.join(', ')}${more}`, WIDTH);
  const about = source.about.flatMap((line) => labelled('  ', line, WIDTH));
  const unassigned =
    result.ambiguous === 0
      ? []
      : labelled(
          '  ',
          `${count(result.ambiguous, 'change')} of entries by threads of no VM that is known: not followed`,
          WIDTH,
        );
  const all = [...about, ...damaged, ...unassigned, ...also];
  return all.length === 0 ? [] : ['', 'The trace', ...all];
}

function predictionLines({ prediction }: AuditReport): readonly string[] {
  if (prediction === null) return [];
  const { entries, predicted, open, mismatched, rows, unknown, contradictions } = prediction;
  const missing = unknown.reduce((sum, u) => sum + u.entries, 0);
  const parts = [
    `${predicted} as predicted`,
    ...(open > 0 ? [`${open} among several that the facts give`] : []),
    count(mismatched, 'mismatch', 'mismatches'),
    ...(missing > 0 ? [`${missing} not predicted`] : []),
  ];
  return [
    '',
    'Predicted from the facts',
    ...labelled('  ', `${count(entries, 'entry', 'entries')}: ${parts.join(', ')}.`, WIDTH),
    ...table(
      [
        ['  memslot', 'installed', 'entries', 'mismatches'],
        ...rows.map((row) => [
          `  ${row.slot}`,
          row.installed,
          String(row.entries),
          String(row.mismatches),
        ]),
      ],
      WIDTH,
    ),
    ...contradictions.flatMap((text) => labelled('  ', text, WIDTH)),
  ];
}

/** A trace as text of 80 columns: findings first, then what is installed, then what follows from it. */
export function auditText(report: AuditReport): string {
  const { findings, result, source } = report;
  const lines = [
    ...wrap(sourceLine(report), WIDTH, '  '),
    headline(report),
    ...findings.flatMap((f) => ['', ...findingLines(f, source.unit, WIDTH)]),
    ...openLines(report),
    ...predictionLines(report),
    ...result.vms.flatMap((vm) => ['', ...vmLines(vm, result, source.unit, WIDTH)]),
    ...inferenceLines(report),
    ...gapLines(report),
    ...sourceLines(report),
  ];
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}
