import { u64ToNumber } from '../base/u64.ts';
import { compileGuestMtrrs, GUEST_MTRR_RULES } from '../kvm/guest-mtrr.ts';
import { buildMtrrMap, MTRR_LOOKUP_RULE, mtrrTypeLookup } from '../linux/mtrr-lookup.ts';
import { PAT_X_MTRR_RULE, patXMtrrType } from '../linux/pat-x-mtrr.ts';
import {
  BOCHS_MTRR_RULE,
  BOCHS_RESOLVE_RULE,
  BOCHS_TYPES,
  calculatePat,
  memtypeByMtrr,
  resolveMemtype,
} from '../peers/bochs.ts';
import {
  epteGetEntryEmt,
  getPatFlags,
  mmType,
  mtrrGetType,
  patForType,
  XEN_EPT_RULE,
  XEN_MTRR_RULE,
  XEN_P2M_TYPES,
  XEN_SHADOW_RULE,
  XEN_TABLE_RULE,
} from '../peers/xen.ts';
import { compileMtrrs } from '../x86/mtrr.ts';
import { PAT_RULE } from '../x86/pat.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES } from '../x86/types.ts';
import {
  bitField,
  compare,
  type Replay,
  type Row,
  RowError,
  stringField,
  wordField,
} from './table.ts';
import {
  addressField,
  architectural,
  fixedField,
  gfnOf,
  type MtrrQuery,
  mtrrQuery,
  mtrrState,
  variableRange,
} from './x86-mtrr-cases.ts';
import { expectFields, type Parse, textLines } from './x86-rows.ts';

/** Replays the rows of one implementation by the function that they name. */
function byFunction(src: string, replays: Readonly<Record<string, Replay>>): Replay {
  return (row) => {
    wordField(row, 'src', [src]);
    const replay = replays[wordField(row, 'fn', Object.keys(replays))];
    if (replay === undefined) throw new RowError('unknown function');
    return replay(row);
  };
}

/** What an implementation answers; Linux also says whether the range is uniform. */
interface LookupAnswer {
  readonly type: string | null;
  readonly uniform?: boolean;
}

type Lookup = (query: MtrrQuery) => LookupAnswer;

/** The rows of an MTRR lookup, for whichever implementation. */
function lookupRows(ruleId: string, lookup: Lookup): Replay {
  return (row) => {
    if (stringField(row, 'case') === 'fixed-field') return fixedFieldRow(row, ruleId, lookup);
    const query = mtrrQuery(row);
    const { type, uniform } = lookup(query);
    const got = {
      type,
      ...('uniform' in row ? { uniform } : {}),
      ...('architectural' in row ? { architectural: architectural(query) } : {}),
    };
    return compare(row, got, [`${ruleId}: ${stringField(row, 'case')} -> ${type}`]);
  };
}

function fixedFieldRow(row: Row, ruleId: string, lookup: Lookup): ReturnType<Replay> {
  expectFields(row, 'src fn case addr field');
  const field = fixedField(addressField(row, 'addr'), (query) => lookup(query).type);
  return compare(row, { field }, [`${ruleId}: fixed range ${field}`]);
}

// ---- the lookups ----------------------------------------------------------------------------------

export const bochsLookup = ({ state, address }: MtrrQuery): string =>
  memtypeByMtrr(compileMtrrs(state), address);

const PAGE = 4096;

export const xenLookup = ({ state, address, size }: MtrrQuery): string =>
  mtrrGetType(state, address, Math.log2(size / PAGE));

const NO_FIXED = Array.from({ length: 11 }, () => ({ hi: 0, lo: 0 }));

export const kvm61Lookup = ({ state, address, cpuidMtrr }: MtrrQuery): MtrrType | null =>
  compileGuestMtrrs('v2', {
    defType: state.defType,
    fixed: state.fixed ?? NO_FIXED,
    variable: state.variable,
    maxphyaddr: state.physBits,
    cpuidMtrr,
  }).typeOf(gfnOf(address));

