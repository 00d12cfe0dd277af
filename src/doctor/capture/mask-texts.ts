import type { Parsed } from '../../base/diagnostic.ts';
import { refusalIn } from '../../linux/text/common.ts';
import { CPUINFO_KEYS } from '../../linux/text/cpuinfo.ts';
import { isAboutMemtypes, parseDmesg } from '../../linux/text/dmesg.ts';
import { kernelMessage } from '../../linux/text/dmesg-line.ts';
import { e820TypeOf } from '../../linux/text/e820.ts';
import { parseMemtypeList } from '../../linux/text/memtype-list.ts';
import { parseMtrr } from '../../linux/text/mtrr.ts';
import { vmmOf } from '../vms/vmm.ts';
import { eachLine, linesLike, MASK, type Masks, odd } from './mask-words.ts';

type Reducer = (text: string, masks: Masks) => string;

/** Lines that the reader of the file takes; of others the words are masked. */
function understoodBy(parse: (text: string, file: string) => Parsed<unknown>): Reducer {
  const isUnderstood = (line: string): boolean =>
    !parse(`${line}\n`, '').problems.some((p) => p.severity === 'error');
  return (text) =>
    eachLine(text, (line) => (line.trim() === '' || isUnderstood(line) ? line : odd(line)));
}

// ---- /proc/cpuinfo ----------------------------------------------------------------------------

interface Block {
  readonly title: string | null;
  readonly lines: string[];
}

/** Of each processor what is read; of one that is like the first only its number. */
function cpuinfo(text: string): string {
  const blocks: Block[] = [{ title: null, lines: [] }];
  eachLine(text, (line) => {
    const key = line.slice(0, Math.max(0, line.indexOf(':'))).trim();
    if (key === 'processor') blocks.push({ title: line, lines: [] });
    else if ((CPUINFO_KEYS as readonly string[]).includes(key)) blocks.at(-1)?.lines.push(line);
    else if (refusalIn(line.trim()) !== null) blocks.at(-1)?.lines.push(odd(line));
    else if (line.trim() !== '' && !/^[a-zA-Z][\w ()/-]*$/.test(key))
      blocks.at(-1)?.lines.push(MASK);
    return null;
  });
  const first = blocks[1]?.lines.join('\n');
  const lines = blocks.flatMap(({ title, lines: own }, i) => {
    const same = i > 1 && own.join('\n') === first;
    return [...(title === null ? [] : [title]), ...(same ? [] : own)];
  });
  return lines.map((line) => `${line}\n`).join('');
}

// ---- the kernel -------------------------------------------------------------------------------

/** Debian's package version; who built the kernel, where and when is left out. */
function version(text: string): string {
  const found = text.match(/\bDebian \d+\.\d+(?:\.\d+)?[-~+]/g) ?? [];
  return `${['Linux version', MASK, ...found].join(' ')}\n`;
}

function versionSignature(text: string): string {
  const stable = /^Ubuntu \S+ (\d+\.\d+\.\d+)\s*$/.exec(text.trim())?.[1];
  return stable === undefined ? `${MASK}\n` : `Ubuntu ${MASK} ${stable}\n`;
}

/** Words of the kernel command line that bear on memory types. */
const KERNEL_OPTION =
  /^(?:nopat|debugpat|mtrr(?:=.*)?|(?:en|dis)able_mtrr_(?:cleanup|trim)|mtrr_\w+=.*|(?:intel_|amd_)?iommu(?:\.\w+)?=.*|mem(?:map)?=.*|kvm[\w-]*\.\w+=.*|vfio[\w-]*\.\w+=.*|lockdown=.*|(?:default_)?hugepages(?:z)?=.*)$/;
