import type { Diagnostic } from '../../base/diagnostic.ts';
import type { FleetLine } from './fleet-row.ts';

/** More parts than this are counted, not named. */
const NAMED = 8;

function list(words: readonly string[]): string {
  const more = words.length - NAMED;
  return words.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** Whether the lines of earlier runs are all there, once. Of a host its name is kept. */
export class Parts {
  readonly #names = new Set<string>();
  readonly #twice = new Set<string>();
  /** How often each part has a summary, by the number of parts. */
  readonly #shards = new Map<number, Map<number, number>>();
  #rows = 0;
  #counted = 0;

  add(line: FleetLine): void {
    if (line.kind === 'summary') {
      this.#counted += line.files;
      if (line.shard === null) return;
      const { index, of } = line.shard;
      const seen = this.#shards.get(of) ?? new Map<number, number>();
      seen.set(index, (seen.get(index) ?? 0) + 1);
      this.#shards.set(of, seen);
      return;
    }
    const { file } = line.row;
    this.#rows += 1;
    if (this.#names.has(file)) this.#twice.add(file);
    this.#names.add(file);
  }

  /** What is missing or there twice. */
  problems(): readonly Diagnostic[] {
    const found: Diagnostic[] = [];
    const add = (message: string, help: string): void => {
      found.push({ severity: 'error', message, help });
    };
    if (this.#rows !== this.#counted) {
      add(
        `there are lines of ${this.#rows} files, and the summaries among them count ${this.#counted}`,
        'a run was cut short, or lines are missing or there twice',
      );
    }
    for (const [of, seen] of [...this.#shards].sort(([a], [b]) => a - b)) {
      const all = Array.from({ length: of }, (_, i) => i);
      const named = (parts: readonly number[]): string => list(parts.map((i) => `${i}/${of}`));
      const missing = all.filter((i) => !seen.has(i));
      const twice = all.filter((i) => (seen.get(i) ?? 0) > 1);
      if (missing.length > 0) {
        add(`no summary of part ${named(missing)}`, 'give the lines of every part: --shard I/N');
      }
      if (twice.length > 0) {
        add(`more than one summary of part ${named(twice)}`, 'give each part of one list once');
      }
    }
    if (this.#twice.size > 0) {
      const help = 'give each part once; hosts are told apart by the names of their files';
      add(`more than one line of ${list([...this.#twice])}`, help);
    }
    return found;
  }
}
