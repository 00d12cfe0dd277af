import type { Parsed } from '../../base/diagnostic.ts';
import {
  type Fields,
  type Form,
  type Format,
  inclusiveRange,
  Problems,
  readLines,
  readRow,
  reportEmpty,
  startOf,
} from '../../linux/text/common.ts';
import type { Readings } from '../reading.ts';
import { FIRST_WITH_SWITCH } from './qemu.ts';

/** Where the answers of a QEMU's monitor stand in a capture. */
export function monitorKey(pid: number, command: string): string {
  return `monitor/${pid}/${command}`;
}

/** Commands of QMP, without arguments unless shown. All of them only read. */
export const QMP_COMMANDS = [
  'query-version',
  'query-kvm',
  'query-status',
  'query-memdev',
  'qom-list-properties kvm-accel',
] as const;

/** Commands of the human monitor, sent through QMP's human-monitor-command, or as they are. */
export const HMP_COMMANDS = ['info version', 'info kvm', 'info mtree -f', 'info ramblock'] as const;

/** Asked for a memslot whose block has no HVA in `info ramblock` (QEMU up to 7.2). */
export const GPA2HVA = 'gpa2hva';

// ---- info mtree -f ----------------------------------------------------------------------------

/** A piece of an address space of the guest that one memory region serves. */
export interface FlatSection {
  /** Guest physical. */
  readonly start: number;
  /** Inclusive. */
  readonly endInclusive: number;
  /** `ramd`: RAM of a device (VFIO BARs); `romd`: ROM whose writes go to a device. */
  readonly kind: 'ram' | 'ramd' | 'rom' | 'romd';
  /** Name of the memory region. */
  readonly name: string;
  /** Offset of `start` in the memory region. */
  readonly offset: number;
  /** QEMU says that KVM has it as a memslot. */
  readonly kvm: boolean;
}

export interface FlatView {
  readonly spaces: readonly { readonly name: string; readonly root: string }[];
  readonly sections: readonly FlatSection[];
  /** Sections served by a device model: no memory. */
  readonly devices: number;
}

const MTREE: Format = {
  name: 'info mtree -f',
  shape: '  0000000000100000-000000001fffffff (prio 0, ram): pc.ram @0000000000100000 KVM',
  refusals: {},
};

const TAIL = String.raw`(?: @(?<offset>[0-9a-f]{16}))?(?: (?:owner|parent):\{[^}]*\})*(?<kvm> KVM)?$`;
const MEMORY = new RegExp(
  String.raw`^(?<start>[0-9a-f]{16})-(?<end>[0-9a-f]{16}) \(prio -?\d+, (?:nv-)?(?<kind>ramd?|romd?)\): (?<name>.*?)${TAIL}`,
  'd',
);
const DEVICE = /^[0-9a-f]{16}-[0-9a-f]{16} \(prio -?\d+, (?:nv-)?(?:i\/o|container)\): ./d;
const SPACE = /^AS "(?<name>[^"]*)", root: (?<root>.*?)(?:, alias .*)?$/d;
const ROOT = /^Root memory region: ./d;
const HEAD = /^FlatView #\d+$/d;
const EMPTY = /^No rendered FlatView$/d;
const KINDS = { ram: 'ram', ramd: 'ramd', rom: 'rom', romd: 'romd' } as const;

type MtreeRow =
  | { readonly row: 'head' | 'device' | 'other' }
  | { readonly row: 'space'; readonly name: string; readonly root: string }
  | ({ readonly row: 'section' } & FlatSection);

function readSection(f: Fields): MtreeRow {
  return {
    row: 'section',
    ...inclusiveRange(f),
    kind: f.word('kind', KINDS),
    name: f.text('name'),
    offset: f.text('offset') === '' ? 0 : f.hex('offset'),
    kvm: f.text('kvm') !== '',
  };
}

const MTREE_FORMS: readonly Form<MtreeRow>[] = [
  { pattern: MEMORY, read: readSection },
  { pattern: DEVICE, read: () => ({ row: 'device' }) },
  { pattern: SPACE, read: (f) => ({ row: 'space', name: f.text('name'), root: f.text('root') }) },
  { pattern: HEAD, read: () => ({ row: 'head' }) },
  { pattern: ROOT, read: () => ({ row: 'other' }) },
  { pattern: EMPTY, read: () => ({ row: 'other' }) },
];

