import { workerData } from 'node:worker_threads';
import { reduced } from '../explore/reduce.ts';
import { type SharedMemory, workTogether } from '../explore/shared.ts';
import type { MachineConfig } from '../machine/config.ts';
import { makeMachine } from '../machine/machine.ts';

// A thread of a search: makes the machine for itself, and works until all have ended.

const { config, reduce, memory, thread } = workerData as {
  readonly config: MachineConfig;
  readonly reduce: boolean;
  readonly memory: SharedMemory;
  readonly thread: number;
};
const machine = makeMachine(config);
workTogether(reduce ? reduced(machine) : machine, memory, thread);
