import type { SourceId } from '../cite/sources.ts';
import type { HistoryCause } from '../compare/history/attribution.ts';
import type { SideBranch, Stretch, Timeline } from '../compare/history/timeline.ts';
import { htmlList, htmlPage } from './html-parts.ts';
import { COLOURS, escaped } from './svg-parts.ts';
import { timelineChart } from './timeline-svg.ts';
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

function sourceHtml(id: SourceId): string {
  const { id: name, title } = shortSource(id);
  const url = linkOf(id);
  if (url === null) return escaped(sourceWords(id));
  return `<a href="${url}"><code>${name}</code></a> ${escaped(title)}`;
}

function causeHtml(cause: HistoryCause): string {
  const parts = partWords(cause);
  const more = parts === '' ? '' : `<br><span class="soft">${escaped(parts)}</span>`;
  return sourceHtml(cause.source) + more;
}

function typeCell({ answer }: Stretch | SideBranch): string {
  const [only, other] = answer.types;
  const colour = only === undefined || other !== undefined ? undefined : COLOURS[only];
  const fill = colour === undefined ? '' : ` class="fill" style="background:${colour}"`;
  return `<td${fill}>${escaped(typeWords(answer))}</td>`;
}

function rowHtml(row: Stretch | SideBranch): string {
  const perhaps = 'unsettled' in row && row.unsettled && row.causes.length > 0 ? 'perhaps ' : '';
  const by = row.causes.map(causeHtml).join('<br>');
  return [
    `<tr><th scope="row">${escaped(row.kernels)}</th>`,
    typeCell(row),
    `<td class="mono">${escaped(detailWords(row))}</td>`,
    `<td>${perhaps}${by}</td></tr>`,
  ].join('');
}

function tableHtml(caption: string, rows: readonly (Stretch | SideBranch)[]): readonly string[] {
  if (rows.length === 0) return [];
  const head = ['kernels', 'type', 'what KVM installs, and what is to be said of it', 'by'];
  return [
    '<div class="wide">',
    `<table><caption>${escaped(caption)}</caption>`,
    `<thead><tr>${head.map((h) => `<th scope="col">${h}</th>`).join('')}</tr></thead>`,
    '<tbody>',
    ...rows.map(rowHtml),
    '</tbody></table>',
    '</div>',
  ];
}

/** How one answer moved, as a page of its own. */
export function timelineHtml(t: Timeline): string {
  return htmlPage(`memtype: ${headline(t)}`, [
    `<h1>${escaped(headline(t))}</h1>`,
    `<p class="soft">${escaped(factWords(t))}</p>`,
    '<div class="wide">',
    timelineChart(t).trimEnd(),
    '</div>',
    ...tableHtml('Mainline: each stretch, and the commits that began it.', t.stretches),
    ...tableHtml('Beside mainline: series that took over later rules.', branchGroups(t)),
    ...htmlList(
      'What the codes say',
      t.verdicts.map(({ code, title }) => `<code>${code}</code> ${escaped(title)}`),
    ),
    ...htmlList('To decide, say', t.unknown.map(escaped)),
    ...htmlList(
      'Taken as given, because nothing was said',
      t.assumptions.map((a) => `${a.fact} ${escaped(a.value)}: ${escaped(a.why)}`),
    ),
  ]);
}
