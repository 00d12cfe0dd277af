import type { Matrix, MatrixSide } from '../compare/history/matrix.ts';
import { grouped, percent } from './diff/words.ts';
import { htmlList, htmlPage } from './html-parts.ts';
import { matrixChart } from './matrix-svg.ts';
import {
  cellsOf,
  cellWords,
  headline,
  MEANING,
  missingWords,
  NEAREST,
  sameWords,
  stepsOf,
} from './matrix-words.ts';
import { escaped } from './svg-parts.ts';

/** The whole square: a cell is the same on either side of the diagonal. */
function rowHtml(m: Matrix, row: MatrixSide): string {
  const cell = cellsOf(m);
  const cells = m.sides.map((column) => {
    const found = cell(row.id, column.id);
    if (found === undefined) return '<td class="none"></td>';
    const title = escaped(cellWords(m, found));
    if (found.differing === 0) return `<td title="${title}">=</td>`;
    const share = escaped(percent(found.differing, m.points));
    return `<td title="${title}">${share}<br><span class="soft">${grouped(found.differing)}</span></td>`;
  });
  return `<tr><th scope="row">${escaped(row.id)}</th>${cells.join('')}</tr>`;
}

function tableHtml(m: Matrix): readonly string[] {
  const heads = m.sides.map(({ id }) => `<th scope="col">${escaped(id)}</th>`);
  return [
    '<div class="wide">',
    '<table class="grid">',
    '<caption>Share and number of points that differ; = means no difference at all.</caption>',
    `<thead><tr><td></td>${heads.join('')}</tr></thead>`,
    '<tbody>',
    ...m.sides.map((side) => rowHtml(m, side)),
    '</tbody></table>',
    '</div>',
  ];
}

const STYLE =
  '.grid td{text-align:right;font-size:.75rem;padding:.2rem .3rem}.grid td.none{background:var(--head)}' +
  '.grid th{font-size:.8rem;white-space:nowrap}';

/** Every policy against every other, as a page of its own. */
export function matrixHtml(m: Matrix): string {
  const body = [
    `<h1>${escaped(headline(m))}</h1>`,
    `<p class="soft">${escaped(MEANING)} ${escaped(NEAREST)}</p>`,
    '<div class="wide">',
    matrixChart(m).trimEnd(),
    '</div>',
    ...tableHtml(m),
    ...htmlList(
      'From each era to the next',
      stepsOf(m).map((c) => `${c.column} to ${c.row}: ${escaped(cellWords(m, c))}`),
    ),
    ...htmlList('The same', sameWords(m).map(escaped)),
    ...htmlList(
      'Policies',
      m.sides.map(({ id, title }) => `<code>${escaped(id)}</code> ${escaped(title)}`),
    ),
    ...htmlList('Not on this platform', missingWords(m).map(escaped)),
  ];
  return htmlPage(`memtype: ${headline(m)}`, body, STYLE);
}
