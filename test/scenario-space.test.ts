import '../src/rules.ts';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { seededChoice } from '../src/base/random.ts';
import { readFactsTree } from '../src/cli/facts-tree.ts';
import type { FactKey, FactValues } from '../src/facts/facts.ts';
import { PROPOSALS, type Proposal, proposalRules } from '../src/kvm/policies.ts';
import type { QuirkCaps } from '../src/kvm/quirks.ts';
import type { KvmRules } from '../src/kvm/rules.ts';
import { rulesFor } from '../src/kvm/timeline.ts';
import { zapOn } from '../src/kvm/zap.ts';
import { type KernelVersion, parseKernelVersion } from '../src/linux/version.ts';
import { makeMachine } from '../src/machine/machine.ts';
import type { AccessType } from '../src/machine/types.ts';
import { type Question, question } from '../src/resolve/question.ts';
import { worldsOf } from '../src/resolve/resolution.ts';
import type { World } from '../src/resolve/world.ts';
import { compile } from '../src/scenario/compile.ts';
import { holds } from '../src/scenario/condition.ts';
import { readScenario } from '../src/scenario/read.ts';
import { type Run, run } from '../src/scenario/run.ts';
import { explore, finalStates } from '../src/scenario/search.ts';
import { effectiveOf } from '../src/scenario/stage/effective.ts';
import { type MtrrPlanned, programMtrrs } from '../src/scenario/stage/firmware.ts';
import { type GuestMapping, mapBlob } from '../src/scenario/stage/guest-kernel.ts';
import { GuestMachine } from '../src/scenario/stage/guest-machine.ts';
import { type HostPage, hostPage } from '../src/scenario/stage/host.ts';
import { Known } from '../src/scenario/stage/known.ts';
import {
  askForGuestPat,
  cacheSwitches,
  flagSlot,
  hostQuirks,
  mapInfoOf,
  type QuirkDecision,
  type SlotDecision,
} from '../src/scenario/stage/vmm.ts';
import { ROOT } from './console.ts';

/*
 * The whole parameter space of a host blob, machine against verdict. The resolver is asked with all facts open,
 * so that it tells itself which of them it looks at; each of its worlds stands for every point that has its
 * answers. At each of these points firmware, guest kernel and VMM decide, KVM's MMU maps the page, and the
 * programs run on the simulated caches. What depends on the same inputs is worked out once.
 */

const FILE = `${ROOT}scenarios/virtio-gpu-host-blob.yaml`;
const SCENARIO = readScenario(readFactsTree(readFileSync(FILE, 'utf8'), FILE), FILE);

const program = (name: string) => {
  const found = SCENARIO.programs.find((p) => p.name === name);
  if (found === undefined) throw new Error(`no program ${name}`);
  return found;
};
const PROGRAMS = ['L1', 'L2', 'L3', 'L4'].map(program);

interface Kernel {
  readonly rules: KvmRules;
  readonly version: KernelVersion;
}

const kernel = (text: string): Kernel => {
  const version = parseKernelVersion(text);
  const [rules, other] = rulesFor(version);
  if (rules === undefined || other !== undefined) throw new Error(`not one set of rules: ${text}`);
  return { rules, version };
};
const proposed = (proposal: Proposal): Kernel => ({
  rules: proposalRules(proposal),
  version: parseKernelVersion(proposal.base),
});

const KERNELS: readonly Kernel[] = [
  ...['6.1', '6.8', '6.11-rc3', '6.11', '6.12.70', '6.12.78', '6.14', '6.16'].map(kernel),
  ...PROPOSALS.filter((p) => p.id !== 'invalid-ram-pat').map(proposed),
];

const PLATFORMS = [
  { cpu: 'intel', paging: 'ept', selfSnoop: true },
  { cpu: 'intel', paging: 'ept', selfSnoop: false },
  { cpu: 'intel', paging: 'shadow', selfSnoop: true },
  { cpu: 'intel', paging: 'shadow', selfSnoop: false },
  { cpu: 'amd', paging: 'npt', selfSnoop: false },
  { cpu: 'amd', paging: 'shadow', selfSnoop: false },
] as const;

/** B1 and B8, B2, B3, B4, B5, B6 twice, B7, B9. */
const BLOBS = [
  ['memfd', 'snoop'],
  ['ttm-cached', 'snoop'],
  ['ttm-wc', 'nosnoop'],
  ['bar-wc', 'nosnoop'],
  ['i915-dmabuf', 'snoop'],
  ['i915-dmabuf', 'nosnoop'],
  ['i915-wc', 'nosnoop'],
  ['xe-wc', 'nosnoop'],
  ['nvidia-sysmem', 'nosnoop'],
] as const;

