import type { DeviceAccess } from '../../facts/facts.ts';
import type { BackingId } from '../../linux/backing.ts';
import { backingClass } from '../../linux/backing.ts';
import { compareVersions, parseKernelVersion } from '../../linux/version.ts';
import { gpuAccess, gpuBackings } from '../../platform/gpu-drivers.ts';
import type { JudgedVerdict } from '../../resolve/resolution.ts';
import type { PatType } from '../../x86/types.ts';
import { ifKnown, unknown } from '../fact.ts';
import { type DoctorFinding, finding } from '../findings.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Policy } from '../machine/policy.ts';
import { mapsHostBlobs } from '../vmms/options.ts';
import type { Region, VmFacts } from '../vms/vm-facts.ts';
import {
  type Asker,
  asking,
  expectedAsks,
  type GuestAnswer,
  guestAnswers,
  regionFacts,
} from './answers.ts';
import { deviceNames, type VmCoherency } from './coherency.ts';
import { writesMtrrsFrom } from './guest-mtrrs.ts';
import { honourCommands } from './quirk-state.ts';

/** Another hypervisor is below this KVM: it types the same pages last. Source: rule kvm/nested. */
export function isNested(facts: HostFacts): boolean {
  return ifKnown(facts.isGuest) === true && ifKnown(facts.kvm.paging) !== 'shadow';
}

export const BELOW = 'the hypervisor below leaves the types of this KVM as they are';

function uncertain(answer: GuestAnswer): GuestAnswer {
  const { withVmm, withSnooping, withNotSnooping } = answer;
  return {
    ...answer,
    withVmm: { ...withVmm, certain: false },
    withSnooping: { ...withSnooping, certain: false },
    withNotSnooping: withNotSnooping === null ? null : { ...withNotSnooping, certain: false },
  };
}

/** A finding of what this KVM installs, where another hypervisor has the last word. */
export function underOther(f: DoctorFinding): DoctorFinding {
  return { ...f, certain: false, when: f.when === '' ? BELOW : `${f.when}; ${BELOW}` };
}

/** What is said of a device is not certain of memory that may be ROM. */
function ofDevice(region: Region, f: DoctorFinding): DoctorFinding {
  if (region.page.maybeRom !== true || f.code !== 'MT401') return f;
  const doubt = 'it is a device, and neither ROM nor its shadow in RAM';
  return { ...f, certain: false, when: f.when === '' ? doubt : `${f.when}; ${doubt}` };
}

/**
 * Of one page it is a remark, for it may be the first of its block; of a whole buffer it is what stops the VM:
 * TTM takes blocks as large as it can get.
 */
function ofBuffer(f: DoctorFinding): DoctorFinding {
  if (f.code !== 'MT501') return f;
  const doubt = 'a buffer is larger than one page, and TTM did not get it page by page';
  const when = f.when === '' ? doubt : `${f.when}; ${doubt}`;
  return { ...f, severity: 'error', certain: false, when };
}

/** Without a firmware nobody but the VMM writes the MTRRs of a guest before its kernel runs. */
function ofDirectBoot(vm: VmFacts, f: DoctorFinding): DoctorFinding {
  const from = writesMtrrsFrom(vm);
  if (f.code !== 'MT210' || from === null) return f;
  const fix =
    `Take ${from} or later, which writes the MTRRs of the guest (WB), or a host kernel from 6.11 on, which ` +
    'does not look at them.';
  return { ...f, fix };
}

/** One region of one VM, with what a guest gets there. */
export interface RegionDiagnosis {
  readonly region: Region;
  /** No such mapping exists now; the VMM's options say that the guest can ask for one. */
  readonly prospective: boolean;
  readonly answers: readonly GuestAnswer[];
  readonly findings: readonly DoctorFinding[];
  /** The type that a guest gets for what it asks as a rule is not determined; the facts that decide. */
  readonly undetermined: readonly string[];
}

/** All there is to know when a region of a VM is looked at. */
export interface VmScene {
  readonly vm: VmFacts;
  readonly facts: HostFacts;
  readonly policy: Policy;
  readonly coherency: VmCoherency;
  readonly asker: Asker;
}

interface Occurrence {
  readonly verdict: JudgedVerdict;
  readonly backing: BackingId;
  readonly asks: PatType;
}

/** One thing a guest is expected to ask of one class of backing, and the verdicts on it. */
interface Expectation {
  readonly backing: BackingId;
  readonly asks: PatType;
  readonly verdicts: readonly JudgedVerdict[];
  readonly unknown: readonly string[];
}

/** Expectations with one reason, and what else has to hold for them. */
interface Expected {
  readonly all: readonly Expectation[];
  /** What the guest is taken to do. */
  readonly given: (asks: string) => string;
  readonly doubts: readonly string[];
}

