import { FACT_KEYS, factDefinition } from '../../facts/facts.ts';
import { vocabulary } from '../../facts/words.ts';
import { EXPLAIN_KEYS } from '../../resolve/compose.ts';
import { word } from '../route.ts';

const OTHER_BRIEFS: Readonly<Record<string, string>> = {
  kernel: 'kernel version, as uname -r prints it; several are compared',
  policy: 'an era (E0..E11) or a proposal, see memtype policies; several are compared',
  quirks2: 'what KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2) answers, e.g. 0x7ff',
  'guest-mtrr-ranges': 'guest MTRRs in register order: "WB 0-4G, UC 3G-4G"',
  'guest-mtrr-default': 'default type of the guest MTRRs',
  'guest-mtrr-fixed': 'one type for all fixed guest MTRRs (below 1 MiB)',
  gpa: 'guest-physical address, for guest-mtrr-ranges',
  'host-mtrr-ranges': 'host MTRRs in register order: "WB 0-4G, UC 3G-4G"',
  'host-mtrr-default': 'default type of the host MTRRs',
  'host-mtrr-fixed': 'one type for all fixed host MTRRs (below 1 MiB)',
  hpa: 'host-physical address, for host-mtrr-ranges',
  'phys-bits': 'physical address width for MTRR ranges, 36 to 52',
};

function brief(key: string): string {
  const fact = FACT_KEYS.find((k) => k === key);
  const other = OTHER_BRIEFS[key];
  if (fact === undefined || other !== undefined) return other ?? key;
  const definition = factDefinition(fact);
  return fact === 'cpu'
    ? 'intel, amd or FAMILY/MODEL'
    : `${definition.title}: ${fact === 'backing' ? 'see memtype rule linux/backing' : vocabulary(fact)}`;
}

/** One flag for every fact: the facts are the single list of what can be said. */
export function factFlags(): Record<string, object> {
  return Object.fromEntries(
    EXPLAIN_KEYS.map((key) => [
      key,
      {
        kind: 'parsed',
        parse: word,
        brief: brief(key),
        optional: true,
        variadic: true,
        placeholder: 'value',
      },
    ]),
  );
}
