import {
  type GuestPatSwitch,
  isOn,
  type MemoryBackend,
  sizeOf,
  type VirtualGpu,
  type VmmOptions,
} from './options.ts';

/** What a QEMU was told on its command line, as far as it bears on memory types. */
export interface QemuOptions {
  /** Guest RAM in bytes; null when -m cannot be read. */
  readonly ram: number | null;
  /** -m is there; else `ram` is QEMU's default. */
  readonly ramGiven: boolean;
  /** RAM is one or more of the backends. */
  readonly ramFromBackends: boolean;
  readonly backends: readonly MemoryBackend[];
  readonly memPath: string | null;
  readonly machine: string | null;
  /** First accelerator; null when none is named (TCG then). */
  readonly accel: string | null;
  /** Which option named it. */
  readonly accelFrom: '-accel' | '-machine' | '-enable-kvm' | null;
  /** An Intel TDX guest (-object tdx-guest): KVM disables the quirk as it makes the VM. */
  readonly tdx: boolean;
  /** Any kind of confidential guest, by the object that makes it. */
  readonly confidential: VmmOptions['confidential'];
  /** libvirt started it: its monitor is the chardev "charmonitor". */
  readonly byLibvirt: boolean;
  /** Options stand in a file (-readconfig), which is not read. */
  readonly elsewhere: boolean;
  /** Paths of its monitor sockets, as given. */
  readonly monitors: readonly string[];
  readonly honorGuestPat: 'on' | 'off' | 'auto' | null;
  /**
   * honor-guest-pat stands where QEMU does not look for it: in an -accel behind the one that it takes, or
   * in -global, which knows no accelerators. Source: 7.2 run.
   */
  readonly misplacedSwitch: '-accel' | '-global' | null;
  readonly gpus: readonly VirtualGpu[];
  /** Assigned devices as named: "0000:01:00.0", a sysfs path, or "by descriptor". */
  readonly vfio: readonly string[];
  readonly firmware: 'OVMF' | 'SeaBIOS' | 'another';
}

export type Options = ReadonlyMap<string, string>;

const MIB = 2 ** 20;
/** -m without an argument: 128 MiB on a PC. */
const DEFAULT_RAM = 128 * MIB;

/**
 * "name,key=value,flag" as QEMU reads it: a doubled comma is a comma, a bare word is "on", and "no" before
 * a bare word "off". The first bare word goes under the key ''.
 */
function parseOptions(text: string): Options {
  const options = new Map<string, string>();
  for (const [i, part] of text.replaceAll(',,', '\0').split(',').entries()) {
    const word = part.replaceAll('\0', ',');
    const equals = word.indexOf('=');
    if (equals >= 0) options.set(word.slice(0, equals), word.slice(equals + 1));
    else if (i === 0) options.set('', word);
    else if (word.startsWith('no')) options.set(word.slice(2), 'off');
    else options.set(word, 'on');
  }
  return options;
}

/** -object and -device may be JSON, as libvirt writes them; nested values are left out. */
export function readOptions(text: string, typeKey: string): Options {
  if (!text.startsWith('{')) return parseOptions(text);
  try {
    const object: unknown = JSON.parse(text);
    if (typeof object !== 'object' || object === null) return new Map();
    const plain = Object.entries(object).flatMap(([key, value]): [string, string][] =>
      typeof value === 'object' ? [] : [[key === typeKey ? '' : key, yesNo(value)]],
    );
    return new Map(plain);
  } catch {
    return new Map();
  }
}

function yesNo(value: unknown): string {
  if (value === true) return 'on';
  return value === false ? 'off' : String(value);
}

function ramOf(text: string | null): number | null {
  if (text === null) return DEFAULT_RAM;
  const options = parseOptions(text);
  return sizeOf(options.get('size') ?? options.get(''), MIB);
}

const BACKEND = /^memory-backend-(\w+)$/;

function backendOf(text: string): readonly MemoryBackend[] {
  const options = readOptions(text, 'qom-type');
  const kind = BACKEND.exec(options.get('') ?? options.get('qom-type') ?? '')?.[1];
  if (kind === undefined) return [];
  return [
    {
      kind,
      id: options.get('id') ?? null,
      size: sizeOf(options.get('size'), 1),
      path: options.get('mem-path') ?? null,
      hugetlb: isOn(options.get('hugetlb')),
    },
  ];
}

