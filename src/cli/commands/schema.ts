import { auditSchema, regionSchema } from '../../report/audit/schema.ts';
import { checkSchema } from '../../report/check/json.ts';
import { matrixSchema, timelineSchema } from '../../report/compare-schemas.ts';
import { diffSchema } from '../../report/diff/schema.ts';
import { captureSchema, doctorSchema, fleetSchema } from '../../report/doctor-schema.ts';
import {
  conformSchema,
  policiesSchema,
  ruleSchema,
  sourcesSchema,
} from '../../report/list-schemas.ts';
import { runOutputSchema, scenarioSchema } from '../../report/run/schema.ts';
import { caseSchema, explainSchema } from '../../report/schema.ts';
import { spteSchema } from '../../report/spte-json.ts';
import { SCHEMA_NAMES, type SchemaName } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

const SCHEMAS: Readonly<Record<SchemaName, () => object>> = {
  case: caseSchema,
  scenario: scenarioSchema,
  explain: explainSchema,
  diff: diffSchema,
  timeline: timelineSchema,
  matrix: matrixSchema,
  doctor: doctorSchema,
  fleet: fleetSchema,
  audit: auditSchema,
  'audit-region': regionSchema,
  check: checkSchema,
  capture: captureSchema,
  spte: spteSchema,
  run: runOutputSchema,
  conform: conformSchema,
  rule: ruleSchema,
  policies: policiesSchema,
  sources: sourcesSchema,
};

/** `memtype schema WHAT`. */
export async function runSchema(what: string, io: Io): Promise<number> {
  const name = SCHEMA_NAMES.find((n) => n === what);
  if (name === undefined) {
    const message = `no schema "${what}"`;
    complainTo(io, [{ severity: 'error', message, help: `one of ${SCHEMA_NAMES.join(', ')}` }]);
    return 2;
  }
  io.write(`${JSON.stringify(SCHEMAS[name](), null, 2)}\n`);
  return 0;
}
