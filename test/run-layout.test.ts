import { expect, test } from 'vitest';
import { InputError, renderDiagnostic } from '../src/base/diagnostic.ts';
import { compareRunsText } from '../src/report/run/compare.ts';
import { composeQuestions } from '../src/resolve/compose.ts';
import { hinges } from '../src/scenario/hinges.ts';
import { runOf, scenarioFile, scenarioIn, textOf } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');
const text = (name: string, said: Record<string, string> = {}): string =>
  textOf(BLOB, runOf(BLOB, name, said));

test('copies stand in their column, apart from what happens', () => {
  for (const kernel of ['6.8', '6.11-rc3'])
    for (const { name } of BLOB.programs)
      for (const seed of [0, 1, 2, 3]) {
        const shown = textOf(BLOB, runOf(BLOB, name, { kernel }, seed)).split('\n');
        const head = shown.findIndex((l) => l.endsWith('copies afterwards'));
        const column = shown[head]?.indexOf('copies afterwards') ?? 0;
        const run = shown.slice(head + 1, shown.indexOf('', head));
        for (const line of run.filter((l) => / mem \d/.test(l)))
          expect(line.slice(column)).toMatch(/^(\w+: )?mem \d/);
      }
  expect(text('L1')).toContain('mem 0, cpu0 1*');
});

test('what was seen is said to be seen by those who saw it', () => {
  expect(text('L1')).toContain('WHAT THE GPU SAW');
  expect(text('L2')).not.toContain('WHAT THE GPU SAW');
});

test('a table of many kernels fits', () => {
  const kernels = [
    ...'4.4 4.14 5.10 6.1 6.8 6.11-rc1 6.11-rc3 6.11-rc7 6.12.70 6.12.78 6.16 7.3'.split(' '),
  ];
  const table = compareRunsText([kernels.map((kernel) => runOf(BLOB, 'L1', { kernel }))], BLOB);
  expect(table.split('\n').filter((l) => l.length > 80)).toEqual([]);
  for (const kernel of kernels) expect(table).toContain(kernel);
  expect(table.match(/^L1\b/gm)?.length).toBeGreaterThan(1);
});

test('a VMM is not said to do what it cannot', () => {
  const off = text('L1', { kernel: '6.16', 'quirk-ignore-guest-pat': 'off' });
  expect(off).toContain('a VMM other than QEMU up to 10.2: disables IGNORE_GUEST_PAT');
  expect(off).not.toMatch(/VM +QEMU up to 10.2/);
});

const HOST_READS = scenarioIn(`cpu: amd
paging: npt
kernel: 6.16
firmware: seabios
backing: ttm-wc
guest: WB
device: none
programs:
  p:
    blob: [x]
    guest: [store x 1, ring done]
    host: [wait done, load x -> seen]
    never: host.seen = 0
  empty:
    blob: [x]
    guest: [store x 1]
`);

test('on AMD no WC or UC access looks into caches, and the run says that this is contested', () => {
  const one = runOf(HOST_READS, 'p');
  expect(hinges(one)).toEqual([{ name: 'busSnoop', on: false }]);
});

test('a program that says nothing of its end is told so', () => {
  expect(textOf(HOST_READS, runOf(HOST_READS, 'empty'))).toContain('says nothing of what must');
  expect(textOf(HOST_READS, runOf(HOST_READS, 'p'))).not.toContain('says nothing of what must');
});

test('a VM exit of a fault says so', () => {
  expect(text('L8')).toContain('VM exit: the access faults');
});

test('facts that do not go together have a place', () => {
  const words = (key: string, said: string, line: number) => ({
    key,
    words: [{ text: said, place: { file: 's.yaml', line, column: 9, length: 3 } }],
  });
  try {
    composeQuestions([words('paging', 'ept', 2), { key: 'cpu', words: [{ text: 'amd' }] }]);
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.diagnostics.map(renderDiagnostic).join()).toContain('s.yaml:2:9');
  }
});