const VFIO = {
  none: [false, false],
  coherent: [false, true],
  before: [true, true],
  after: [true, true],
} as const;
type Vfio = keyof typeof VFIO;

/** The facts that are open in a question, with all their values. */
const OPEN = {
  vmm: [
    'qemu-10',
    'qemu-11',
    'crosvm',
    'crosvm-noncoherent-dma',
    'crosvm-noncoherent-dma-retry',
    'libkrun',
  ],
  'honor-guest-pat': ['off', 'on', 'auto'],
  firmware: ['seabios', 'ovmf', 'ovmf-hostmem-wb', 'crosvm', 'default-wb'],
  'map-info': ['none', 'cached', 'uncached', 'wc'],
  'guest-driver': [
    'virtgpu',
    'virtio-wl',
    'own-page-tables-wb',
    'bochs-ioremap',
    'bochs-ioremap-wc',
  ],
} as const;
type OpenKey = keyof typeof OPEN;
type Point = { readonly [K in OpenKey]: FactValues[K] } & { readonly vfio: Vfio };

interface Setting {
  readonly kernel: Kernel;
  readonly platform: (typeof PLATFORMS)[number];
  readonly blob: (typeof BLOBS)[number];
}

function settings(): readonly Setting[] {
  return KERNELS.flatMap((k) =>
    PLATFORMS.filter(({ paging }) => k.rules.pagings.includes(paging)).flatMap((platform) =>
      BLOBS.map((blob) => ({ kernel: k, platform, blob })),
    ),
  );
}

function questionOf(
  { kernel: { rules, version }, platform, blob }: Setting,
  open: object,
): Question {
  return question({
    facts: {
      cpu: [platform.cpu],
      paging: [platform.paging],
      'self-snoop': [platform.selfSnoop],
      backing: [blob[0]],
      device: [blob[1]],
      'guest-place': ['hostmem-bar'],
      ...open,
    },
    rules: [rules],
    subject: null,
    kernel: version,
  });
}

// ---- the machine's side -----------------------------------------------------------------------

interface Outcome {
  readonly refused: 'vmm' | 'map-blob' | 'guest' | null;
  readonly type: AccessType | null;
  readonly leaf: string;
  readonly zapped: boolean;
  /** By program: some schedule violates it. */
  readonly violated: readonly boolean[];
}

/** Works a thing out once for each key. */
function once<T>(): (key: string, make: () => T) => T {
  const known = new Map<string, T>();
  return (key, make) => {
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = make();
    known.set(key, made);
    return made;
  };
}

const onMachine = once<readonly boolean[]>();

const NOTHING = { type: null, leaf: '', zapped: false, violated: [] };
const REFUSED = {
  vmm: { refused: 'vmm', ...NOTHING },
  'map-blob': { refused: 'map-blob', ...NOTHING },
  guest: { refused: 'guest', ...NOTHING },
} as const satisfies Record<string, Outcome>;

interface Decisions {
  readonly quirks: QuirkCaps;
  readonly request: QuirkDecision;
  readonly page: HostPage;
  readonly slot: SlotDecision;
  readonly planned: MtrrPlanned;
  readonly mapping: GuestMapping;
}

/** Which of the programs some schedule violates, with these types of accesses. */
function violations(
  guest: AccessType,
  vmm: AccessType,
  { platform, blob }: Setting,
): readonly boolean[] {
  const key = `${guest} ${vmm} ${platform.cpu} ${platform.selfSnoop} ${blob[1]}`;
  return onMachine(key, () =>
    PROGRAMS.map((p) => {
      const compiled = compile(
        p,
        {
          vendor: platform.cpu,
          switches: cacheSwitches(platform.cpu, platform.selfSnoop),
          snoop: blob[1] === 'snoop',
          access: (by) => ({ type: by === 'guest' ? guest : vmm, faulted: false, events: [] }),
          act: () => [],
          end: () => [],
        },
        'visible',
      );
      const machine = makeMachine(compiled.config);
      const graph = explore(machine);
      expect(graph.isComplete).toBe(true);
      return p.never.some(
        (condition) =>
          finalStates(graph, (state, at) => {
            const { cores, devices } = machine.read(state, at);
            const agents = { guest: cores['cpu0'], host: cores['cpu1'], gpu: devices['gpu'] };
            return holds(
              condition,
              (cell) => agents[cell.owner as 'gpu']?.registers[cell.name] ?? 0,
            );
          }).length > 0,
      );
    }),
  );
}

