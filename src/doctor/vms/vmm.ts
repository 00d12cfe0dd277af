import type { NamedLink } from '../reading.ts';
import type { VmFiles, VmmName } from './vm-facts.ts';

const KVM_VM = /^anon_inode:\[?kvm-vm\]?$/;
const KVM_VCPU = /^anon_inode:\[?kvm-vcpu(?::\d+)?\]?$/;
const KVM_VFIO = /^anon_inode:\[?kvm-vfio\]?$/;
/** "/dev/vfio/12", "/dev/vfio/noiommu-0"; the container "/dev/vfio/vfio" is none. */
const VFIO_GROUP = /\/vfio\/((?:noiommu-)?\d+)$/;
const VFIO_CDEV = /\/vfio\/devices\/(vfio\d+)$/;
const VFIO_CONTAINER = /\/vfio\/vfio$/;
const IOMMUFD = /^\/dev\/iommu$/;
export const MEMFD = /^\/memfd:/;
const VDPA = /\/vhost-vdpa-\d+$/;
/** A node of a GPU; its name is in the first or second group. */
export const GPU_NODE = /^\/dev\/(?:dri\/((?:card|renderD)\d+)|(nvidia[\w-]*))$/;
const UDMABUF = /^\/dev\/udmabuf$/;
/** fs/dma-buf: a file system of its own since 5.3, an anonymous inode before. */
export const DMABUF = /^(?:\/dmabuf:|anon_inode:\[?dmabuf)/;

/** Targets of descriptors that are looked at, and what is left of them in a capture: $1 is the first group. */
const KEPT_TARGETS: readonly (readonly [RegExp, string])[] = [
  [KVM_VM, '$&'],
  [KVM_VCPU, '$&'],
  [KVM_VFIO, '$&'],
  [/^.*\/vfio\/((?:noiommu-)?\d+)$/, '/dev/vfio/$1'],
  [/^.*\/vfio\/devices\/(vfio\d+)$/, '/dev/vfio/devices/$1'],
  [/^.*\/vfio\/vfio$/, '/dev/vfio/vfio'],
  [IOMMUFD, '$&'],
  [/^.*\/(vhost-vdpa-\d+)$/, '/dev/$1'],
  [GPU_NODE, '$&'],
  [UDMABUF, '$&'],
  [/^\/dmabuf:[\s\S]*$/, '/dmabuf:'],
  [/^anon_inode:(\[?)dmabuf[\s\S]*$/, 'anon_inode:$1dmabuf'],
];

/** The target of a descriptor that bears on memory types, without names that people gave; else null. */
export function keptTarget(target: string): string | null {
  const found = KEPT_TARGETS.find(([pattern]) => pattern.test(target));
  return found === undefined ? null : target.replace(found[0], found[1]);
}

/** kvm_main.c names the file of a VM "kvm-vm". */
export function countVms(links: readonly NamedLink[]): number {
  return links.filter(({ target }) => KVM_VM.test(target)).length;
}

export function countVcpus(links: readonly NamedLink[]): number {
  return links.filter(({ target }) => KVM_VCPU.test(target)).length;
}

/** Descriptors of dma-bufs, whose fdinfo names the exporter. */
export function dmabufFds(links: readonly NamedLink[]): readonly string[] {
  return links.filter(({ target }) => DMABUF.test(target)).map(({ name }) => name);
}

function firstGroups(links: readonly NamedLink[], pattern: RegExp): readonly string[] {
  const found = links.flatMap(({ target }) => pattern.exec(target)?.[1] ?? []);
  return [...new Set(found)];
}

/** The open files of a VMM that bear on memory types. */
export function vmFiles(links: readonly NamedLink[]): VmFiles {
  const has = (pattern: RegExp): boolean => links.some(({ target }) => pattern.test(target));
  const nodes = links.filter(({ target }) => GPU_NODE.test(target)).map(({ target }) => target);
  return {
    kvmVfio: has(KVM_VFIO),
    vfio: [...firstGroups(links, VFIO_GROUP), ...firstGroups(links, VFIO_CDEV)],
    vdpa: has(VDPA),
    gpuNodes: [...new Set(nodes)],
    udmabuf: has(UDMABUF),
    dmabufs: dmabufFds(links).length,
    vfioContainer: has(VFIO_CONTAINER),
    iommufd: has(IOMMUFD),
    memfds: links.filter(({ target }) => MEMFD.test(target)).length,
  };
}

/**
 * Programs that run VMs, by file name or by the (cut) name of the task; NixOS starts ".NAME-wrapped".
 * First match decides.
 */
const VMMS: readonly (readonly [RegExp, VmmName])[] = [
  [/^\.?qemu-system-|^\.?qemu-kvm(?:-wrapp(?:ed?)?)?$|^kvm$/, 'qemu'],
  [/^\.?crosvm/, 'crosvm'],
  [/^\.?cloud-hyperviso/, 'cloud-hypervisor'],
  [/^\.?firecracker/, 'firecracker'],
  [/^\.?(?:krunvm|muvm|libkrun)/, 'libkrun'],
];

/** The VMM behind a program name; `other` when it is none that is known here. */
export function vmmOf(program: string): VmmName {
  return VMMS.find(([pattern]) => pattern.test(program))?.[1] ?? 'other';
}

/** The words of /proc/PID/cmdline. Empty for a kernel thread, and for a process that wiped its own. */
export function argvOf(text: string): readonly string[] {
  const words = text.split('\0');
  if (words.at(-1) === '') words.pop();
  return words;
}

/** The file name in a path; "(deleted)" is what the kernel adds for a replaced program. */
export function baseName(path: string): string {
  return (
    path
      .replace(/ \(deleted\)$/, '')
      .split('/')
      .at(-1) ?? ''
  ).slice(0, 64);
}

/** Addresses of PCI devices as sysfs writes them. */
export const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
