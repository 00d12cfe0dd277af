import type { Choice } from './choice.ts';

/**
 * A choice from a seed: the same seed gives the same answers, on every machine. Mulberry32 (public domain, by
 * Tommy Ettinger): 32 bits of state.
 *
 * @param seed an integer from 0 to 2^32-1
 */
export function seededChoice(seed: number): Choice {
  let state = seed >>> 0;
  return {
    pick(n) {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
    },
  };
}
