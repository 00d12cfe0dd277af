import { type Diagnostic, InputError } from '../../base/diagnostic.ts';

/** An element. Text between child elements is kept in one piece, without the blanks around it. */
export interface XmlElement {
  /** As written, with its prefix: "qemu:arg". */
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

const DEPTH_MAX = 64;
const NAME = /[A-Za-z_][\w.:-]*/y;
const SPACE = /[ \t\r\n]*/y;
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

interface Open {
  readonly name: string;
  readonly attributes: Map<string, string>;
  readonly children: XmlElement[];
  readonly parts: string[];
}

/**
 * Reads the XML that libvirt writes, strictly: elements, attributes, text, comments, CDATA. A document
 * type, and with it every entity of its own, is refused; nothing is ever fetched or expanded.
 */
class Reader {
  readonly #text: string;
  readonly #file: string;
  #at = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  document(): XmlElement {
    const stack: Open[] = [];
    let root: XmlElement | null = null;
    while (this.#at < this.#text.length) {
      const end = this.#text.indexOf('<', this.#at);
      this.#characters(end < 0 ? this.#text.length : end, stack.at(-1));
      if (end < 0) break;
      if (this.#skipped(stack.at(-1))) continue;
      const done = this.#tag(stack);
      if (done === null) continue;
      const parent = stack.at(-1);
      if (parent !== undefined) parent.children.push(done);
      else if (root === null) root = done;
      else this.#fail('a second element at the top', 'the file has one element that holds all');
    }
    const open = stack.at(-1);
    if (open !== undefined) this.#fail(`<${open.name}> is never closed`, 'the file was cut');
    if (root === null)
      this.#fail('no element', 'an XML file of libvirt begins with <domstatus or <domain');
    return root;
  }

  #characters(end: number, open: Open | undefined): void {
    const text = this.#text.slice(this.#at, end);
    if (open !== undefined) open.parts.push(this.#decoded(text));
    else if (text.replace(/^\ufeff/, '').trim() !== '') {
      this.#fail('text outside of any element', 'this is no XML file, or it was damaged');
    }
    this.#at = end;
  }

  /** Comments, processing instructions and CDATA. @returns false when a tag stands here */
  #skipped(open: Open | undefined): boolean {
    for (const [start, end] of [
      ['<!--', '-->'],
      ['<?', '?>'],
      ['<![CDATA[', ']]>'],
    ] as const) {
      if (!this.#text.startsWith(start, this.#at)) continue;
      const close = this.#text.indexOf(end, this.#at + start.length);
      if (close < 0) this.#fail(`${start} without ${end}`, 'the file was cut');
      if (start === '<![CDATA[') open?.parts.push(this.#text.slice(this.#at + start.length, close));
      this.#at = close + end.length;
      return true;
    }
    if (this.#text.startsWith('<!', this.#at)) {
      this.#fail('a document type is not read', 'libvirt writes none: this file is something else');
    }
    return false;
  }

  /** @returns the element that the tag closes, if any */
  #tag(stack: Open[]): XmlElement | null {
    this.#at += 1;
    if (this.#text[this.#at] === '/') {
      this.#at += 1;
      const name = this.#match(NAME, 'a name');
      const open = stack.pop();
      if (open === undefined || open.name !== name) {
        this.#fail(`</${name}> closes nothing that is open`, 'the file was damaged');
      }
      this.#match(SPACE, '');
      this.#expect('>');
      return closed(open);
    }
    const open: Open = {
      name: this.#match(NAME, 'a name'),
      attributes: new Map(),
      children: [],
      parts: [],
    };
    this.#readAttributes(open);
    if (this.#text[this.#at] === '/') {
      this.#at += 1;
      this.#expect('>');
      return closed(open);
    }
    this.#expect('>');
    if (stack.length >= DEPTH_MAX) this.#fail('nested too deep', 'libvirt nests less than 20 deep');
    stack.push(open);
    return null;
  }

