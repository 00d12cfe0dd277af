import { LongOptions, mibOf, type VmmOptions } from './options.ts';

export const LIBKRUN_READ = '6ed74facc26d (2026-06-12)';

/** The programs around libkrun whose options were read; all others tell it by calls of the library. */
const KNOWN = { muvm: '25ece4c (2026-07-15)', krunvm: '59f3673 (2026-02-09)' } as const;

/** "libkrun.so.1", "libkrun-tdx.so.1", "libkrun-sev.so.1", ...: the variant is in the name. */
const LIBRARY = /\/libkrun(?:-(\w+))?\.so(?:\.|$)/;

/** The variant of libkrun behind a mapped file: '' for the plain one, null when it is no libkrun. */
export function libkrunVariant(path: string): string | null {
  const found = LIBRARY.exec(path);
  return found === null ? null : (found[1] ?? '');
}

function variantConfidential(variant: string | null): VmmOptions['confidential'] {
  if (variant === 'tdx') return 'tdx';
  return variant === 'sev' ? 'sev' : null;
}

/** muvm: drm and venus map host blobs, software renders in the guest. */
function muvmGpu(mode: string): VmmOptions['gpus'] {
  if (mode === 'software') return [];
  return [{ driver: `virtio-gpu of libkrun (${mode})`, blob: true, hostmem: null }];
}

/** Options of muvm that take the next word. */
export const MUVM_VALUED =
  /^(?:-[cefpxX]|--(?:cpu-list|env|mem|vram|passt-socket|passt-args|fex-image|publish|emu|execute-pre|user-execute-pre|gpu-mode))$/;

/** Options before the command that runs in the guest: what follows is the guest's own. */
function ownWords(argv: readonly string[]): readonly string[] {
  for (let i = 1; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--') return argv.slice(0, i);
    if (!word.startsWith('-')) return argv.slice(0, i);
    if (MUVM_VALUED.test(word)) i += 1;
  }
  return argv;
}

/**
 * A program around libkrun. The library is told by calls, not by arguments: of muvm the options say how
 * much RAM and which GPU; krunvm keeps both in a file of its own; of others nothing is known.
 *
 * Source: muvm crates/muvm/src/{cli_options.rs,bin/muvm.rs}, krunvm src/commands/start.rs,
 * libkrun include/libkrun.h.
 *
 * @param variant of the library, see `libkrunVariant`; null where the mappings cannot be read
 */
export function parseLibkrun(
  program: string,
  argv: readonly string[],
  variant: string | null,
): VmmOptions {
  const isMuvm = program === 'muvm';
  const options = new LongOptions(isMuvm ? ownWords(argv) : []);
  const mem = options.last('--mem');
  const mode = options.last('--gpu-mode') ?? 'drm';
  return {
    vmm: 'libkrun',
    ram: mibOf(mem),
    ramGiven: mem !== null,
    ramFromBackends: false,
    backends: [],
    memPath: null,
    gpus: isMuvm ? muvmGpu(/^(?:drm|venus|software)$/.test(mode) ? mode : 'drm') : [],
    blobs: isMuvm
      ? mode === 'software'
        ? 'none'
        : 'one-slot'
      : program === 'krunvm'
        ? 'none'
        : null,
    vfio: [],
    firmware: 'direct',
    accel: 'kvm',
    guestPat: 'never',
    guestPatWhy: `libkrun ${LIBKRUN_READ} disables no quirk of KVM`,
    confidential: variantConfidential(variant),
    unread: unreadOf(program, mem),
    qemu: null,
  };
}

function unreadOf(program: string, mem: string | null): readonly string[] {
  if (program === 'muvm') {
    return mem === null ? [`its default RAM (of muvm ${KNOWN.muvm}: 80% of the host's)`] : [];
  }
  if (program === 'krunvm') return [`the configuration of krunvm (${KNOWN.krunvm})`];
  return ['what the program told libkrun by calls of the library'];
}
