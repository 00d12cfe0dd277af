import type { CampaignPart, CampaignRun } from '../../explore/campaign.ts';
import { type Run, verdictOf } from '../../explore/check.ts';
import { printLocation, printValue } from '../../litmus/print-parts.ts';
import {
  BOOLEAN,
  COUNT,
  DIALECT,
  type Json,
  listOf,
  nullable,
  object,
  STRING,
} from '../schema-parts.ts';
import type { Told } from './told.ts';
import { traceJson, traceSchema } from './trace-json.ts';

const SCHEMA_VERSION = 1;

/** A run, as one element of what `check --format json` prints. */
export function runJson(
  { item, file }: { readonly item: number; readonly file: string },
  run: Run,
  told: Told | null,
): CampaignRun & Readonly<Record<string, unknown>> {
  const { compiled, setting, search, result, finals } = run;
  const { name, condition } = compiled.test;
  const columns = compiled.columns.map(printLocation);
  return {
    item,
    file,
    test: name,
    switches: setting.switches,
    states: search.states,
    transitions: search.transitions,
    depth: search.levels.length - 1,
    cut: search.cut,
    quantifier: condition.quantifier,
    outcomes: finals.map(({ outcome, count, level }) => ({
      state: Object.fromEntries(columns.map((c, i) => [c, printValue(outcome[i] ?? 0)])),
      count,
      steps: level,
      positive: compiled.holds(outcome),
    })),
    observation: search.cut === null ? result.word : null,
    ok: search.cut === null ? result.ok : null,
    expected: setting.expected,
    verdict: verdictOf(run),
    trace: told === null ? null : traceJson(told),
  };
}

/** What `check --format json` prints. */
export function checkJson(part: CampaignPart): object {
  return { schemaVersion: SCHEMA_VERSION, ...part };
}

/** JSON Schema of what `check --format json` prints. */
export function checkSchema(): Json {
  const WORDS = ['Never', 'Sometimes', 'Always', null];
  const outcome = object({
    state: {
      type: 'object',
      additionalProperties: STRING,
      description: 'by location, as herd7 writes them',
    },
    count: { ...COUNT, description: 'states of the machine that end so' },
    steps: { ...COUNT, description: 'to the nearest of them' },
    positive: { ...BOOLEAN, description: 'whether it satisfies the proposition' },
  });
  const ITEM = { ...COUNT, description: 'number of the test in the campaign' };
  const run = object({
    item: ITEM,
    file: STRING,
    test: STRING,
    switches: { type: 'object', additionalProperties: BOOLEAN },
    states: COUNT,
    transitions: COUNT,
    depth: { ...COUNT, description: 'steps from the initial state to the farthest' },
    cut: { enum: ['states', 'memory', null], description: 'what ended the search too early' },
    quantifier: { enum: ['exists', 'forall', '~exists'] },
    outcomes: listOf(outcome),
    observation: { enum: WORDS, description: 'of the proposition; null: the search was cut' },
    ok: { ...nullable('boolean'), description: 'whether the condition holds' },
    expected: { enum: WORDS },
    verdict: { enum: ['pass', 'fail', 'cut'] },
    trace: { anyOf: [traceSchema(), { type: 'null' }] },
  });
  const trouble = object({
    item: ITEM,
    file: STRING,
    kind: { enum: ['unreadable', 'blocks', 'log'] },
    message: STRING,
  });
  const properties = {
    schemaVersion: { const: SCHEMA_VERSION },
    version: STRING,
    inputs: { ...STRING, description: 'SHA-256 of version, options, and all tests' },
    shard: { anyOf: [object({ index: COUNT, of: COUNT }), { type: 'null' }] },
    tests: { ...COUNT, description: 'of the whole campaign' },
    runs: listOf(run),
    troubles: listOf(trouble),
  };
  return { $schema: DIALECT, title: 'memtype check', ...object(properties) };
}
