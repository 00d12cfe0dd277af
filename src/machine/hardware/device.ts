import { must } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';
import type { DeviceInstruction } from '../config.ts';
import { operandValues } from '../entries.ts';
import {
  any,
  constant,
  type Expression,
  equal,
  not,
  type Statement,
  set,
  when,
} from '../language/expression.ts';
import { cellName, lineOf } from '../plan.ts';
import { ABSENT, CLEAN, type Device, type DeviceCell, type Hardware, MODIFIED } from '../state.ts';
import { isModified, memoryOf, valueAmong, writeBackAndDrop, writeBackAndKeep } from './cache.ts';
import { advance, atInstruction, controlInstruction, registerOf } from './control.ts';

const READ = rule({
  id: 'machine/device-read',
  room: 'cpu',
  title: 'A device reads',
  text:
    'One that snoops makes cores write a modified copy back, which stays as a clean one; then memory is read. One ' +
    'that does not reads memory as it is. Neither looks into store buffers and write-combining buffers.',
  sources: ['pcie/no-snoop', 'vtd/snoop-control', 'sdm/wc-buffering'],
});

const WRITE = rule({
  id: 'machine/device-write',
  room: 'cpu',
  title: 'A device writes',
  text:
    'One that snoops makes every copy go first; then memory is written. One that does not leaves clean copies, ' +
    'which are stale from then on, and modified ones, which overwrite the whole line when they are written back.',
  sources: ['pcie/no-snoop', 'vtd/snoop-control'],
});

const DEVICE_CACHE = rule({
  id: 'machine/device-cache',
  room: 'cpu',
  title: 'The cache of a device',
  text:
    'Nobody snoops it. Reads fill it and are served by it, writes stay in it; a cell may leave at any time, and ' +
    'all do at a flush. What leaves modified is written as the device writes.',
  sources: ['pcie/no-snoop'],
});

function cellOf(device: Device, line: number, cell: number): DeviceCell | null {
  return device.caches[line]?.[cell] ?? null;
}

/** What a read returns, and what it does to the caches of cores. */
function read(
  hw: Hardware,
  device: Device,
  line: number,
  cell: number,
): {
  readonly value: Expression;
  readonly effect: readonly Statement[];
  readonly changes: Expression;
} {
  const snooped = device.config.snoop ? hw.cores : [];
  return {
    value: valueAmong(hw, snooped, line, cell),
    effect: snooped.flatMap((c) => writeBackAndKeep(hw, c, line)),
    changes: any(...snooped.map((c) => isModified(c, line))),
  };
}

function write(
  hw: Hardware,
  device: Device,
  line: number,
  cell: number,
  value: Expression | number,
): readonly Statement[] {
  const snooped = device.config.snoop ? hw.cores : [];
  return [
    ...snooped.flatMap((c) => writeBackAndDrop(hw, c, line)),
    ...set(must(memoryOf(hw, line)[cell], 'no such cell'), value),
  ];
}

function leave(
  hw: Hardware,
  device: Device,
  line: number,
  cell: number,
  cached: DeviceCell,
): readonly Statement[] {
  return [
    ...when(equal(cached.state, MODIFIED), write(hw, device, line, cell, cached.value)),
    ...set(cached.state, ABSENT),
    ...set(cached.value, 0),
  ];
}

/** Cells that leave the cache of a device by themselves. */
export function deviceRules(hw: Hardware, device: Device): void {
  if (!hw.plan.switches.evict) return;
  device.caches.forEach((cells, line) => {
    cells?.forEach((cached, cell) => {
      hw.builder.command({
        rule: DEVICE_CACHE,
        agent: device.name,
        instruction: null,
        text: [`${cellName(hw.plan, line, cell)} leaves the cache`],
        guard: [not(equal(cached.state, ABSENT))],
        effect: leave(hw, device, line, cell, cached),
      });
    });
  });
}

type Access = Extract<DeviceInstruction, { line: string }>;

