import { kernelWords } from '../kvm/spte-editions.ts';
import { type SpteReading, spteDigits } from '../kvm/spte-reading.ts';
import { diagramLines } from './spte-diagram.ts';
import {
  apartWords,
  causesOf,
  causeWords,
  editionWords,
  meaningWords,
  originWords,
  PAGING_WORDS,
  readingWords,
  rulesOf,
  type SpteAnswer,
} from './spte-words.ts';
import { labelled, table, wrap } from './wrap.ts';

const WIDTH = 80;
const PAD = '  ';

function bitsOf(high: number, low: number): string {
  return high === low ? String(high) : `${high}:${low}`;
}

const READERS = { cpu: 'CPU', kvm: 'KVM', nobody: '-' } as const;

function fieldLines({ fields }: SpteReading): readonly string[] {
  const rows = fields.map(({ high, low, name, value, reader, says, wrong }) => [
    `${PAD}${bitsOf(high, low)}`,
    name,
    value,
    READERS[reader],
    wrong === null ? says : `! ${says}`.trim(),
  ]);
  return table([[`${PAD}bits`, 'name', 'hex', 'read by', 'says'], ...rows], WIDTH);
}

function paragraphs(label: string, texts: readonly string[]): readonly string[] {
  if (texts.length === 0) return [];
  return ['', `${PAD}${label}`, ...texts.flatMap((text) => labelled(`${PAD}- `, text, WIDTH))];
}

/** Readings that are the same but for the kernel, or NPT and shadow paging, in one line each. */
function readingLines(readings: readonly SpteReading[]): readonly string[] {
  const groups = new Map<string, SpteReading[]>();
  for (const reading of readings) {
    const key = `${PAGING_WORDS[reading.paging]}: ${readingWords(reading)}`;
    groups.set(key, [...(groups.get(key) ?? []), reading]);
  }
  return [...groups].map(([words, same]) => {
    const kernels = kernelWords(same.map(({ edition }) => edition));
    return `${words} (${kernels})`;
  });
}

function answerLines(answer: SpteAnswer): readonly string[] {
  const { value, readings, fits, question } = answer;
  const [first] = readings;
  const digits = spteDigits(value);
  if (first === undefined) return [`${digits}: nothing is known of this kernel's SPTEs`];
  const origin = originWords(answer);
  const causes = causesOf(first, question) ?? [];
  const more = readings.length > 1 ? '; others fit as well, see below' : '';
  const readAs = `${PAGING_WORDS[first.paging]}, ${editionWords(first)}${more}`;
  const title = fits
    ? `${digits}: ${PAGING_WORDS[first.paging]} ${readingWords(first)}`
    : `${digits}: no kernel in question writes this`;
  return [
    ...wrap(title, WIDTH, PAD),
    ...(origin === null ? [] : labelled(PAD, origin, WIDTH)),
    ...labelled(`${PAD}${fits ? 'read as' : 'least wrong as'}: `, readAs, WIDTH),
    ...paragraphs('What contradicts it:', first.contradictions),
    '',
    ...diagramLines(first),
    '',
    ...fieldLines(first),
    ...paragraphs('What it means:', meaningWords(first, question)),
    ...paragraphs('What makes KVM write this memory type:', causes.map(causeWords)),
    ...paragraphs('What the value alone does not tell:', first.notes),
    ...(readings.length < 2
      ? []
      : [
          ...paragraphs(
            fits ? 'All readings that fit:' : 'As wrong as that:',
            readingLines(readings),
          ),
          ...paragraphs('What tells them apart:', apartWords(readings)),
        ]),
    '',
    ...labelled(`${PAD}rules: `, rulesOf(first, answer).join(', '), WIDTH),
  ];
}

/** What `spte` prints: 80 columns. */
export function spteText(answers: readonly SpteAnswer[]): string {
  return `${answers.map((a) => answerLines(a).join('\n')).join('\n\n')}\n`;
}
