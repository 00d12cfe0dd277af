import type { CoreInstruction, MachineConfig } from './config.ts';
import { cacheRules } from './hardware/cache.ts';
import { cacheDisableInstruction } from './hardware/cache-disable.ts';
import { combiningRules } from './hardware/combining.ts';
import { controlInstruction } from './hardware/control.ts';
import { deviceInstruction, deviceRules } from './hardware/device.ts';
import { fenceInstruction } from './hardware/fences.ts';
import { flushInstruction, flushRules, wbinvdInstruction } from './hardware/flush.ts';
import { loadInstruction } from './hardware/load.ts';
import { lockedInstruction } from './hardware/locked.ts';
import { storeInstruction } from './hardware/store.ts';
import { storeBufferRules } from './hardware/store-buffer.ts';
import { pagingInstruction, tlbRules } from './hardware/tlb.ts';
import { makePlan } from './plan.ts';
import { type Core, type Hardware, makeHardware } from './state.ts';

function coreInstruction(hw: Hardware, core: Core, k: number, i: CoreInstruction): void {
  switch (i.op) {
    case 'load':
    case 'movntdqa':
    case 'poll':
      loadInstruction(hw, core, k, i);
      return;
    case 'store':
    case 'nt-store':
      storeInstruction(hw, core, k, i);
      return;
    case 'xchg':
    case 'lock-add':
      lockedInstruction(hw, core, k, i);
      return;
    case 'mfence':
    case 'sfence':
    case 'lfence':
    case 'cpuid':
    case 'vmexit':
      fenceInstruction(hw, core, k, i);
      return;
    case 'wbinvd':
    case 'wbinvd-all':
    case 'invd':
      wbinvdInstruction(hw, core, k, i);
      return;
    case 'clflush':
    case 'clflushopt':
    case 'clwb':
      flushInstruction(hw, core, k, i);
      return;
    case 'invlpg':
    case 'invlpg-all':
    case 'remap':
      pagingInstruction(hw, core, k, i);
      return;
    case 'set-cd':
      cacheDisableInstruction(hw, core, k, i);
      return;
    case 'branch':
    case 'send':
    case 'await':
      controlInstruction(hw, core, k, i);
      return;
  }
}

/**
 * The variables of a configuration and every rule that can ever apply in it: for each agent its instructions in
 * program order, then what its hardware does by itself.
 * @throws InputError when the configuration is wrong
 */
export function buildHardware(config: MachineConfig): Hardware {
  const hw = makeHardware(makePlan(config));
  for (const core of hw.cores) {
    for (const [k, i] of core.config.program.entries()) coreInstruction(hw, core, k, i);
    storeBufferRules(hw, core);
    combiningRules(hw, core);
    flushRules(hw, core);
    cacheRules(hw, core);
    tlbRules(hw, core);
  }
  for (const device of hw.devices) {
    for (const [k, i] of device.config.program.entries()) deviceInstruction(hw, device, k, i);
    deviceRules(hw, device);
  }
  return hw;
}
