import { parseAmount } from '../../facts/layout.ts';
import { type Fact, ifKnown, known, refused, unknown } from '../fact.ts';
import type { Readings } from '../reading.ts';
import type { RegionContext } from '../vms/regions.ts';
import type { VmmName } from '../vms/vm-facts.ts';
import { argvOf, baseName, vmmOf } from '../vms/vmm.ts';
import { parseCloudHypervisor } from './cloud-hypervisor.ts';
import { parseCrosvm } from './crosvm.ts';
import { parseFirecracker } from './firecracker.ts';
import { libkrunVariant, parseLibkrun } from './libkrun.ts';
import type { VmmOptions } from './options.ts';
import { parseQemu, qemuAsVmm } from './qemu.ts';
import { monitorSwitch } from './qemu-monitor.ts';

/** What a process was told, and what follows for the search of its guest memory. */
export interface Told {
  /** Null as a value: a program that is not known here. */
  readonly options: Fact<VmmOptions | null>;
  /** Sizes that a mapping of guest memory may have, bytes. */
  readonly sizes: readonly number[];
  readonly memoryPaths: readonly string[];
  readonly memfds: RegionContext['memfds'];
}

export const SAME_USER = { denied: 'run doctor as root, or as the user of the process' } as const;

/** The program of a process: the file it runs, else its first argument, else its (short) name. */
export function programOf(readings: Readings, pid: number): string {
  const exe = readings.link(`/proc/${pid}/exe`);
  if (exe.ok) return baseName(exe.target);
  const cmdline = readings.text(`/proc/${pid}/cmdline`);
  const [argument = ''] = cmdline.ok ? argvOf(cmdline.text) : [];
  return argument === '' ? (readings.word(`/proc/${pid}/comm`) ?? '') : baseName(argument);
}

/** The path of libkrun in /proc/PID/maps, whatever the program around it is called. */
const LIBKRUN = /\/\S*\/libkrun(?:-\w+)?\.so\S*/;

/** The variant of libkrun that a process has loaded; null: none, or its mappings cannot be read. */
function loadedLibkrun(readings: Readings, pid: number): string | null {
  const maps = readings.text(`/proc/${pid}/maps`);
  const path = maps.ok ? LIBKRUN.exec(maps.text)?.[0] : undefined;
  return path === undefined ? null : libkrunVariant(path);
}

/** The VMM that a process is, by its program or by the library it has loaded. */
export function vmmOfProcess(readings: Readings, pid: number): VmmName {
  const byName = vmmOf(programOf(readings, pid));
  if (byName !== 'other') return byName;
  return loadedLibkrun(readings, pid) === null ? 'other' : 'libkrun';
}

/** "--memory size=4G", "--mem 2048", "-m 4G" of a program that is not known. Units: MiB when bare. */
function otherSizes(argv: readonly string[]): readonly number[] {
  return argv.flatMap((word, i) => {
    if (!/^(?:-m|--mem(?:ory)?)$/.test(word)) return [];
    const [, named, bare] = /(?:^|,)size=([^,]+)|^([^,=]+)/.exec(argv[i + 1] ?? '') ?? [];
    const text = named ?? bare ?? '';
    const bytes = parseAmount(text);
    if (bytes === null) return [];
    return [/^\d+$/.test(text) ? bytes * 2 ** 20 : bytes];
  });
}

function optionsOf(
  readings: Readings,
  pid: number,
  vmm: VmmName,
  argv: readonly string[],
): VmmOptions | null {
  switch (vmm) {
    case 'qemu':
      return qemuAsVmm(parseQemu(argv), monitorSwitch(readings, pid));
    case 'crosvm':
      return parseCrosvm(argv);
    case 'cloud-hypervisor':
      return parseCloudHypervisor(argv);
    case 'firecracker':
      return parseFirecracker(argv);
    case 'libkrun':
      return parseLibkrun(programOf(readings, pid), argv, loadedLibkrun(readings, pid));
    case 'other':
      return null;
  }
}

/** Where RAM is split for the devices below 4 GiB: each side is a mapping of its own. */
const HOLE_AT: Partial<Record<VmmName, number>> = {
  'cloud-hypervisor': 0xc000_0000,
  firecracker: 0xc000_0000,
  libkrun: 0xd000_0000,
};

function sizesOf(options: VmmOptions): readonly number[] {
  const isLeftOut = options.unread.length > 0 && !options.ramGiven;
  const ram = isLeftOut ? null : options.ram;
  const sizes = [ram, ...options.backends.map((b) => b.size)].filter((s) => s !== null);
  const hole = HOLE_AT[options.vmm];
  if (hole === undefined) return sizes;
  return sizes.flatMap((size) => (size > hole ? [size, hole, size - hole] : [size]));
}

/** What the command line of a process says of its guest. */
export function told(readings: Readings, pid: number): Told {
  const path = `/proc/${pid}/cmdline`;
  const reading = readings.text(path);
  const vmm = vmmOfProcess(readings, pid);
  const nothing = { sizes: [], memoryPaths: [], memfds: [] };
  if (!reading.ok) {
    const options =
      vmm === 'other' ? known(null, 'a program not known here') : refused(path, reading, SAME_USER);
    return { options, ...nothing };
  }
  const argv = argvOf(reading.text);
  if (vmm === 'other') {
    return {
      options: known(null, 'a program not known here'),
      ...nothing,
      sizes: otherSizes(argv),
    };
  }
  if (argv.length < 2 || reading.cut) {
    const why = `${path} is ${reading.cut ? 'too long' : 'empty'}`;
    return { options: unknown(why, 'ask its monitor, or whoever started it'), ...nothing };
  }
  const options = optionsOf(readings, pid, vmm, argv);
  if (options === null) return { options: known(null, path), ...nothing };
  const { backends } = options;
  const paths = [options.memPath, ...backends.map((b) => b.path)];
  return {
    options: toldInFile(options) ?? known(options, path),
    sizes: sizesOf(options),
    memoryPaths: paths.filter((p) => p !== null && p !== '/dev/shm').map(String),
    memfds: backends.filter((b) => b.kind === 'memfd'),
  };
}

/** A QEMU with -readconfig may have been told anything there. */
function toldInFile(options: VmmOptions): Fact<VmmOptions> | null {
  if (options.qemu?.elsewhere !== true) return null;
  const why = 'they stand in a file (-readconfig), which doctor does not read';
  return unknown(why, 'ask its monitor');
}

/** Sizes of guest RAM that a VMM was told, without what it takes by default. */
export function explicitRam({ options }: Told): readonly number[] {
  const value = ifKnown(options);
  if (value === null) return [];
  const ram = value.ramGiven && !value.ramFromBackends ? [value.ram] : [];
  const sizes = [...ram, ...value.backends.map((b) => b.size)];
  return [...new Set(sizes.filter((s) => s !== null))];
}
