import type { GuestAnswer } from '../doctor/diagnosis/answers.ts';
import type { VmDiagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { RegionDiagnosis } from '../doctor/diagnosis/region-diagnosis.ts';
import { ifKnown } from '../doctor/fact.ts';
import type { VmFiles } from '../doctor/vms/vm-facts.ts';
import { backingClass } from '../linux/backing.ts';
import {
  monitorWords,
  optionWords,
  sharerWords,
  slotWords,
  toldWords,
} from './doctor-vmm-words.ts';
import { agreementWords, bytes, count, factWords, leafWords, typeWords } from './doctor-words.ts';
import { labelled, table, wrap } from './wrap.ts';

const EVIDENCE = {
  fd: '',
  name: ' (by its name only: its files cannot be read)',
  asked: ' (named by you: its files cannot be read)',
} as const;

function deviceWords({ vm, coherency }: VmDiagnosis): string {
  const names = vm.devices.map((d) => {
    const snoop = factWords(d.snoop, (s) =>
      s === null ? 'no IOMMU' : s ? 'snoops' : 'may not snoop',
    );
    return `${d.name} (${d.unit === null ? '' : `${d.unit}, `}${snoop})`;
  });
  const dma = { true: 'non-coherent', false: 'coherent' }[`${coherency.noncoherent[0] === true}`];
  const state = coherency.noncoherent.length > 1 ? 'coherent or not' : dma;
  return `${names.length === 0 ? '' : `${names.join(', ')}; `}to KVM its DMA is ${state}: ${coherency.why}`;
}

/** Open files by which other memory than its RAM may reach the guest. */
function fileWords(files: VmFiles): string {
  return [
    ...files.gpuNodes,
    ...(files.udmabuf ? ['/dev/udmabuf'] : []),
    ...(files.dmabufs > 0 ? [count(files.dmabufs, 'dma-buf')] : []),
    ...(files.vdpa ? ['vhost-vdpa (a device reads and writes guest memory)'] : []),
  ].join(', ');
}

function vmHead(d: VmDiagnosis, hasQuirk: boolean, width: number): readonly string[] {
  const { vm } = d;
  const files = ifKnown(vm.files);
  const opened = files === null ? '' : fileWords(files);
  const several = vm.vms > 1 ? `, ${vm.vms} VMs in one process` : '';
  const vcpus = vm.files.known ? `, ${count(vm.vcpus, 'vCPU')}` : '';
  const title = `VM ${vm.pid}: ${vm.program || 'unknown program'}${vcpus}${several}${EVIDENCE[vm.evidence]}`;
  const state = d.quirk.map((q) => (q === 'on' ? 'in force' : 'disabled')).join(' or ');
  return [
    ...wrap(title, width, '  '),
    ...labelled(
      '  options  ',
      factWords(vm.options, vm.evidence === 'fd' ? optionWords : toldWords),
      width,
    ),
    ...(vm.monitor === null ? [] : labelled('  monitor  ', monitorWords(vm.monitor), width)),
    ...labelled('  devices  ', deviceWords(d), width),
    ...(opened === '' ? [] : labelled('  files    ', opened, width)),
    ...(vm.sharers.length === 0 ? [] : labelled('  shared   ', sharerWords(vm.sharers), width)),
    ...(hasQuirk ? labelled('  quirk    ', `IGNORE_GUEST_PAT ${state}: ${d.quirkWhy}`, width) : []),
  ];
}

const GUEST_MEMORY = {
  named: 'guest memory: ',
  size: 'guest memory, most likely: ',
  perhaps: 'perhaps guest memory: ',
} as const;

function regionTitle({ region, prospective }: RegionDiagnosis, width: number): readonly string[] {
  const { name, mappings, size } = region;
  const many = mappings > 1 ? ` in ${mappings} mappings` : '';
  const window = size === 0 ? 'a window of unknown size' : `${bytes(size)} window`;
  const title = `${name}, ${prospective ? window : `${bytes(size)}${many}`}`;
  return wrap(title, width - 2, '    ').map((line, i) => (i === 0 ? `  ${line}` : line));
}

function regionFacts({ region }: RegionDiagnosis, width: number): readonly string[] {
  const { backings, sample, isGuestMemory, why, page } = region;
  const classes = backings.map((id) => backingClass(id)?.page.memtype ?? '?');
  const types = page.hostMemtype === undefined ? [...new Set(classes)] : [page.hostMemtype];
  const looked = sample.known
    ? `; one page looked up: ${sample.value.memtype ?? sample.value.possible.join('|')}`
    : '';
  const mtrr = page.hostMtrr === undefined ? '' : `, MTRR ${page.hostMtrr.join(' or ')}`;
  const host = `${types.join(' or ')} (class ${backings.join(', ')})${mtrr}${looked}`;
  return [
    ...labelled('    is     ', `${GUEST_MEMORY[isGuestMemory]}${why}`, width),
    ...(region.memslots === null ? [] : labelled('    guest  ', slotWords(region.memslots), width)),
    ...labelled('    host   ', host, width),
  ];
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()];
}

