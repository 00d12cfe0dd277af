import { InputError } from '../../base/diagnostic.ts';
import { exitCodeOfTimeline, type Timeline, timeline } from '../../compare/history/timeline.ts';
import { timelineHtml } from '../../report/timeline-html.ts';
import { timelineJson } from '../../report/timeline-json.ts';
import { timelineMarkdown } from '../../report/timeline-markdown.ts';
import { timelineSvg } from '../../report/timeline-svg.ts';
import { timelineText } from '../../report/timeline-text.ts';
import { TooManyWorlds } from '../../resolve/resolution.ts';
import { type ExplainFlags, entriesOf } from '../fact-flags.ts';
import type { DiffFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

function render(t: Timeline, format: DiffFormat): string {
  switch (format) {
    case 'text':
      return timelineText(t, { width: 80 });
    case 'mail':
      return timelineText(t, { width: 72 });
    case 'md':
      return timelineMarkdown(t);
    case 'json':
      return `${JSON.stringify(timelineJson(t), null, 2)}\n`;
    case 'svg':
      return timelineSvg(t);
    case 'html':
      return timelineHtml(t);
  }
}

/** `memtype diff --timeline`: how the answer to one set of facts moved, kernel by kernel. */
export async function runTimeline(
  flags: ExplainFlags,
  file: string | undefined,
  format: DiffFormat,
  io: Io,
): Promise<number> {
  try {
    const t = timeline(await entriesOf(flags, file));
    io.write(render(t, format));
    return exitCodeOfTimeline(t);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return error instanceof TooManyWorlds ? 3 : 2;
  }
}
