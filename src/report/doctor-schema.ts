import { CAPTURE_VERSION } from '../doctor/capture/capture-file.ts';
import { GUEST_ASKS } from '../doctor/diagnosis/answers.ts';
import { DOCTOR_FINDINGS } from '../doctor/findings.ts';
import { REGION_KINDS, VMM_NAMES } from '../doctor/vms/vm-facts.ts';
import { VERDICTS } from '../resolve/verdicts/index.ts';
import { EFFECTIVE_TYPES } from '../x86/types.ts';
import { FLEET_SCHEMA_VERSION } from './doctor-fleet-json.ts';
import { DOCTOR_SCHEMA_VERSION } from './doctor-json.ts';
import {
  BOOLEAN,
  COUNT,
  DIALECT,
  type Json,
  listOf,
  nullable,
  object,
  ref,
  STRING,
  STRINGS,
} from './schema-parts.ts';

const CODES: Json = {
  enum: [...VERDICTS, ...Object.values(DOCTOR_FINDINGS)].map((v) => v.code),
};
const SEVERITY: Json = { enum: ['error', 'warning', 'info'] };
const EXIT_CODE: Json = {
  enum: [0, 1, 3],
  description: 'without regard to --fail-on',
};
const PAGING: Json = { enum: ['ept', 'npt', 'shadow'] };

const FINDING: Json = object({
  code: CODES,
  severity: SEVERITY,
  title: STRING,
  certain: { ...BOOLEAN, description: 'it holds whatever is not known' },
  when: { ...STRING, description: 'what a finding that is not certain depends on' },
  given: { ...STRING, description: 'what the guest is taken to do' },
  places: { ...STRINGS, minItems: 1, description: '"this machine", "VM 4711: memfd pc.ram"' },
  agents: STRINGS,
  text: STRING,
  fix: STRING,
  commands: { ...STRINGS, description: 'the fix as something to copy' },
});

/** A value with where it came from, or why it is not known. */
function fact(value: Json): Json {
  return {
    oneOf: [
      object({ known: { const: true }, value, from: STRING }),
      object({ known: { const: false }, why: STRING, remedy: STRING }),
    ],
  };
}

const anyList = listOf({});
const anyObject: Json = { type: 'object' };

const MACHINE: Json = object({
  cpu: fact(
    object({
      vendor: { enum: ['intel', 'amd', 'other', null] },
      family: nullable('integer'),
      model: nullable('integer'),
      modelName: nullable('string'),
      usableSelfSnoop: nullable('boolean'),
    }),
  ),
  kernel: fact(object({ release: STRING, version: anyObject, stable: nullable('object') })),
  isGuest: fact(BOOLEAN),
  hypervisor: fact(STRING),
  kvm: object({
    present: fact(BOOLEAN),
    quirks2: fact(COUNT),
    flavour: fact(STRING),
    parameters: { type: 'object', additionalProperties: STRING },
    paging: fact(PAGING),
  }),
  firmware: object({
    mtrrs: fact(anyList),
    mtrrDefault: fact(nullable('string')),
    memmap: fact(anyList),
  }),
  pat: fact(object({ enabled: BOOLEAN, layout: { type: ['array', 'null'], items: STRING } })),
  tracked: fact(anyObject),
  iomem: fact(anyObject),
  iommu: fact(listOf(object({ name: STRING, snoopControl: fact(BOOLEAN) }))),
  gpus: fact(listOf(object({ name: STRING, driver: nullable('string') }))),
  virtioGpus: fact(listOf(object({ name: STRING, blob: nullable('boolean') }))),
  vfioBound: fact(STRINGS),
  processes: fact(object({ total: COUNT, closed: COUNT, complete: BOOLEAN })),
});

const POLICY: Json = object({
  rules: {
    type: ['array', 'null'],
    items: object({ id: STRING, kernels: STRING, ept: STRING, npt: STRING, mmio: STRING }),
    description: 'the sets of KVM rules that may hold; null: the kernel is not known',
  },
  subject: nullable('string'),
  trust: { enum: ['capability', 'version', 'guess'] },
  word: { enum: ['before', 'after', null] },
  how: STRINGS,
});

