import { MASK, type Masks } from './mask-words.ts';
import type { VmmName } from './vm-facts.ts';
import { PCI_ADDRESS } from './vmm.ts';
import { FLASH, type Options, OVMF, readOptions } from './vmms/qemu.ts';

/** What of a value is kept; null: nothing. */
type Keep = (value: string, masks: Masks) => string | null;

const AMOUNT = /^\d{1,18}(?:\.\d{1,9})?(?:[kKmMgGtTpPeE](?:i?[bB])?|[bB])?$/;
const SWITCH = /^(?:on|off|auto|true|false|yes|no)$/;

const amount: Keep = (value) => (AMOUNT.test(value) ? value : null);
const onOff: Keep = (value) => (SWITCH.test(value) ? value : null);
const path: Keep = (value, masks) => masks.path(value);
const id: Keep = (value, masks) => masks.id(value);
const like =
  (form: RegExp): Keep =>
  (value) =>
    form.test(value) ? value : null;
const flag: Keep = () => MASK;

/** A device as QEMU, crosvm and cloud-hypervisor name it: an address, or a path below /sys. */
const device: Keep = (value, masks) => {
  const name =
    value
      .split('/')
      .filter((part) => part !== '')
      .at(-1) ?? '';
  if (PCI_ADDRESS.test(name) || /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(name)) {
    return value === name ? name : `/sys/bus/pci/devices/${name}`;
  }
  return value.includes('/') ? `/sys/bus/mdev/devices/${masks.name(name)}` : null;
};

const firmware: Keep = (value) => (OVMF.test(value) ? 'OVMF.fd' : MASK);

/** Keys of "a=b,c=d" with what is kept of each; the first bare word goes by ''. */
type Keys = Readonly<Record<string, Keep>>;

function keep(keys: Keys, key: string, value: string, masks: Masks): string | null {
  const rule = Object.hasOwn(keys, key) ? keys[key] : undefined;
  return rule?.(value, masks) ?? null;
}

function printed(options: readonly (readonly [string, string])[]): string {
  if (options.length === 0) return MASK;
  return options
    .map(([key, value]) => {
      const word = value.replaceAll(',', ',,');
      return key === '' ? word : `${key}=${word}`;
    })
    .join(',');
}

function keptOf(options: Options, keys: Keys, masks: Masks): string {
  const kept = [...options].flatMap(([key, value]): (readonly [string, string])[] => {
    const made = keep(keys, key, value, masks);
    return made === null ? [] : [[key, made]];
  });
  const bare = kept.filter(([key]) => key === '');
  return printed([...bare, ...kept.filter(([key]) => key !== '')]);
}

// ---- QEMU -------------------------------------------------------------------------------------

const machine = like(
  /^(?:pc|q35|microvm|isapc|none|xenfv|xenpv|nitro-enclave|pc-(?:i440fx|q35)-[\w.+-]{1,24})$/,
);
const accelerators = like(/^(?:(?:kvm|tcg|xen|hvf|whpx|nvmm|mshv|qtest|nitro)(?::|$))+$/);
const objectType = like(
  /^(?:memory-backend-(?:ram|file|memfd|shm|epc)|tdx-guest|sev-guest|sev-snp-guest|iommufd)$/,
);

const MACHINE: Keys = {
  '': machine,
  type: machine,
  accel: accelerators,
  'memory-backend': id,
  'kernel-irqchip': like(/^(?:on|off|split)$/),
  nvdimm: onOff,
  hmat: onOff,
  pflash0: flag,
  pflash1: flag,
};

const ACCEL: Keys = {
  '': accelerators,
  accel: accelerators,
  'honor-guest-pat': onOff,
  'kernel-irqchip': like(/^(?:on|off|split)$/),
};

const OBJECT: Keys = {
  '': objectType,
  'qom-type': objectType,
  id,
  size: amount,
  'mem-path': path,
  hugetlb: onOff,
  hugetlbsize: amount,
  share: onOff,
  pmem: onOff,
  readonly: onOff,
  prealloc: onOff,
  align: amount,
};

const DEVICE: Keys = {
  '': like(
    /^(?:(?:vhost-(?:user|vdpa)-)?virtio-|vhost-|vfio-|ivshmem|nvdimm|pc-dimm|qxl|VGA$|intel-iommu|amd-iommu|bochs-display|pcie?-)[\w.-]{0,40}$|^(?:VGA|qxl|nvdimm|ivshmem)$/,
  ),
  driver: like(/^(?:(?:vhost-(?:user|vdpa)-)?virtio-|vfio-)[\w.-]{0,40}$/),
  blob: onOff,
  hostmem: amount,
  venus: onOff,
  context_init: onOff,
  drm_native_context: onOff,
  'x-no-mmap': onOff,
  'snoop-control': onOff,
  'caching-mode': onOff,
  memdev: id,
  host: device,
  sysfsdev: device,
};

const MEMORY: Keys = { '': amount, size: amount, slots: amount, maxmem: amount };
const NUMA: Keys = { '': like(/^(?:node|cpu|dist|hmat-\w+)$/), memdev: id, mem: amount };

type ReadWord = (word: string, masks: Masks) => string;

const options =
  (keys: Keys, typeKey = ''): ReadWord =>
  (word, masks) =>
    keptOf(readOptions(word, typeKey), keys, masks);

