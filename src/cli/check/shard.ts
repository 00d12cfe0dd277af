import { refuse } from '../../base/diagnostic.ts';
import { parseShard } from '../names.ts';

export interface Shard {
  readonly index: number;
  readonly of: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where schedulers say which of how many tasks this is: the first number, and how many where they say it. */
const SCHEDULERS: readonly {
  readonly index: string;
  readonly first: number | string;
  readonly of: string | null;
}[] = [
  { index: 'SLURM_ARRAY_TASK_ID', first: 'SLURM_ARRAY_TASK_MIN', of: 'SLURM_ARRAY_TASK_COUNT' },
  { index: 'JOB_COMPLETION_INDEX', first: 0, of: null },
  { index: 'CI_NODE_INDEX', first: 1, of: 'CI_NODE_TOTAL' },
  { index: 'BUILDKITE_PARALLEL_JOB', first: 0, of: 'BUILDKITE_PARALLEL_JOB_COUNT' },
  { index: 'CLOUD_RUN_TASK_INDEX', first: 0, of: 'CLOUD_RUN_TASK_COUNT' },
  { index: 'AWS_BATCH_JOB_ARRAY_INDEX', first: 0, of: null },
];

function automatic(total: string | null, environment: Environment): Shard {
  for (const { index, first, of } of SCHEDULERS) {
    const own = environment[index];
    if (own === undefined || own === '') continue;
    const from = typeof first === 'number' ? first : Number(environment[first] ?? 0);
    const count = total ?? (of === null ? undefined : environment[of]);
    if (count === undefined || count === '')
      refuse(`--shard auto: ${index} does not say of how many`, '--shard auto/8');
    return parseShard(`${Number(own) - from}/${count}`);
  }
  return refuse(
    '--shard auto: no scheduler has said which task this is',
    `one of ${SCHEDULERS.map((s) => s.index).join(' ')}, or --shard 0/8`,
  );
}

/** `0/8`; `auto`, or `auto/8` where the scheduler does not say of how many. @throws InputError */
export function shardOf(text: string | undefined, environment: Environment): Shard | null {
  if (text === undefined) return null;
  const [, auto, total] = /^(auto)(?:\/(\d+))?$/.exec(text) ?? [];
  return auto === undefined ? parseShard(text) : automatic(total ?? null, environment);
}
