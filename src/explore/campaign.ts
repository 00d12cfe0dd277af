/** Many tests, of which this is the part of one shard; a whole campaign has shard null. */
export interface CampaignHead {
  readonly version: string;
  /** SHA-256 of version, options, names and texts of all tests of the campaign. */
  readonly inputs: string;
  readonly shard: { readonly index: number; readonly of: number } | null;
  /** Tests of the whole campaign. */
  readonly tests: number;
}

/** A test that is not as it should be, beside its verdicts. */
export interface Trouble {
  readonly item: number;
  readonly file: string;
  /**
   * It could not be read or executed; its blocks are not those that stand beside it; a log has a state that the machine
   * forbids.
   */
  readonly kind: 'unreadable' | 'blocks' | 'log';
  readonly message: string;
}

/** A run of a campaign, as far as merging looks into it. */
export interface CampaignRun {
  /** Number of the test in the campaign, from 0. */
  readonly item: number;
  readonly verdict: string;
}

export interface CampaignPart extends CampaignHead {
  readonly runs: readonly CampaignRun[];
  readonly troubles: readonly Trouble[];
}

/** The exit code of the contract. */
export function exitCodeOf({ runs, troubles }: Pick<CampaignPart, 'runs' | 'troubles'>): number {
  if (troubles.some((t) => t.kind === 'unreadable')) return 2;
  if (troubles.length > 0 || runs.some((r) => r.verdict === 'fail')) return 1;
  return runs.some((r) => r.verdict === 'cut') ? 3 : 0;
}

/** Why parts do not make a whole; null where they do. @param names of the files that they are in */
function problemOf(parts: readonly CampaignPart[], names: readonly string[]): string | null {
  const [first] = parts;
  if (first === undefined) return 'there is nothing to merge';
  const seen = new Map<number, string>();
  for (const [i, part] of parts.entries()) {
    const name = names[i] ?? '';
    if (part.shard === null || first.shard === null) return `${name} is not a shard`;
    if (part.inputs !== first.inputs || part.version !== first.version)
      return `${name} is of other tests, other options or another version than ${names[0]}`;
    if (part.shard.of !== first.shard.of)
      return `${name} is of ${part.shard.of} shards, ${names[0]} of ${first.shard.of}`;
    const other = seen.get(part.shard.index);
    if (other !== undefined) return `${name} is the same shard as ${other}`;
    seen.set(part.shard.index, name);
  }
  const of = first.shard?.of ?? 0;
  const missing = Array.from({ length: of }, (_, i) => i).filter((i) => !seen.has(i));
  return missing.length === 0 ? null : `missing: shard ${missing.join(', ')} of ${of}`;
}

/** What one run over all tests would have given, in any order of the parts; or why they are not all of it. */
export function mergeParts<P extends CampaignPart>(
  parts: readonly P[],
  names: readonly string[],
): P | string {
  const problem = problemOf(parts, names);
  const [first] = parts;
  if (problem !== null || first === undefined) return problem ?? '';
  const inOrder = <T extends { readonly item: number }>(all: readonly T[]): readonly T[] =>
    [...all].sort((a, b) => a.item - b.item);
  return {
    ...first,
    shard: null,
    runs: inOrder(parts.flatMap((p) => p.runs)),
    troubles: inOrder(parts.flatMap((p) => p.troubles)),
  };
}
