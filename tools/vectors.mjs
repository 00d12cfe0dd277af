// vectors/text/*.txt from the tables beside them: one case a line, blanks between the fields, for test
// suites in C or Rust. `--check` compares instead of writing.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { ROOT } from './run.mjs';

const VECTORS = `${ROOT}vectors/`;
const TYPE = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB', 7: 'UC-' };

const text = (path) => gunzipSync(readFileSync(VECTORS + path)).toString('utf8');
const json = (path) => JSON.parse(text(path));
const rows = (path) =>
  text(path)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const eras = (fn) =>
  readdirSync(`${VECTORS}kvm`)
    .filter((era) => readdirSync(`${VECTORS}kvm/${era}`).includes(`${fn}.jsonl.gz`))
    .map((era) => ({ era, rows: rows(`kvm/${era}/${fn}.jsonl.gz`) }));

/** Linux versions of each era, by function: an era is not simply the time until the next one. */
const KERNELS = {
  vmx_get_mt_mask: {
    'v2.6.31': '2.6.31 to 3.12',
    'v3.13': '3.13 to 4.1',
    'v4.2.0': '4.2.0 to 4.2.3, 4.3-rc1 to 4.3-rc3',
    'v4.3': '4.3 to 6.6, 4.2.4 and later 4.2.y',
    'v6.7': '6.7 to 6.10',
    'v6.11-rc1': '6.11-rc1 to 6.11-rc7',
    'v6.11': '6.11 to 6.15, without 6.12.78 and later 6.12.y',
    'v6.16': '6.16 to 7.3, 6.12.78 and later 6.12.y',
  },
  kvm_is_mmio_pfn: {
    'v2.6.28': '2.6.28 and 2.6.29',
    'v2.6.30':
      '2.6.30 to 3.11 or 3.12 (not settled which); 2.6.38 words it anew, with the same answers',
    'v3.13': '3.12 or 3.13 (not settled which) to 3.16',
    'v3.18': '3.18 to 4.1',
    'v4.2.0': '4.2 to 4.15, 3.17',
    'v4.16': '4.16 to 5.1',
    'v5.2': '5.2 to 7.3',
    'proposed-2024-03-11-seed-wc-as-mmio': 'none: a patch that was posted and not merged',
    'proposed-2024-05-07-invalid-ram-pat': 'none: a patch that was posted and not merged',
  },
};

/** A line for each era of a function, oldest first. */
function kernels(fn) {
  const known = KERNELS[fn];
  const found = eras(fn).map(({ era }) => era);
  const strange = [...found, ...Object.keys(known)].find((e) => !(e in known && found.includes(e)));
  if (strange !== undefined) throw new Error(`${fn}: the kernels of ${strange} are not known`);
  return Object.entries(known).map(([era, which]) => `${era}: ${which}`);
}

/** A table as text: what the fields are, then the cases. */
function table(about, fields, cases) {
  const head = [...about, `fields: ${fields.join(' ')}`].map((line) => `# ${line}`);
  return `${[...head, ...cases.map((c) => c.join(' '))].join('\n')}\n`;
}

function mtrrPat() {
  const of = (vendor) =>
    json(`x86/mtrr-x-pat-${vendor}.json.gz`).cells.map((c) => [vendor, c.mtrr, c.pat, c.eff]);
  return table(
    ['MTRR x PAT, CR0.CD=0. Intel SDM Table 11-7, AMD APM Table 7-11.'],
    ['vendor', 'mtrr', 'pat', 'effective'],
    [...of('intel'), ...of('amd')],
  );
}

function ept() {
  return table(
    ['Effective type under EPT. Intel SDM 28.2.6. CR0.CD is the live register.'],
    ['cr0.cd', 'cr0.pg', 'ipat', 'ept', 'pat', 'effective'],
    json('x86/ept-combine.json.gz').full.map((c) => [
      c.cr0cd,
      c.cr0pg,
      c.ipat,
      c.ept,
      c.pat,
      c.eff,
    ]),
  );
}

function npt() {
  return table(
    ['Effective type under nested paging, CR0.CD=0. AMD APM Tables 15-19 and 15-20.'],
    ['guest-pat', 'host-pat', 'host-mtrr', 'effective'],
    json('x86/npt-guest-x-host-pat.json.gz').full.map((c) => [
      c.guestPat,
      c.hostPat,
      c.mtrr,
      c.eff,
    ]),
  );
}

