/**
 * How a fact came to be known.
 *
 * - `read`: read in the named text itself
 * - `ran`: the named program was run and its output recorded
 * - `archive`: read in a public archive of mails, files or changelogs
 * - `inferred`: follows from other facts, not stated anywhere
 * - `recalled`: memory only; a lead, not a fact
 */
export type Evidence = 'read' | 'ran' | 'archive' | 'inferred' | 'recalled';

export type Source =
  | {
      readonly kind: 'manual';
      readonly title: string;
      readonly edition: string;
      /** Section, table and page in that edition; numbers move between editions. */
      readonly where: string;
      readonly evidence: Evidence;
      readonly note?: string;
    }
  | {
      readonly kind: 'commit';
      /** At least 12 hexadecimal digits. */
      readonly hash: string;
      readonly subject: string;
      /** First release that has it. */
      readonly first: string;
      readonly evidence: Evidence;
      readonly note?: string;
    }
  | {
      readonly kind: 'code';
      /** Project and the version read. */
      readonly tree: string;
      readonly file: string;
      readonly symbol: string;
      readonly evidence: Evidence;
      readonly note?: string;
    }
  | {
      readonly kind: 'mail';
      readonly id: string;
      readonly subject: string;
      readonly date: string;
      readonly evidence: Evidence;
      readonly note?: string;
    }
  | {
      readonly kind: 'observation';
      readonly what: string;
      readonly where: string;
      readonly evidence: Evidence;
      readonly note?: string;
    };

/** What must be known of a source beside what it is; empty for one that was read or run. */
export function mark(source: Source): string {
  if (source.evidence === 'recalled') return ' [recalled, not verified]';
  return source.evidence === 'inferred' ? ' [inferred]' : '';
}

/** A source in one line, the way a kernel mail cites it. */
export function citation(source: Source): string {
  switch (source.kind) {
    case 'manual':
      return `${source.title} (${source.edition}), ${source.where}${mark(source)}`;
    case 'commit':
      return `commit ${source.hash.slice(0, 12)} ("${source.subject}"), ${source.first}${mark(source)}`;
    case 'code':
      return `${source.tree}, ${source.file}: ${source.symbol}${mark(source)}`;
    case 'mail':
      return `${source.subject}, ${source.date}, <${source.id}>${mark(source)}`;
    case 'observation':
      return `observed: ${source.what}, ${source.where}${mark(source)}`;
  }
}
