import { expect, test } from 'vitest';
import { e820TypeOf } from './e820.ts';

test.each([
  ['usable', 'ram'],
  ['System RAM', 'ram'],
  ['reserved', 'reserved'],
  ['device reserved', 'reserved'],
  ['Reserved', 'reserved'],
  ['ACPI data', 'acpi'],
  ['ACPI Tables', 'acpi'],
  ['ACPI NVS', 'nvs'],
  ['unusable', 'unusable'],
  ['persistent (type 12)', 'persistent'],
  ['persistent RAM (type 7)', 'persistent'],
  ['soft reserved', 'soft-reserved'],
  ['type 20', 'other'],
  ['usabel', null],
  ['toString', null],
  ['', null],
])('%j is %s', (words, type) => {
  expect(e820TypeOf(words)).toBe(type);
});
