/** What a change can matter for. `guest-visible`: the guest gets another type. */
export const CATEGORIES = ['guest-visible', 'perf', 'coherence', 'mce'] as const;
export type Category = (typeof CATEGORIES)[number];
