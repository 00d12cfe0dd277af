import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Row, RowError } from './table.ts';
import { X86_TABLES } from './x86.ts';

/** Rows per file, as golden/README.md counts them; types.json has 23 encodings and 5 PAT rows besides. */
const ROWS: Readonly<Record<string, number>> = {
  'types.json': 8 + 23 + 5,
  'mtrr-x-pat-intel.json': 30 + 20,
  'mtrr-x-pat-amd.json': 30 + 11,
  'npt-guest-x-host-pat.json': 36 + 35 + 180,
  'ept-combine.json': 240,
  'bochs.jsonl': 592,
  'xen.jsonl': 1321,
  'kvm61.jsonl': 461,
  'kvm61-uc-hole.txt': 40,
  'linux73.jsonl': 255,
  'native-compare.json': 30 + 1,
  'mtrr-overlap-compare.json': 150,
};

/** MEMTYPE_GOLDEN: a directory like golden/, with x86/ in it. */
const { MEMTYPE_GOLDEN: golden } = process.env;

function replayAll(file: string, rows: readonly Row[]): readonly string[] {
  const table = X86_TABLES[file];
  return rows.flatMap((row) =>
    (table?.replay(row).differences ?? []).map(
      (d) => `${JSON.stringify(row)}: ${d.field} ${d.got}`,
    ),
  );
}

/** What a corrupted row of one table must lead to. */
interface Sample {
  readonly file: string;
  readonly row: Row;
  /** A change of each output field, all of which must be reported. */
  readonly corrupt: Row;
  /** A change after which the row is none of this table. */
  readonly refuse: Row;
}

/** A file name; under it, indented, one row per sample; under that, further in, `corrupt` and `refuse`. */
function samples(text: string): readonly Sample[] {
  let file = '';
  const found: { file: string; row: Row; corrupt: Row; refuse: Row }[] = [];
  for (const line of text.split('\n')) {
    const change = /^ {4}(corrupt|refuse) +(.*)$/.exec(line);
    if (change !== null) {
      Object.assign(found.at(-1) ?? {}, { [change[1] ?? '']: JSON.parse(change[2] ?? '') });
    } else if (line.startsWith('  ')) {
      found.push({ file, row: JSON.parse(line), corrupt: {}, refuse: {} });
    } else if (line !== '') {
      file = line;
    }
  }
  return found;
}