/** `info mtree -f`, with or without `-o`: system/memory.c, mtree_print_flatview(). */
export function parseMtree(text: string, file: string): Parsed<readonly FlatView[]> {
  const problems = new Problems(file, MTREE);
  const views: {
    spaces: FlatView['spaces'][number][];
    sections: FlatSection[];
    devices: number;
  }[] = [];
  for (const line of readLines(text, problems)) {
    const row = readRow(line, MTREE_FORMS, problems);
    if (row === null) continue;
    if (row.row === 'head') views.push({ spaces: [], sections: [], devices: 0 });
    const view = views.at(-1);
    if (view === undefined) {
      problems.error(line, 'a line before the first "FlatView #"', 'capture the answer again');
    } else if (row.row === 'space') view.spaces.push({ name: row.name, root: row.root });
    else if (row.row === 'device') view.devices += 1;
    else if (row.row === 'section') {
      const { row: _, ...section } = row;
      view.sections.push(section);
    }
  }
  if (views.length === 0 && problems.list.length === 0) {
    reportEmpty(problems, 'a running QEMU has address spaces: ask again');
  }
  return { value: views, problems: problems.list };
}

// ---- info ramblock ----------------------------------------------------------------------------

/** A block of memory that QEMU has mapped. */
export interface RamBlock {
  /** With the path of the device in front: "0000:00:01.0/vga.vram". */
  readonly name: string;
  readonly offset: number;
  /** Bytes. */
  readonly used: number;
  readonly total: number;
  /** Where QEMU has it mapped; null: a QEMU before 8.0 does not print it. */
  readonly hva: number | null;
  readonly readonly: boolean | null;
}

const RAMBLOCK: Format = {
  name: 'info ramblock',
  shape: 'pc.ram 4 KiB  0x0000000000000000 0x0000000020000000 0x0000000020000000',
  refusals: {},
};
const BLOCK =
  /^(?<name>\S+) +\d+(?:\.\d+)? (?:[KMGT]i)?B +0x(?<offset>\w+) 0x(?<used>\w+) 0x(?<total>\w+)(?: 0x(?<hva>\w+) +(?<ro>ro|rw))?$/d;
const BLOCKS_HEAD = /^Block Name +PSize +Offset +Used +Total(?: +HVA +RO)?$/d;

const BLOCK_FORMS: readonly Form<RamBlock | 'head'>[] = [
  {
    pattern: BLOCK,
    read: (f) => ({
      name: f.text('name'),
      offset: f.hex('offset'),
      used: f.hex('used'),
      total: f.hex('total'),
      hva: f.text('hva') === '' ? null : f.hex('hva'),
      readonly: f.text('ro') === '' ? null : f.text('ro') === 'ro',
    }),
  },
  { pattern: BLOCKS_HEAD, read: () => 'head' },
];

/** `info ramblock`: system/physmem.c, ram_block_format(). */
export function parseRamblock(text: string, file: string): Parsed<readonly RamBlock[]> {
  const problems = new Problems(file, RAMBLOCK);
  const rows = readLines(text, problems).map((line) => readRow(line, BLOCK_FORMS, problems));
  const value = rows.filter((row): row is RamBlock => row !== null && row !== 'head');
  if (rows.length === 0) reportEmpty(problems, 'a running QEMU has blocks: ask again');
  return { value, problems: problems.list };
}

const HVA = /^Host virtual address for 0x[0-9a-f]+ \((?<name>.*)\) is 0x(?<hva>[0-9a-f]+)$/d;
const GPA2HVA_FORMAT: Format = {
  name: GPA2HVA,
  shape: 'Host virtual address for 0x100000 (pc.ram) is 0x7f9c2c0ff000',
  refusals: {},
};

/** `gpa2hva ADDRESS`: where QEMU has the byte mapped; null where there is no RAM. */
export function parseGpa2hva(text: string, file: string): Parsed<number | null> {
  const problems = new Problems(file, GPA2HVA_FORMAT);
  const forms: readonly Form<number | null>[] = [
    { pattern: HVA, read: (f) => f.hex('hva') },
    { pattern: /^(?:No memory is mapped|Memory at) .*$/d, read: () => null },
  ];
  const rows = readLines(text, problems).map((line) => readRow(line, forms, problems));
  return { value: rows.find((row) => row !== null) ?? null, problems: problems.list };
}

// ---- QMP --------------------------------------------------------------------------------------

function json(text: string, problems: Problems): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = `no JSON: ${error instanceof Error ? error.message : String(error)}`;
    problems.error(startOf(text), message, 'the answer was cut or damaged: ask again');
    return undefined;
  }
}

type Fieldsof = Readonly<Record<string, unknown>>;

function objectOf(value: unknown): Fieldsof {
  return typeof value === 'object' && value !== null ? (value as Fieldsof) : {};
}

function badShape(text: string, problems: Problems, shape: string): void {
  if (problems.list.length > 0) return;
  problems.error(startOf(text), 'not the answer expected', `it looks like this: ${shape}`);
}

function qmpFormat(name: string): Format {
  return { name, shape: '{...}', refusals: {} };
}

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

