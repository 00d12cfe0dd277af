import { printCopies } from '../../explore/copies.ts';
import { printPath } from '../../explore/path.ts';
import type { TracedStep } from '../../explore/trace.ts';
import { ADVANCE, escaped, FONT, LINE, textAt } from '../svg-parts.ts';
import { wrap } from '../wrap.ts';
import { agentsOf, type Told } from './told.ts';
import { changedLines } from './trace-text.ts';

const LEFT = 48;
const LANE = 240;
const COPIES = 480;
const TOP = 78;
const GAP = 10;
const STYLE =
  `${FONT}.title{font-weight:bold}.quiet{fill:#666}` +
  '.lane{stroke:#bbb;stroke-dasharray:3 3}.step{fill:#1f5fa8}.row{stroke:#eee}';

interface Row {
  readonly svg: string;
  readonly height: number;
}

function rowOf(
  agents: readonly string[],
  number: number,
  step: TracedStep,
  changes: readonly string[],
  y: number,
): Row {
  const lane = Math.max(0, agents.indexOf(step.step.agent));
  const x = LEFT + lane * LANE;
  const words = wrap(step.step.text, Math.floor((LANE - 24) / ADVANCE));
  const copies = changes.flatMap((text) => wrap(text, Math.floor(COPIES / ADVANCE), '    '));
  const right = LEFT + agents.length * LANE;
  const height = Math.max(words.length, copies.length, 1) * LINE + GAP;
  const svg = [
    `<line class="row" x1="8" y1="${y}" x2="${right + COPIES}" y2="${y}"/>`,
    textAt(12, y + LINE, String(number), 'quiet'),
    `<circle class="step" cx="${x + 4}" cy="${y + LINE - 5}" r="4"><title>${escaped(
      `${step.step.rule}: ${step.step.sources.join('; ')}`,
    )}</title></circle>`,
    ...words.map((text, i) => textAt(x + 14, y + LINE * (i + 1), text)),
    ...copies.map((text, i) => textAt(right, y + LINE * (i + 1), text, 'quiet')),
  ];
  return { svg: svg.join('\n'), height };
}

/** An execution as a picture: a lane for each agent, and on the right the copies of each line where they change. */
export function traceSvg(told: Told): string {
  const { trace, title } = told;
  const agents = agentsOf(told);
  const right = LEFT + agents.length * LANE;
  const first = Object.entries(trace.initial.copies).map(
    ([line, copies]) => `${line}: ${printCopies(copies)}`,
  );
  let y = TOP + Math.max(1, first.length) * LINE + GAP;
  const rows: string[] = [];
  for (const [i, step] of trace.steps.entries()) {
    const before = i === 0 ? trace.initial : (trace.steps[i - 1] ?? trace.initial);
    const row = rowOf(agents, i + 1, step, changedLines(before, step), y);
    rows.push(row.svg);
    y += row.height;
  }
  const lanes = agents.map(
    (_, i) =>
      `<line class="lane" x1="${LEFT + i * LANE + 4}" y1="${TOP}" x2="${LEFT + i * LANE + 4}" y2="${y}"/>`,
  );
  const width = right + COPIES + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 12}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    textAt(12, 22, title, 'title'),
    textAt(12, 22 + LINE, `path ${printPath(trace.path)}`, 'quiet'),
    ...agents.map((agent, i) => textAt(LEFT + i * LANE, TOP - 8, agent, 'title')),
    textAt(right, TOP - 8, 'where each line is', 'title'),
    ...lanes,
    ...first.map((text, i) => textAt(right, TOP + LINE * (i + 1), text, 'quiet')),
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}
