import { cite, SOURCES, type SourceId } from '../../cite/sources.ts';
import { labelled } from '../../report/wrap.ts';
import type { Io } from '../io.ts';

/** `memtype sources`: every citation, with how it is known. */
export async function runSources(format: 'text' | 'json', io: Io): Promise<number> {
  const ids = Object.keys(SOURCES) as SourceId[];
  if (format === 'json') {
    const sources = ids.map((id) => ({ id, citation: cite(id), ...SOURCES[id] }));
    io.write(`${JSON.stringify({ schemaVersion: 1, sources }, null, 2)}\n`);
    return 0;
  }
  const lines = ids.flatMap((id) => [
    `${id}  [${SOURCES[id].evidence}]`,
    ...labelled('    ', cite(id), 80),
  ]);
  io.write(`${lines.join('\n')}\n`);
  return 0;
}