const SAMPLES: readonly Sample[] = samples(`
types.json
  {"section":"encodings","register":"ept","code":5,"type":"WP"}
    corrupt {"type":"WB"}
    refuse  {"register":"tlb"}
  {"section":"encodings","register":"mtrr","reserved":[2,3,"7..255"],"onReserved":"#GP"}
    corrupt {"reserved":[2,3],"onReserved":"#UD"}
    refuse  {"code":1}
  {"section":"pat","layout":"reset","msr":"0x0007040600070406","entries":["WB","WT","UC-","UC","WB","WT","UC-","UC"]}
    corrupt {"msr":"0x0","entries":[]}
    refuse  {"layout":"hurd"}
  {"section":"pat","index":"PAT<<2 | PCD<<1 | PWT","bits":{"pwt":3,"pcd":4,"pat4k":7,"patLarge":12}}
    corrupt {"index":"PWT","bits":{"pwt":3,"pcd":4,"pat4k":7,"patLarge":7}}
    refuse  {"more":1}
  {"section":"types","type":"WT","name":"Write through","readCache":true,"writeCache":"hits update memory","writeback":false,"speculativeReads":true,"writeCombining":true,"ordering":"processor","settableBy":["PAT","MTRR","EPT"]}
    corrupt {"readCache":false,"writeCache":true,"writeback":true,"speculativeReads":false,"writeCombining":false,"ordering":"strong","settableBy":["PAT"],"vendor":"amd","overriddenBy":"MTRR WC"}
    refuse  {"writeCache":"sometimes"}
mtrr-x-pat-intel.json
  {"section":"cells","mtrr":"WC","pat":"WT","eff":"UC","notes":[2,3],"formerlyUndefined":true,"ucOrigin":"page","selfSnoopRequired":true}
    corrupt {"eff":"WC","notes":[2],"formerlyUndefined":false,"ucOrigin":"mtrr","selfSnoopRequired":null}
    refuse  {"pat":"UC+"}
  {"section":"prePat.cells","mtrr":"WP","pcd":1,"pwt":0,"eff":"WC","modelSpecific":true}
    corrupt {"eff":"UC","modelSpecific":false}
    refuse  {"pcd":2}
mtrr-x-pat-amd.json
  {"section":"cells","mtrr":"WT","pat":"WP","eff":"CD"}
    corrupt {"eff":"WP"}
    refuse  {"section":"cell"}
  {"section":"unmodifiedPat.cells","mtrr":"WP","pcd":1,"pwt":"-","eff":"UC"}
    corrupt {"eff":"CD","implementationDependent":true}
    refuse  {"pwt":"any"}
npt-guest-x-host-pat.json
  {"section":"guestXhost","guestPat":"WC","hostPat":"WB","combinedPat":"WC+"}
    corrupt {"combinedPat":"WC"}
    refuse  {"hostPat":"CD"}
  {"section":"combinedXmtrr","combinedPat":"WC+","mtrr":"WB","eff":"WC+"}
    corrupt {"eff":"WC"}
    refuse  {"mtrr":"UC-"}
  {"section":"full","guestPat":"UC-","hostPat":"WC","combinedPat":"WC","mtrr":"WB","eff":"WC"}
    corrupt {"combinedPat":"UC","eff":"UC"}
    refuse  {"guestMtrr":"WB"}
ept-combine.json
  {"section":"full","cr0cd":0,"cr0pg":1,"ipat":1,"ept":"WB","pat":"WC","eff":"WB","rule":"IPAT"}
    corrupt {"eff":"WC","rule":"CR0.CD=1"}
    refuse  {"ept":"UC-"}
bochs.jsonl
  {"src":"bochs","fn":"resolve_memtype","cd":0,"mtrr":"WP","pat":"UC-","eff":"UC","panic":0}
    corrupt {"eff":"WC","panic":1}
    refuse  {"mtrr":"CD"}
  {"src":"bochs","fn":"calculate_pat","entry":"0x1000","large":1,"index":4}
    corrupt {"index":0}
    refuse  {"entry":"PAT"}
  {"src":"bochs","fn":"memtype_by_mtrr","case":"overlap2","types":["WC","WB"],"type":"INVALID"}
    corrupt {"type":"WB"}
    refuse  {"types":["WC","WB","UC"]}
xen.jsonl
  {"src":"xen","fn":"mm_type_tbl","mtrr":"RSVD2","pat":"WB","eff":"RSVD"}
    corrupt {"eff":"WB"}
    refuse  {"fn":"mm_type"}
  {"src":"xen","fn":"mtrr_epat_tbl","mtrr":"UC","want":"WB","pat":"INVALID"}
    corrupt {"pat":"WB"}
    refuse  {"want":"UC-"}
  {"src":"xen","fn":"mtrr_get_type","case":"order9-4k-inside","def":"WB","types":["UC"],"type":"UC"}
    corrupt {"type":"SPLIT"}
    refuse  {"case":"order3-4k-inside"}
  {"src":"xen","fn":"get_pat_flags","gmtrr":"WB","gpat":"WB","hmtrr":"UC","geff":"WB","hpat":"UC","hidx":3,"eff":"UC","exact":false}
    corrupt {"geff":"UC","hpat":"UC-","hidx":2,"eff":"WB","exact":true}
    refuse  {"hmtrr":"INVALID"}
  {"src":"xen","fn":"epte_get_entry_emt","p2mt":"ram_rw","iommu":1,"cacheflush":0,"gmtrr":"WT","hmtrr":"WP","emt":"WP","ipat":0}
    corrupt {"emt":"UC","ipat":1}
    refuse  {"p2mt":"ram_ro"}
kvm61.jsonl
  {"src":"kvm-6.1","fn":"kvm_mtrr_get_guest_memory_type","case":"discontiguous-mask","addr":"0x2000","architectural":"WB","type":"WC"}
    corrupt {"architectural":"WC","type":"WB"}
    refuse  {"addr":8192}
  {"src":"kvm-6.1","fn":"kvm_mtrr_get_guest_memory_type","case":"fixed-field","addr":"0xff000","field":87}
    corrupt {"field":86}
    refuse  {"types":[]}
kvm61-uc-hole.txt
  {"config":"cfg0","addr":"0xc0000000","arch":"UC","kvm":"WB","wrong":true}
    corrupt {"arch":"WB","kvm":"UC","wrong":false}
    refuse  {"config":"cfg9"}
linux73.jsonl
  {"src":"linux-7.3","fn":"mtrr_type_lookup","case":"span2M-4k-inside","def":"WB","types":["WC"],"type":"UC","uniform":0}
    corrupt {"type":"WB","uniform":1}
    refuse  {"def":"XX"}
  {"src":"linux-7.3","fn":"pat_x_mtrr_type","mtrr":"WC","req":"WB","got":"UC-"}
    corrupt {"got":"WB"}
    refuse  {"src":"linux-6.1"}
native-compare.json
  {"mtrr":"WT","pat":"WP","sdm":"WP","apm":"CD","bochs":"WT","xen":"WP","bitvisor":"WP","differs":true,"kind":"real"}
    corrupt {"sdm":"WT","apm":"UC","bochs":"WP","xen":"WT","bitvisor":"WT","differs":false,"kind":"same"}
    refuse  {"qemu":"WB"}
  {"doc":"linux Documentation/arch/x86/pat.rst","mtrr":"WC","pat":"UC-","claims":"UC","sdm":"WC","apm":"WC","differs":true}
    corrupt {"claims":"WC","sdm":"UC","apm":"UC","differs":false}
    refuse  {"pat":"WB"}
mtrr-overlap-compare.json
  {"case":"overlap3","types":["UC","WB","WC"],"architectural":"UC","bochs":"UC","xen":"UC","kvm61":"WB","linux73":"UC"}
    corrupt {"architectural":"UNDEFINED","bochs":"INVALID","xen":"WC","kvm61":"UC","linux73":"WB"}
    refuse  {"types":["UC","WB"]}
`);

