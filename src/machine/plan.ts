import { must } from '../base/assert.ts';
import { refuse } from '../base/diagnostic.ts';
import {
  type CoreConfig,
  type CoreInstruction,
  type DeviceConfig,
  isCore,
  type MachineConfig,
  nameOf,
  type PageType,
  type ViewConfig,
} from './config.ts';
import { type Switches, switchesOf } from './switches.ts';
import { type AccessType, isCacheable } from './types.ts';

/** A line with everything that was left to default. */
export interface PlannedLine {
  readonly name: string;
  readonly cells: number;
  readonly memory: readonly number[];
}

/** A page-table entry: what it maps, and every type it can have. */
export interface PlannedView {
  /** `name`, or `core.name` of a core's own. */
  readonly key: string;
  readonly name: string;
  readonly line: number;
  readonly cell: number;
  /** The first is the one at the start. */
  readonly types: readonly PageType[];
}

/** A configuration whose names are resolved and whose numbers are checked. */
export interface Plan {
  readonly config: MachineConfig;
  readonly switches: Switches;
  readonly values: number;
  readonly lines: readonly PlannedLine[];
  readonly views: readonly PlannedView[];
  readonly cores: readonly CoreConfig[];
  readonly devices: readonly DeviceConfig[];
  /** Flags in the order of their first mention, with the number of their values. */
  readonly flags: ReadonlyMap<string, number>;
}

/** The view that a core means by a name: its own before everybody's. */
export function viewOf(plan: Plan, core: string, name: string): PlannedView {
  const view =
    plan.views.find((v) => v.key === `${core}.${name}`) ?? plan.views.find((v) => v.key === name);
  return view ?? refuse(`${core}: no view is called ${name}`, knownNames(plan.views));
}

/** The views of a core's address space. */
export function viewsOf(plan: Plan, core: string): readonly PlannedView[] {
  return plan.views.filter((v) => v === viewOf(plan, core, v.name));
}

export function lineOf(plan: Pick<Plan, 'lines'>, who: string, name: string): number {
  const index = plan.lines.findIndex((l) => l.name === name);
  return index < 0 ? refuse(`${who}: no line is called ${name}`, knownNames(plan.lines)) : index;
}

/** `X`, or `X[1]` in a line with several cells. */
export function cellName(plan: Plan, line: number, cell: number): string {
  const { name, cells } = must(plan.lines[line], 'no such line');
  return cells > 1 ? `${name}[${cell}]` : name;
}

function knownNames(things: readonly { readonly name: string }[]): string {
  return `one of ${things.map((t) => t.name).join(' ')}`;
}

/** The types, of accesses only, that a view can have. */
export function accessTypes(view: PlannedView): readonly AccessType[] {
  return view.types.filter((t) => t !== 'absent');
}

/** Whether some use of the view may put the line into a cache. */
export function mayCache(view: PlannedView): boolean {
  return accessTypes(view).some(isCacheable);
}

/** The view that an instruction accesses, null for those that access nothing. */
export function accessedView(i: CoreInstruction): string | null {
  switch (i.op) {
    case 'load':
    case 'movntdqa':
    case 'poll':
    case 'store':
    case 'nt-store':
    case 'xchg':
    case 'lock-add':
    case 'clflush':
    case 'clflushopt':
    case 'clwb':
      return i.view;
    case 'mfence':
    case 'sfence':
    case 'lfence':
    case 'cpuid':
    case 'wbinvd':
    case 'wbinvd-all':
    case 'invd':
    case 'vmexit':
    case 'invlpg':
    case 'invlpg-all':
    case 'set-cd':
    case 'remap':
    case 'branch':
    case 'send':
    case 'await':
      return null;
  }
}

function once(names: readonly string[], what: string): void {
  const twice = names.find((n, i) => names.indexOf(n) !== i);
  if (twice !== undefined) refuse(`two ${what} are called ${twice}`);
}

function plannedLines(config: MachineConfig): readonly PlannedLine[] {
  once(
    config.lines.map((l) => l.name),
    'lines',
  );
  return config.lines.map(({ name, cells = 1, memory = [] }) => {
    if (!Number.isInteger(cells) || cells < 1) refuse(`line ${name}: a line has at least one cell`);
    if (memory.length > cells) refuse(`line ${name}: more values than cells`);
    return { name, cells, memory: Array.from({ length: cells }, (_, i) => memory[i] ?? 0) };
  });
}

function remapsOf(config: MachineConfig, view: ViewConfig): readonly PageType[] {
  const hidden = (core: string): boolean =>
    view.core === undefined &&
    config.views.some((other) => other.name === view.name && other.core === core);
  return config.agents
    .filter(isCore)
    .filter(({ core }) => (view.core === undefined ? !hidden(core) : view.core === core))
    .flatMap(({ program }) =>
      program.flatMap((i) => (i.op === 'remap' && i.view === view.name ? [i.type] : [])),
    );
}

