import { expect, test } from 'vitest';
import { catalogue, configOf, isPossible, outcomes } from '../../test/litmus.ts';
import { makeMachine } from './machine.ts';

for (const litmus of catalogue())
  for (const { cfg, verdict } of litmus.expect)
    test(`${litmus.id} ${litmus.name} ${JSON.stringify(cfg)}: ${verdict}`, () => {
      const { set } = outcomes(makeMachine(configOf(litmus, cfg)));
      expect(set.length).toBeGreaterThan(0);
      expect(isPossible(set, litmus.exists)).toBe(verdict === 'allowed');
    });