function overlap() {
  return table(
    [
      'Overlapping MTRR ranges: types in register order, what the manuals say, and what implementations do.',
      'UNDEFINED: the manuals leave it open. INVALID: Bochs has no answer.',
    ],
    ['types', 'manual', 'bochs', 'xen', 'kvm-4.4-to-6.10', 'linux-7.3'],
    json('x86/mtrr-overlap-compare.json.gz').map((c) => [
      c.types.join('+'),
      c.architectural,
      c.bochs,
      c.xen,
      c.kvm61,
      c.linux73,
    ]),
  );
}

const LAYOUTS = 200;

function guestMtrr() {
  const versions = ['v2.6.29', 'v4.4'].map((era) =>
    rows(`kvm/${era}/kvm_mtrr_get_guest_memory_type.jsonl.gz`).slice(0, LAYOUTS),
  );
  const cases = versions[0].flatMap((row, i) =>
    row.queries.flatMap(({ gfn, type }) => {
      const later = versions[1][i].queries.find((q) => q.gfn === gfn);
      if (later === undefined) return [];
      const pairs = row.var.filter(([, mask]) => BigInt(mask) & 0x800n).map((p) => p.join('/'));
      return [
        [
          row.id,
          row.maxphyaddr,
          row.cpuid_mtrr,
          row.def_type,
          row.fixed.join(','),
          pairs.join(',') || '-',
          gfn,
          TYPE[type],
          TYPE[later.type],
        ],
      ];
    }),
  );
  return table(
    [
      `Guest MTRRs as two KVM versions evaluated them: the first ${LAYOUTS} of 3000 random MTRR states.`,
      'fixed: the MSRs 250 258 259 268..26f. var: PHYSBASE/PHYSMASK of the valid pairs, in register order.',
      'These are observations of KVM, not the rule of the manual (see mtrr-overlap.txt).',
    ],
    [
      'id',
      'maxphyaddr',
      'cpuid.mtrr',
      'def_type',
      'fixed',
      'var',
      'gfn',
      'kvm-2.6.29-to-4.1',
      'kvm-4.4-to-6.10',
    ],
    cases,
  );
}

function mtMask() {
  const inputs = [
    'is_mmio',
    'noncoherent_dma',
    'cr0_cd',
    'quirk_cd_nw_cleared',
    'self_snoop',
    'quirk_ignore_guest_pat',
  ];
  return table(
    [
      'vmx_get_mt_mask() by era: memory type and IPAT of an EPT leaf.',
      'The Linux versions of each era:',
      ...kernels('vmx_get_mt_mask'),
    ],
    ['era', ...inputs, 'guest_mtrr', 'memtype', 'ipat'],
    eras('vmx_get_mt_mask').flatMap(({ era, rows: all }) =>
      all.map((r) => [
        era,
        ...inputs.map((i) => r[i]),
        TYPE[r.guest_mtrr],
        TYPE[r.memtype],
        r.ipat,
      ]),
    ),
  );
}

function isMmio() {
  const inputs = [
    'pfn_valid',
    'is_zero_pfn',
    'page_tail',
    'head_reserved',
    'page_reserved',
    'pat_enabled',
    'host_memtype',
    'e820_ram',
  ];
  return table(
    [
      'kvm_is_mmio_pfn() by era: is this page host MMIO?',
      'The Linux versions of each era:',
      ...kernels('kvm_is_mmio_pfn'),
    ],
    ['era', ...inputs, 'is_mmio'],
    eras('kvm_is_mmio_pfn').flatMap(({ era, rows: all }) =>
      all.map((r) => [era, ...inputs.map((i) => r[i]), r.is_mmio]),
    ),
  );
}

const FILES = {
  'mtrr-x-pat.txt': mtrrPat,
  'ept.txt': ept,
  'npt.txt': npt,
  'mtrr-overlap.txt': overlap,
  'kvm-guest-mtrr.txt': guestMtrr,
  'vmx_get_mt_mask.txt': mtMask,
  'kvm_is_mmio_pfn.txt': isMmio,
};

const check = process.argv.includes('--check');
mkdirSync(`${VECTORS}text`, { recursive: true });
let stale = 0;
for (const [name, make] of Object.entries(FILES)) {
  const path = `${VECTORS}text/${name}`;
  const made = make();
  if (!check) writeFileSync(path, made);
  else if (readFileSync(path, 'utf8') !== made) {
    process.stdout.write(`${path} is not what the tables give: run node tools/vectors.mjs\n`);
    stale = 1;
  }
}
process.exit(stale);
