import type { Room } from '../cite/rule.ts';
import type { JudgedVerdict, Resolution } from '../resolve/resolution.ts';
import type { Step } from '../resolve/step.ts';
import { leafWords, policyWords } from './explain-text.ts';
import { type Block, COLOURS, FONT, LINE, textAt } from './svg-parts.ts';
import { fitted } from './wrap.ts';

/** The five deciders and the host that provides the page, in the order in which they decide. */
const ROOMS: readonly { readonly room: Room; readonly title: string }[] = [
  { room: 'firmware', title: 'firmware' },
  { room: 'guest', title: 'guest kernel' },
  { room: 'vmm', title: 'VMM' },
  { room: 'host', title: 'host Linux' },
  { room: 'kvm', title: 'KVM' },
  { room: 'cpu', title: 'CPU' },
];

const WIDTH = 760;
const LEFT = 130;
const PAD = 10;
const COLUMNS = 74;
const WIDE_COLUMNS = 92;

interface Line {
  readonly text: string;
  readonly style: string;
}

function lines(text: string, style = '', indent = ''): readonly Line[] {
  return fitted(text, COLUMNS, indent).map((line) => ({ text: line, style }));
}

/** Lines in a box, with the name of who decides beside it. `shape`: the attributes of the box. */
function box(title: string, content: readonly Line[], y: number, shape: string): Block {
  const height = content.length * LINE + PAD * 2;
  const first = y + PAD + 13;
  const svg = [
    `<rect x="${LEFT}" y="${y}" width="${WIDTH - LEFT - PAD}" height="${height}" rx="6" ${shape}/>`,
    textAt(PAD, first, title, 'room'),
    ...content.map(({ text, style }, i) => textAt(LEFT + PAD, first + i * LINE, text, style)),
  ].join('\n');
  return { svg, height };
}

function stepBlock(step: Step, y: number): Block {
  const inputs = Object.entries(step.inputs)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
  const content = [
    ...lines(inputs === '' ? step.output : `${inputs} \u2192 ${step.output}`, 'strong'),
    ...lines(step.why),
    ...lines(`${step.rule}: ${step.source}`, 'cite'),
  ];
  const title = ROOMS.find((r) => r.room === step.room)?.title ?? step.room;
  return box(title, content, y, 'class="box"');
}

function arrow(y: number): string {
  const x = LEFT + 24;
  return `<path d="M${x} ${y} v12 m-4 -5 l4 5 l4 -5" class="arrow"/>`;
}

const SHOWN_VALUES = 6;

function whenWords(when: JudgedVerdict['when']): string {
  return when
    .map(({ fact, values }) => {
      const more = values.length - SHOWN_VALUES;
      const shown = values.slice(0, SHOWN_VALUES).join(', ');
      return `${fact} ${shown}${more > 0 ? ` and ${more} more` : ''}`;
    })
    .join('; ');
}

function verdictLines(v: JudgedVerdict): readonly Line[] {
  const possible = v.certain ? '' : 'possible ';
  return [
    ...lines(`${possible}${v.severity} ${v.code}: ${v.title}`, '', '  '),
    ...(v.when.length === 0 ? [] : lines(`  if ${whenWords(v.when)}`, 'cite', '    ')),
  ];
}

function answerLines(r: Resolution): readonly Line[] {
  const grave = r.verdicts.filter((v) => v.severity !== 'info');
  const error = grave.find((v) => v.severity === 'error');
  const label = r.undefined ? 'undefined' : r.types.length > 1 ? 'undetermined' : 'effective';
  return [
    ...lines(`${label}: ${r.types.join(' or ')}`, 'strong'),
    ...r.alternatives.flatMap((a) => lines(`${a.type} with ${whenWords(a.when)}`, '', '    ')),
    ...grave.flatMap(verdictLines),
    ...(grave.length === 0 && r.types.length === 1 ? lines('no error, no warning') : []),
    ...(error === undefined ? [] : lines(`fix for ${error.code}: ${error.fix}`, '', '  ')),
    ...(r.unknown.length > 0 ? lines(`to decide: ${r.unknown.join(', ')}`, '', '  ') : []),
  ];
}

function answerBlock(r: Resolution, y: number): Block {
  const [only] = r.types;
  const fill = r.types.length === 1 ? (COLOURS[only ?? ''] ?? '#ffffff') : '#eeeeee';
  const wrong = r.verdicts.some((v) => v.severity === 'error' && v.certain);
  return box(
    'the access',
    answerLines(r),
    y,
    `class="${wrong ? 'wrong' : 'answer'}" fill="${fill}"`,
  );
}

/** Over the whole width: what the picture is of, and what is not in its boxes. */
function plainLines(content: readonly Line[], y: number): Block {
  const svg = content.map(({ text, style }, i) => textAt(PAD, y + 18 + i * LINE, text, style));
  return { svg: svg.join('\n'), height: content.length * LINE };
}

function wide(text: string, style: string): readonly Line[] {
  return fitted(text, WIDE_COLUMNS, '  ').map((line) => ({ text: line, style }));
}

function pipeline(r: Resolution, top: number): Block {
  const parts: string[] = [];
  const head = plainLines(
    [
      ...wide(`${policyWords(r)}: ${leafWords(r)}`, 'title'),
      ...r.question.notes.flatMap((note) => wide(`note: ${note}`, '')),
      ...(r.types.length > 1
        ? wide(`The steps are those of the first of ${r.worlds} possibilities.`, '')
        : []),
    ],
    top,
  );
  parts.push(head.svg);
  let y = top + 14 + head.height;
  for (const step of r.steps) {
    const block = stepBlock(step, y);
    parts.push(block.svg, arrow(y + block.height));
    y += block.height + 14;
  }
  const answer = answerBlock(r, y);
  y += answer.height;
  const given = plainLines(
    r.assumptions.length === 0
      ? []
      : [
          ...wide('Taken as given, because nothing was said:', 'cite'),
          ...r.assumptions.flatMap((a) => wide(`- ${a.fact} ${a.value}: ${a.why}`, 'cite')),
        ],
    y,
  );
  parts.push(answer.svg, given.svg);
  return { svg: parts.join('\n'), height: y + given.height + PAD * 2 - top };
}

const STYLE =
  FONT +
  '.title{font-weight:bold}.strong{font-weight:bold}.cite{fill:#555555}.room{fill:#333333}' +
  '.box{fill:#ffffff;stroke:#888888}.answer{stroke:#333333;stroke-width:2}' +
  '.wrong{stroke:#b00020;stroke-width:3}' +
  '.arrow{fill:none;stroke:#333333}';

/** The way of each resolution from the host's page to the access, drawn; one below the other. */
export function explainSvg(resolutions: readonly Resolution[]): string {
  const parts: string[] = [];
  let y = 0;
  for (const r of resolutions) {
    const block = pipeline(r, y);
    parts.push(block.svg);
    y += block.height;
  }
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="memory type, step by step">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${y}" fill="#fafafa"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}
