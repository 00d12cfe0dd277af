import type { CampaignHead, CampaignRun, Trouble } from '../../explore/campaign.ts';
import type { Run } from '../../explore/check.ts';
import { traceItf } from '../../report/check/itf.ts';
import { checkJson, runJson } from '../../report/check/json.ts';
import { traceMermaid } from '../../report/check/mermaid.ts';
import { traceSvg } from '../../report/check/svg.ts';
import { runText } from '../../report/check/text.ts';
import type { Told } from '../../report/check/told.ts';
import { traceJson } from '../../report/check/trace-json.ts';
import { traceText } from '../../report/check/trace-text.ts';
import type { CheckFormat } from '../formats.ts';
import type { Io } from '../io.ts';

/** Formats that draw one execution. */
export const DRAWINGS: readonly CheckFormat[] = ['svg', 'mermaid', 'itf'];

/** One execution, in any format. */
export function drawn(told: Told, format: CheckFormat): string {
  switch (format) {
    case 'text':
      return traceText(told);
    case 'json':
      return `${JSON.stringify(traceJson(told), null, 2)}\n`;
    case 'svg':
      return traceSvg(told);
    case 'mermaid':
      return traceMermaid(told);
    case 'itf':
      return `${JSON.stringify(traceItf(told), null, 2)}\n`;
  }
}

/** A test of a campaign. */
export interface Item {
  /** Its number, from 0. */
  readonly item: number;
  readonly file: string;
}

/** Results one after the other: text as it comes, JSON at the end. */
export class Output {
  readonly #io: Io;
  readonly #format: CheckFormat;
  readonly #json: CampaignRun[] = [];
  #isFirst = true;

  constructor(io: Io, format: CheckFormat) {
    this.#io = io;
    this.#format = format;
  }

  add(item: Item, run: Run, told: Told | null): void {
    if (this.#format === 'json') this.#json.push(runJson(item, run, told));
    else if (DRAWINGS.includes(this.#format)) this.#draw(run, told);
    else this.#text(run, told);
  }

  /** What a comparison with logs says. */
  compared(lines: readonly string[]): void {
    if (lines.length > 0 && this.#format === 'text') this.#io.write(`\n${lines.join('\n')}\n`);
  }

  #text(run: Run, told: Told | null): void {
    const trace = told === null ? '' : `\n${traceText(told)}`;
    this.#io.write(`${this.#isFirst ? '' : '\n'}${runText(run)}${trace}`);
    this.#isFirst = false;
  }

  #draw(run: Run, told: Told | null): void {
    if (told === null) {
      this.#io.error(`${run.compiled.test.name}: no execution ends as the test asks\n`);
      return;
    }
    this.#io.write(drawn(told, this.#format));
  }

  end(head: CampaignHead, troubles: readonly Trouble[]): void {
    if (this.#format !== 'json') return;
    const part = { ...head, runs: this.#json, troubles };
    this.#io.write(`${JSON.stringify(checkJson(part), null, 2)}\n`);
  }
}