const GUEST_PAT: Json = {
  ...object({
    answer: { enum: ['always', 'on request', 'never', 'not known'] },
    why: STRING,
    how: STRING,
  }),
  type: ['object', 'null'],
  description: 'whether this KVM honours the guest PAT for RAM, VM or not; null: there is no KVM',
};

const AGREEMENT: Json = {
  ...object({ code: nullable('string'), certain: BOOLEAN }),
  description: 'the verdict that says it is not coherent, or only with care; null: coherent',
};

const ANSWER: Json = object({
  asks: { enum: GUEST_ASKS },
  types: { ...listOf({ enum: EFFECTIVE_TYPES }), minItems: 1 },
  leaf: { type: ['object', 'null'], properties: { paging: PAGING } },
  isMmio: nullable('boolean'),
  withVmm: ref('agreement'),
  withSnooping: ref('agreement'),
  withNotSnooping: { oneOf: [ref('agreement'), { type: 'null' }] },
  unknown: STRINGS,
});

const REGION: Json = object({
  kind: { enum: REGION_KINDS },
  name: STRING,
  isGuestMemory: { enum: ['named', 'size', 'perhaps'] },
  why: STRING,
  size: { ...COUNT, description: 'bytes' },
  mappings: COUNT,
  backings: { ...STRINGS, minItems: 1 },
  page: anyObject,
  pfnmap: nullable('boolean'),
  sample: fact(anyObject),
  start: { type: 'string', pattern: '^0x[0-9a-f]+$' },
  prospective: BOOLEAN,
  answers: listOf(ref('answer')),
  undetermined: STRINGS,
});

const BOOLEANS: Json = { ...listOf(BOOLEAN), minItems: 1, maxItems: 2 };

const VM: Json = object({
  pid: COUNT,
  evidence: { enum: ['fd', 'name', 'asked'] },
  vmm: { enum: VMM_NAMES },
  program: STRING,
  vms: COUNT,
  vcpus: COUNT,
  files: fact(anyObject),
  qemu: fact(nullable('object')),
  devices: listOf(object({ name: STRING, kind: STRING, snoop: fact(nullable('boolean')) })),
  missingRam: listOf(COUNT),
  noncoherentDma: { ...BOOLEANS, description: 'both values: not known' },
  noncoherentWhy: STRING,
  mayNotSnoop: BOOLEANS,
  quirkIgnoreGuestPat: { ...listOf({ enum: ['on', 'off'] }), minItems: 1 },
  regions: listOf(ref('region')),
});

const PROBLEM: Json = object({
  severity: { enum: ['error', 'warning'] },
  message: STRING,
  file: nullable('string'),
  line: nullable('integer'),
  help: nullable('string'),
});

/** JSON Schema of what `doctor --format json` prints of one host. */
export function doctorSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype doctor',
    ...object({
      schemaVersion: { const: DOCTOR_SCHEMA_VERSION },
      exitCode: EXIT_CODE,
      findings: listOf(ref('finding')),
      undetermined: STRINGS,
      machine: MACHINE,
      policy: POLICY,
      guestPat: GUEST_PAT,
      vms: listOf(VM),
      guestSide: {
        type: ['object', 'null'],
        properties: { hosts: anyList, requests: anyList, findings: listOf(ref('finding')) },
        required: ['hosts', 'requests', 'findings'],
      },
      unknown: listOf(object({ what: STRING, why: STRING, remedy: STRING })),
      problems: listOf(PROBLEM),
    }),
    $defs: { finding: FINDING, agreement: AGREEMENT, answer: ANSWER, region: REGION },
  };
}

const HOST_LINE: Json = object({
  schemaVersion: { const: FLEET_SCHEMA_VERSION },
  kind: { const: 'host' },
  verdict: { enum: ['problem', 'undetermined', 'ok'] },
  file: STRING,
  exitCode: EXIT_CODE,
  kernel: { ...nullable('string'), description: 'uname -r' },
  paging: { enum: ['ept', 'npt', 'shadow', 'none', null] },
  eras: {
    type: ['array', 'null'],
    items: STRING,
    description: 'eras of the rules of KVM; null: not known',
  },
  vms: COUNT,
  regions: COUNT,
  findings: listOf(ref('finding')),
  undetermined: STRINGS,
});