/** Not a proposal, which may give the quirk another meaning. */
function isKernel({ id }: KvmRules): boolean {
  return /^\d/.test(id);
}

/** What the stage makes of a point: every actor is asked as in a run. */
class Actors {
  readonly setting: Setting;
  readonly #decided = once<unknown>();

  constructor(setting: Setting) {
    this.setting = setting;
  }

  /** A decision of an actor, who looks at these facts of the point only. */
  #decide<T>(who: string, point: Point, keys: readonly OpenKey[], decide: (known: Known) => T): T {
    const seen = keys.map((key) => point[key]).join(' ');
    return this.#decided(`${who} ${seen}`, () => {
      const facts = Object.fromEntries(keys.map((key) => [key, [point[key]]]));
      return decide(new Known(questionOf(this.setting, facts)));
    }) as T;
  }

  /** Points of which nobody tells the difference have one outcome, the same object. */
  at(point: Point): Outcome {
    const { rules } = this.setting.kernel;
    const isQemu11 = point.vmm === 'qemu-11';
    const quirks = this.#decide('quirks', point, [], (k) => hostQuirks(k, rules));
    const keys = isQemu11 ? (['vmm', 'honor-guest-pat'] as const) : (['vmm'] as const);
    const request = this.#decide('request', point, keys, (k) => askForGuestPat(k, quirks));
    if (request.refuses) return REFUSED.vmm;
    const page = this.#decide('page', point, [], (k) => hostPage(k));
    const mapInfo = (k: Known) => mapInfoOf(k, page.backing);
    const slot = this.#decide('slot', point, ['vmm', 'map-info'], (k) =>
      flagSlot(k, rules, () => mapInfo(k)),
    );
    if (slot.einval === 'fails') return REFUSED['map-blob'];
    const planned = this.#decide('mtrrs', point, ['firmware'], (k) => programMtrrs(k));
    const mapping = this.#decide('guest', point, ['guest-driver', 'map-info', 'firmware'], (k) =>
      mapBlob(k, planned, () => mapInfo(k)),
    );
    if (mapping.granted === null) return REFUSED.guest;
    // Invariant: what is granted is never cached where what was asked is not.
    const { requested, granted } = mapping;
    if (requested !== null && requested !== 'WB' && granted === 'WB') throw new Error('WB granted');
    const key = `kvm ${request.asks} ${slot.flag} ${planned.plan} ${mapping.index} ${point.vfio}`;
    return this.#decided(key, () =>
      this.#run(point.vfio, { quirks, request, page, slot, planned, mapping }),
    ) as Outcome;
  }

  #run(vfio: Vfio, { quirks, request, page, slot, planned, mapping }: Decisions): Outcome {
    const { setting } = this;
    const { rules } = setting.kernel;
    const k = new Known(questionOf(setting, {}));
    const machine = new GuestMachine(k, rules, quirks, page, planned);
    const disabled = request.asks && machine.disableQuirk();
    if (vfio === 'before') machine.attach();
    if (vfio === 'coherent') machine.assign();
    machine.addSlot({ noncoherent: slot.flag, hostMemtype: false });
    machine.mapInGuest(mapping);
    machine.access('blob', true);
    const zapped = vfio === 'after' && machine.during(() => machine.attach()).zapped;
    const { type, typed, failed } = machine.access('blob', true);
    expect(failed).toBeNull();
    // Invariant: once the quirk is disabled, no leaf has IPAT.
    if (disabled && setting.platform.paging === 'ept' && rules.hasPatQuirk && isKernel(rules))
      expect(typed.leaf).not.toContain('+IPAT');
    const violated = violations(type, machine.vmmType('blob'), this.setting);
    return { refused: null, type, leaf: typed.leaf, zapped, violated };
  }
}

// ---- the verdict's side -----------------------------------------------------------------------

const LEAF = {
  ept: (leaf: Extract<World['result']['leaf'], { paging: 'ept' }>) =>
    `EPT ${leaf.ept.memtype}${leaf.ept.ipat ? '+IPAT' : ', IPAT=0'}`,
  npt: (leaf: Extract<World['result']['leaf'], { paging: 'npt' }>) => `nested PTE ${leaf.hostPat}`,
  shadow: (leaf: Extract<World['result']['leaf'], { paging: 'shadow' }>) =>
    `shadow PTE ${leaf.hostPat}`,
};

