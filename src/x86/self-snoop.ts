import { rule } from '../cite/rule.ts';

rule({
  id: 'x86/self-snoop',
  room: 'cpu',
  title: 'Self-snoop (CPUID.01H:EDX bit 27) and the CPUs whose flag Linux takes away',
  text:
    'A CPU with self-snoop keeps aliases of different types coherent for the accesses of CPUs, by ' +
    'snooping its own caches for what it puts on the bus; it says nothing about devices that do not ' +
    'snoop. check_memory_type_self_snoop_errata() clears the flag on Yonah, Merom, Penryn, Dunnington, ' +
    'Nehalem, Westmere (not EX) and client Sandy Bridge. AMD does not report the flag.',
  sources: ['sdm/self-snoop', 'linux/1e03bff36001', 'linux/self-snoop-errata', 'mail/seed-series'],
});

/** Family 6 models on which check_memory_type_self_snoop_errata() clears X86_FEATURE_SELFSNOOP. */
export const SELF_SNOOP_ERRATA: Readonly<Record<number, string>> = {
  14: 'Core Yonah',
  15: 'Core2 Merom',
  22: 'Core2 Merom-L',
  23: 'Core2 Penryn',
  26: 'Nehalem-EP',
  29: 'Dunnington',
  30: 'Nehalem',
  31: 'Nehalem-G',
  37: 'Westmere',
  42: 'Sandy Bridge (client)',
  44: 'Westmere-EP',
  46: 'Nehalem-EX',
};

/** Whether Linux (5.3 and later) takes the self-snoop flag away from this Intel CPU. */
export function hasSelfSnoopErratum(family: number, model: number): boolean {
  return family === 6 && SELF_SNOOP_ERRATA[model] !== undefined;
}
