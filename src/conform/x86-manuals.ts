import {
  AMD_MTRR_X_PAT,
  combineMtrrPat,
  combinePrePat,
  INTEL_MTRR_X_PAT,
  MTRR_X_PAT_RULE,
  PRE_PAT_RULE,
  type UcOrigin,
} from '../x86/combine.ts';
import { EPT_RULE, type EptResult, eptEffective } from '../x86/ept.ts';
import { NPT_COMBINED_X_MTRR, NPT_GUEST_X_HOST, NPT_RULE, nptEffective } from '../x86/npt.ts';
import { MTRR_TYPES, PAT_TYPES, type Vendor } from '../x86/types.ts';
import { bitField, compare, type Replay, type Row, RowError, wordField } from './table.ts';
import { expectFields, JsonDocument, type Parse } from './x86-rows.ts';

/** Runs the replay of a row's section. */
function bySection(replays: Readonly<Record<string, Replay>>): Replay {
  return (row) => replays[wordField(row, 'section', Object.keys(replays))]?.(row) ?? unknownRow();
}

function unknownRow(): never {
  throw new RowError('unknown section');
}

// ---- MTRR x PAT ---------------------------------------------------------------------------------

const CELL_SECTIONS = 'schema vendor appliesTo citation notes cells';

export const parseIntelCells: Parse = (text) => {
  const document = new JsonDocument(text, `${CELL_SECTIONS} prePat`);
  return [...document.rows('cells'), ...document.rows('prePat', 'cells')];
};

export const parseAmdCells: Parse = (text) => {
  const document = new JsonDocument(text, `${CELL_SECTIONS} unmodifiedPat`);
  return [...document.rows('cells'), ...document.rows('unmodifiedPat', 'cells')];
};

/** Whether the CPU must look into its own caches, from where the UC came. */
function selfSnoopRequired(origin: UcOrigin | null): boolean | null {
  return origin === null ? null : origin === 'page';
}

const FORMERLY_UNDEFINED = 3;

const intelCell: Replay = (row) => {
  expectFields(row, 'section mtrr pat eff notes formerlyUndefined ucOrigin selfSnoopRequired');
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const pat = wordField(row, 'pat', PAT_TYPES);
  const { type, ucOrigin } = combineMtrrPat('intel', mtrr, pat);
  const notes = INTEL_MTRR_X_PAT.notesAt(mtrr, pat);
  const got = {
    eff: type,
    notes,
    formerlyUndefined: notes.includes(FORMERLY_UNDEFINED),
    ucOrigin,
    selfSnoopRequired: selfSnoopRequired(ucOrigin),
  };
  return compare(row, got, [`${MTRR_X_PAT_RULE.intel.id}: MTRR ${mtrr} x PAT ${pat} -> ${type}`]);
};

const amdCell: Replay = (row) => {
  expectFields(row, 'section mtrr pat eff');
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const pat = wordField(row, 'pat', PAT_TYPES);
  const eff = AMD_MTRR_X_PAT.at(mtrr, pat);
  return compare(row, { eff }, [`${MTRR_X_PAT_RULE.amd.id}: MTRR ${mtrr} x PAT ${pat} -> ${eff}`]);
};

/** The values a PCD or PWT column stands for; "-" is both. */
function bits(row: Row, field: string): readonly boolean[] {
  return row[field] === '-' ? [false, true] : [bitField(row, field)];
}

/** The one answer over every bit pattern of the row, or all of them, which no row can equal. */
function prePat(vendor: Vendor, row: Row): { eff: string; open: boolean; step: string } {
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const cells = bits(row, 'pcd').flatMap((pcd) =>
    bits(row, 'pwt').map((pwt) => combinePrePat(vendor, mtrr, pcd, pwt)),
  );
  const eff = [...new Set(cells.map((cell) => cell.type))].join(' or ');
  const step = `${PRE_PAT_RULE.id}: MTRR ${mtrr} -> ${eff}`;
  return { eff, open: cells.some((cell) => cell.modelSpecific), step };
}

