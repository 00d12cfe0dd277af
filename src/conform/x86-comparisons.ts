import { bitvisorEffective } from '../peers/bitvisor.ts';
import { resolveMemtype } from '../peers/bochs.ts';
import { PAT_RST_DEVIATION, PAT_RST_RULE } from '../peers/pat-rst.ts';
import { mmType } from '../peers/xen.ts';
import { combineMtrrPat } from '../x86/combine.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES, type PatType } from '../x86/types.ts';
import { arrayField, compare, type Replay, RowError, stringField, wordField } from './table.ts';
import { bochsLookup, kvm61Lookup, linux73Lookup, xenLookup } from './x86-implementations.ts';
import { architectural, overlap } from './x86-mtrr-cases.ts';
import { expectFields } from './x86-rows.ts';

// ---- native-compare.json --------------------------------------------------------------------------

/** CD is the name of AMD for an uncached access that looks into the caches. */
function sameThing(type: string): string {
  return type === 'CD' ? 'UC' : type;
}

function manuals(mtrr: MtrrType, pat: PatType): { readonly sdm: string; readonly apm: string } {
  return {
    sdm: combineMtrrPat('intel', mtrr, pat).type,
    apm: combineMtrrPat('amd', mtrr, pat).type,
  };
}

const NAME_ONLY = 'name-only (APM CD = uncached+snooping)';

const cell: Replay = (row) => {
  expectFields(row, 'mtrr pat sdm apm bochs xen bitvisor differs kind');
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const pat = wordField(row, 'pat', PAT_TYPES);
  const answers = {
    ...manuals(mtrr, pat),
    bochs: resolveMemtype(false, mtrr, pat).type,
    xen: mmType(mtrr, pat),
    bitvisor: bitvisorEffective(mtrr, pat),
  };
  const names = new Set<string>(Object.values(answers));
  const differs = new Set([...names].map(sameThing)).size > 1;
  const kind = differs ? 'real' : names.size > 1 ? NAME_ONLY : 'same';
  const step = Object.entries(answers).map(([who, type]) => `${who} ${type}`);
  return compare(row, { ...answers, differs, kind }, [step.join(', ')]);
};

const wrongDocument: Replay = (row) => {
  expectFields(row, 'doc mtrr pat claims sdm apm differs');
  if (!stringField(row, 'doc').endsWith('pat.rst')) throw new RowError('unknown document');
  const { claims } = PAT_RST_DEVIATION;
  const mtrr = wordField(row, 'mtrr', [PAT_RST_DEVIATION.mtrr]);
  const pat = wordField(row, 'pat', [PAT_RST_DEVIATION.pat]);
  const said = manuals(mtrr, pat);
  const differs = claims !== said.sdm || claims !== said.apm;
  return compare(row, { claims, ...said, differs }, [`${PAT_RST_RULE.id}: ${claims}`]);
};

/** MTRR x PAT by five sources, and one wrong cell in a document. */
export const replayNativeCompare: Replay = (row) => ('doc' in row ? wrongDocument(row) : cell(row));

// ---- mtrr-overlap-compare.json ----------------------------------------------------------------------

const COUNT: Readonly<Record<'overlap2' | 'overlap3', number>> = { overlap2: 2, overlap3: 3 };

/** Overlapping MTRRs by the manual and four implementations. */
export const replayOverlapCompare: Replay = (row) => {
  expectFields(row, 'case types architectural bochs xen kvm61 linux73');
  const count = COUNT[wordField(row, 'case', ['overlap2', 'overlap3'])];
  const types = arrayField(row, 'types').map((_, i, all) =>
    wordField({ type: all[i] }, 'type', MTRR_TYPES),
  );
  if (types.length !== count) throw new RowError(`"types" must have ${count}`);
  const query = overlap(types);
  const got = {
    architectural: architectural(query),
    bochs: bochsLookup(query),
    xen: xenLookup(query),
    kvm61: kvm61Lookup(query),
    linux73: linux73Lookup(query).type,
  };
  return compare(row, got, [`${types.join(' over ')}: ${got.architectural}`]);
};
