import type { SourceId } from '../cite/sources.ts';
import type { MtrrType } from './types.ts';

/**
 * What the architecture leaves undefined, implementations still decide. Each plug is one
 * implementation's choice for an overlap of MTRR types that the manuals do not order.
 */
export interface UndefinedPlug {
  readonly name: string;
  /** @param types the overlapping types, in register order */
  readonly choose: (types: readonly MtrrType[]) => MtrrType;
  readonly source: SourceId;
}

export const UNDEFINED_PLUGS = {
  linux: { name: 'Linux', choose: () => 'UC', source: 'linux/mtrr-generic' },
  'kvm-v1': { name: 'KVM 2.6.29 to 4.1', choose: () => 'UC', source: 'kvm/get_mtrr_type' },
  'kvm-v2': { name: 'KVM 4.2 to 6.10', choose: () => 'WB', source: 'kvm/mtrr.c' },
  xen: { name: 'Xen', choose: (types) => types.at(-1) ?? 'UC', source: 'xen/mtrr.c' },
  bochs: { name: 'Bochs', choose: () => 'WB', source: 'bochs/paging.cc' },
} as const satisfies Record<string, UndefinedPlug>;
