import { refusalIn } from '../linux/text/common.ts';

/** What stands for a word that was masked. */
export const MASK = 'x';

/** Directories and files that are called so on any machine. */
const COMMON_NAMES: ReadonlySet<string> = new Set(
  (
    'bus debug dev devices hugepages hugepages-1048576kB hugepages-1GB hugepages-2MB hugepages-2048kB ' +
    'hugepages1G hugepages2M hugetlbfs huge kernel libvirt mdev mnt pci proc qemu ram run shm sys tmp ' +
    'tracing usr var zero mem'
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

/** Names as people count: "9" before "10", numbers before words. */
export function byName(a: string, b: string): number {
  const [m, n] = [/^\d{1,15}$/.test(a), /^\d{1,15}$/.test(b)];
  if (m && n && Number(a) !== Number(b)) return Number(a) - Number(b);
  if (m !== n) return m ? -1 : 1;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
