import {
  isOn,
  keyValues,
  LongOptions,
  sizeOf,
  type VirtualGpu,
  type VmmOptions,
} from './options.ts';

const MIB = 2 ** 20;
/** src/crosvm/sys/linux.rs: 256 MiB when --mem is not given. */
const DEFAULT_RAM = 256 * MIB;
/** devices/src/virtio/gpu/parameters.rs: pci_bar_size. */
const DEFAULT_WINDOW = 2 ** 33;

/** The revision whose sources were read: names of options, defaults, and that no quirk is disabled. */
export const CROSVM_READ = 'f1e797a68dad (2026-08-21)';

function gpuOf(text: string): VirtualGpu {
  const options = keyValues(text);
  const backend = options.get('backend') ?? options.get('') ?? '2d';
  const named = sizeOf(options.get('pci-bar-size'), 1);
  const is2d = backend === '2d' || backend === '2D';
  return {
    driver: `virtio-gpu of crosvm (${/^[\w-]{1,24}$/.test(backend) ? backend : 'backend not read'})`,
    blob: !is2d,
    hostmem: is2d ? null : (named ?? DEFAULT_WINDOW),
  };
}

function blobSlots(gpus: readonly string[]): VmmOptions['blobs'] {
  const options = gpus.map(keyValues);
  if (!gpus.map(gpuOf).some((gpu) => gpu.blob)) return 'none';
  const fixed = options.some(
    (o) => o.has('fixed-blob-mapping') && isOnOrBare(o.get('fixed-blob-mapping')),
  );
  return fixed ? 'one-slot' : 'slot-per-blob';
}

function isOnOrBare(value: string | undefined): boolean {
  return value === '' || isOn(value);
}

/**
 * The options of `crosvm run`. A sandboxed crosvm has a process per device, with the same arguments; the
 * one with the kvm-vm descriptor is the VM.
 *
 * Source: crosvm src/crosvm/cmdline.rs (RunCommand), src/main.rs (prepare_argh_args splits --name=value).
 */
export function parseCrosvm(argv: readonly string[]): VmmOptions {
  const options = new LongOptions(argv);
  const mem = options.last('--mem', '-m');
  const told = mem === null ? undefined : keyValues(mem);
  const ram = told === undefined ? null : sizeOf(told.get('size') ?? told.get(''), MIB);
  const gpus = gpuArguments(argv);
  const vfio = options.all(['--vfio', '--vfio-platform']).map((text) => {
    const one = keyValues(text);
    return one.get('path') ?? one.get('') ?? 'by descriptor';
  });
  return {
    vmm: 'crosvm',
    ram: mem === null ? DEFAULT_RAM : ram,
    ramGiven: mem !== null,
    ramFromBackends: false,
    backends: [],
    memPath: null,
    gpus: gpus.map(gpuOf),
    blobs: blobSlots(gpus),
    vfio,
    // Its own code sets the MTRRs also where it starts a firmware.
    firmware: options.has('--bios', '--pflash') ? 'another' : 'direct',
    accel: (options.last('--hypervisor') ?? 'kvm').split('[')[0] ?? null,
    guestPat: 'never',
    guestPatWhy: `crosvm ${CROSVM_READ} disables no quirk of KVM`,
    confidential: null,
    unread: [],
    qemu: null,
  };
}

/** --gpu may stand without a value: the next word is then an option. */
function gpuArguments(argv: readonly string[]): readonly string[] {
  return argv.flatMap((word, i) => {
    if (word.startsWith('--gpu=')) return [word.slice('--gpu='.length)];
    if (word !== '--gpu' || i === 0) return [];
    const next = argv[i + 1] ?? '';
    return [next.startsWith('-') ? '' : next];
  });
}
