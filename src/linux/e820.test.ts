import { expect, it } from 'vitest';
import { e820MappedRawAny, isRamAnywhereIn } from './e820.ts';

const MAP = [
  { start: 0, endInclusive: 0x9fbff, type: 'ram' },
  { start: 0x9fc00, endInclusive: 0x9ffff, type: 'reserved' },
  { start: 0x100000, endInclusive: 0x1ffdffff, type: 'ram' },
  { start: 0x20000fff, endInclusive: 0x20000fff, type: 'ram' },
];

it('sees RAM in a page that is RAM in part', () => {
  expect(isRamAnywhereIn(MAP, 0x9f)).toBe(true);
  expect(isRamAnywhereIn(MAP, 0xa0)).toBe(false);
  expect(isRamAnywhereIn(MAP, 0x100)).toBe(true);
  expect(isRamAnywhereIn(MAP, 0x1ffe0)).toBe(false);
});

it('does not see RAM in the last byte of a page', () => {
  expect(isRamAnywhereIn(MAP, 0x20000)).toBe(false);
});

it('asks for a type', () => {
  expect(e820MappedRawAny(MAP, 0x9f000, 0xa0000, 'reserved')).toBe(true);
  expect(e820MappedRawAny(MAP, 0, 0x9fc00, 'reserved')).toBe(false);
});
