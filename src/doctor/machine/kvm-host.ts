import type { Paging } from '../../facts/facts.ts';
import { KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2 } from '../../kvm/quirks.ts';
import { MODULE_PARAMETERS } from '../capture/reads.ts';
import { type Fact, ifKnown, known, refused, unknown } from '../fact.ts';
import type { CpuFacts, KvmFacts } from '../host-facts.ts';
import type { NumberReading, Readings } from '../reading.ts';

const MODULES = '/sys/module';

/** A vendor module of KVM: kvm_intel, kvm_amd, kvm_pvm, ... (kvmgt is none.) */
export function isVendorModule(name: string): boolean {
  return /^kvm_\w+$/.test(name);
}

function parameters(readings: Readings, modules: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const module of ['kvm', ...modules]) {
    for (const name of MODULE_PARAMETERS) {
      const value = readings.word(`${MODULES}/${module}/parameters/${name}`);
      if (value !== null) found.set(`${module}.${name}`, value);
    }
  }
  return found;
}

interface LoadedModule {
  readonly name: string;
  readonly references: number;
}

/** /proc/modules: "kvm_intel 417792 1 - Live 0x0". Null when it cannot be read: all may be built in. */
function loadedModules(readings: Readings): readonly LoadedModule[] | null {
  const reading = readings.text('/proc/modules');
  if (!reading.ok) return null;
  return reading.text.split('\n').flatMap((line): LoadedModule[] => {
    const match = /^(\w+) \d+ (\d+) /.exec(line);
    return match?.[1] === undefined ? [] : [{ name: match[1], references: Number(match[2]) }];
  });
}

const MODULE_OF_VENDOR: Readonly<Record<string, string>> = { intel: 'kvm_intel', amd: 'kvm_amd' };

/**
 * Which vendor module serves /dev/kvm. Built in, the modules of both vendors are listed, and only that of
 * the CPU's vendor can work; a third one is not told from it.
 */
function flavour(
  modules: readonly string[],
  loaded: readonly LoadedModule[] | null,
  cpu: CpuFacts | null,
): Fact<string> {
  const [only, second] = modules;
  if (only === undefined) {
    return unknown(
      'no vendor module of KVM is loaded or built in',
      'modprobe kvm_intel or kvm_amd',
    );
  }
  if (second === undefined) return known(only, `${MODULES}/${only}`);
  const live = modules.filter((name) => loaded?.some((m) => m.name === name));
  if (live.length === 1 && live[0] !== undefined) return known(live[0], '/proc/modules');
  const own = MODULE_OF_VENDOR[cpu?.vendor ?? ''];
  const fitting = modules.filter((m) => m === own || (m !== 'kvm_intel' && m !== 'kvm_amd'));
  const [fit, other] = fitting;
  if (fit !== undefined && other === undefined) {
    return known(fit, `${MODULES}, the only one for this CPU`);
  }
  return unknown(`several vendor modules: ${modules.join(', ')}`, 'see which one dmesg names');
}

const YES = /^(?:Y|1)$/i;

function pagingBy(
  module: string,
  parameter: 'ept' | 'npt',
  found: ReadonlyMap<string, string>,
): Fact<Paging> {
  const value = found.get(`${module}.${parameter}`);
  const path = `${MODULES}/${module}/parameters/${parameter}`;
  if (value === undefined) return unknown(`${path} could not be read`, 'run doctor as root');
  return known(YES.test(value) ? parameter : 'shadow', `${path} is ${value.slice(0, 8)}`);
}

function paging(module: Fact<string>, found: ReadonlyMap<string, string>): Fact<Paging> {
  if (!module.known) return module;
  if (module.value === 'kvm_intel') return pagingBy('kvm_intel', 'ept', found);
  if (module.value === 'kvm_amd') return pagingBy('kvm_amd', 'npt', found);
  if (module.value === 'kvm_pvm') {
    return known('shadow', 'kvm_pvm: KVM in software, without EPT or NPT');
  }
  return unknown(`${module.value} is no vendor module known here`, 'ask who built this kernel');
}

const DEVICE_REMEDIES = {
  absent: 'nothing: this kernel has no /dev/kvm, or this container does not show it',
  denied:
    'run doctor as root, or as a member of the group of /dev/kvm where it has one (usually kvm)',
} as const;

function answer(reading: NumberReading, what: string): Fact<number> {
  if (reading.ok) return known(reading.value, what);
  const remedies =
    reading.reason === 'error'
      ? { error: 'npm install koffi, or compare with dmesg and the kernel version' }
      : DEVICE_REMEDIES;
  return refused(`/dev/kvm, ${what}`, reading, remedies);
}

function presence(
  readings: Readings,
  modules: Fact<readonly string[]>,
  loaded: readonly LoadedModule[] | null,
): Fact<boolean> {
  const device = readings.kvm('api');
  if (device.ok) return known(true, '/dev/kvm answers');
  if (device.reason === 'denied') return known(true, '/dev/kvm exists');
  const found = ifKnown(modules) ?? [];
  const working = found.find((name) => loaded?.some((m) => m.name === name));
  if (working !== undefined) return known(true, `/proc/modules, ${working}`);
  // Opened, but nothing could make the ioctl.
  if (device.reason === 'error' && found[0] !== undefined) {
    return known(true, `/dev/kvm exists, and ${found[0]}`);
  }
  if (device.reason !== 'absent' || !modules.known) {
    return unknown('neither /dev/kvm nor /sys/module could be read', 'run doctor as root');
  }
  if (found.length === 0) return known(false, 'neither /dev/kvm nor a KVM module');
  return unknown(
    `${found.join(', ')} built in, but no /dev/kvm: the CPU offers no virtualization, or this is a container`,
    'see the kvm lines of dmesg',
  );
}

export function gatherKvm(readings: Readings, cpu: Fact<CpuFacts>): KvmFacts {
  const list = readings.list(MODULES);
  const modules: Fact<readonly string[]> = list.ok
    ? known(list.names.filter(isVendorModule).sort(), MODULES)
    : refused(MODULES, list, {});
  const names = ifKnown(modules) ?? [];
  const loaded = loadedModules(readings);
  const found = parameters(readings, names);
  const module = modules.known ? flavour(names, loaded, ifKnown(cpu)) : modules;
  const references = loaded?.find((m) => m.name === ifKnown(module))?.references;
  const extension = (n: number, name: string): Fact<number> =>
    answer(readings.kvm(String(n)), `KVM_CHECK_EXTENSION(${name})`);
  return {
    present: presence(readings, modules, loaded),
    apiVersion: answer(readings.kvm('api'), 'KVM_GET_API_VERSION'),
    quirks2: extension(KVM_CAP_DISABLE_QUIRKS2, 'KVM_CAP_DISABLE_QUIRKS2'),
    quirks: extension(KVM_CAP_DISABLE_QUIRKS, 'KVM_CAP_DISABLE_QUIRKS'),
    slotFlag: { 236: extension(236, '236'), 239: extension(239, '239') },
    modules: names,
    flavour: module,
    parameters: found,
    paging: paging(module, found),
    users:
      references === undefined
        ? unknown('the KVM module is not in /proc/modules: built in', 'nothing: run doctor as root')
        : known(references, '/proc/modules'),
  };
}
