import { rule } from '../cite/rule.ts';

/** What happens to SPTEs that are already installed. */
export type ZapAction =
  | 'nothing'
  /** A reset of the MMU context, which has no effect: the role does not hold MTRRs. */
  | 'reset-context'
  | 'zap-all'
  | 'zap-gfn-range';

export interface ZapRule {
  readonly action: ZapAction;
  /** When the action is taken, in the kernel's terms. */
  readonly when: string;
}

/** Which events make KVM drop installed SPTEs, in one span of kernels. */
export interface ZapRules {
  readonly id: string;
  readonly kernels: string;
  readonly mtrrWrite: ZapRule;
  readonly cdToggle: ZapRule;
  readonly noncoherentToggle: ZapRule;
  readonly quirkDisabled: ZapRule;
}

const NOTHING: ZapRule = { action: 'nothing', when: 'never' };

/** Oldest first. */
export const ZAP: readonly ZapRules[] = [
  {
    id: '2.6.26',
    kernels: '2.6.26 to 4.1',
    mtrrWrite: {
      action: 'reset-context',
      when: 'every write; ineffective, the role holds no MTRRs',
    },
    cdToggle: { action: 'reset-context', when: 'every toggle; ineffective' },
    noncoherentToggle: NOTHING,
    quirkDisabled: NOTHING,
  },
  {
    id: '4.2',
    kernels: '4.2 to 6.6',
    mtrrWrite: { action: 'zap-gfn-range', when: 'TDP on and noncoherent_dma' },
    cdToggle: { action: 'zap-all', when: 'noncoherent_dma && !quirk_cd_nw_cleared' },
    noncoherentToggle: NOTHING,
    quirkDisabled: NOTHING,
  },
  {
    id: '6.7',
    kernels: '6.7 to 6.10',
    mtrrWrite: { action: 'zap-gfn-range', when: 'EPT on and noncoherent_dma' },
    cdToggle: { action: 'zap-all', when: 'EPT on && noncoherent_dma && !quirk_cd_nw_cleared' },
    noncoherentToggle: { action: 'zap-all', when: 'EPT on, first or last device' },
    quirkDisabled: NOTHING,
  },
  {
    id: '6.11-rc1',
    kernels: '6.11-rc1 to 6.11-rc7',
    mtrrWrite: NOTHING,
    cdToggle: NOTHING,
    noncoherentToggle: { action: 'zap-all', when: 'EPT on && !self_snoop, first or last device' },
    quirkDisabled: NOTHING,
  },
  {
    id: '6.11',
    kernels: '6.11 to 6.15',
    mtrrWrite: NOTHING,
    cdToggle: NOTHING,
    noncoherentToggle: { action: 'zap-all', when: 'EPT on, first or last device' },
    quirkDisabled: NOTHING,
  },
  {
    id: '6.16',
    kernels: '6.16 to 7.3, 6.12.78 and later 6.12.y',
    mtrrWrite: NOTHING,
    cdToggle: NOTHING,
    noncoherentToggle: { action: 'zap-all', when: 'quirk_ignore_guest_pat, first or last device' },
    quirkDisabled: NOTHING,
  },
];

function zapLine(z: ZapRules): string {
  const one = (name: string, r: ZapRule): string => `${name}: ${r.action} (${r.when})`;
  return `${z.kernels}: ${[
    one('guest writes an MTRR', z.mtrrWrite),
    one('guest toggles CR0.CD', z.cdToggle),
    one('non-coherent DMA comes or goes', z.noncoherentToggle),
    one('VMM disables a quirk', z.quirkDisabled),
  ].join('; ')}`;
}

rule({
  id: 'kvm/zap',
  room: 'kvm',
  title: 'When installed mappings change their type',
  text:
    'An SPTE keeps the type it was made with until something zaps it. A guest MTRR write zaps the range ' +
    'of that MSR in 4.2 to 6.10 for a VM with non-coherent DMA; toggling CR0.CD zaps all there when ' +
    'CD_NW_CLEARED is disabled; the first and last non-coherent device zap all from 6.7 on; disabling a ' +
    'quirk never zaps; a change of the host page type is noticed only through the MMU notifier.',
  table: ZAP.map(zapLine).join('\n'),
  sources: [
    'kvm/efdfe536d8c6',
    'kvm/b18d5431acc7',
    'kvm/9a3768191d95',
    'kvm/7a18c7c2b69a',
    'kvm/362ff6dca541',
    'kvm/x86.c-quirks',
  ],
});
