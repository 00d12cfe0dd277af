import { GPA2HVA, type HMP_COMMANDS, type QMP_COMMANDS } from '../vmms/qemu-monitor.ts';
import { eachLine, MASK, type Masks, odd } from './mask-words.ts';

type Reducer = (text: string, masks: Masks) => string;

// ---- QMP --------------------------------------------------------------------------------------

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

type KeepValue = (value: unknown, masks: Masks) => unknown;

const number: KeepValue = (value) => (Number.isSafeInteger(value) ? value : undefined);
const yesNo: KeepValue = (value) => (typeof value === 'boolean' ? value : undefined);
const id: KeepValue = (value, masks) => (typeof value === 'string' ? masks.id(value) : undefined);
const word =
  (form: RegExp): KeepValue =>
  (value) =>
    typeof value === 'string' && form.test(value) ? value : undefined;

/** An object of which the members that have a rule are kept, in the order of the rules. */
const object =
  (rules: Readonly<Record<string, KeepValue>>): KeepValue =>
  (value, masks) => {
    const fields = fieldsOf(value);
    const kept = Object.entries(rules).flatMap(([key, rule]): [string, unknown][] => {
      const made = Object.hasOwn(fields, key) ? rule(fields[key], masks) : undefined;
      return made === undefined ? [] : [[key, made]];
    });
    return Object.fromEntries(kept);
  };

/** A list of objects; what is no list becomes an object, which its reader refuses as well. */
const listOf =
  (item: KeepValue): KeepValue =>
  (value, masks) =>
    Array.isArray(value) ? value.map((entry) => item(entry, masks)) : {};

/** JSON again; what is none becomes a word that is none. */
const json =
  (keep: KeepValue): Reducer =>
  (text, masks) => {
    try {
      return `${JSON.stringify(keep(JSON.parse(text), masks))}\n`;
    } catch {
      return `${MASK}\n`;
    }
  };

const QMP: Readonly<Record<(typeof QMP_COMMANDS)[number], Reducer>> = {
  'query-version': json(object({ qemu: object({ micro: number, minor: number, major: number }) })),
  'query-kvm': json(object({ enabled: yesNo, present: yesNo })),
  'query-status': json(
    object({
      running: yesNo,
      status: word(/^(?:running|paused|prelaunch|inmigrate|postmigrate|shutdown|suspended)$/),
    }),
  ),
  'query-memdev': json(listOf(object({ id, size: number, share: yesNo }))),
  'qom-list-properties kvm-accel': json(
    listOf(object({ name: word(/^(?:type|honor-guest-pat)$/) })),
  ),
};

// ---- names of memory regions ------------------------------------------------------------------

/** Words that QEMU's own memory regions are called by. */
const REGION_WORDS: ReadonlySet<string> = new Set(
  (
    'acpi alias ati bar bios block blob bochs cirrus cmos config cpu display edid etc flash fw cfg gpu ' +
    'hostmem hpet igd intel io ioeventfd isa kvm loader low lowmem mem memory mmaps mmio msix nvdimm ' +
    'objects option opregion pam pba pc pci pcie pflash pmem qxl ram ramfb rom rsdp smram std stdvga ' +
    'sys system table tables tpm vga vgamem vgpu video virtio vmgenid vram window dimm node high below above ' +
    '4g gl blk net scsi nvme ivshmem shared region quirk mmap rombar efi e1000 e1000e smm container'
  ).split(' '),
);
const PCI_NAME =
  /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](?: BAR \d{1,2})?(?: mmaps\[\d{1,2}\])?$/;

function isOwn(part: string): boolean {
  if (PCI_NAME.test(part)) return true;
  return part
    .split(/[ .@_[\]-]/)
    .every((w) => w === '' || /^\d{1,4}$/.test(w) || REGION_WORDS.has(w.toLowerCase()));
}

/** Part by part: a block is called as its region, with the device in front. */
function region(name: string, masks: Masks): string {
  return name
    .split('/')
    .map((part) => (isOwn(part) ? part : masks.id(part)))
    .join('/');
}

