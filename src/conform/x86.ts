import type { Replay } from './table.ts';
import { replayNativeCompare, replayOverlapCompare } from './x86-comparisons.ts';
import {
  parseUcHole,
  replayBochs,
  replayKvm61,
  replayLinux73,
  replayUcHole,
  replayXen,
} from './x86-implementations.ts';
import {
  parseAmdCells,
  parseEpt,
  parseIntelCells,
  parseNpt,
  replayAmdCells,
  replayEpt,
  replayIntelCells,
  replayNpt,
} from './x86-manuals.ts';
import { jsonArray, jsonLines, type Parse } from './x86-rows.ts';
import { parseTypes, replayTypes } from './x86-types.ts';

/** How the rows of one golden file are read, and what the model says of each. */
export interface X86Table {
  /** @throws RowError that names the line, when the file is not of its shape */
  readonly parse: Parse;
  readonly replay: Replay;
}

/** The files of golden/x86/, by name. */
export const X86_TABLES: Readonly<Record<string, X86Table>> = {
  'types.json': { parse: parseTypes, replay: replayTypes },
  'mtrr-x-pat-intel.json': { parse: parseIntelCells, replay: replayIntelCells },
  'mtrr-x-pat-amd.json': { parse: parseAmdCells, replay: replayAmdCells },
  'npt-guest-x-host-pat.json': { parse: parseNpt, replay: replayNpt },
  'ept-combine.json': { parse: parseEpt, replay: replayEpt },
  'bochs.jsonl': { parse: jsonLines, replay: replayBochs },
  'xen.jsonl': { parse: jsonLines, replay: replayXen },
  'kvm61.jsonl': { parse: jsonLines, replay: replayKvm61 },
  'kvm61-uc-hole.txt': { parse: parseUcHole, replay: replayUcHole },
  'linux73.jsonl': { parse: jsonLines, replay: replayLinux73 },
  'native-compare.json': { parse: jsonArray, replay: replayNativeCompare },
  'mtrr-overlap-compare.json': { parse: jsonArray, replay: replayOverlapCompare },
};
