/** A sample of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)/;

function labelsOf(text: string): { labels: Record<string, string>; rest: string } {
  const labels: Record<string, string> = {};
  let rest = text;
  for (;;) {
    if (rest.startsWith('}')) return { labels, rest: rest.slice(1) };
    const [whole, name = '', value = '', comma] = LABEL.exec(rest) ?? [];
    if (whole === undefined) throw new Error(`labels: ${rest}`);
    if (Object.hasOwn(labels, name)) throw new Error(`label ${name} twice`);
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    rest = rest.slice(whole.length);
    if (comma === '' && !rest.startsWith('}')) throw new Error(`labels: ${rest}`);
  }
}

/**
 * Every sample of a text in Prometheus' text format 0.0.4, of gauges without timestamps.
 *
 * @throws Error for what the format does not allow: no TYPE before a sample, samples of a metric in two
 * groups, a metric described twice, the same series twice, bad escapes, no line feed at the end
 */
export function parseExposition(text: string): readonly Sample[] {
  if (!text.endsWith('\n')) throw new Error('no line feed at the end');
  const samples: Sample[] = [];
  const told = { HELP: new Set<string>(), TYPE: new Set<string>() };
  const closed = new Set<string>();
  const series = new Set<string>();
  let current = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, metric = '', rest = ''] =
      /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP' || keyword === 'TYPE') {
      if (told[keyword].has(metric)) throw new Error(`${keyword} of ${metric} twice`);
      told[keyword].add(metric);
      if (keyword === 'TYPE' && rest !== 'gauge') throw new Error(`type ${rest}`);
      if (keyword === 'HELP' && /\\(?![\\n])/.test(rest)) throw new Error(`help ${rest}`);
      continue;
    }
    const [name = ''] = NAME.exec(line) ?? [];
    if (!told.TYPE.has(name)) throw new Error(`no TYPE before: ${line}`);
    if (name !== current) {
      if (closed.has(name)) throw new Error(`${name} in two groups`);
      closed.add(name);
      current = name;
    }
    const after = line.slice(name.length);
    const { labels, rest: tail } = after.startsWith('{')
      ? labelsOf(after.slice(1))
      : { labels: {}, rest: after };
    const value = /^ (-?\d+(?:\.\d+)?)$/.exec(tail)?.[1];
    if (value === undefined) throw new Error(`value: ${line}`);
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (series.has(key)) throw new Error(`series twice: ${line}`);
    series.add(key);
    samples.push({ name, labels, value: Number(value) });
  }
  return samples;
}
