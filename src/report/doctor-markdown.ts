import { printable } from '../base/diagnostic.ts';
import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { DoctorFinding } from '../doctor/findings.ts';
import { findingTitle, headline, nextStep, shownFindings } from './doctor-finding-text.ts';
import { machineRows } from './doctor-machine-text.ts';
import { detailSections, TEXT_WIDTH } from './doctor-text.ts';
import { count } from './doctor-words.ts';
import { plain } from './markdown.ts';

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;

/** UUIDs name a VM or a mediated device of somebody: the first becomes UUID-1, and so on. */
function withoutUuids(text: string): string {
  const names = new Map<string, string>();
  return text.replace(UUID, (uuid) => {
    const name = names.get(uuid.toLowerCase()) ?? `UUID-${names.size + 1}`;
    names.set(uuid.toLowerCase(), name);
    return name;
  });
}

function findingBlock(f: DoctorFinding): readonly string[] {
  const item = (name: string, text: string): readonly string[] =>
    text === '' ? [] : [`- ${name}: ${plain(text)}`];
  return [
    '',
    `### ${plain(findingTitle(f))}`,
    '',
    `**Fix.** ${plain(f.fix)}`,
    ...(f.commands ?? []).flatMap((c) => ['', '```sh', ...c.split('\n'), '```']),
    '',
    ...item('where', f.places.join('; ')),
    ...item('if', f.when),
    ...item('given', f.given),
    ...item('who', f.agents.length < 2 ? '' : f.agents.join(' <-> ')),
    ...item('what', f.text),
  ];
}

function openBlock(d: Diagnosis): readonly string[] {
  if (d.undetermined.length === 0) return [];
  const next = nextStep(d);
  return [
    '',
    '### Left open',
    '',
    ...d.undetermined.map((text) => `- ${plain(text)}`),
    ...(next === null ? [] : ['', `To know more: ${plain(next)}`]),
  ];
}

/** The title stands in HTML. */
function details(title: string, lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return [];
  return [
    '',
    `<details><summary>${title}</summary>`,
    '',
    '```text',
    ...lines.filter((line, i) => i > 0 || line !== ''),
    '```',
    '',
    '</details>',
  ];
}

function factTable(d: Diagnosis): readonly string[] {
  const rows = new Map<string, string[]>();
  let last = '';
  for (const [label, text] of machineRows(d)) {
    last = label === '' ? last : label;
    rows.set(last, [...(rows.get(last) ?? []), plain(text)]);
  }
  return [
    '',
    '### This machine',
    '',
    '| fact | value |',
    '|---|---|',
    ...[...rows].map(([label, texts]) => `| ${label} | ${texts.join('<br>')} |`),
  ];
}

/**
 * A diagnosis for a bug report, in the Markdown of code forges. Of the machine it names PIDs, PCI addresses
 * and programs of VMMs; UUIDs are replaced.
 *
 * @param version of memtype
 */
export function doctorMarkdown(d: Diagnosis, version: string): string {
  const { shown, more, remarks } = shownFindings(d);
  const { 'THIS MACHINE': _, ...sections } = detailSections(d, TEXT_WIDTH);
  const lines = [
    `**${plain(headline(d))}**`,
    ...shown.flatMap(findingBlock),
    ...(more > 0 ? ['', `${count(more, 'more possible problem')}: see --format json.`] : []),
    ...(remarks.length > 0 ? ['', ...remarks.map((title) => `- ${plain(title)}`)] : []),
    ...openBlock(d),
    ...factTable(d),
    ...Object.entries(sections).flatMap(([title, body]) =>
      details(title.slice(0, 1) + title.slice(1).toLowerCase(), body),
    ),
    '',
    `memtype ${version}, \`memtype doctor\`. A code is explained by \`memtype rule CODE\`.`,
  ];
  return withoutUuids(`${lines.map(printable).join('\n')}\n`);
}