  #readAttributes(open: Open): void {
    for (;;) {
      const blanks = this.#match(SPACE, '');
      const c = this.#text[this.#at];
      if (c === '>' || c === '/') return;
      if (blanks === '')
        this.#fail('a blank is missing', 'attributes look like this: name="value"');
      const name = this.#match(NAME, 'a name');
      this.#match(SPACE, '');
      this.#expect('=');
      this.#match(SPACE, '');
      const quote = this.#text[this.#at] ?? '';
      if (quote !== '"' && quote !== "'")
        this.#fail('no quotation mark', 'attributes look like this: name="value"');
      const end = this.#text.indexOf(quote, this.#at + 1);
      const value = this.#text.slice(this.#at + 1, end < 0 ? undefined : end);
      if (end < 0 || value.includes('<'))
        this.#fail('a value that does not end', 'the file was cut');
      if (open.attributes.has(name)) this.#fail(`${name}= twice`, 'the file was damaged');
      this.#at += 1;
      open.attributes.set(name, this.#decoded(value));
      this.#at = end + 1;
    }
  }

  #match(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) this.#fail(`${what} is missing`, 'the file was damaged');
    this.#at += found.length;
    return found;
  }

  #expect(c: string): void {
    if (this.#text[this.#at] !== c) this.#fail(`"${c}" is missing`, 'the file was damaged');
    this.#at += 1;
  }

  #decoded(text: string): string {
    return text.replace(/&([^;&]{0,12};?)/g, (_, body: string) => {
      const name = body.endsWith(';') ? body.slice(0, -1) : null;
      const code = name === null ? null : codeOf(name);
      const entity = name !== null && Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined;
      if (code !== null) return String.fromCodePoint(code);
      return (
        entity ??
        this.#fail(
          `&${body} is no entity that is read`,
          'libvirt writes &amp; &lt; &gt; &quot; &apos; and &#N;',
        )
      );
    });
  }

  #fail(message: string, help: string): never {
    const before = this.#text.slice(0, this.#at);
    const line = before.split('\n').length;
    const column = this.#at - before.lastIndexOf('\n');
    const source = this.#text.split('\n', line)[line - 1] ?? '';
    const place = { file: this.#file, line, column, length: 1 };
    const problem: Diagnostic = {
      severity: 'error',
      message: `XML: ${message}`,
      place,
      source,
      help,
    };
    throw new InputError([problem]);
  }
}

function closed({ name, attributes, children, parts }: Open): XmlElement {
  return { name, attributes, children, text: parts.join('').trim() };
}

/** The character that "#38" or "#x26" names; null when it is none, or none that XML allows. */
function codeOf(name: string): number | null {
  const [, hex, decimal] = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name) ?? [];
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal ?? Number.NaN);
  const isCharacter = code === 9 || code === 10 || code === 13 || (code >= 32 && code < 0xd800);
  return isCharacter || (code >= 0xe000 && code <= 0x10ffff) ? code : null;
}

/** @throws InputError with the place of the first error */
export function parseXml(text: string, file: string): XmlElement {
  return new Reader(text, file).document();
}

/** Child elements by a path of names: `at(domain, 'devices', 'hostdev')`. */
export function at(element: XmlElement, ...path: readonly string[]): readonly XmlElement[] {
  const [name, ...rest] = path;
  if (name === undefined) return [element];
  return element.children.filter((c) => c.name === name).flatMap((c) => at(c, ...rest));
}

function escaped(text: string): string {
  return text.replace(
    /[&<>"]/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c] ?? '&quot;',
  );
}

/** As text again, indented by two blanks. `parseXml` of it gives the same. */
export function xmlText(element: XmlElement, depth = 0): string {
  const { name, attributes, children, text } = element;
  const indent = '  '.repeat(depth);
  const given = [...attributes].map(([key, value]) => ` ${key}="${escaped(value)}"`).join('');
  if (children.length === 0 && text === '') return `${indent}<${name}${given}/>\n`;
  const inner = children.map((c) => xmlText(c, depth + 1)).join('');
  if (inner === '') return `${indent}<${name}${given}>${escaped(text)}</${name}>\n`;
  return `${indent}<${name}${given}>${escaped(text)}\n${inner}${indent}</${name}>\n`;
}