const KERNEL_VALUE =
  /^(?:[\dxa-fA-FKMGTkmgt$@!#%:+.-]*|[YyNn]|on|off|debug|force|pt|nopt|soft|strict|lazy|sm_on|sm_off|sp_off|igfx_off|tboot_noforce|integrity|confidentiality|exactmap|nopat)$/;

function kernelWord(word: string): string {
  const equals = word.indexOf('=');
  if (equals < 0) return word;
  const values = word.slice(equals + 1).split(',');
  const kept = values.map((value) => (KERNEL_VALUE.test(value) ? value : MASK));
  return `${word.slice(0, equals)}=${kept.join(',')}`;
}

function kernelWords(text: string): string {
  const words = text.split(/\s+/).filter((word) => KERNEL_OPTION.test(word));
  return words.map(kernelWord).join(' ');
}

/** "kvm_intel 417792 1 - Live 0x0": of modules that doctor asks for, without addresses. */
function modules(text: string): string {
  return eachLine(text, (line) => {
    const found = /^(?:kvm\w*|vfio\w*|msr|udmabuf|virtio_gpu|vgem) \d+ \d+ /.exec(line);
    return found === null ? null : `${found[0]}-`;
  });
}

const MOUNT_TYPES: ReadonlySet<string> = new Set(['debugfs', 'hugetlbfs', 'tracefs']);

function mounts(text: string, masks: Masks): string {
  return eachLine(text, (line) => {
    const [, point, type] = line.split(' ');
    if (type === undefined || point === undefined || !MOUNT_TYPES.has(type)) return null;
    return `${type} ${masks.path(point)} ${type} rw 0 0`;
  });
}

// ---- addresses --------------------------------------------------------------------------------

const RESOURCE_NAME =
  /^(?:System RAM|[Rr]eserved|RAM buffer|Soft Reserved|Persistent Memory(?: \(legacy\))?|Unusable memory|Unknown E820 type|ACPI (?:Tables|Non-volatile Storage|\w+)|Video (?:RAM area|ROM)|System ROM|Adapter ROM|PCI (?:Bus|ECAM|MMCONFIG) [\da-f:]+(?: \[bus [\da-f-]+\])?|[\da-f]{4,8}:[\da-f]{2}:[\da-f]{2}\.[0-7]|Local APIC|IOAPIC \d+|HPET \d+|dmar\d+|amd_iommu|Crash kernel|GART|Graphics Stolen Memory|pnp [\da-f:]+|CXL Window \d+|dax\d+\.\d+|namespace\d+\.\d+)$/;

/** Where the kernel itself lies is left out: it would undo the randomization of its place. */
function iomem(text: string): string {
  return eachLine(text, (line) => {
    const found = /^(\s*)([0-9a-f]+-[0-9a-f]+) : (.+)$/.exec(line);
    const [, indent = '', range = '', name = ''] = found ?? [];
    if (found === null) return odd(line);
    if (/^Kernel (?:code|rodata|data|bss)$/.test(name)) return null;
    return `${indent}${range} : ${RESOURCE_NAME.test(name) ? name : MASK}`;
  });
}

function memoryType(text: string): string {
  return e820TypeOf(text.trim()) === null ? odd(text) : text;
}

/** Of a dma-buf its inode and exporter. */
export function reduceFdinfo(text: string): string {
  return eachLine(text, (line) =>
    /^(?:ino:\s*\d+|exp_name:\s*\w{1,32})$/.test(line) ? line : null,
  );
}

// ---- the log ----------------------------------------------------------------------------------

const LEFT_OUT = '(lines that say nothing of memory types are left out)';

/** "qemu-system-x86:1234 conflicting ...", "CPU 0/KVM:99 map pfn ...": the number stays. */
const TASK = /^(x86\/PAT: )?.*:(\d+) ((?:map pfn |conflicting ).*)$/;

/** The names in arch/x86/kernel/cpu: of each `struct hypervisor_x86`. */
const HYPERVISOR =
  /^Hypervisor detected: (?:KVM|VMware|Microsoft Hyper-V|Xen PV|Xen PVH|Xen HVM|ACRN|Jailhouse|Bhyve)$/i;
const UNNAMED = `Hypervisor detected: ${MASK}`;

function logLine(text: string): string | null {
  if (/^DMI:/.test(text)) return null;
  if (text.startsWith('Linux version ')) {
    const release = /^Linux version (\d\S*)/.exec(text)?.[1];
    return release === undefined ? null : `Linux version ${release}`;
  }
  const command = /^((?:Kernel c|C)ommand line:)/.exec(text)?.[1];
  if (command !== undefined) return `${command} ${kernelWords(text)}`.trim();
  const { value, problems } = parseDmesg(`${text}\n`, '');
  if (problems.some((p) => p.severity === 'error') || value.facts.length === 0) {
    const masked = odd(text);
    return isAboutMemtypes(masked) ? masked : null;
  }
  if (text.startsWith('Hypervisor detected:')) return HYPERVISOR.test(text) ? text : UNNAMED;
  if (/IOMMU feature (?!\w+_support )/.test(text)) return null;
  const task = TASK.exec(text);
  return task === null ? text : `${task[1] ?? ''}${MASK}:${task[2] ?? ''} ${task[3] ?? ''}`;
}

/** The messages that concern memory types, without what stands before them. */
export function reduceLog(text: string): string {
  if (text.trim() === '') return '';
  let dropped = false;
  const kept = eachLine(text.endsWith('\n') ? text : `${text}\n`, (source) => {
    const offset = source.length - source.trimStart().length;
    const line = kernelMessage({ number: 1, source, text: source.trim(), offset });
    const made = isAboutMemtypes(line.text) ? logLine(line.text) : null;
    dropped ||= made === null;
    return made;
  });
  return dropped ? `${kept}${LEFT_OUT}\n` : kept;
}

// ---- amdgpu -----------------------------------------------------------------------------------

const CLIENT = /^(pid +\d{1,10} command )(.{0,64}):$/;
const BUFFER = /^(0x[0-9a-f]{8}: +\d{1,15} byte) +([A-Z].{0,2000})$/;
const FENCE = /^((?:kernel|write|read|bookkeep) fence:)/;
const FENCE_WITHIN = /\s+(?:kernel|write|read|bookkeep) fence:.*$/;
/** amdgpu_bo_print_info: where a buffer is, and the flags it was made with. */
const BUFFER_WORDS: ReadonlySet<string> = new Set(
  (
    'VRAM VISIBLE GTT CPU PREEMPTIBLE GDS GWS OA DOORBELL MMIO_REMAP UNKNOWN OTHER pin count imported exported ' +
    'from as CPU_ACCESS_REQUIRED NO_CPU_ACCESS CPU_GTT_USWC VRAM_CLEARED VRAM_CONTIGUOUS VM_ALWAYS_VALID ' +
    'EXPLICIT_SYNC COHERENT UNCACHED ENCRYPTED DISCARDABLE EXT_COHERENT GFX12_DCC SHADOW'
  ).split(' '),
);

function bufferWord(text: string): string {
  return BUFFER_WORDS.has(text) || /^(?:ino:\d{1,20}|\d{1,6})$/.test(text) ? text : MASK;
}

function amdgpuGem(text: string): string {
  return eachLine(text, (source) => {
    const line = source.trim();
    const [, head, command = ''] = CLIENT.exec(line) ?? [];
    const isVmm = /^[\w.-]{1,15}$/.test(command) && vmmOf(command) !== 'other';
    if (head !== undefined) return `${head}${isVmm ? command : MASK}:`;
    const [, buffer, rest = ''] = BUFFER.exec(line) ?? [];
    if (buffer === undefined) return FENCE.exec(line)?.[1] ?? odd(source);
    const [first = '', ...words] = rest.replace(FENCE_WITHIN, '').split(/[ \t]+/);
    const placement = BUFFER_WORDS.has(first) ? first : 'OTHER';
    return `${buffer} ${[placement, ...words.map(bufferWord)].join(' ')}`;
  });
}

// ---- all of them ------------------------------------------------------------------------------

const word =
  (form: RegExp): Reducer =>
  (text) =>
    form.test(text.trim()) ? `${text.trim()}\n` : `${MASK}\n`;

/** By the path as `READS` has it. What is not in here, or with a process, is not kept. */
export const TEXT_REDUCERS: Readonly<Record<string, Reducer>> = {
  '/proc/cpuinfo': cpuinfo,
  '/proc/version': version,
  '/proc/version_signature': versionSignature,
  '/proc/cmdline': (text) => `${kernelWords(text)}\n`,
  '/proc/modules': modules,
  '/proc/self/mounts': mounts,
  '/proc/mtrr': understoodBy(parseMtrr),
  '/proc/iomem': iomem,
  '/proc/2/comm': word(/^kthreadd$/),
  '/sys/firmware/memmap/N/start': word(/^0x[0-9a-f]{1,16}$/),
  '/sys/firmware/memmap/N/end': word(/^0x[0-9a-f]{1,16}$/),
  '/sys/firmware/memmap/N/type': memoryType,
  '/sys/module/MODULE/parameters/NAME': word(/^(?:[YNyn]|-?\d{1,9})$/),
  '/sys/class/iommu/UNIT/intel-iommu/ecap': word(/^(?:0x)?[0-9a-f]{1,16}$/),
  '/sys/bus/virtio/devices/NAME/device': word(/^0x[0-9a-f]{1,4}$/),
  '/sys/bus/virtio/devices/NAME/features': word(/^[01]{1,256}$/),
  '/sys/bus/pci/devices/ADDRESS/vendor': word(/^0x[0-9a-f]{1,4}$/),
  '/sys/bus/pci/devices/ADDRESS/device': word(/^0x[0-9a-f]{1,4}$/),
  '/sys/bus/pci/devices/ADDRESS/class': word(/^0x[0-9a-f]{1,6}$/),
  '/sys/bus/pci/devices/ADDRESS/resource': linesLike(/^0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+$/),
  'MOUNT/x86/pat_memtype_list': understoodBy(parseMemtypeList),
  'MOUNT/dri/N/amdgpu_gem_info': amdgpuGem,
  '/sys/class/drm/CARD/device/NAME': word(/^(?:0x[0-9a-f]{1,6}|[01])$/),
  '/sys/kernel/security/lockdown': word(/^(?:\[?(?:none|integrity|confidentiality)\]?(?: |$))+$/),
};