// ---- HMP --------------------------------------------------------------------------------------

const MEMORY =
  /^(\s*[0-9a-f]{16}-[0-9a-f]{16} \(prio -?\d{1,10}, (?:nv-)?(?:ramd?|romd?)\): )(.*?)((?: @[0-9a-f]{16})?)(?: (?:owner|parent):\{[^}]*\})*((?: KVM)?)$/;
const DEVICE = /^(\s*[0-9a-f]{16}-[0-9a-f]{16} \(prio -?\d{1,10}, (?:nv-)?(?:i\/o|container)\): )./;
const SPACE = /^(\s*AS )"([^"]*)", root: ./;
const FIXED = /^\s*(?:FlatView #\d{1,6}|No rendered FlatView)$/;
const ROOT = /^(\s*Root memory region: )./;
const OWN_SPACE = /^(?:memory|I\/O|cpu-(?:memory|smm)-\d{1,5})$/;

const mtree: Reducer = (text, masks) =>
  eachLine(text, (line) => {
    if (line.trim() === '' || FIXED.test(line)) return line;
    const [, head, name = '', offset = '', kvm = ''] = MEMORY.exec(line) ?? [];
    if (head !== undefined) return `${head}${region(name, masks)}${offset}${kvm}`;
    const [, as, space = ''] = SPACE.exec(line) ?? [];
    if (as !== undefined) return `${as}"${OWN_SPACE.test(space) ? space : MASK}", root: ${MASK}`;
    const other = DEVICE.exec(line)?.[1] ?? ROOT.exec(line)?.[1];
    return other === undefined ? odd(line) : other + MASK;
  });

const BLOCK =
  /^\s*(\S(?:.*\S)?)( +\d{1,6}(?:\.\d{1,6})? (?:[KMGT]i)?B +0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+(?: 0x[0-9a-f]+ +(?:ro|rw))?)\s*$/;
const BLOCKS_HEAD = /^\s*Block Name +PSize +Offset +Used +Total(?: +HVA +RO)?\s*$/;

const ramblock: Reducer = (text, masks) =>
  eachLine(text, (line) => {
    if (line.trim() === '' || BLOCKS_HEAD.test(line)) return line;
    const [, name = '', rest] = BLOCK.exec(line) ?? [];
    return rest === undefined ? odd(line) : region(name, masks) + rest;
  });

const HVA = /^(Host virtual address for 0x[0-9a-f]{1,16} )\(.*\)( is 0x[0-9a-f]{1,16})$/;
const NO_RAM = /^(No memory is mapped|Memory at) /;

const gpa2hva: Reducer = (text) =>
  eachLine(text, (line) => {
    const [, head, tail] = HVA.exec(line) ?? [];
    if (head !== undefined) return `${head}(${MASK})${tail}`;
    const none = NO_RAM.exec(line)?.[1];
    return none === undefined ? odd(line) : `${none} ${MASK}`;
  });

const version: Reducer = (text) => `${/^\s*(\d{1,3}\.\d{1,3}\.\d{1,3})/.exec(text)?.[1] ?? MASK}\n`;
const support: Reducer = (text) =>
  `${/^kvm support: (?:enabled|disabled|not compiled)/.exec(text)?.[0] ?? MASK}\n`;

const HMP: Readonly<Record<(typeof HMP_COMMANDS)[number], Reducer>> = {
  'info version': version,
  'info kvm': support,
  'info mtree -f': mtree,
  'info ramblock': ramblock,
};

const RULES: Readonly<Record<string, Reducer>> = { ...QMP, ...HMP };

/** The rule of an answer by its key, "monitor/PID/COMMAND"; null: no command that is ever sent. */
export function monitorRule(key: string): Reducer | null {
  const command = /^monitor\/\d{1,10}\/(.+)$/.exec(key)?.[1] ?? '';
  if (Object.hasOwn(RULES, command)) return RULES[command] ?? null;
  return new RegExp(`^${GPA2HVA} 0x[0-9a-f]{1,16}$`).test(command) ? gpa2hva : null;
}