const CONFIDENTIAL: Readonly<Record<string, VmmOptions['confidential']>> = {
  'tdx-guest': 'tdx',
  'sev-snp-guest': 'snp',
  'sev-guest': 'sev',
};

function confidentialOf(objects: readonly string[]): VmmOptions['confidential'] {
  const kinds = objects.map((text) => {
    const options = readOptions(text, 'qom-type');
    return CONFIDENTIAL[options.get('') ?? options.get('qom-type') ?? ''] ?? null;
  });
  return kinds.find((kind) => kind !== null) ?? null;
}

/** "-qmp unix:PATH,server=on", "-monitor unix:PATH", and sockets of -chardev. */
function monitorsOf(args: Arguments): readonly string[] {
  const plain = args.all('qmp', 'qmp-pretty', 'monitor').flatMap((text) => {
    const path = /^unix:([^,]+)/.exec(text)?.[1];
    return path === undefined ? [] : [path];
  });
  const named = args.all('mon').map((text) => parseOptions(text));
  const ids = new Set(named.map((mon) => mon.get('chardev') ?? mon.get('')));
  const chardevs = args.all('chardev').map(parseOptions);
  return [
    ...plain,
    ...chardevs.flatMap((c) => (ids.has(c.get('id')) ? (c.get('path') ?? []) : [])),
  ];
}

const GPU = /^(?:vhost-user-)?virtio-(?:gpu|vga)/;

function gpuOf(device: Options): readonly VirtualGpu[] {
  const driver = device.get('') ?? device.get('driver') ?? '';
  if (!GPU.test(driver)) return [];
  const hostmem = sizeOf(device.get('hostmem'), 1);
  return [{ driver, blob: isOn(device.get('blob')), hostmem: hostmem === 0 ? null : hostmem }];
}

function vfioOf(device: Options): readonly string[] {
  const driver = device.get('') ?? device.get('driver') ?? '';
  if (!driver.startsWith('vfio-')) return [];
  return [device.get('host') ?? device.get('sysfsdev') ?? 'by descriptor'];
}

export const FLASH = /pflash/;
export const OVMF = /ovmf|edk2|uefi/i;

function firmwareOf(args: Arguments, machine: Options): QemuOptions['firmware'] {
  const bios = args.last('bios');
  if (bios !== null) return OVMF.test(bios) ? 'OVMF' : 'another';
  const flashes = [...args.all('drive'), ...args.all('blockdev')].filter((d) => FLASH.test(d));
  const named = [...args.all('blockdev'), ...args.all('pflash')].filter((d) => OVMF.test(d));
  if (flashes.some((d) => OVMF.test(d)) || named.length > 0) return 'OVMF';
  if (flashes.length > 0 || machine.has('pflash0') || args.all('pflash').length > 0) {
    return 'another';
  }
  return machine.get('')?.startsWith('microvm') === true ? 'another' : 'SeaBIOS';
}

/** Options by name; one or two dashes are the same to QEMU. */
class Arguments {
  readonly #values = new Map<string, string[]>();

  constructor(argv: readonly string[]) {
    for (const [i, word] of argv.entries()) {
      const name = /^--?([A-Za-z][\w-]*)$/.exec(word)?.[1];
      if (name === undefined || i === 0) continue;
      const values = this.#values.get(name) ?? [];
      values.push(argv[i + 1] ?? '');
      this.#values.set(name, values);
    }
  }

