import { rule } from '../cite/rule.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';

/**
 * What KVM does about WBINVD of a guest whose VM has non-coherent DMA. `skips`: nothing, as always without.
 * `other-cpus`: flushes the caches of the CPUs that the vCPU ran on, except the one it runs on. `all`: of all.
 */
export type WbinvdRule = 'skips' | 'other-cpus' | 'all';

const EXECUTES = parseKernelVersion('2.6.36');
const FORGETS_ITSELF = parseKernelVersion('2.6.38');
const ON_EACH_CPU_MASK = parseKernelVersion('5.12-rc5');

/** Of the series' own first release; a stable series may have taken the fix of 5.12 without being told apart here. */
export function wbinvdRule(version: KernelVersion): WbinvdRule {
  const since = (from: KernelVersion): boolean => compareVersions(from, version) <= 0;
  if (!since(EXECUTES)) return 'skips';
  return since(FORGETS_ITSELF) && !since(ON_EACH_CPU_MASK) ? 'other-cpus' : 'all';
}

/** Whether the cache of the CPU that runs the vCPU is written back and emptied: of INVD never. */
export function flushesOwnCpu(
  op: 'wbinvd' | 'invd',
  version: KernelVersion,
  noncoherentDma: boolean,
): boolean {
  return op === 'wbinvd' && noncoherentDma && wbinvdRule(version) === 'all';
}

rule({
  id: 'kvm/wbinvd',
  room: 'kvm',
  title: 'WBINVD and INVD of a guest',
  text:
    'Both exit. INVD is skipped. WBINVD is skipped unless the VM has non-coherent DMA (need_emulate_wbinvd); ' +
    'then KVM flushes the caches of every CPU that the vCPU ran on since the last one. From 2.6.38 until ' +
    '5.12-rc5 smp_call_function_many() left out the CPU that handles the exit, so that a vCPU which stays on ' +
    'its CPU flushes nothing. Read in 2.6.38, 3.12, 3.16 to 3.18, 4.1 to 5.4.195 and in 5.12.9, 6.11, 6.16; ' +
    'whether 5.10.y and 5.11.y took the fix was not read. A VMX CPU without WBINVD exiting, which none with ' +
    'EPT is known to be, executes it natively.',
  table: [
    'before 2.6.36: skipped',
    '2.6.36, 2.6.37: all CPUs of the vCPU',
    '2.6.38 to 5.12-rc4: all but the one it runs on',
    '5.12-rc5 on: all CPUs of the vCPU',
  ].join('\n'),
  sources: ['kvm/f5f48ee15c2e', 'kvm/2eec73437487', 'kvm/c2162e13d6e2', 'kvm/emulate_wbinvd'],
});