function storeInstruction(
  hw: Hardware,
  device: Device,
  k: number,
  i: Extract<Access, { op: 'store' }>,
): void {
  const line = lineOf(hw.plan, device.name, i.line);
  const cell = i.cell ?? 0;
  const cached = cellOf(device, line, cell);
  for (const { value, when: valued } of operandValues(hw.plan, device.registers, i.value))
    hw.builder.command({
      rule: cached === null ? WRITE : DEVICE_CACHE,
      agent: device.name,
      instruction: k,
      text: [
        `${cellName(hw.plan, line, cell)}=${value} goes to ${cached === null ? 'memory' : 'its cache'}`,
      ],
      guard: [atInstruction(device, k), valued],
      effect: [
        ...(cached === null
          ? write(hw, device, line, cell, value)
          : [...set(cached.state, MODIFIED), ...set(cached.value, value)]),
        ...advance(device, k),
      ],
    });
}

/** The ways in which a read is served: from the own cache, from memory. */
function readPaths(hw: Hardware, device: Device, line: number, cell: number) {
  const bus = read(hw, device, line, cell);
  const cached = cellOf(device, line, cell);
  const yes = constant(1);
  if (cached === null) return [{ rule: READ, when: yes, from: 'memory', ...bus }];
  const absent = equal(cached.state, ABSENT);
  const filled = must(memoryOf(hw, line)[cell], 'no such cell');
  return [
    {
      rule: DEVICE_CACHE,
      when: not(absent),
      from: 'its cache',
      value: cached.value,
      effect: [],
      changes: constant(0),
    },
    {
      rule: READ,
      when: absent,
      from: 'memory, filling its cache',
      value: bus.value,
      effect: [...bus.effect, ...set(cached.state, CLEAN), ...set(cached.value, filled)],
      changes: yes,
    },
  ];
}

function readInstruction(
  hw: Hardware,
  device: Device,
  k: number,
  i: Extract<Access, { op: 'load' | 'poll' }>,
): void {
  const line = lineOf(hw.plan, device.name, i.line);
  const cell = i.cell ?? 0;
  const name = cellName(hw.plan, line, cell);
  const here = atInstruction(device, k);
  for (const path of readPaths(hw, device, line, cell)) {
    const command = { rule: path.rule, agent: device.name, instruction: k };
    if (i.op === 'load') {
      const register = registerOf(device, i.to);
      hw.builder.command({
        ...command,
        text: [`${i.to}:=${name} reads `, { after: register }, ` from ${path.from}`],
        guard: [here, path.when],
        effect: [...set(register, path.value), ...path.effect, ...advance(device, k)],
      });
      continue;
    }
    const seen = equal(path.value, i.value);
    hw.builder.command({
      ...command,
      text: [`wait ${name}=${i.value} ends: read from ${path.from}`],
      guard: [here, path.when, seen],
      effect: [...path.effect, ...advance(device, k)],
    });
    hw.builder.command({
      ...command,
      text: [`wait ${name}=${i.value} reads `, { before: path.value }, ` from ${path.from}`],
      guard: [here, path.when, not(seen), path.changes],
      effect: path.effect,
    });
  }
}

/** One instruction of a device. */
export function deviceInstruction(
  hw: Hardware,
  device: Device,
  k: number,
  i: DeviceInstruction,
): void {
  switch (i.op) {
    case 'load':
    case 'poll':
      readInstruction(hw, device, k, i);
      return;
    case 'store':
      storeInstruction(hw, device, k, i);
      return;
    case 'flush':
      hw.builder.command({
        rule: DEVICE_CACHE,
        agent: device.name,
        instruction: k,
        text: ['flush'],
        guard: [atInstruction(device, k)],
        effect: [
          ...device.caches.flatMap((cells, line) =>
            (cells ?? []).flatMap((cached, cell) => leave(hw, device, line, cell, cached)),
          ),
          ...advance(device, k),
        ],
      });
      return;
    case 'branch':
    case 'send':
    case 'await':
      controlInstruction(hw, device, k, i);
      return;
  }
}
