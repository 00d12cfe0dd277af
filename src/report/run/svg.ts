import { ACTORS, type Actor } from '../../scenario/happening.ts';
import type { Run, RunEvent } from '../../scenario/run.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { effectiveOf } from '../../scenario/stage/effective.ts';
import { ADVANCE, COLOURS, escaped, FONT, LINE, textAt } from '../svg-parts.ts';
import { fitted } from '../wrap.ts';
import { copiesWords, readWords, resultWords, sightings, violationWords } from './words.ts';

const PAD = 12;
const LANE = 72;
const WIDTH = 1100;
const STYLE = `${FONT}.strong{font-weight:bold}.quiet{fill:#666}.lane{stroke:#ccc}.wrong{fill:#b00020;font-weight:bold}`;

interface Row {
  readonly who: Actor;
  /** A memory type, in the box. */
  readonly type: string;
  readonly lines: readonly string[];
  readonly fill: string;
  readonly isWrong: boolean;
}

function rowOf(event: RunEvent, room: number): Row {
  if (event.kind === 'stage') {
    const fill = (event.type === null ? undefined : COLOURS[event.type]) ?? '#f4f4f4';
    const mark = event.step === null ? '' : `${event.step}. `;
    const type = event.type ?? '';
    return {
      who: event.who,
      type,
      lines: fitted(mark + event.what, room, '  '),
      fill,
      isWrong: false,
    };
  }
  const type = event.type === null ? '' : effectiveOf(event.type);
  const read = readWords(event);
  const words = read === '' ? event.what : `${event.what}: ${read}`;
  const copies = copiesWords(event, true);
  const lines = [
    ...fitted(words, room, '  '),
    ...(copies === '' ? [] : fitted(`  ${copies}`, room, '    ')),
  ];
  return {
    who: event.who,
    type,
    lines,
    fill: COLOURS[type] ?? '#ffffff',
    isWrong: event.missed.length > 0,
  };
}

/** A lane for each actor, time from top to bottom. */
export function runSvg(run: Run, { title }: Scenario): string {
  const actors = (Object.keys(ACTORS) as Actor[]).filter((a) =>
    run.events.some((e) => e.who === a),
  );
  const lanes = actors.length * LANE;
  const room = Math.floor((WIDTH - 2 * PAD - lanes) / ADVANCE) - 2;
  const columns = Math.floor((WIDTH - 2 * PAD) / ADVANCE);
  const [rules] = [...run.question.rules.values()];
  const subject = rules === undefined ? '' : run.question.subject(rules);
  const head = [
    ...fitted(`${title}: ${run.program.name} ${run.program.title} on ${subject}`, columns),
    ...fitted([resultWords(run), ...run.violations.map(violationWords)].join('  '), columns, '  '),
  ];
  const parts = head.map((text, i) => textAt(PAD, 20 + i * LINE, text, 'strong'));
  let y = 20 + head.length * LINE + 8;
  parts.push(...actors.map((a, i) => textAt(PAD + i * LANE, y, a, 'strong')));
  const top = y + 6;
  y += LINE + 6;
  for (const event of run.events) {
    const row = rowOf(event, room);
    const x = PAD + actors.indexOf(row.who) * LANE;
    const height = row.lines.length * LINE;
    parts.push(
      `<rect x="${x}" y="${y - 13}" width="${LANE - 14}" height="${Math.max(14, height - 4)}" rx="3" fill="${row.fill}" stroke="${row.isWrong ? '#b00020' : '#888'}"/>`,
      textAt(x + 5, y - 1, row.type),
      ...row.lines.map((text, i) =>
        textAt(
          PAD + lanes + 8,
          y + i * LINE,
          text,
          row.isWrong && i === 0 ? 'wrong' : i > 0 ? 'quiet' : '',
        ),
      ),
    );
    y += height + 4;
  }
  const lines = actors.map((_, i) => {
    const x = PAD + i * LANE + (LANE - 14) / 2;
    return `<path d="M${x} ${top} V${y - 10}" class="lane"/>`;
  });
  const seen = sightings(run).flatMap((s) => fitted(s, columns, '  '));
  parts.push(...seen.map((text, i) => textAt(PAD, y + 8 + i * LINE, text)));
  const height = y + 8 + seen.length * LINE + PAD;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...lines,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
