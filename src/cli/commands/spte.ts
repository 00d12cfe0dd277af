import '../../rules.ts';
import { InputError, refuse } from '../../base/diagnostic.ts';
import { didYouMean } from '../../facts/words.ts';
import type { PagingMode } from '../../kvm/rules.ts';
import { readSpte, type SpteQuestion } from '../../kvm/spte-reading.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { spteText } from '../../report/spte-text.ts';
import type { SpteAnswer } from '../../report/spte-words.ts';
import type { SpteFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';
import { type SpteInput, type SpteList, spteArgument, spteList } from '../spte-input.ts';

export interface SpteFlags {
  readonly format: SpteFormat;
  readonly paging?: string;
  readonly kernel?: string;
  readonly level?: string;
}

const USAGE = 2;
const PAGINGS = ['ept', 'npt', 'shadow'] as const;

function pagingOf(word: string | undefined): PagingMode | null {
  if (word === undefined) return null;
  const found = PAGINGS.find((p) => p === word.toLowerCase());
  if (found !== undefined) return found;
  const near = didYouMean(word.toLowerCase(), PAGINGS);
  const help = `${near === null ? '' : `did you mean ${near}? `}one of ${PAGINGS.join(' ')}`;
  return refuse(`--paging: no paging mode "${word}"`, help);
}

function levelOf(word: string | undefined): number | null {
  if (word === undefined) return null;
  if (/^[1-5]$/.test(word)) return Number(word);
  return refuse(`--level: no level "${word}"`, '1 (4 KiB), 2 (2 MiB), 3 (1 GiB), 4 or 5');
}

/** What the line says counts; a flag that says otherwise is refused. */
function answerOf(input: SpteInput, asked: Omit<SpteQuestion, 'printed'>): SpteAnswer {
  const { origin } = input;
  const own = origin?.level ?? null;
  if (own !== null && asked.level !== null && own !== asked.level)
    refuse(`--level ${asked.level}, but the line of ${input.text} says level ${own}`);
  const question: SpteQuestion = { ...asked, level: asked.level ?? own, printed: origin };
  return { ...input, question, ...readSpte(input.value, question) };
}

async function render(answers: readonly SpteAnswer[], format: SpteFormat): Promise<string> {
  if (format === 'json') {
    const { spteJson } = await import('../../report/spte-json.ts');
    return `${JSON.stringify(spteJson(answers), null, 2)}\n`;
  }
  if (format === 'svg') {
    const { spteSvg } = await import('../../report/spte-svg.ts');
    return spteSvg(answers);
  }
  return spteText(answers);
}

function inputsOf(values: readonly string[]): SpteList {
  if (values.length === 0) refuse('no value', 'memtype spte VALUE, or - for standard input');
  if (values.filter((v) => v === '-').length > 1)
    refuse('- is given twice: there is one standard input');
  let others = 0;
  let wrong: SpteList['wrong'] = [];
  const inputs = values.flatMap((text, i) => {
    if (text !== '-') return spteArgument(text, i);
    const list = spteList();
    ({ others, wrong } = list);
    if (list.inputs.length === 0 && wrong.length > 0) throw new InputError(wrong);
    if (list.inputs.length === 0)
      refuse('no SPTE in standard input', 'a value or a line of a trace on each line');
    return list.inputs;
  });
  return { inputs, others, wrong };
}

/** `memtype spte VALUE...`: what an entry of KVM's page tables says, bit by bit. */
export async function runSpte(
  values: readonly string[],
  flags: SpteFlags,
  io: Io,
): Promise<number> {
  try {
    const asked = {
      paging: pagingOf(flags.paging),
      kernel: flags.kernel === undefined ? null : parseKernelVersion(flags.kernel),
      level: levelOf(flags.level),
    };
    const { inputs, others, wrong } = inputsOf(values);
    const answers = inputs.map((input) => answerOf(input, asked));
    io.write(await render(answers, flags.format));
    if (others > 0) io.error(`${others} line${others === 1 ? '' : 's'} without an SPTE\n`);
    if (wrong.length > 0) {
      complainTo(io, wrong);
      return USAGE;
    }
    return answers.every(({ fits }) => fits) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return USAGE;
  }
}