const ERROR_LINE: Json = object({
  schemaVersion: { const: FLEET_SCHEMA_VERSION },
  kind: { const: 'host' },
  verdict: { const: 'error' },
  file: STRING,
  error: { ...STRING, description: 'why the file could not be read' },
});

const counts: Json = { type: 'object', additionalProperties: COUNT };

const SUMMARY_LINE: Json = object({
  schemaVersion: { const: FLEET_SCHEMA_VERSION },
  kind: { const: 'summary' },
  files: COUNT,
  verdicts: object({ problem: COUNT, undetermined: COUNT, ok: COUNT, error: COUNT }),
  codes: listOf(
    object({ code: CODES, severity: SEVERITY, title: STRING, certain: COUNT, possible: COUNT }),
  ),
  eras: counts,
  paging: counts,
  vms: COUNT,
  shard: { ...nullable('string'), description: '"0/8": the part of the list; null: all of it' },
});

/** JSON Schema of each line that `doctor --format json` prints of many hosts. */
export function fleetSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype doctor of many hosts: one line',
    oneOf: [HOST_LINE, ERROR_LINE, SUMMARY_LINE],
    $defs: { finding: FINDING },
  };
}

// ---- capture files ----------------------------------------------------------------------------

const REFUSED: Json = {
  type: 'object',
  properties: {
    refused: { enum: ['absent', 'denied', 'timeout', 'error', 'not read'] },
    detail: { ...STRING, description: "the system's own word, e.g. EACCES" },
  },
  required: ['refused'],
};

const LINES: Json = { anyOf: [STRING, STRINGS] };

const TEXT: Json = {
  anyOf: [
    LINES,
    object({ lines: LINES, cut: BOOLEAN }, ['lines']),
    object({ words: STRINGS, cut: BOOLEAN }, ['words']),
    ref('refused'),
  ],
};

const LIST: Json = {
  anyOf: [STRINGS, object({ names: STRINGS, cut: BOOLEAN }, ['names']), ref('refused')],
};

const targets: Json = { type: 'object', additionalProperties: STRING };

const LINKS: Json = {
  anyOf: [targets, object({ links: targets, cut: BOOLEAN }, ['links']), ref('refused')],
};

const mapOf = (value: Json, description: string): Json => ({
  type: 'object',
  additionalProperties: value,
  description,
});

/** JSON Schema of a capture file; `doctor` reads over keys that it does not know. */
export function captureSchema(): Json {
  const properties = {
    memtypeCapture: { const: CAPTURE_VERSION, description: 'version of the format' },
    tool: { ...STRING, description: '"memtype 0.1.0"' },
    by: { enum: ['node', 'sh'] },
    masked: { ...STRINGS, description: 'what was masked' },
    uname: object({ sysname: STRING, release: STRING, machine: STRING }, []),
    pid: { ...nullable('integer'), description: 'the only process that was read; null: all' },
    kvm: mapOf(
      { anyOf: [{ type: 'integer' }, ref('refused')] },
      'answers of /dev/kvm: api, and extensions by number',
    ),
    log: { ...TEXT, description: 'lines of the boot log' },
    texts: mapOf(TEXT, 'files by path'),
    lists: mapOf(LIST, 'directories by path'),
    links: mapOf({ anyOf: [STRING, ref('refused')] }, 'symbolic links by path'),
    linkLists: mapOf(LINKS, 'the links in a directory, by its path'),
    bytes: mapOf(
      { anyOf: [{ type: 'string', pattern: '^([0-9a-f]{2})*$' }, ref('refused')] },
      'pieces of binary files: "PATH OFFSET LENGTH" to hexadecimal digits',
    ),
  };
  return {
    $schema: DIALECT,
    title: 'memtype capture file',
    ...object(properties, ['memtypeCapture']),
    $defs: { refused: REFUSED },
  };
}