/** Objects that hold secrets have a type that is not kept, and then nothing of them is. */
const typed =
  (keys: Keys, typeKey: string): ReadWord =>
  (word, masks) => {
    const all = readOptions(word, typeKey);
    const type = all.get('') ?? all.get(typeKey) ?? '';
    return keep(keys, '', type, masks) === null ? MASK : keptOf(all, keys, masks);
  };

const flash: ReadWord = (word) => {
  if (!FLASH.test(word)) return MASK;
  return OVMF.test(word) ? 'if=pflash,file=OVMF.fd' : 'if=pflash';
};

const blockdev: ReadWord = (word) => {
  const words = [...(FLASH.test(word) ? ['pflash'] : []), ...(OVMF.test(word) ? ['OVMF.fd'] : [])];
  return words.length === 0 ? MASK : words.join(',');
};

const value =
  (rule: Keep): ReadWord =>
  (word, masks) =>
    rule(word, masks) ?? MASK;
const masked: ReadWord = () => MASK;

const QEMU: Readonly<Record<string, ReadWord>> = {
  m: options(MEMORY),
  machine: options(MACHINE),
  M: options(MACHINE),
  accel: options(ACCEL),
  object: typed(OBJECT, 'qom-type'),
  device: typed(DEVICE, 'driver'),
  numa: options(NUMA),
  'mem-path': value(path),
  bios: value(firmware),
  pflash: value(firmware),
  drive: flash,
  blockdev,
};

/** Options whose name alone is kept, with or without a value. */
const QEMU_NAMES =
  'enable-kvm readconfig cpu smp name uuid kernel initrd append netdev nic net chardev serial monitor mon qmp ' +
  'display vga vnc spice sandbox rtc boot global msg pidfile daemonize S nodefaults no-user-config nographic ' +
  'no-reboot no-shutdown no-hpet overcommit mem-prealloc audiodev smbios acpitable fw_cfg usb usbdevice add-fd ' +
  'incoming loadvm snapshot runas chroot user run-with compat trace D d hda hdb cdrom full-screen k fsdev virtfs';

// ---- the others -------------------------------------------------------------------------------

const SIZES: Keys = {
  '': amount,
  size: amount,
  shared: onOff,
  hugepages: onOff,
  hugepage_size: amount,
  mergeable: onOff,
  prefault: onOff,
  thp: onOff,
  hotplug_size: amount,
};

const GPU: Keys = {
  '': like(/^(?:2d|virglrenderer|gfxstream|stub)$/),
  backend: like(/^(?:2d|3d|virglrenderer|gfxstream|stub)$/),
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

const sizes = options(SIZES);
const assigned = options(ASSIGNED);

/** crosvm, cloud-hypervisor, libkrun's programs and Firecracker write alike what they have in common. */
const OTHERS: Readonly<Record<string, ReadWord>> = {
  m: sizes,
  mem: sizes,
  memory: sizes,
  'memory-zone': sizes,
  vram: value(amount),
  gpu: options(GPU),
  vfio: assigned,
  'vfio-platform': assigned,
  device: assigned,
  hugepages: value(onOff),
  'protected-vm': value(onOff),
  cpus: options({ '': amount, num: amount, boot: amount, max: amount, 'num-cores': amount }),
};

const OTHERS_NAMES =
  'hugepages protected-vm protected-vm-without-firmware unprotected-vm-with-firmware udmabuf params initrd ' +
  'kernel cmdline disk rwdisk root rwroot serial socket shared-dir tap-name net console api-socket ' +
  'api-sock config-file id no-api platform rng fs pmem vsock gpu-display gpu-render-server wayland-sock cid ' +
  'disable-sandbox no-legacy vcpu-affinity interactive privileged';

/** First words of a command line that say what to do. */
const SUBCOMMANDS: ReadonlySet<string> = new Set(['run', 'start', 'device', 'devices']);

interface Table {
  readonly options: Readonly<Record<string, ReadWord>>;
  readonly names: ReadonlySet<string>;
}

const QEMU_TABLE: Table = { options: QEMU, names: new Set(QEMU_NAMES.split(' ')) };
const OTHERS_TABLE: Table = { options: OTHERS, names: new Set(OTHERS_NAMES.split(' ')) };

const OPTION = /^(--?)([A-Za-z][\w-]*)(?:=([\s\S]*))?$/;

/**
 * The arguments of a VMM, masked: of options whose values bear on memory types these values, of others that
 * are known the name, and `x` for every other word. The number of words stays.
 */
export function reduceArguments(
  argv: readonly string[],
  vmm: VmmName,
  masks: Masks,
): readonly string[] {
  const table = vmm === 'qemu' ? QEMU_TABLE : OTHERS_TABLE;
  const find = (name: string): ReadWord | null =>
    Object.hasOwn(table.options, name) ? (table.options[name] ?? null) : null;
  let read: ReadWord | null = null;
  return argv.map((word, i) => {
    const [, dashes = '', name = '', given] = OPTION.exec(word) ?? [];
    if (name === '') {
      if (i === 0 && SUBCOMMANDS.has(word)) return word;
      const made = (read ?? masked)(word, masks);
      read = null;
      return made;
    }
    read = find(name);
    if (read === null && !table.names.has(name)) return `-${MASK}`;
    if (given === undefined) return dashes + name;
    const made = (read ?? masked)(given, masks);
    read = null;
    return `${dashes}${name}=${made}`;
  });
}