const intelPrePat: Replay = (row) => {
  expectFields(row, 'section mtrr pcd pwt eff modelSpecific');
  const { eff, open, step } = prePat('intel', row);
  return compare(row, { eff, modelSpecific: open }, [step]);
};

const amdPrePat: Replay = (row) => {
  expectFields(row, 'section mtrr pcd pwt eff', 'implementationDependent');
  const { eff, open, step } = prePat('amd', row);
  const marked = { implementationDependent: false, ...row };
  return compare(marked, { eff, implementationDependent: open }, [step]);
};

export const replayIntelCells: Replay = bySection({
  cells: intelCell,
  'prePat.cells': intelPrePat,
});

export const replayAmdCells: Replay = bySection({
  cells: amdCell,
  'unmodifiedPat.cells': amdPrePat,
});

// ---- EPT ----------------------------------------------------------------------------------------

export const parseEpt: Parse = (text) =>
  new JsonDocument(text, 'schema vendor citation encoding leafBits nonLeaf rules full').rows(
    'full',
  );

/** The words of the file for what decided. */
const EPT_DECIDED: Readonly<Record<EptResult['by'], string>> = {
  'CR0.CD': 'CR0.CD=1',
  IPAT: 'IPAT',
  'CR0.PG=0': 'table 11-7 with EPT type as MTRR type',
  table: 'table 11-7 with EPT type as MTRR type',
};

const eptFull: Replay = (row) => {
  expectFields(row, 'section cr0cd cr0pg ipat ept pat eff rule');
  const { type, by } = eptEffective({
    liveCr0Cd: bitField(row, 'cr0cd'),
    cr0Pg: bitField(row, 'cr0pg'),
    leaf: { memtype: wordField(row, 'ept', MTRR_TYPES), ipat: bitField(row, 'ipat') },
    pat: wordField(row, 'pat', PAT_TYPES),
  });
  return compare(row, { eff: type, rule: EPT_DECIDED[by] }, [`${EPT_RULE.id}: ${by} -> ${type}`]);
};

export const replayEpt: Replay = bySection({ full: eptFull });

// ---- NPT ----------------------------------------------------------------------------------------

export const parseNpt: Parse = (text) => {
  const document = new JsonDocument(
    text,
    'schema vendor appliesTo citation rules wcPlus guestXhost combinedXmtrr full',
  );
  return [
    ...document.rows('guestXhost'),
    ...document.rows('combinedXmtrr'),
    ...document.rows('full'),
  ];
};

const guestXhost: Replay = (row) => {
  expectFields(row, 'section guestPat hostPat combinedPat');
  const guest = wordField(row, 'guestPat', PAT_TYPES);
  const host = wordField(row, 'hostPat', PAT_TYPES);
  const combinedPat = NPT_GUEST_X_HOST.at(guest, host);
  const step = `${NPT_RULE.id}: guest ${guest} x host ${host} -> ${combinedPat}`;
  return compare(row, { combinedPat }, [step]);
};

const combinedXmtrr: Replay = (row) => {
  expectFields(row, 'section combinedPat mtrr eff');
  const combined = wordField(row, 'combinedPat', NPT_COMBINED_X_MTRR.rows);
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const eff = NPT_COMBINED_X_MTRR.at(combined, mtrr);
  return compare(row, { eff }, [`${NPT_RULE.id}: ${combined} x MTRR ${mtrr} -> ${eff}`]);
};

const nptFull: Replay = (row) => {
  expectFields(row, 'section guestPat hostPat combinedPat mtrr eff');
  const { type, combined } = nptEffective({
    cr0Cd: false,
    cr0Pg: true,
    guestPat: wordField(row, 'guestPat', PAT_TYPES),
    hostPat: wordField(row, 'hostPat', PAT_TYPES),
    hostMtrr: wordField(row, 'mtrr', MTRR_TYPES),
  });
  const step = `${NPT_RULE.id}: combined ${combined} -> ${type}`;
  return compare(row, { combinedPat: combined, eff: type }, [step]);
};

export const replayNpt: Replay = bySection({ guestXhost, combinedXmtrr, full: nptFull });
