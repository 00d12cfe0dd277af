import { FLASH, OVMF, readOptions } from '../vmms/qemu.ts';
import {
  amount,
  device,
  firmware,
  flag,
  id,
  type Keep,
  type Keys,
  keptOf,
  like,
  onOff,
  options,
  orMask,
  path,
  type ReadWord,
  typed,
  value,
} from './mask-values.ts';
import { MASK, type Masks } from './mask-words.ts';

const machine = like(
  /^(?:pc|q35|microvm|isapc|none|xenfv|xenpv|nitro-enclave|pc-(?:i440fx|q35)-[\w.+-]{1,24})$/,
);
const accelerators = like(/^(?:(?:kvm|tcg|xen|hvf|whpx|nvmm|mshv|qtest|nitro)(?::|$))+$/);
const objectType = like(
  /^(?:memory-backend-(?:ram|file|memfd|shm|epc)|tdx-guest|sev-guest|sev-snp-guest|iommufd)$/,
);
const chip = like(/^(?:on|off|split)$/);

const MACHINE: Keys = {
  '': machine,
  type: machine,
  accel: accelerators,
  'memory-backend': id,
  'kernel-irqchip': chip,
  nvdimm: onOff,
  hmat: onOff,
  pflash0: flag,
  pflash1: flag,
};

const ACCEL: Keys = {
  '': accelerators,
  accel: accelerators,
  // What is no switch counts as off: that it was given must not be lost.
  'honor-guest-pat': orMask(onOff),
  'kernel-irqchip': chip,
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

const flash: ReadWord = (word) => {
  if (!FLASH.test(word)) return MASK;
  return OVMF.test(word) ? 'if=pflash,file=OVMF.fd' : 'if=pflash';
};

const blockdev: ReadWord = (word) => {
  const words = [...(FLASH.test(word) ? ['pflash'] : []), ...(OVMF.test(word) ? ['OVMF.fd'] : [])];
  return words.length === 0 ? MASK : words.join(',');
};

/** A property of the accelerator where QEMU does not look for it: doctor says so. */
const global: ReadWord = (word) => {
  const given = /(?:^|[.,])honor-guest-pat=([^,]*)/.exec(word)?.[1];
  if (given === undefined) return MASK;
  return `kvm-accel.honor-guest-pat=${/^(?:on|off|auto)$/.test(given) ? given : MASK}`;
};

// ---- its monitors -----------------------------------------------------------------------------

/** libvirt's own name tells that libvirt started this QEMU. */
const chardevId: Keep = (name, masks) => (name === 'charmonitor' ? name : masks.name(name));
const MON: Keys = { '': chardevId, chardev: chardevId, mode: like(/^(?:control|readline)$/) };
const CHARDEV: Keys = { '': like(/^socket$/), id: chardevId, path };

/** "unix:PATH,server=on,wait=off" */
const monitorSocket: ReadWord = (word, masks) => {
  const at = /^unix:([^,]+)/.exec(word)?.[1];
  return at === undefined ? MASK : `unix:${masks.path(at)}`;
};

/** Ids of the character devices that are monitors. */
function monitorIds(argv: readonly string[]): ReadonlySet<string> {
  const named = argv.flatMap((word, i) => {
    if (!/^--?mon$/.test(word)) return [];
    const mon = readOptions(argv[i + 1] ?? '', '');
    return mon.get('chardev') ?? mon.get('') ?? [];
  });
  return new Set(named);
}

/** Of a character device that is no monitor nothing is kept. */
function chardev(argv: readonly string[]): ReadWord {
  const ids = monitorIds(argv);
  return (word, masks) => {
    const all = readOptions(word, '');
    return ids.has(all.get('id') ?? '') ? keptOf(all, CHARDEV, masks) : MASK;
  };
}

// ---- all options ------------------------------------------------------------------------------

const OPTIONS: Readonly<Record<string, ReadWord>> = {
  m: options(MEMORY),
  machine: options(MACHINE),
  M: options(MACHINE),
  accel: options(ACCEL),
  global,
  object: typed(OBJECT, 'qom-type'),
  device: typed(DEVICE, 'driver'),
  numa: options(NUMA),
  'mem-path': value(path),
  bios: value(firmware),
  pflash: value(firmware),
  drive: flash,
  blockdev,
  mon: options(MON),
  qmp: monitorSocket,
  'qmp-pretty': monitorSocket,
  monitor: monitorSocket,
};

/** Options of QEMU whose name alone is kept, with or without a value. */
export const QEMU_NAMES: ReadonlySet<string> = new Set(
  (
    'enable-kvm readconfig cpu smp name uuid kernel initrd append netdev nic net serial ' +
    'display vga vnc spice sandbox rtc boot msg pidfile daemonize S nodefaults no-user-config nographic ' +
    'no-reboot no-shutdown no-hpet overcommit mem-prealloc audiodev smbios acpitable fw_cfg usb usbdevice ' +
    'add-fd incoming loadvm snapshot runas chroot user run-with compat trace D d hda hdb cdrom full-screen k ' +
    'fsdev virtfs'
  ).split(' '),
);

/** Options of a QEMU, with what is left of the value of each. */
export function qemuOptions(argv: readonly string[]): Readonly<Record<string, ReadWord>> {
  return { ...OPTIONS, chardev: chardev(argv) };
}

/** An argument that libvirt hands through: see `PASSED` in vmms/libvirt.ts. */
export function passedArgument(word: string, masks: Masks): string {
  if (/^-{1,2}[A-Za-z][\w-]{0,15}$/.test(word)) return word;
  if (/^(?:kvm|tcg)(?:,|$)/.test(word)) return options(ACCEL)(word, masks);
  return global(word, masks);
}
