import type { Room } from '../cite/rule.ts';
import type { Resolution } from '../resolve/resolution.ts';
import type { Step } from '../resolve/step.ts';
import { leafWords, policyWords } from './explain-text.ts';
import { wrap } from './wrap.ts';

/** The five deciders and the host that provides the page, in the order in which they decide. */
const ROOMS: readonly { readonly room: Room; readonly title: string }[] = [
  { room: 'firmware', title: 'firmware' },
  { room: 'guest', title: 'guest kernel' },
  { room: 'vmm', title: 'VMM' },
  { room: 'host', title: 'host Linux' },
  { room: 'kvm', title: 'KVM' },
  { room: 'cpu', title: 'CPU' },
];

/** Fill and ink per type: told apart without colour by the letters. */
const COLOURS: Readonly<Record<string, string>> = {
  WB: '#cfe3f7',
  WT: '#d9ead3',
  WP: '#d9ead3',
  WC: '#fff2cc',
  'WC+': '#fff2cc',
  UC: '#f4cccc',
  'UC-': '#f4cccc',
  CD: '#f4cccc',
};

const WIDTH = 760;
const LEFT = 130;
const LINE = 17;
const PAD = 10;
const COLUMNS = 74;

function escaped(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}

function textAt(x: number, y: number, text: string, style = ''): string {
  return `<text x="${x}" y="${y}"${style === '' ? '' : ` class="${style}"`}>${escaped(text)}</text>`;
}

interface Block {
  readonly svg: string;
  readonly height: number;
}

function stepBlock(step: Step, y: number): Block {
  const inputs = Object.entries(step.inputs)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
  const lines: { readonly text: string; readonly style: string }[] = [
    ...wrap(inputs === '' ? step.output : `${inputs} \u2192 ${step.output}`, COLUMNS).map(
      (text) => ({
        text,
        style: 'strong',
      }),
    ),
    ...wrap(step.why, COLUMNS).map((text) => ({ text, style: '' })),
    ...wrap(`${step.rule}: ${step.source}`, COLUMNS).map((text) => ({ text, style: 'cite' })),
  ];
  const height = lines.length * LINE + PAD * 2;
  const title = ROOMS.find((r) => r.room === step.room)?.title ?? step.room;
  const svg = [
    `<rect x="${LEFT}" y="${y}" width="${WIDTH - LEFT - PAD}" height="${height}" rx="6" class="box"/>`,
    textAt(PAD, y + PAD + 13, title, 'room'),
    ...lines.map(({ text, style }, i) => textAt(LEFT + PAD, y + PAD + 13 + i * LINE, text, style)),
  ].join('\n');
  return { svg, height };
}

function arrow(y: number): string {
  const x = LEFT + 24;
  return `<path d="M${x} ${y} v12 m-4 -5 l4 5 l4 -5" class="arrow"/>`;
}

function answerBlock(r: Resolution, y: number): Block {
  const grave = r.verdicts.filter((v) => v.severity !== 'info');
  const [only] = r.types;
  const fill = r.types.length === 1 ? (COLOURS[only ?? ''] ?? '#ffffff') : '#eeeeee';
  const lines = [
    `effective: ${r.types.join(' or ')}`,
    ...grave.flatMap((v) =>
      wrap(`${v.certain ? '' : 'possible '}${v.severity} ${v.code}: ${v.title}`, COLUMNS, '  '),
    ),
    ...(grave.length === 0 && r.types.length === 1 ? ['no error, no warning'] : []),
    ...(r.unknown.length > 0 ? wrap(`to decide: ${r.unknown.join(', ')}`, COLUMNS, '  ') : []),
  ];
  const height = lines.length * LINE + PAD * 2;
  const svg = [
    `<rect x="${LEFT}" y="${y}" width="${WIDTH - LEFT - PAD}" height="${height}" rx="6" class="answer" fill="${fill}"/>`,
    textAt(PAD, y + PAD + 13, 'the access', 'room'),
    ...lines.map((text, i) =>
      textAt(LEFT + PAD, y + PAD + 13 + i * LINE, text, i === 0 ? 'strong' : ''),
    ),
  ].join('\n');
  return { svg, height };
}

function pipeline(r: Resolution, top: number): Block {
  const parts: string[] = [];
  const head = `${policyWords(r)}: ${leafWords(r)}`;
  const titles = wrap(head, COLUMNS + 8);
  titles.forEach((text, i) => {
    parts.push(textAt(PAD, top + 18 + i * LINE, text, 'title'));
  });
  let y = top + 14 + titles.length * LINE;
  for (const step of r.steps) {
    const block = stepBlock(step, y);
    parts.push(block.svg, arrow(y + block.height));
    y += block.height + 14;
  }
  const answer = answerBlock(r, y);
  parts.push(answer.svg);
  return { svg: parts.join('\n'), height: y + answer.height + PAD * 2 - top };
}

const STYLE =
  'text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1c1c1c}' +
  '.title{font-weight:bold}.strong{font-weight:bold}.cite{fill:#555555}.room{fill:#333333}' +
  '.box{fill:#ffffff;stroke:#888888}.answer{stroke:#333333;stroke-width:2}' +
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