describe.each(SAMPLES)('$file $row', ({ file, row, corrupt, refuse }) => {
  const replay = X86_TABLES[file]?.replay;

  it('conforms', () => {
    expect(replayAll(file, [row])).toEqual([]);
  });

  it.each(Object.keys(corrupt))('reports a wrong %s, and nothing else', (field) => {
    const differences = replay?.({ ...row, [field]: corrupt[field] }).differences ?? [];
    expect(differences.map((d) => d.field)).toEqual([field]);
  });

  it('refuses what is no row of this table', () => {
    expect(() => replay?.({ ...row, ...refuse })).toThrow(RowError);
    expect(() => replay?.({})).toThrow(RowError);
  });
});

it('has a sample of every file', () => {
  expect([...new Set(SAMPLES.map((sample) => sample.file))].sort()).toEqual(
    Object.keys(X86_TABLES).sort(),
  );
});

describe('a file of another shape', () => {
  const CASES: readonly [string, string, RegExp][] = [
    ['bochs.jsonl', '{"src":"bochs"}\n{"src":', /^line 2: not JSON/],
    ['bochs.jsonl', '\n[1]\n', /^line 2: not an object/],
    ['kvm61-uc-hole.txt', 'cfg0 addr=0x0 arch=WB kvm6.1=WB\ncfg0 addr=0x0\n', /^line 2: not "/],
    ['native-compare.json', '{"mtrr": "UC"}', /^line 1: not an array/],
    ['native-compare.json', '[\n {"mtrr": "UC"},\n 7\n]', /^row 2: not an object/],
    ['ept-combine.json', '{\n "full": [],\n "half": []\n}', /^line 3: unknown section "half"/],
    ['ept-combine.json', '{\n "schema": 1,\n "full": {}\n}', /^line 3: no array "full"/],
    ['npt-guest-x-host-pat.json', '{\n "full": [\n}', /^not JSON: /],
    ['mtrr-x-pat-amd.json', '{\n "cells": []\n}', /no object "unmodifiedPat"/],
    ['mtrr-x-pat-intel.json', '{"cells": [5]}', /^line 1: row 1 is no object in "cells"/],
    ['types.json', '{"encodings": {"pat": {"0": "UC"}}}', /without "mtrr", "ept", "eptp"/],
  ];
  it.each(CASES)('%s: %j', (file, text, message) => {
    expect(() => X86_TABLES[file]?.parse(text)).toThrow(RowError);
    expect(() => X86_TABLES[file]?.parse(text)).toThrow(message);
  });
});

describe.runIf(golden !== undefined)('golden/x86', () => {
  it.each(Object.keys(X86_TABLES))('%s', (file) => {
    const rows = X86_TABLES[file]?.parse(readFileSync(join(golden ?? '', 'x86', file), 'utf8'));
    expect(rows).toHaveLength(ROWS[file] ?? -1);
    expect(replayAll(file, rows ?? [])).toEqual([]);
  });
});