/** The answer to query-version. */
export function parseQueryVersion(text: string, file: string): Parsed<QemuVersion | null> {
  const problems = new Problems(file, qmpFormat('query-version'));
  const { major, minor, micro } = objectOf(objectOf(json(text, problems))['qemu']) as Fieldsof & {
    major?: unknown;
    minor?: unknown;
    micro?: unknown;
  };
  const isNumber = (n: unknown): n is number => typeof n === 'number' && Number.isInteger(n);
  if (isNumber(major) && isNumber(minor) && isNumber(micro)) {
    return { value: { major, minor, micro }, problems: problems.list };
  }
  badShape(text, problems, '{"qemu": {"micro": 0, "minor": 0, "major": 11}, "package": ""}');
  return { value: null, problems: problems.list };
}

/** The first line of `info version`: "7.2.22Debian 1:7.2+dfsg-7". */
export function parseInfoVersion(text: string, file: string): Parsed<QemuVersion | null> {
  const problems = new Problems(file, qmpFormat('info version'));
  const found = /^\s*(\d{1,3})\.(\d{1,3})\.(\d{1,3})/.exec(text);
  if (found !== null) {
    const [major = 0, minor = 0, micro = 0] = found.slice(1).map(Number);
    return { value: { major, minor, micro }, problems: [] };
  }
  badShape(text, problems, '11.0.0');
  return { value: null, problems: problems.list };
}

/** A memory backend, as query-memdev tells it. */
export interface Memdev {
  readonly id: string | null;
  readonly size: number;
  readonly share: boolean;
}

export function parseQueryMemdev(text: string, file: string): Parsed<readonly Memdev[]> {
  const problems = new Problems(file, qmpFormat('query-memdev'));
  const list = json(text, problems);
  if (!Array.isArray(list)) badShape(text, problems, '[{"id": "m0", "size": 536870912, ...}]');
  const value = (Array.isArray(list) ? list : []).flatMap((entry: unknown): Memdev[] => {
    const { id, size, share } = objectOf(entry) as {
      id?: unknown;
      size?: unknown;
      share?: unknown;
    };
    if (typeof size !== 'number' || !Number.isSafeInteger(size)) return [];
    return [{ id: typeof id === 'string' ? id : null, size, share: share === true }];
  });
  return { value, problems: problems.list };
}

/** A member of an answer that is yes or no: `enabled` of query-kvm, `running` of query-status. */
export function parseFlag(text: string, file: string, name: string): Parsed<boolean | null> {
  const problems = new Problems(file, qmpFormat(file));
  const value = objectOf(json(text, problems))[name];
  if (typeof value === 'boolean') return { value, problems: problems.list };
  badShape(text, problems, `{"${name}": true}`);
  return { value: null, problems: problems.list };
}

/** Names of the properties in an answer to qom-list-properties. */
export function parseProperties(text: string, file: string): Parsed<readonly string[] | null> {
  const problems = new Problems(file, qmpFormat('qom-list-properties'));
  const list = json(text, problems);
  if (!Array.isArray(list)) {
    badShape(text, problems, '[{"name": "type", "type": "string"}]');
    return { value: null, problems: problems.list };
  }
  const names = list.map((entry: unknown) => objectOf(entry)['name']);
  return { value: names.filter((n) => typeof n === 'string'), problems: problems.list };
}

// ---- what follows -----------------------------------------------------------------------------

/** The version of a QEMU, by either monitor; null: it was not asked, or said nothing sensible. */
export function monitorVersion(readings: Readings, pid: number): QemuVersion | null {
  const qmp = readings.text(monitorKey(pid, 'query-version'));
  if (qmp.ok) return parseQueryVersion(qmp.text, '').value;
  const hmp = readings.text(monitorKey(pid, 'info version'));
  return hmp.ok ? parseInfoVersion(hmp.text, '').value : null;
}

/** The answer to query-memdev; null: it was not asked, or is none. */
export function monitorMemdevs(readings: Readings, pid: number): readonly Memdev[] | null {
  const reading = readings.text(monitorKey(pid, 'query-memdev'));
  return reading.ok ? parseQueryMemdev(reading.text, '').value : null;
}

/** `enabled` of query-kvm, `running` of query-status; null: not asked, or no answer. */
export function monitorFlag(
  readings: Readings,
  pid: number,
  command: 'query-kvm' | 'query-status',
): boolean | null {
  const reading = readings.text(monitorKey(pid, command));
  const name = command === 'query-kvm' ? 'enabled' : 'running';
  return reading.ok ? parseFlag(reading.text, command, name).value : null;
}

/** Whether this QEMU has honor-guest-pat: by its properties, else by its version; null: not known. */
export function monitorSwitch(readings: Readings, pid: number): boolean | null {
  const reading = readings.text(monitorKey(pid, 'qom-list-properties kvm-accel'));
  const names = reading.ok ? parseProperties(reading.text, '').value : null;
  if (names !== null) return names.includes('honor-guest-pat');
  const version = monitorVersion(readings, pid);
  return version === null ? null : version.major >= FIRST_WITH_SWITCH;
}
