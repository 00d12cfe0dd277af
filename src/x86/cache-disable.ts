import { rule } from '../cite/rule.ts';
import type { EffectiveType, Vendor } from './types.ts';

rule({
  id: 'x86/cr0-cd',
  room: 'cpu',
  title: 'CR0.CD and CR0.NW outside virtual machines',
  text:
    'NW=1 with CD=0 raises #GP. Intel, CD=1: no-fill mode, hits are still served and coherency is kept, ' +
    'so full uncaching needs the MTRRs too; Atom turns caching off. AMD, CD=1: every hit is written back ' +
    'and evicted and the access goes to memory (CD).',
  sources: ['sdm/t11-5', 'sdm/no-fill', 'apm/cd'],
});

export type NativeCd =
  | { readonly kind: 'normal' }
  | { readonly kind: 'fault' }
  /** Hits served from the cache, nothing new filled: the type depends on what is cached. */
  | { readonly kind: 'no-fill' }
  | { readonly kind: 'type'; readonly type: EffectiveType };

/** What CR0.CD and CR0.NW do to an access without virtualization. Source: SDM Table 11-5, APM Table 7-5. */
export function nativeCacheDisable(
  vendor: Vendor,
  cd: boolean,
  nw: boolean,
  atom: boolean,
): NativeCd {
  if (!cd) return nw ? { kind: 'fault' } : { kind: 'normal' };
  if (vendor === 'amd') return { kind: 'type', type: 'CD' };
  return atom ? { kind: 'type', type: 'UC' } : { kind: 'no-fill' };
}