function leafWords({ result: { leaf } }: World): string {
  return leaf.paging === 'ept'
    ? LEAF.ept(leaf)
    : leaf.paging === 'npt'
      ? LEAF.npt(leaf)
      : LEAF.shadow(leaf);
}

/** What differs between a world and the machine at one of its points; empty: they agree. */
function differences(world: World, o: Outcome, { blob }: Setting): readonly string[] {
  const has = (...codes: readonly string[]): boolean =>
    world.verdicts.some((v) => codes.includes(v.code));
  const wrong: string[] = [];
  const compare = (what: string, machine: unknown, verdict: unknown): void => {
    if (machine !== verdict)
      wrong.push(`${what}: machine ${String(machine)}, verdict ${String(verdict)}`);
  };
  compare('VMM refuses', o.refused === 'vmm', has('MT240'));
  if (o.refused === 'vmm') return wrong;
  compare('MAP_BLOB fails', o.refused === 'map-blob', has('MT241'));
  if (o.refused !== null || o.type === null) return wrong;
  compare('type', effectiveOf(o.type), world.result.type);
  compare(
    'UC by',
    o.type === 'UCM',
    world.result.type === 'UC' && world.result.ucOrigin === 'mtrr',
  );
  compare('leaf', o.leaf, leafWords(world));
  const [l1, l2, l3, l4] = o.violated;
  const isDevice = blob[0] === 'bar-wc';
  const dirty = has('MT101') || (isDevice && has('MT401') && world.result.type === 'WB');
  const cached = has('MT101', 'MT102') || (isDevice && has('MT401'));
  compare('L1', l1, dirty);
  compare('L2', l2, cached);
  compare('L3', l3, dirty);
  if (!isDevice) compare('L4', l4, has('MT103'));
  if (!isDevice) {
    const slow = o.type === 'UC' || o.type === 'UCM' || o.type === 'CD';
    compare('slow', slow, has('MT301', 'MT302'));
  }
  return wrong;
}

// ---- the points -------------------------------------------------------------------------------

function values<K extends OpenKey>(key: K, world: World): readonly FactValues[K][] {
  const answer = world.answers.find((a) => a.key === key && a.origin !== 'implied');
  const all: readonly FactValues[K][] = OPEN[key] as never;
  return answer === undefined ? all : all.filter((v) => v === answer.value);
}

function isVfioOf(world: World, vfio: Vfio, zaps: boolean): boolean {
  const [noncoherent, assigned] = vfio === 'after' && !zaps ? [false, true] : VFIO[vfio];
  const answered = (key: FactKey): unknown =>
    world.answers.find((a) => a.key === key && a.origin !== 'implied')?.value;
  const [n, a] = [answered('noncoherent-dma'), answered('assigned-device')];
  return (n === undefined || n === noncoherent) && (a === undefined || a === assigned);
}

/** The points of the space that have the answers of a world. */
function* pointsOf(
  world: World,
  zapsAt: (point: Omit<Point, 'vfio'>) => boolean,
): Generator<Point> {
  for (const vmm of values('vmm', world)) {
    const honours = vmm === 'qemu-11' ? values('honor-guest-pat', world) : (['off'] as const);
    for (const honour of honours) {
      for (const firmware of values('firmware', world)) {
        for (const mapInfo of values('map-info', world)) {
          for (const driver of values('guest-driver', world)) {
            const point = {
              vmm,
              'honor-guest-pat': honour,
              firmware,
              'map-info': mapInfo,
              'guest-driver': driver,
            };
            const zaps = zapsAt(point);
            for (const vfio of Object.keys(VFIO) as Vfio[])
              if (isVfioOf(world, vfio, zaps)) yield { ...point, vfio };
          }
        }
      }
    }
  }
}

/** VMMs with their options, firmware, map_info, guest drivers, VFIO. */
const POINTS_OF_A_SETTING = 8 * 5 * 4 * 5 * 4;

/** Whether the first non-coherent device zaps, by the rules of this kernel. */
function zapper({ kernel: { rules }, platform }: Setting) {
  return ({ vmm, 'honor-guest-pat': honour }: Omit<Point, 'vfio'>): boolean => {
    const offered = rules.hasPatQuirk && platform.paging === 'ept' && platform.selfSnoop;
    const off = offered && vmm === 'qemu-11' && honour !== 'off';
    const action = zapOn(rules.zap, 'noncoherentToggle', {
      ept: () => platform.paging === 'ept',
      tdp: () => platform.paging !== 'shadow',
      amd: () => platform.cpu === 'amd',
      noncoherent_dma: () => true,
      assigned_device: () => true,
      self_snoop: () => platform.selfSnoop,
      quirk_cd_nw_cleared: () => true,
      quirk_ignore_guest_pat: () => !off && !(rules.hasPatQuirk && platform.paging === 'npt'),
      slot_host_memtype: () => false,
    });
    return action !== 'nothing';
  };
}