function expect(
  scene: VmScene,
  region: Region,
  backing: BackingId,
  asks: PatType,
  device: DeviceAccess | null,
): Expectation {
  const { vm, facts, policy, coherency } = scene;
  const page = { ...region, backings: [backing] };
  const known = regionFacts(vm, page, facts, policy, coherency);
  const reached = device === null ? {} : { device: [device] };
  const r = scene.asker.ask({ ...asking(known, asks), ...reached });
  return { backing, asks, verdicts: r.verdicts, unknown: r.types.length > 1 ? r.unknown : [] };
}

/** What guests ask of such memory as a rule. */
function usual(scene: VmScene, region: Region): Expected {
  const all = region.backings.flatMap((backing) =>
    expectedAsks(backing).map((asks) => expect(scene, region, backing, asks, gpuAccess(backing))),
  );
  return {
    all,
    given: (asks) => `the guest asks ${asks}, as is usual for such memory`,
    doubts: [],
  };
}

function isOrdinaryRam(region: Region): boolean {
  if (region.kind === 'devmem') return false;
  return region.backings.every((id) => {
    const page = backingClass(id)?.page;
    return page !== undefined && !page.device && page.memtype === 'WB' && page.vmm === 'WB';
  });
}

/** What a guest asks of RAM that it gives to an assigned device which nothing makes snoop. */
function forDevices(scene: VmScene, region: Region): readonly Expected[] {
  const { coherency } = scene;
  const { culprits } = coherency;
  if (culprits.length === 0 || !isOrdinaryRam(region)) return [];
  const all = region.backings.map((b) => expect(scene, region, b, 'WC', 'nosnoop'));
  const names = deviceNames(culprits);
  const doubts = [
    ...(coherency.mayNotSnoop.includes(false) ? ['the IOMMU does not make it snoop'] : []),
    `${names} really reads or writes past the caches`,
  ];
  return [{ all, given: (asks) => `the guest asks ${asks} for buffers of ${names}`, doubts }];
}

/** More values than this are counted. */
const VALUES_SHOWN = 4;

function valueWords(values: ReadonlySet<string>): string {
  const shown = [...values].slice(0, VALUES_SHOWN).join(' or ');
  const more = values.size - VALUES_SHOWN;
  return more > 0 ? `${shown} or one of ${more} others` : shown;
}

/** Where the words of a fact say something else to who reads them here. */
const CONDITIONS: Readonly<Record<string, string>> = {
  'firmware is none': 'nothing has written the MTRRs of the guest',
};

/** The facts with which a verdict holds, each with all of its values. */
function conditionWords(occurrences: readonly Occurrence[]): readonly string[] {
  const facts = new Map<string, Set<string>>();
  for (const { fact, values } of occurrences.flatMap(({ verdict }) => verdict.when)) {
    facts.set(fact, new Set([...(facts.get(fact) ?? []), ...values]));
  }
  return [...facts].map(([fact, values]) => {
    const words = `${fact} is ${valueWords(values)}`;
    return CONDITIONS[words] ?? words;
  });
}

/** What an uncertain verdict depends on: the class of backing, unknown facts, and the guest. */
function whenWords(
  occurrences: readonly Occurrence[],
  { all, doubts }: Expected,
  region: Region,
): string {
  const words: string[] = [];
  if (region.isGuestMemory === 'perhaps') words.push('it is guest memory');
  const backings = new Set(occurrences.map((o) => o.backing));
  if (backings.size < new Set(all.map((e) => e.backing)).size) {
    words.push(`backed by ${[...backings].join(' or ')}`);
  }
  const asks = [...new Set(occurrences.map((o) => o.asks))];
  const missing = all.some((e) => backings.has(e.backing) && !asks.includes(e.asks));
  if (missing) words.push(`the guest asks ${asks.join(' or ')}`);
  return [...words, ...doubts, ...conditionWords(occurrences)].join('; ');
}

function resolverFindings(
  place: string,
  region: Region,
  expected: Expected,
  honour: readonly string[],
): readonly DoctorFinding[] {
  const byCode = new Map<string, Occurrence[]>();
  for (const { verdicts, backing, asks } of expected.all) {
    for (const verdict of verdicts) {
      const list = byCode.get(verdict.code) ?? [];
      list.push({ verdict, backing, asks });
      byCode.set(verdict.code, list);
    }
  }
  return [...byCode.values()].flatMap((occurrences): DoctorFinding[] => {
    const [first] = occurrences;
    if (first === undefined) return [];
    const { code, severity, title, agents, text, fix } = first.verdict;
    const when = whenWords(occurrences, expected, region);
    const everywhere = occurrences.length === expected.all.length;
    const certain = when === '' && everywhere && occurrences.every((o) => o.verdict.certain);
    const doubt = when === '' ? 'it depends on what is not known' : when;
    const given = expected.given([...new Set(occurrences.map((o) => o.asks))].join(' or '));
    const places = [place];
    const kind = { code, severity, title, agents, text, fix };
    const commands = code === 'MT101' || code === 'MT201' ? honour : [];
    return [{ ...kind, certain, when: certain ? '' : doubt, given, places, commands }];
  });
}