export const linux73Lookup = ({ state, address, size }: MtrrQuery): Required<LookupAnswer> => {
  const start = u64ToNumber(address);
  return mtrrTypeLookup(buildMtrrMap(state), start, start + size);
};

// ---- Bochs ----------------------------------------------------------------------------------------

const resolveRow: Replay = (row) => {
  expectFields(row, 'src fn cd mtrr pat eff panic');
  const mtrr = wordField(row, 'mtrr', BOCHS_TYPES);
  const pat = wordField(row, 'pat', BOCHS_TYPES);
  const { type, panic } = resolveMemtype(bitField(row, 'cd'), mtrr, pat);
  const step = `${BOCHS_RESOLVE_RULE.id}: MTRR ${mtrr} x PAT ${pat} -> ${type}`;
  return compare(row, { eff: type, panic }, [step]);
};

const calculatePatRow: Replay = (row) => {
  expectFields(row, 'src fn entry large index');
  const index = calculatePat(addressField(row, 'entry').lo, bitField(row, 'large'));
  return compare(row, { index }, [`${PAT_RULE.id}: index ${index}`]);
};

export const replayBochs: Replay = byFunction('bochs', {
  resolve_memtype: resolveRow,
  calculate_pat: calculatePatRow,
  memtype_by_mtrr: lookupRows(BOCHS_MTRR_RULE.id, (query) => ({ type: bochsLookup(query) })),
});

// ---- Xen ------------------------------------------------------------------------------------------

const RESERVED = ['RSVD2', 'RSVD3'] as const;
type Reserved = (typeof RESERVED)[number];

function isReserved(type: string): type is Reserved {
  return RESERVED.some((known) => known === type);
}

const mmTypeRow: Replay = (row) => {
  expectFields(row, 'src fn mtrr pat eff');
  const mtrr = wordField(row, 'mtrr', [...MTRR_TYPES, ...RESERVED]);
  const pat = wordField(row, 'pat', [...PAT_TYPES, ...RESERVED]);
  const eff = isReserved(mtrr) || isReserved(pat) ? 'RSVD' : mmType(mtrr, pat);
  return compare(row, { eff }, [`${XEN_TABLE_RULE.id}: MTRR ${mtrr} x PAT ${pat} -> ${eff}`]);
};

const inverseRow: Replay = (row) => {
  expectFields(row, 'src fn mtrr want pat');
  const mtrr = wordField(row, 'mtrr', [...MTRR_TYPES, ...RESERVED]);
  const want = wordField(row, 'want', [...MTRR_TYPES, ...RESERVED]);
  const pat = isReserved(mtrr) || isReserved(want) ? null : patForType(mtrr, want);
  const step = `${XEN_TABLE_RULE.id}: ${want} over MTRR ${mtrr} by PAT ${pat}`;
  return compare(row, { pat: pat ?? 'INVALID' }, [step]);
};

const shadowRow: Replay = (row) => {
  expectFields(row, 'src fn gmtrr gpat hmtrr geff hpat hidx eff exact');
  const shadow = getPatFlags(
    wordField(row, 'gmtrr', MTRR_TYPES),
    wordField(row, 'gpat', PAT_TYPES),
    wordField(row, 'hmtrr', MTRR_TYPES),
  );
  const got = {
    geff: shadow.guestEffective,
    hpat: shadow.hostPat,
    hidx: shadow.hostIndex,
    eff: shadow.effective,
    exact: shadow.effective === shadow.guestEffective,
  };
  return compare(row, got, [`${XEN_SHADOW_RULE.id}: ${got.geff} by PAT ${got.hpat} -> ${got.eff}`]);
};