/** What there was to compare. */
function tally(seen: Set<string>, { refused, type, zapped, violated }: Outcome): void {
  if (refused !== null) seen.add(`refused ${refused}`);
  if (type !== null) seen.add(type);
  if (zapped) seen.add('zapped');
  for (const [i, is] of violated.entries()) seen.add(`${PROGRAMS[i]?.name} ${is ? 'x' : 'ok'}`);
}

describe('machine and verdict', () => {
  test('agree over the whole parameter space', { timeout: 600_000 }, () => {
    let points = 0;
    let worlds = 0;
    const wrong = new Map<string, string>();
    const seen = new Set<string>();
    for (const setting of settings()) {
      const q = questionOf(setting, {
        ...OPEN,
        'noncoherent-dma': [false, true],
        'assigned-device': [false, true],
      });
      const actors = new Actors(setting);
      const zaps = zapper(setting);
      let here = 0;
      for (const world of worldsOf(q)) {
        worlds += 1;
        const compared = new Set<Outcome>();
        for (const point of pointsOf(world, zaps)) {
          here += 1;
          const outcome = actors.at(point);
          if (compared.has(outcome)) continue;
          compared.add(outcome);
          tally(seen, outcome);
          for (const text of differences(world, outcome, setting)) {
            const { kernel: k, platform, blob } = setting;
            const where = `${k.rules.id} ${platform.paging} ${platform.cpu} ss=${platform.selfSnoop} ${blob.join(' ')}`;
            if (!wrong.has(`${where}: ${text}`))
              wrong.set(`${where}: ${text}`, JSON.stringify(point));
          }
        }
      }
      expect(here, JSON.stringify(setting.blob)).toBe(POINTS_OF_A_SETTING);
      points += here;
    }
    process.stdout.write(
      `machine against verdict: ${points} points (${worlds} worlds of the resolver), ${wrong.size} differences\n`,
    );
    expect([...wrong].slice(0, 20)).toEqual([]);
    expect(points).toBe(settings().length * POINTS_OF_A_SETTING);
    // Nothing holds for want of anything happening.
    expect([...seen].sort()).toEqual(
      [
        ...['CD', 'UC', 'UCM', 'WB', 'WC', 'WC+'],
        ...['L1 ok', 'L1 x', 'L2 ok', 'L2 x', 'L3 ok', 'L3 x', 'L4 ok', 'L4 x'],
        ...['refused map-blob', 'refused vmm', 'zapped'],
      ].sort(),
    );
  });

  test('a run is what its parts are', { timeout: 120_000 }, () => {
    const all = settings();
    const choice = seededChoice(20261122);
    const pick = <T>(list: readonly T[]): T => list[choice.pick(list.length)] as T;
    for (let i = 0; i < 60; i++) {
      const setting = pick(all);
      const point: Point = {
        vmm: pick(OPEN.vmm),
        'honor-guest-pat': pick(OPEN['honor-guest-pat']),
        firmware: pick(OPEN.firmware),
        'map-info': pick(OPEN['map-info']),
        'guest-driver': pick(OPEN['guest-driver']),
        vfio: pick(['none', 'before'] as const),
      };
      const { vfio, ...facts } = point;
      const outcome = new Actors(setting).at(point);
      const said = Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, [value]]));
      const q = questionOf(setting, { ...said, 'noncoherent-dma': [vfio === 'before'] });
      const runs = PROGRAMS.map((p): Run => run(q, p, { seed: i }));
      const where = JSON.stringify([
        setting.kernel.rules.id,
        setting.platform,
        setting.blob,
        point,
      ]);
      if (outcome.refused === null) {
        expect(
          runs.map((r) => r.result === 'x'),
          where,
        ).toEqual(outcome.violated);
        expect(
          runs.map((r) => r.stage.leaf),
          where,
        ).toEqual(runs.map(() => outcome.leaf));
      } else
        expect(
          runs.map((r) => r.result),
          where,
        ).toEqual(runs.map(() => 'refused'));
    }
  });
});