// pfn_mkwrite came with the drm changes of 7.1, and was seen at work in 7.3.4. A change of KVM that faults such
// pages in for writing was posted in August 2026; no release that was read has it.
const WRITE_NOTIFY_FIRST = '7.1-rc1';
const WRITE_NOTIFY_SEEN = '7.3.4';

function emulatedWrite(scene: VmScene, place: string, region: Region): readonly DoctorFinding[] {
  const kernel = ifKnown(scene.facts.kernel);
  if (!region.backings.includes('vgem-wc') || kernel === null) return [];
  const from = (text: string): number => compareVersions(kernel.version, parseKernelVersion(text));
  if (from(WRITE_NOTIFY_FIRST) < 0) return [];
  const doubts = [
    ...(from(WRITE_NOTIFY_SEEN) > 0
      ? ['this kernel does not fault such pages in for writing']
      : []),
    ...(region.backings.length > 1 ? ['backed by vgem-wc'] : []),
    ...(region.isGuestMemory === 'perhaps' ? ['it is guest memory'] : []),
  ];
  const text =
    'A page that the host has not written yet is mapped read-only; the first store of the guest is emulated.';
  return [
    finding('emulatedWrite', place, text, {
      when: doubts.join('; '),
      agents: ['KVM', 'VMM mapping'],
    }),
  ];
}

function oddSample(place: string, region: Region): readonly DoctorFinding[] {
  const sample = ifKnown(region.sample);
  const ordinary = region.backings.every((id) => backingClass(id)?.page.memtype === 'WB');
  if (sample === null || !ordinary || sample.possible.includes('WB')) return [];
  const type = sample.memtype ?? sample.possible.join(' or ');
  const text = `The page that was looked up is ${type} in the page flags of the host.`;
  return [finding('oddSample', place, text, { agents: ['host'] })];
}

/** A region, with what a guest gets for each type and what there is to say about what it will ask. */
export function diagnoseRegion(
  scene: VmScene,
  region: Region,
  prospective: boolean,
): RegionDiagnosis {
  const { vm, facts, policy, coherency } = scene;
  const place = `VM ${vm.pid}: ${region.name}`;
  const known = regionFacts(vm, region, facts, policy, coherency);
  const expected = [usual(scene, region), ...forDevices(scene, region)];
  const nested = isNested(facts);
  const honour = honourCommands(vm, facts, policy);
  const answers = guestAnswers(scene.asker, known, region.backings);
  const found = [
    ...expected
      .flatMap((e) => resolverFindings(place, region, e, honour))
      .map((f) => ofDirectBoot(vm, ofBuffer(ofDevice(region, f)))),
    ...emulatedWrite(scene, place, region),
  ];
  return {
    region,
    prospective,
    answers: nested ? answers.map(uncertain) : answers,
    findings: [...(nested ? found.map(underOther) : found), ...oddSample(place, region)],
    undetermined: [...new Set(expected.flatMap((e) => e.all).flatMap((e) => e.unknown))],
  };
}

/** Host memory that the guest can ask its virtio-gpu to map, while nothing of the kind is mapped. */
export function prospectiveRegion(vm: VmFacts, facts: HostFacts): Region | null {
  const options = ifKnown(vm.options);
  if (!mapsHostBlobs(options)) return null;
  const windows = (options?.gpus ?? []).filter((g) => g.blob);
  const [window] = windows;
  const mapped =
    ifKnown(vm.regions)?.some((r) => r.kind === 'gpu' || r.kind === 'dma-buf') ?? false;
  if (window === undefined || mapped) return null;
  const gpus = ifKnown(facts.gpus);
  const drivers = gpus === null ? [null] : [...new Set(gpus.map((g) => g.driver))];
  const backings = new Set<BackingId>(['memfd', ...drivers.flatMap(gpuBackings)]);
  return {
    kind: 'gpu',
    name: `host blobs of ${window.driver}, none mapped now`,
    isGuestMemory: 'perhaps',
    why: 'the options of the VMM let the guest map host memory',
    size: windows.reduce((sum, w) => sum + (w.hostmem ?? 0), 0),
    mappings: 0,
    backings: [...backings],
    page: {},
    pfnmap: null,
    sample: unknown('nothing is mapped', 'run doctor while the guest uses its GPU'),
    start: '0x0',
    memslots: null,
    resident: null,
  };
}