function plannedViews(
  config: MachineConfig,
  lines: readonly PlannedLine[],
): readonly PlannedView[] {
  const views = config.views.map((view) => {
    const { name, cell = 0, core, type, mayBecome = [] } = view;
    const line = lineOf({ lines }, `view ${name}`, view.line);
    if (cell < 0 || cell >= (lines[line]?.cells ?? 0))
      refuse(`view ${name}: ${view.line} has no cell ${cell}`);
    const types = [...new Set<PageType>([type, ...remapsOf(config, view), ...mayBecome])];
    return { key: core === undefined ? name : `${core}.${name}`, name, line, cell, types };
  });
  once(
    views.map((v) => v.key),
    'views',
  );
  return views;
}

/** All constants that can get into a cell or a register. */
function constantsOf(config: MachineConfig): readonly number[] {
  const named = config.agents.flatMap<number>((agent) =>
    agent.program.flatMap<number>((i) => {
      if (i.op === 'store' || i.op === 'nt-store' || i.op === 'xchg')
        return typeof i.value === 'number' ? [i.value] : [];
      return i.op === 'poll' || i.op === 'branch' ? [i.value] : [];
    }),
  );
  const held = config.agents
    .filter(isCore)
    .flatMap((a) => Object.values(a.cached ?? {}))
    .flatMap((c) => (c === 'clean' ? [] : c));
  return [...named, ...held, ...config.lines.flatMap((l) => l.memory ?? [])];
}

function valuesOf(config: MachineConfig): number {
  const constants = constantsOf(config);
  const wrong = constants.find((c) => !Number.isInteger(c) || c < 0);
  if (wrong !== undefined) refuse(`a value is a whole number from 0 on, not ${wrong}`);
  const adds = config.agents
    .filter(isCore)
    .flatMap((a) => a.program)
    .reduce((sum, i) => sum + (i.op === 'lock-add' ? i.value : 0), 0);
  const largest = Math.max(0, ...constants);
  const values = config.values ?? Math.max(2, largest + adds + 1);
  if (largest >= values) refuse(`the value ${largest} does not fit: there are ${values} values`);
  return values;
}

function flagsOf(config: MachineConfig): ReadonlyMap<string, number> {
  const flags = new Map<string, number>();
  for (const agent of config.agents)
    for (const i of agent.program)
      if (i.op === 'send' || i.op === 'await')
        flags.set(i.flag, Math.max(flags.get(i.flag) ?? 2, i.value + 1));
  return flags;
}

function checkPrograms(config: MachineConfig, lines: readonly PlannedLine[]): void {
  for (const agent of config.agents)
    for (const [k, i] of agent.program.entries()) {
      const where = `${nameOf(agent)}, instruction ${k}`;
      if (i.op === 'branch' && !(i.to >= 0 && i.to <= agent.program.length))
        refuse(`${where}: a jump to ${i.to}, outside the program`);
      if (
        'line' in i &&
        !((i.cell ?? 0) in (lines[lineOf({ lines }, where, i.line)]?.memory ?? []))
      )
        refuse(`${where}: ${i.line} has no cell ${i.cell}`);
      if ((i.op === 'send' || i.op === 'await') && !(Number.isInteger(i.value) && i.value >= 0))
        refuse(`${where}: a flag has whole numbers from 0 on, not ${i.value}`);
    }
}

/** What caches hold at the start obeys their rule: a modified copy is the only one. */
function checkCached(config: MachineConfig, lines: readonly PlannedLine[]): void {
  const copies = config.agents
    .filter(isCore)
    .flatMap(({ core, cached = {} }) =>
      Object.entries(cached).map(([name, held]) => ({ core, name, held })),
    );
  for (const { core, name, held } of copies) {
    const line = lines[lineOf({ lines }, `${core}, its cache`, name)];
    if (held === 'clean') continue;
    if (held.length !== line?.cells)
      refuse(`${core}: a modified copy of ${name} has ${line?.cells} values, not ${held.length}`);
    if (copies.some((other) => other.name === name && other.core !== core))
      refuse(`${core}: a modified copy of ${name} is the only one`);
  }
}

function checkSizes({ storeBuffer = 1, combiningBuffers = 1, values = 1 }: MachineConfig): void {
  for (const [what, n] of Object.entries({ storeBuffer, combiningBuffers, values }))
    if (!Number.isInteger(n) || n < 1) refuse(`${what}: at least 1, not ${n}`);
}

/** @throws InputError when a name is unknown or used twice, or a number is out of range */
export function makePlan(config: MachineConfig): Plan {
  once(config.agents.map(nameOf), 'agents');
  checkSizes(config);
  const lines = plannedLines(config);
  checkPrograms(config, lines);
  checkCached(config, lines);
  return {
    config,
    switches: switchesOf(config.vendor, config.switches ?? {}),
    values: valuesOf(config),
    lines,
    views: plannedViews(config, lines),
    cores: config.agents.filter(isCore),
    devices: config.agents.filter((a): a is DeviceConfig => !isCore(a)),
    flags: flagsOf(config),
  };
}
