import { openSync } from 'node:fs';
import { InputError, refuse } from '../../base/diagnostic.ts';
import { type CampaignPart, exitCodeOf, mergeParts } from '../../explore/campaign.ts';
import { complainTo, type Io, readText } from '../io.ts';
import type { TextOrJson } from '../route.ts';

const PART_MAX = 2 ** 30;

function readPart(file: string): CampaignPart {
  const text = readText(file, {
    what: 'shard',
    max: PART_MAX,
    open: (path) => openSync(path, 'r'),
  });
  try {
    const part = JSON.parse(text) as Partial<CampaignPart>;
    if (part.inputs !== undefined && Array.isArray(part.runs) && Array.isArray(part.troubles))
      return part as CampaignPart;
  } catch {
    // Said below.
  }
  return refuse(`${file} is not a result`, 'memtype check DIR --shard 0/8 --format json');
}

/** `memtype merge FILE...`: the shards of a campaign as the one run that they are. */
export async function runMerge(
  files: readonly string[],
  format: TextOrJson,
  io: Io,
): Promise<number> {
  try {
    const whole = mergeParts(files.map(readPart), files);
    if (typeof whole === 'string') refuse(whole);
    const count = (verdict: string): number =>
      whole.runs.filter((run) => run.verdict === verdict).length;
    if (format === 'json') io.write(`${JSON.stringify(whole, null, 2)}\n`);
    else
      io.write(
        `${whole.tests} tests, ${whole.runs.length} runs in ${files.length} shards: ` +
          `${count('pass')} passed, ${count('fail')} failed, ${count('cut')} not finished\n`,
      );
    for (const { file, message } of whole.troubles) io.error(`${file}: ${message}\n`);
    return exitCodeOf(whole);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