const eptRow: Replay = (row) => {
  expectFields(row, 'src fn p2mt iommu cacheflush gmtrr hmtrr emt ipat');
  const { leaf, why } = epteGetEntryEmt({
    p2mt: wordField(row, 'p2mt', XEN_P2M_TYPES),
    iommu: bitField(row, 'iommu'),
    cacheFlush: bitField(row, 'cacheflush'),
    guestMtrr: wordField(row, 'gmtrr', MTRR_TYPES),
    hostMtrr: wordField(row, 'hmtrr', MTRR_TYPES),
  });
  return compare(row, { emt: leaf.memtype, ipat: leaf.ipat }, [`${XEN_EPT_RULE.id}: ${why}`]);
};

export const replayXen: Replay = byFunction('xen', {
  mm_type_tbl: mmTypeRow,
  mtrr_epat_tbl: inverseRow,
  mtrr_get_type: lookupRows(XEN_MTRR_RULE.id, (query) => ({ type: xenLookup(query) })),
  get_pat_flags: shadowRow,
  epte_get_entry_emt: eptRow,
});

// ---- Linux and its KVM ----------------------------------------------------------------------------

export const replayKvm61: Replay = byFunction('kvm-6.1', {
  kvm_mtrr_get_guest_memory_type: lookupRows(GUEST_MTRR_RULES.v2.id, (query) => ({
    type: kvm61Lookup(query),
  })),
});

const patXMtrrRow: Replay = (row) => {
  expectFields(row, 'src fn mtrr req got');
  const mtrr = wordField(row, 'mtrr', MTRR_TYPES);
  const requested = wordField(row, 'req', PAT_TYPES);
  const got = patXMtrrType(requested, mtrr);
  return compare(row, { got }, [`${PAT_X_MTRR_RULE.id}: ${requested} over MTRR ${mtrr} -> ${got}`]);
};

export const replayLinux73: Replay = byFunction('linux-7.3', {
  mtrr_type_lookup: lookupRows(MTRR_LOOKUP_RULE.id, linux73Lookup),
  pat_x_mtrr_type: patXMtrrRow,
});

// ---- kvm61-uc-hole.txt ----------------------------------------------------------------------------

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Variable ranges in register order; default UC, no fixed ranges. */
const UC_HOLE = {
  cfg0: [variableRange(0, 4 * GIB, 'WB'), variableRange(3 * GIB, GIB, 'UC')],
  cfg1: [variableRange(3 * GIB, GIB, 'UC'), variableRange(0, 4 * GIB, 'WB')],
  cfg2: [variableRange(0, 4 * GIB, 'WB'), variableRange(0, PAGE, 'UC')],
  cfg3: [
    variableRange(0, 4 * GIB, 'WB'),
    variableRange(2 * GIB, 256 * MIB, 'WT'),
    variableRange(3 * GIB, GIB, 'UC'),
  ],
  cfg4: [
    variableRange(0, 2 * GIB, 'WB'),
    variableRange(4 * GIB, 4 * GIB, 'WB'),
    variableRange(0x7f000000, 16 * MIB, 'UC'),
  ],
} as const;

export const parseUcHole: Parse = textLines(
  /^(?<config>\w+) addr=(?<addr>0x[0-9a-f]+) arch=(?<arch>\w+) kvm6\.1=(?<kvm>\w+)(?<wrong> <<< WRONG)?$/,
  ({ wrong, ...fields }) => ({ ...fields, wrong: wrong !== undefined }),
);

export const replayUcHole: Replay = (row) => {
  expectFields(row, 'config addr arch kvm wrong');
  const ranges = UC_HOLE[wordField(row, 'config', ['cfg0', 'cfg1', 'cfg2', 'cfg3', 'cfg4'])];
  const address = addressField(row, 'addr');
  const query = { state: mtrrState('UC', ranges), address, size: PAGE, cpuidMtrr: true };
  const arch = architectural(query);
  const kvm = kvm61Lookup(query);
  const step = `${GUEST_MTRR_RULES.v2.id}: ${kvm}, by the manual ${arch}`;
  return compare(row, { arch, kvm, wrong: kvm !== arch }, [step]);
};