/** One row for each outcome, with all that a guest may ask to get it. */
function answerRows(answers: readonly GuestAnswer[]): readonly (readonly string[])[] {
  const rows = new Map<string, { readonly asks: string[]; readonly cells: readonly string[] }>();
  for (const a of answers) {
    const agreements = [a.withVmm, a.withSnooping, a.withNotSnooping].map(agreementWords);
    const cells = [typeWords(a), ...agreements];
    const row = rows.get(cells.join(' ')) ?? { asks: [], cells };
    row.asks.push(a.asks);
    rows.set(cells.join(' '), row);
  }
  return [...rows.values()].map(({ asks, cells }) => [`    ${asks.join(' ')}`, ...cells]);
}

const HEAD = ['    guest asks', 'gets', "with the VMM's", 'with a device', 'with a device'];
const HEAD_2 = ['', '', 'own mapping', 'that snoops', 'that does not'];

function answerLines(answers: readonly GuestAnswer[], width: number): readonly string[] {
  const leaves = [...new Set(answers.map((a) => leafWords(a.leaf)))];
  const installs =
    leaves.length === 1
      ? leaves.join('')
      : answers.map((a) => `${a.asks}: ${leafWords(a.leaf)}`).join('; ');
  const decide = [...new Set(answers.flatMap((a) => a.unknown))];
  return [
    ...labelled('    KVM    ', installs, width),
    ...table([HEAD, HEAD_2, ...answerRows(answers)], width),
    ...(decide.length === 0
      ? []
      : labelled('    where several, it depends on: ', decide.join(', '), width)),
  ];
}

/** Regions with the same answers share one table, and those of one kind their description. */
function regionBlocks(regions: readonly RegionDiagnosis[], width: number): readonly string[] {
  return grouped(regions, (r) => JSON.stringify(r.answers)).flatMap((alike) => [
    '',
    ...grouped(alike, (r) => regionFacts(r, width).join()).flatMap((same) => [
      ...same.flatMap((r) => regionTitle(r, width)),
      ...same.slice(0, 1).flatMap((r) => regionFacts(r, width)),
    ]),
    ...answerLines(alike[0]?.answers ?? [], width),
  ]);
}

/** A VM, its regions, and what its guest gets for each type. */
export function vmLines(d: VmDiagnosis, hasQuirk: boolean, width: number): readonly string[] {
  const { vm, regions } = d;
  const none = vm.regions.known
    ? 'no mapping of this process looks like guest memory'
    : `its memory is not known: ${vm.regions.why}`;
  return [
    '',
    ...vmHead(d, hasQuirk, width),
    ...(regions.length === 0 ? labelled('  memory   ', none, width) : regionBlocks(regions, width)),
  ];
}
