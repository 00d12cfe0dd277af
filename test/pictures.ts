/** What is wrong with an XML document, as far as a picture or a page of ours can be: empty when it is well-formed. */
export function xmlFaults(xml: string): readonly string[] {
  const faults: string[] = [];
  const open: string[] = [];
  let end = 0;
  for (const match of xml.matchAll(/<(\/?)([A-Za-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    const [whole, closing, name = '', attributes = '', empty] = match;
    const between = xml.slice(end, match.index);
    if (/[<>]/.test(between) && open.at(-1) !== 'style') faults.push(`stray bracket: ${between}`);
    if (/&(?!(?:amp|lt|gt|quot|#\d+);)/.test(between + attributes))
      faults.push(`bare &: ${between}`);
    const names = [...attributes.matchAll(/([\w:-]+)="/g)].map((m) => m[1]);
    if (new Set(names).size < names.length) faults.push(`attribute twice: ${whole}`);
    end = match.index + whole.length;
    if (empty === '/') continue;
    if (closing !== '/') open.push(name);
    else if (open.pop() !== name) faults.push(`</${name}> closes another`);
  }
  if (xml.slice(end).trim() !== '') faults.push('text after the end');
  return [...faults, ...open.map((name) => `<${name}> is open`)];
}

interface Placed {
  readonly x: number;
  readonly y: number;
  readonly style: string;
  readonly words: string;
  readonly turned: boolean;
}

const plain = (text: string): string => text.replace(/&(?:amp|lt|gt|quot);/g, '.');

/** Every text of a picture, where it stands. */
export function textsOf(svg: string): readonly Placed[] {
  const found = svg.matchAll(/<text x="([\d.-]+)" y="([\d.-]+)" class="([^"]*)"([^>]*)>([^<]*)</g);
  return [...found].map(([, x, y, style = '', more = '', words = '']) => ({
    x: Number(x),
    y: Number(y),
    style,
    words: plain(words),
    turned: more.includes('rotate'),
  }));
}

/** Width of the font's characters at its size, at most. */
const ADVANCE = 0.61;

/** From where to where a text that is not turned reaches. */
export function spanOf(
  t: Placed,
  anchor: 'start' | 'middle' | 'end',
  size: number,
): readonly [number, number] {
  const long = Array.from(t.words).length * size * ADVANCE;
  const from = anchor === 'start' ? t.x : anchor === 'end' ? t.x - long : t.x - long / 2;
  return [from, from + long];
}
