import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { CpuFacts, HostFacts, IommuUnit, PatFacts } from '../doctor/host-facts.ts';
import type { E820Entry } from '../linux/text/e820.ts';
import type { Iomem } from '../linux/text/iomem.ts';
import type { MemtypeList } from '../linux/text/memtype-list.ts';
import type { MtrrRange } from '../linux/text/mtrr.ts';
import { PAT_TYPES } from '../x86/types.ts';
import { bytes, count, factWords, guestPatWords, rulesWords } from './doctor-words.ts';
import { labelled } from './wrap.ts';

function cpuWords(cpu: CpuFacts): string {
  const model = `family ${cpu.family ?? '?'} model ${cpu.model ?? '?'}`;
  const snoop =
    cpu.vendor !== 'intel'
      ? ''
      : `, self-snoop ${cpu.usableSelfSnoop === null ? 'not known' : cpu.usableSelfSnoop ? 'yes' : 'no'}`;
  return `${cpu.modelName ?? cpu.vendorId ?? 'unknown'} (${model})${snoop}`;
}

function placeWords({ isGuest, hypervisor }: HostFacts): string {
  const name = hypervisor.known ? hypervisor.value : 'some hypervisor';
  return factWords(isGuest, (guest) => (guest ? `a guest of ${name}` : 'no hypervisor below'));
}

function patWords(pat: PatFacts): string {
  const layout = pat.layout === null ? 'layout not known' : pat.layout.join(' ');
  return `${pat.enabled ? 'on' : 'off'}: ${layout}`;
}

function rangeWords(ranges: readonly MtrrRange[], odd: readonly number[]): string {
  if (ranges.length === 0) return 'no variable range in use';
  const words = ranges.map((r) => {
    const doubt = odd.includes(r.line) ? ' (odd, see ODD INPUT)' : '';
    return `${r.type} ${bytes(r.size)} at 0x${r.base.toString(16)}${doubt}`;
  });
  return words.join(', ');
}

function mtrrWords({ firmware }: HostFacts): string {
  const ranges = factWords(firmware.mtrrs, (r) => rangeWords(r, firmware.oddMtrrs));
  const base = firmware.mtrrDefault.known
    ? `${firmware.mtrrDefault.value ?? 'none, MTRRs off'} (${firmware.mtrrDefault.from})`
    : 'not known';
  return `${ranges}; default type ${base}`;
}

function trackedWords(list: MemtypeList): string {
  const kinds = PAT_TYPES.flatMap((type) => {
    const n = list.entries.filter((e) => e.type === type).length;
    return n === 0 ? [] : [`${n} ${type}`];
  });
  const gap = list.complete ? '' : ' (the list has gaps)';
  return `${kinds.length === 0 ? 'no range' : `ranges: ${kinds.join(', ')}`}${gap}`;
}

function total(
  ranges: readonly { readonly start: number; readonly endInclusive: number }[],
): string {
  return bytes(ranges.reduce((sum, r) => sum + (r.endInclusive - r.start + 1), 0));
}

function memoryWords(iomem: Iomem): string {
  const ram = iomem.entries.filter((e) => e.name === 'System RAM');
  return `${total(ram)} of System RAM in ${count(ram.length, 'range')}`;
}

function firmwareWords(memmap: readonly E820Entry[]): string {
  return `${total(memmap.filter((e) => e.type === 'ram'))} of RAM by the firmware`;
}

function iommuWords(units: readonly IommuUnit[]): string {
  if (units.length === 0) return 'none in use';
  return units
    .map((u) => {
      const snoop = factWords(u.snoopControl, (s) =>
        s ? 'makes devices snoop' : 'no snoop control',
      );
      return `${u.name}: ${snoop}`;
    })
    .join('; ');
}

function kvmWords({ kvm }: HostFacts): string {
  if (kvm.present.known && !kvm.present.value) return 'none';
  const flavour = kvm.flavour.known ? kvm.flavour.value : 'module not known';
  const paging = kvm.paging.known
    ? `${kvm.paging.value === 'shadow' ? 'shadow paging' : kvm.paging.value.toUpperCase()} (${kvm.paging.from})`
    : `paging not known: ${kvm.paging.why}`;
  const quirks = kvm.quirks2.known ? `, quirk word 0x${kvm.quirks2.value.toString(16)}` : '';
  return `${flavour}, ${paging}${quirks}`;
}

function parameterWords({ kvm }: HostFacts): string {
  return [...kvm.parameters].map(([name, value]) => `${name}=${value.slice(0, 16)}`).join(' ');
}

function gpuWords(facts: HostFacts): string {
  return factWords(facts.gpus, (gpus) =>
    gpus.length === 0
      ? 'none with a driver'
      : gpus.map((g) => `${g.name} ${g.driver ?? 'driver not known'}`).join(', '),
  );
}

const BELOW_KVM =
  'below this KVM that hypervisor has the last word: what is said of VMs is what this KVM installs';

/** The facts of the machine: what, and its value; one without a name goes on with the one before it. */
export function machineRows(d: Diagnosis): readonly (readonly [string, string])[] {
  const { facts, policy } = d;
  const hasKvm = !(facts.kvm.present.known && !facts.kvm.present.value);
  return [
    ['CPU', factWords(facts.cpu, cpuWords)],
    ['place', placeWords(facts)],
    ...(hasKvm && facts.isGuest.known && facts.isGuest.value ? [['', BELOW_KVM] as const] : []),
    ['kernel', factWords(facts.kernel, (k) => k.release)],
    ['KVM', kvmWords(facts)],
    ...(facts.kvm.parameters.size > 0 ? [['', parameterWords(facts)] as const] : []),
    ...(hasKvm ? [['rules', rulesWords(policy)] as const] : []),
    ...(hasKvm ? policy.how.map((how) => ['', how] as const) : []),
    ...(d.guestPat === null ? [] : [['', guestPatWords(d.guestPat)] as const]),
    ['PAT', factWords(facts.pat, patWords)],
    ['MTRRs', mtrrWords(facts)],
    ['tracked', factWords(facts.tracked, trackedWords)],
    ['memory', factWords(facts.iomem, memoryWords)],
    ...(facts.firmware.memmap.known
      ? [['', firmwareWords(facts.firmware.memmap.value)] as const]
      : []),
    ['IOMMU', factWords(facts.iommu, iommuWords)],
    [
      'VFIO',
      factWords(facts.vfioBound, (l) => (l.length === 0 ? 'no device bound' : l.join(', '))),
    ],
    ['GPUs', gpuWords(facts)],
  ];
}

/** The same, one line or two each. */
export function machineLines(d: Diagnosis, width: number): readonly string[] {
  return machineRows(d).flatMap(([label, text]) => labelled(`  ${label.padEnd(9)}`, text, width));
}
