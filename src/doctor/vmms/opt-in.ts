import { ifKnown } from '../fact.ts';
import type { VmFacts } from '../vms/vm-facts.ts';
import type { QemuOptions } from './qemu.ts';

const OPTION = '-accel kvm,honor-guest-pat=on';
const WRAPPER = '/usr/local/bin/qemu-honor-guest-pat';

/** A word as a shell reads it. */
function shellWord(word: string): string {
  return /^[\w./:+@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Of a QEMU that libvirt starts. libvirt writes `-accel kvm` in front of what <qemu:commandline> adds, and
 * QEMU takes the first -accel that works and ignores the next (7.2 run; libvirt's own test files read), as
 * it ignores -global for an accelerator. So the word has to be changed on its way: by a wrapper as the
 * domain's <emulator>.
 */
function libvirtLines(domain: string, emulator: string): readonly string[] {
  const script = [
    '#!/bin/sh',
    'last=; n=$#',
    'while [ "$n" -gt 0 ]; do',
    '  case "$last $1" in',
    '    "-accel kvm" | "-accel kvm,"*) set -- "$@" "$1,honor-guest-pat=on" ;;',
    '    *) set -- "$@" "$1" ;;',
    '  esac',
    '  last=$1; shift; n=$((n - 1))',
    'done',
    `exec ${shellWord(emulator)} "$@"`,
  ];
  return [
    [
      "printf '%s\\n' \\",
      ...script.map((line) => `  ${shellWord(line)} \\`),
      `  > ${WRAPPER}`,
    ].join('\n'),
    `chmod 755 ${WRAPPER}`,
    '# where AppArmor or SELinux confines libvirt, allow it to run that file',
    `virsh edit ${domain}  # set <emulator>${WRAPPER}</emulator>`,
    `virsh shutdown ${domain}  # and when it is off:`,
    `virsh start ${domain}`,
  ];
}

const IN_PLACE_OF = {
  '-accel': 'in place of -accel kvm:',
  '-machine': 'leave accel= out of -machine, and add:',
  '-enable-kvm': 'in place of -enable-kvm:',
} as const;

function qemuLines({ accelFrom }: QemuOptions): readonly string[] {
  return [`# ${IN_PLACE_OF[accelFrom ?? '-accel']}`, OPTION];
}

/** What makes a VM honour the guest PAT, as lines to run or to write; none where the VMM has no switch. */
export function optInCommand(
  vm: Pick<VmFacts, 'options' | 'libvirt' | 'program'>,
): readonly string[] {
  const options = ifKnown(vm.options);
  const isOff = options?.guestPat === 'off' || options?.guestPat === 'default';
  if (options?.qemu === null || options === null || !isOff) return [];
  const domain = ifKnown(vm.libvirt);
  if (domain === null && !options.qemu.byLibvirt) return qemuLines(options.qemu);
  const named = domain?.emulator ?? WRAPPER;
  const emulator = named === WRAPPER ? `/usr/bin/${vm.program}` : named;
  return libvirtLines(domain === null ? 'DOMAIN' : shellWord(domain.name), emulator);
}
