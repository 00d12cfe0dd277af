import type { HistoryCause } from '../compare/history/attribution.ts';
import type { SideBranch, Stretch, Timeline } from '../compare/history/timeline.ts';
import { code, link, plain, table } from './markdown.ts';
import {
  branchGroups,
  detailWords,
  factWords,
  headline,
  linkOf,
  partWords,
  shortSource,
  sourceWords,
  typeWords,
} from './timeline-words.ts';

function causeCell(cause: HistoryCause): string {
  const { id, title } = shortSource(cause.source);
  const url = linkOf(cause.source);
  const parts = partWords(cause);
  const name =
    url === null ? plain(sourceWords(cause.source)) : `${link(code(id), url)} ${plain(title)}`;
  return parts === '' ? name : `${name} (${plain(parts)})`;
}

function cells(r: Stretch | SideBranch): readonly string[] {
  const by = r.causes.map(causeCell).join('; ');
  const perhaps = 'eras' in r && r.unsettled && by !== '' ? 'perhaps ' : '';
  return [plain(r.kernels), typeWords(r.answer), plain(detailWords(r)), perhaps + by];
}

/** How one answer moved, as Markdown. */
export function timelineMarkdown(t: Timeline): string {
  const head = ['kernels', 'type', 'what KVM installs', 'by'];
  const lines = [
    `**${plain(headline(t))}**`,
    '',
    `Facts: ${plain(factWords(t))}`,
    '',
    ...table(head, t.stretches.map(cells)),
    ...(t.branches.length === 0
      ? []
      : ['', 'Beside mainline:', '', ...table(head, branchGroups(t).map(cells))]),
    ...(t.verdicts.length === 0
      ? []
      : ['', ...t.verdicts.map(({ code: id, title }) => `- ${id}: ${plain(title)}`)]),
    ...(t.unknown.length === 0 ? [] : ['', `To decide, say: ${t.unknown.join(', ')}`]),
    ...(t.assumptions.length === 0
      ? []
      : [
          '',
          'Taken as given, because nothing was said:',
          '',
          ...t.assumptions.map((a) => `- ${a.fact} ${a.value}: ${plain(a.why)}`),
        ]),
  ];
  return `${lines.join('\n')}\n`;
}
