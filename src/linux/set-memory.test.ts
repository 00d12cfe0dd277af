import { expect, it } from 'vitest';
import { MemtypeTracker } from './memtype-tracker.ts';
import { setMemory, setPagesArray } from './set-memory.ts';

const PAGE = 4096;
const START = 0x1000000;
const page = (i: number): number => START / PAGE + i;

function ram(): MemtypeTracker {
  return new MemtypeTracker({ isRam: () => true, mtrrType: () => 'WB', patEnabled: true });
}

it('makes RAM WC in two passes, and gives it back', () => {
  const tracker = ram();
  expect(setMemory(tracker, 'set_memory_wc', START, 4)).toEqual({ passes: ['UC-', 'WC'] });
  expect(tracker.lookup(START + 3 * PAGE)).toBe('WC');
  expect(setMemory(tracker, 'set_memory_wb', START, 4)).toEqual({ passes: ['WB'] });
  expect(tracker.lookup(START)).toBe('WB');
});

it('makes set_memory_uc UC-, in one pass', () => {
  const tracker = ram();
  expect(setMemory(tracker, 'set_memory_uc', START, 1)).toEqual({ passes: ['UC-'] });
  expect(tracker.lookup(START)).toBe('UC-');
  expect(setMemory(tracker, 'set_memory_wt', START + PAGE, 1)).toEqual({ passes: ['WT'] });
});

it('must go through WB to change a type', () => {
  const tracker = ram();
  setMemory(tracker, 'set_memory_wc', START, 1);
  expect(setMemory(tracker, 'set_memory_uc', START, 1)).toEqual({ error: 'EBUSY' });
  expect(setMemory(tracker, 'set_memory_wc', START, 1)).toEqual({ error: 'EBUSY' });
});

it('reserves an array page by page, and gives all of it back when one page is taken', () => {
  const tracker = ram();
  expect(setPagesArray(tracker, 'set_pages_array_wc', [page(0), page(7)])).toEqual({
    passes: ['UC-', 'WC'],
  });
  expect(setPagesArray(tracker, 'set_pages_array_uc', [page(1), page(2), page(7)])).toEqual({
    error: 'EINVAL',
  });
  expect([0, 1, 2, 7].map((i) => tracker.lookup(page(i) * PAGE))).toEqual(['WC', 'WB', 'WB', 'WC']);
  setPagesArray(tracker, 'set_pages_array_wb', [page(0), page(7)]);
  expect(tracker.lookup(START)).toBe('WB');
});
