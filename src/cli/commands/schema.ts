import { caseSchema, explainSchema } from '../../report/schema.ts';
import { complainTo, type Io } from '../io.ts';

/** `memtype schema case|explain`. */
export async function runSchema(what: string, io: Io): Promise<number> {
  if (what !== 'case' && what !== 'explain') {
    complainTo(io, [
      { severity: 'error', message: `no schema "${what}"`, help: 'case or explain' },
    ]);
    return 2;
  }
  io.write(`${JSON.stringify(what === 'case' ? caseSchema() : explainSchema(), null, 2)}\n`);
  return 0;
}
