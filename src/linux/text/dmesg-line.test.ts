import { expect, test } from 'vitest';
import { kernelMessage } from './dmesg-line.ts';

const MESSAGE = 'x86/PAT: Configuration [0-7]: WB';

test.each([
  '',
  '[    0.000000] ',
  '[    0.000000][    T0] ',
  '[    0.000000] [   C12] ',
  '[12345.678901] ',
  '[Wed Feb 19 09:05:46 2020] ',
  '[    0.090225 <    0.000008>] ',
  '<6>',
  '  <4>[   12.880506] ',
  'kern  :info  : [    0.000000] ',
  'kern  :warn  : [Wed Feb 19 09:05:46 2020] ',
  'kernel: [  306.547838] ',
  'Aug 20 21:58:10 host1 kernel: ',
  'Aug  2 21:58:10 host-1.lan kernel: [    0.000000] ',
  '2026-11-22T11:30:00+0100 host1 kernel: ',
  '2026-11-22T11:30:00,123456+01:00 ',
  '2026-11-22T10:30:00Z host1 kernel[1]: ',
  '[    0.000000] host1 kernel: ',
  '   ',
])('prefix %j', (prefix) => {
  const source = prefix + MESSAGE;
  const offset = source.length - source.trimStart().length;
  const line = { number: 7, source, text: source.trimStart(), offset };
  expect(kernelMessage(line)).toEqual({ number: 7, source, text: MESSAGE, offset: prefix.length });
});

test.each([
  'BIOS-e820: [mem 0x0-0xfff] usable',
  '0 base 000 mask FFF write-back',
  'Command line: a=[1.0] b',
])('the message %j has no prefix', (text) => {
  expect(kernelMessage({ number: 1, source: text, text, offset: 0 }).text).toBe(text);
});
