import { MUVM_VALUED } from '../vmms/libkrun.ts';
import type { VmmName } from '../vms/vm-facts.ts';
import { QEMU_NAMES, qemuOptions } from './mask-qemu.ts';
import {
  amount,
  device,
  id,
  type Keys,
  like,
  onOff,
  orMask,
  pairs,
  path,
  type ReadWord,
  value,
} from './mask-values.ts';
import { MASK, type Masks } from './mask-words.ts';

const SIZES: Keys = {
  '': amount,
  size: amount,
  id,
  file: path,
  shared: onOff,
  hugepages: onOff,
  hugepage_size: amount,
  mergeable: onOff,
  prefault: onOff,
  thp: onOff,
  hotplug_size: amount,
};

const backend = orMask(like(/^(?:2[dD]|3[dD]|virglrenderer|gfxstream|stub)$/));

const GPU: Keys = {
  '': backend,
  backend,
  'context-types': like(/^[a-z\d:]{1,80}$/),
  vulkan: onOff,
  udmabuf: onOff,
  'pci-bar-size': amount,
  'external-blob': onOff,
  'system-blob': onOff,
  'fixed-blob-mapping': onOff,
  'allow-implicit-render-server-exec': onOff,
};

const ASSIGNED: Keys = {
  '': device,
  path: device,
  iommu: like(/^(?:on|off|viommu|coiommu|pkvm-iommu)$/),
};

const sizes = pairs(SIZES);
const assigned = pairs(ASSIGNED);

/** "kvm[device=/dev/kvm]": the name. */
const hypervisor: ReadWord = (word) =>
  /^(?:kvm|gunyah|geniezone|halla|haxm|whpx)(?=\[|$)/.exec(word)?.[0] ?? MASK;

/** crosvm, cloud-hypervisor, libkrun's programs and Firecracker write alike what they have in common. */
const OTHERS: Readonly<Record<string, ReadWord>> = {
  m: sizes,
  mem: sizes,
  memory: sizes,
  'memory-zone': sizes,
  vram: value(amount),
  gpu: pairs(GPU),
  vfio: assigned,
  'vfio-platform': assigned,
  device: assigned,
  platform: pairs({ tdx: onOff, sev_snp: onOff }),
  hypervisor,
  hugepages: value(onOff),
  'protected-vm': value(onOff),
  cpus: pairs({ '': amount, num: amount, boot: amount, max: amount, 'num-cores': amount }),
};

const OTHERS_NAMES: ReadonlySet<string> = new Set(
  (
    'hugepages protected-vm protected-vm-without-firmware unprotected-vm-with-firmware udmabuf params initrd ' +
    'kernel firmware bios pflash cmdline disk rwdisk root rwroot serial socket shared-dir tap-name net console ' +
    'api-socket api-sock config-file id no-api rng fs pmem vsock gpu-display gpu-render-server wayland-sock ' +
    'cid disable-sandbox no-legacy vcpu-affinity interactive privileged'
  ).split(' '),
);

/** Options that take every word up to the next option, in cloud-hypervisor. */
const MANY: ReadonlySet<string> = new Set(['device', 'memory-zone']);

/** First words of a command line that say what to do. */
const SUBCOMMANDS: ReadonlySet<string> = new Set(['run', 'start', 'device', 'devices']);

const OPTION = /^(--?)([A-Za-z][\w-]*)(?:=([\s\S]*))?$/;
const masked: ReadWord = () => MASK;

// ---- muvm -------------------------------------------------------------------------------------

const MUVM: Readonly<Record<string, ReadWord>> = {
  mem: value(amount),
  vram: value(amount),
  'gpu-mode': value(like(/^(?:drm|venus|software)$/)),
};

/**
 * muvm's own options come before the command that runs in the guest, of which nothing is kept: which of its
 * options take a value tells where it begins.
 */
function muvmArguments(argv: readonly string[], masks: Masks): readonly string[] {
  let isGuests = false;
  let read: ReadWord | null = null;
  return argv.map((word) => {
    if (isGuests) return MASK;
    if (read !== null) {
      const made = word.startsWith('-') ? `-${MASK}` : read(word, masks);
      read = null;
      return made;
    }
    if (word === '--' || !word.startsWith('-')) {
      isGuests = true;
      return word === '--' ? word : MASK;
    }
    const [, dashes = '', name = '', given] = OPTION.exec(word) ?? [];
    const rule = Object.hasOwn(MUVM, name) ? MUVM[name] : undefined;
    if (given !== undefined && rule !== undefined) return `${dashes}${name}=${rule(given, masks)}`;
    if (!MUVM_VALUED.test(word)) return `--${MASK}`;
    read = rule ?? masked;
    return word;
  });
}

// ---- all of them ------------------------------------------------------------------------------

interface Table {
  readonly options: Readonly<Record<string, ReadWord>>;
  readonly names: ReadonlySet<string>;
  readonly many: ReadonlySet<string>;
}

function tableOf(vmm: VmmName, argv: readonly string[]): Table {
  return vmm === 'qemu'
    ? { options: qemuOptions(argv), names: QEMU_NAMES, many: new Set() }
    : { options: OTHERS, names: OTHERS_NAMES, many: MANY };
}

/**
 * The arguments of a VMM, masked: of options whose values bear on memory types these values, of others that
 * are known the name, and `x` for every other word. The number of words stays.
 *
 * @param program file name of the VMM
 */
export function reduceArguments(
  argv: readonly string[],
  vmm: VmmName,
  masks: Masks,
  program = '',
): readonly string[] {
  if (program === 'muvm') return muvmArguments(argv, masks);
  const table = tableOf(vmm, argv);
  const find = (name: string): ReadWord | null =>
    Object.hasOwn(table.options, name) ? (table.options[name] ?? null) : null;
  let read: ReadWord | null = null;
  let isMany = false;
  return argv.map((word, i) => {
    const [, dashes = '', name = '', given] = OPTION.exec(word) ?? [];
    if (name === '') {
      if (i === 0 && SUBCOMMANDS.has(word)) return word;
      if (vmm !== 'qemu' && word.startsWith('-')) return `-${MASK}`;
      const made = (read ?? masked)(word, masks);
      if (!isMany) read = null;
      return made;
    }
    read = find(name);
    isMany = table.many.has(name);
    if (read === null && !table.names.has(name)) return `-${MASK}`;
    if (given === undefined) return dashes + name;
    const made = (read ?? masked)(given, masks);
    read = null;
    return `${dashes}${name}=${made}`;
  });
}
