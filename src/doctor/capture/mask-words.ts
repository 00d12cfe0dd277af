import { refusalIn } from '../../linux/text/common.ts';

/** What stands for a word that was masked. */
export const MASK = 'x';

/** Directories and files that are called so on any machine. */
const COMMON_NAMES: ReadonlySet<string> = new Set(
  (
    'bin bus debug dev devices hugepages hugepages-1048576kB hugepages-1GB hugepages-2MB hugepages-2048kB ' +
    'hugepages1G hugepages2M hugetlbfs huge kernel lib lib64 libexec libvirt local mdev mnt pci platform proc ' +
    'qemu ram run sbin shm sys tmp tracing usr var zero mem'
  ).split(' '),
);

/** Names of memory backends that libvirt, QEMU and its manual give. */
const COMMON_IDS = /^(?:pc\.ram|ram-node\d{1,3}|(?:mem|ram|dimm|m)\d{0,3})$/;

/** Numbers in place of names: the same name gets the same number throughout a capture. */
export class Masks {
  readonly #numbers = new Map<string, number>();

  /** "masked-3". */
  name(name: string): string {
    const number = this.#numbers.get(name) ?? this.#numbers.size + 1;
    this.#numbers.set(name, number);
    return `masked-${number}`;
  }

  /**
   * Names without those that are twice: first those that have a number, by it, then the others. Masking what
   * was masked goes through them in the same order.
   */
  inOrder(names: readonly string[]): readonly string[] {
    const numberOf = (name: string): number => this.#numbers.get(name) ?? Number.POSITIVE_INFINITY;
    const compare = (a: string, b: string): number => {
      const [m, n] = [numberOf(a), numberOf(b)];
      return m === n ? byName(a, b) : m - n;
    };
    return [...new Set(names)].sort(compare);
  }

  /** The id of a memory backend. */
  id(id: string): string {
    return COMMON_IDS.test(id) ? id : this.name(id);
  }

  /** A path, part by part: what lies below a directory still does. */
  path(path: string): string {
    return path
      .split('/')
      .map((part) => (part === '' || COMMON_NAMES.has(part) ? part : this.name(part)))
      .join('/');
  }
}

/** Words of the kernel's formats. */
const VOCABULARY: ReadonlySet<string> = new Set(
  (
    'aka and back base bios by cap combining command configuration conflicting count cpu default detected ' +
    'disabled ecap enabled expected failed fixed flags for got hypervisor inconsistent ioremap kernel linux ' +
    'list map mapping mask mem memory memtype minus mismatch mtrr mtrrs new not old only pages pat pfn protect ' +
    'protected ram range ranges read reg remove req reserve reserved resource set size skipping supported system ' +
    'through to track type types uc uncachable uncached update usable variable version wb wc wp write wt your ' +
    'error'
  ).split(' '),
);

function isKnown(word: string): boolean {
  return VOCABULARY.has(word.toLowerCase());
}

/** A line that no reader understands: only its punctuation and words of the kernel's formats are left. */
export function odd(line: string): string {
  const refusal = refusalIn(line.trim());
  if (refusal !== null) return `${MASK}: ${refusal}`;
  return line.replace(/[^\s:;,=()[\]@<>|-]+/g, (word) => (isKnown(word) ? word : MASK));
}

/** Maps the lines of a text; null leaves a line out. A last line without its end stays so. */
export function eachLine(text: string, map: (line: string) => string | null): string {
  const lines = text.split('\n');
  const whole = lines.at(-1) === '';
  if (whole) lines.pop();
  const last = lines.length - 1;
  let result = '';
  lines.forEach((line, i) => {
    const made = map(line.endsWith('\r') ? line.slice(0, -1) : line);
    if (made !== null) result += i === last && !whole ? made : `${made}\n`;
  });
  return result;
}

/** Lines that have the form; of others the words are masked. */
export function linesLike(form: RegExp): (text: string) => string {
  return (text) => eachLine(text, (line) => (form.test(line) ? line : odd(line)));
}

/** Numbers, and what stands between them. */
function partsOf(name: string): readonly string[] {
  return name.match(/\d{1,15}|\D+/g) ?? [];
}

function byPart(a: string, b: string): number {
  const [m, n] = [/^\d/.test(a), /^\d/.test(b)];
  if (m && n) return Number(a) - Number(b);
  if (m !== n) return m ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

/** Names as people count: "9" before "10", "a9" before "a10", numbers before words. */
export function byName(a: string, b: string): number {
  if (a === b) return 0;
  const [x, y] = [partsOf(a), partsOf(b)];
  for (const [i, part] of x.entries()) {
    const other = y[i];
    const order = other === undefined ? 1 : byPart(part, other);
    if (order !== 0) return order;
  }
  if (x.length !== y.length) return -1;
  return a < b ? -1 : 1;
}