  all(...names: readonly string[]): readonly string[] {
    return names.flatMap((name) => this.#values.get(name) ?? []);
  }

  last(...names: readonly string[]): string | null {
    return this.all(...names).at(-1) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }
}

function accelOf(args: Arguments, machine: Options): Options {
  const first = args.all('accel')[0];
  if (first !== undefined) return parseOptions(first);
  const named = machine.get('accel')?.split(':')[0] ?? (args.has('enable-kvm') ? 'kvm' : '');
  return named === '' ? new Map() : new Map([['', named]]);
}

const SWITCH = /(?:^|[.,])honor-guest-pat=/;

function misplacedSwitch(args: Arguments): QemuOptions['misplacedSwitch'] {
  if (
    args
      .all('accel')
      .slice(1)
      .some((text) => SWITCH.test(text))
  )
    return '-accel';
  return args.all('global').some((text) => SWITCH.test(text)) ? '-global' : null;
}

function accelFrom(args: Arguments, machine: Options): QemuOptions['accelFrom'] {
  if (args.has('accel')) return '-accel';
  if (machine.has('accel')) return '-machine';
  return args.has('enable-kvm') ? '-enable-kvm' : null;
}

function honorOf(word: string | undefined): QemuOptions['honorGuestPat'] {
  if (word === 'auto') return 'auto';
  if (word === undefined) return null;
  return isOn(word) ? 'on' : 'off';
}

/**
 * The options of a QEMU, from its argument vector. What other options say is read over, so that nothing
 * secret of a command line goes any further.
 */
export function parseQemu(argv: readonly string[]): QemuOptions {
  const args = new Arguments(argv);
  const machine = new Map(args.all('machine', 'M').flatMap((text) => [...parseOptions(text)]));
  const type = machine.get('type') ?? machine.get('') ?? null;
  const accel = accelOf(args, machine);
  const confidential = confidentialOf(args.all('object'));
  const devices = args.all('device').map((text) => readOptions(text, 'driver'));
  return {
    ram: ramOf(args.last('m')),
    ramGiven: args.last('m') !== null,
    ramFromBackends:
      machine.has('memory-backend') || args.all('numa').some((n) => n.includes('memdev=')),
    backends: args.all('object').flatMap(backendOf),
    memPath: args.last('mem-path'),
    machine: type,
    accel: accel.get('accel') ?? accel.get('') ?? null,
    accelFrom: accelFrom(args, machine),
    tdx: confidential === 'tdx',
    confidential,
    byLibvirt: args.all('mon').some((text) => text.split(',').includes('chardev=charmonitor')),
    elsewhere: args.has('readconfig'),
    monitors: monitorsOf(args),
    honorGuestPat: honorOf(accel.get('honor-guest-pat')),
    misplacedSwitch: misplacedSwitch(args),
    gpus: devices.flatMap(gpuOf),
    vfio: devices.flatMap(vfioOf),
    firmware: firmwareOf(args, type === null ? machine : new Map([...machine, ['', type]])),
  };
}

/** The first release of QEMU with honor-guest-pat. Source: qemu/honor-guest-pat. */
export const FIRST_WITH_SWITCH = 11;

function switchOf(qemu: QemuOptions, hasSwitch: boolean | null): GuestPatSwitch {
  if (hasSwitch === false) return 'never';
  return qemu.honorGuestPat ?? 'default';
}

const WHY: Readonly<Record<GuestPatSwitch, string>> = {
  on: 'honor-guest-pat=on',
  off: 'honor-guest-pat=off',
  auto: 'honor-guest-pat=auto: where this KVM can',
  default: 'honor-guest-pat is not given: off',
  never: 'this QEMU has no honor-guest-pat, which came with 11.0',
};

/**
 * A QEMU's options in the shape common to all VMMs.
 *
 * @param hasSwitch whether this QEMU has honor-guest-pat; null: not known, as without its monitor
 */
export function qemuAsVmm(qemu: QemuOptions, hasSwitch: boolean | null): VmmOptions {
  const windows = qemu.gpus.some((g) => g.blob && g.hostmem !== null);
  const guestPat = switchOf(qemu, hasSwitch);
  return {
    vmm: 'qemu',
    ram: qemu.ram,
    ramGiven: qemu.ramGiven,
    ramFromBackends: qemu.ramFromBackends,
    backends: qemu.backends,
    memPath: qemu.memPath,
    gpus: qemu.gpus,
    blobs: windows ? (hasSwitch === false ? 'slot-per-blob' : 'either') : 'none',
    vfio: qemu.vfio,
    firmware: qemu.firmware,
    accel: qemu.accel,
    guestPat,
    guestPatWhy: WHY[guestPat],
    confidential: qemu.confidential,
    unread: qemu.elsewhere ? ['the file of -readconfig'] : [],
    qemu,
  };
}
