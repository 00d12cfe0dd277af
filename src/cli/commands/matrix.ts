import { InputError, refuse } from '../../base/diagnostic.ts';
import { exitCodeOfMatrix, type Matrix, matrix } from '../../compare/history/matrix.ts';
import { PLATFORM_IDS, type Platform, platformsOf } from '../../compare/platforms.ts';
import { didYouMean } from '../../facts/words.ts';
import { matrixHtml } from '../../report/matrix-html.ts';
import { matrixJson } from '../../report/matrix-json.ts';
import { matrixMarkdown } from '../../report/matrix-markdown.ts';
import { matrixSvg } from '../../report/matrix-svg.ts';
import { matrixText } from '../../report/matrix-text.ts';
import type { DiffFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

const PLATFORM_DEFAULT = 'intel-ept';

function platformOf(names: readonly string[]): Platform {
  const [name = PLATFORM_DEFAULT, more] = names;
  const [platform, other] = platformsOf(name.toLowerCase());
  const help = `one of ${PLATFORM_IDS.join(' ')}`;
  if (platform === undefined) {
    const near = didYouMean(name, PLATFORM_IDS);
    refuse(`unknown platform "${name}"`, `${near === null ? '' : `did you mean ${near}? `}${help}`);
  }
  if (more !== undefined || other !== undefined) refuse('a matrix is of one platform', help);
  return platform;
}

function render(m: Matrix, format: DiffFormat): string {
  switch (format) {
    case 'text':
      return matrixText(m, { width: 80 });
    case 'mail':
      return matrixText(m, { width: 72 });
    case 'md':
      return matrixMarkdown(m);
    case 'json':
      return `${JSON.stringify(matrixJson(m), null, 2)}\n`;
    case 'svg':
      return matrixSvg(m);
    case 'html':
      return matrixHtml(m);
  }
}

/**
 * `memtype diff --matrix`: every era and proposal against every other.
 *
 * @param platforms as `--platform` names them, "a,b" being two; none: intel-ept
 */
export async function runMatrix(
  platforms: readonly string[],
  format: DiffFormat,
  io: Io,
): Promise<number> {
  try {
    const m = matrix(platformOf(platforms.flatMap((name) => name.split(','))));
    io.write(render(m, format));
    return exitCodeOfMatrix(m);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
