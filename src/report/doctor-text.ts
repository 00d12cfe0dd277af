import { type Diagnostic, printable } from '../base/diagnostic.ts';
import type { GuestAnswer } from '../doctor/answers.ts';
import { type Diagnosis, doctorExitCode, type VmDiagnosis } from '../doctor/diagnose.ts';
import { ifKnown } from '../doctor/fact.ts';
import type { DoctorFinding } from '../doctor/findings.ts';
import type { GuestSide } from '../doctor/guest-side.ts';
import type { QemuOptions } from '../doctor/qemu.ts';
import type { RegionDiagnosis } from '../doctor/region-diagnosis.ts';
import type { VmFiles } from '../doctor/vm-facts.ts';
import { backingClass } from '../linux/backing.ts';
import { machineLines } from './doctor-machine-text.ts';
import { traceLines } from './doctor-trace-text.ts';
import { agreementWords, bytes, count, factWords, leafWords, typeWords } from './doctor-words.ts';
import { labelled, table, wrap } from './wrap.ts';

const WIDTH = 80;

// ---- verdict ----------------------------------------------------------------------------------

function grave(d: Diagnosis): readonly DoctorFinding[] {
  return d.findings.filter((f) => f.severity !== 'info');
}

function seenWords(d: Diagnosis): string {
  const vms = d.vms.filter((v) => v.vm.evidence === 'fd').length;
  const hints = d.vms.length - vms;
  const perhaps = hints === 0 ? '' : `, ${hints} of whose files are closed may be one`;
  if (vms === 0) return `no VM was seen${perhaps}`;
  const regions = d.vms.reduce((sum, vm) => sum + vm.regions.length, 0);
  return `${count(vms, 'VM')}, ${count(regions, 'memory region')}${perhaps}`;
}

function headline(d: Diagnosis): string {
  const certain = grave(d).filter((f) => f.certain).length;
  const possible = grave(d).length - certain;
  const open = d.undetermined.length;
  if (doctorExitCode(d) === 1) {
    const more = possible > 0 ? `, and ${possible} possible` : '';
    return `${count(certain, 'problem')} found${more} (${seenWords(d)}).`;
  }
  if (doctorExitCode(d) === 3) {
    const parts = [
      ...(possible > 0 ? [`${count(possible, 'possible problem')}`] : []),
      ...(open > 0 ? [`${count(open, 'question')} left open`] : []),
    ];
    return `Undetermined: ${parts.join(', ')} (${seenWords(d)}).`;
  }
  const kvm = ifKnown(d.facts.kvm.present);
  if (kvm === false && d.vms.length === 0) {
    return d.guestSide === null
      ? 'There is no KVM on this machine and no VM: nothing to examine.'
      : 'There is no KVM on this machine, which is itself a guest: see below.';
  }
  return `Nothing wrong found (${seenWords(d)}).`;
}

function findingLines(f: DoctorFinding): readonly string[] {
  const possible = f.certain ? '' : 'possible ';
  return [
    '',
    ...wrap(`${possible}${f.severity} ${f.code}: ${f.title}`, WIDTH, '  '),
    ...labelled('  where  ', f.places.join('; '), WIDTH),
    ...(f.when === '' ? [] : labelled('  if     ', f.when, WIDTH)),
    ...(f.given === '' ? [] : labelled('  given  ', f.given, WIDTH)),
    ...(f.agents.length < 2 ? [] : labelled('  who    ', f.agents.join(' <-> '), WIDTH)),
    ...labelled('  what   ', f.text, WIDTH),
    ...labelled('  fix    ', f.fix, WIDTH),
  ];
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', title, ...lines];
}

// ---- VMs --------------------------------------------------------------------------------------

/** Of a process that may be no VM: only what stands on its command line. */
function toldWords(qemu: QemuOptions | null): string {
  const told = [
    ...(qemu?.ramGiven && qemu.ram !== null ? [`RAM ${bytes(qemu.ram)}`] : []),
    ...(qemu?.backends ?? []).map((b) => `memory-backend-${b.kind}`),
    ...(qemu?.honorGuestPat ? [`honor-guest-pat ${qemu.honorGuestPat}`] : []),
    ...(qemu?.vfio.length ? [`vfio ${qemu.vfio.join(' ')}`] : []),
  ];
  return told.length === 0 ? 'none that tells' : told.join(', ');
}

function qemuWords(qemu: QemuOptions | null): string {
  if (qemu === null) return 'no QEMU; its options are not read';
  const honour = qemu.honorGuestPat === null ? 'not given (off)' : qemu.honorGuestPat;
  const backends = qemu.backends.map((b) => `memory-backend-${b.kind}`);
  const gpus = qemu.gpus.map((g) => {
    const window = g.hostmem === null ? '' : ` hostmem=${bytes(g.hostmem)}`;
    return `${g.driver}${g.blob ? ' blob=on' : ''}${window}`;
  });
  return [
    `${qemu.machine ?? 'default machine'}`,
    `${qemu.firmware === 'another' ? 'own firmware' : qemu.firmware}`,
    `RAM ${qemu.ram === null ? 'not read' : bytes(qemu.ram)}`,
    ...backends,
    `accel ${qemu.accel ?? 'not given'}`,
    `honor-guest-pat ${honour}`,
    ...gpus,
    ...(qemu.vfio.length > 0 ? [`vfio ${qemu.vfio.join(' ')}`] : []),
  ].join(', ');
}

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

function vmHead(d: VmDiagnosis, hasQuirk: boolean): readonly string[] {
  const { vm } = d;
  const files = ifKnown(vm.files);
  const opened = files === null ? '' : fileWords(files);
  const several = vm.vms > 1 ? `, ${vm.vms} VMs in one process` : '';
  const vcpus = vm.files.known ? `, ${count(vm.vcpus, 'vCPU')}` : '';
  const title = `VM ${vm.pid}: ${vm.program || 'unknown program'}${vcpus}${several}${EVIDENCE[vm.evidence]}`;
  const state = d.quirk.map((q) => (q === 'on' ? 'in force' : 'disabled')).join(' or ');
  const tdx = ifKnown(vm.qemu)?.tdx === true ? ' (Intel TDX)' : '';
  return [
    ...wrap(title, WIDTH, '  '),
    ...labelled(
      '  options  ',
      factWords(vm.qemu, vm.evidence === 'fd' ? qemuWords : toldWords),
      WIDTH,
    ),
    ...labelled('  devices  ', deviceWords(d), WIDTH),
    ...(opened === '' ? [] : labelled('  files    ', opened, WIDTH)),
    ...(hasQuirk ? labelled('  quirk    ', `IGNORE_GUEST_PAT ${state}${tdx}`, WIDTH) : []),
  ];
}

const GUEST_MEMORY = {
  named: 'guest memory: ',
  size: 'guest memory, most likely: ',
  perhaps: 'perhaps guest memory: ',
} as const;

function regionTitle({ region, prospective }: RegionDiagnosis): readonly string[] {
  const { name, mappings, size } = region;
  const many = mappings > 1 ? ` in ${mappings} mappings` : '';
  const title = `${name}, ${bytes(size)}${prospective ? ' window' : many}`;
  return wrap(title, WIDTH - 2, '    ').map((line, i) => (i === 0 ? `  ${line}` : line));
}

function regionFacts({ region }: RegionDiagnosis): readonly string[] {
  const { backings, sample, isGuestMemory, why, page } = region;
  const classes = backings.map((id) => backingClass(id)?.page.memtype ?? '?');
  const types = page.hostMemtype === undefined ? [...new Set(classes)] : [page.hostMemtype];
  const looked = sample.known
    ? `; one page looked up: ${sample.value.memtype ?? sample.value.possible.join('|')}`
    : '';
  const mtrr = page.hostMtrr === undefined ? '' : `, MTRR ${page.hostMtrr.join(' or ')}`;
  const host = `${types.join(' or ')} (class ${backings.join(', ')})${mtrr}${looked}`;
  return [
    ...labelled('    is     ', `${GUEST_MEMORY[isGuestMemory]}${why}`, WIDTH),
    ...labelled('    host   ', host, WIDTH),
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

function answerLines(answers: readonly GuestAnswer[]): readonly string[] {
  const leaves = [...new Set(answers.map((a) => leafWords(a.leaf)))];
  const installs =
    leaves.length === 1
      ? leaves.join('')
      : answers.map((a) => `${a.asks}: ${leafWords(a.leaf)}`).join('; ');
  const decide = [...new Set(answers.flatMap((a) => a.unknown))];
  return [
    ...labelled('    KVM    ', installs, WIDTH),
    ...table([HEAD, HEAD_2, ...answerRows(answers)]),
    ...(decide.length === 0
      ? []
      : labelled('    where several, it depends on: ', decide.join(', '), WIDTH)),
  ];
}

/** Regions with the same answers share one table, and those of one kind their description. */
function regionBlocks(regions: readonly RegionDiagnosis[]): readonly string[] {
  return grouped(regions, (r) => JSON.stringify(r.answers)).flatMap((alike) => [
    '',
    ...grouped(alike, (r) => regionFacts(r).join()).flatMap((same) => [
      ...same.flatMap(regionTitle),
      ...same.slice(0, 1).flatMap(regionFacts),
    ]),
    ...answerLines(alike[0]?.answers ?? []),
  ]);
}

function vmLines(d: VmDiagnosis, hasQuirk: boolean): readonly string[] {
  const { vm, regions } = d;
  const none = vm.regions.known
    ? 'no mapping of this process looks like guest memory'
    : `its memory is not known: ${vm.regions.why}`;
  return [
    '',
    ...vmHead(d, hasQuirk),
    ...(regions.length === 0 ? labelled('  memory   ', none, WIDTH) : regionBlocks(regions)),
  ];
}

// ---- the guest side ---------------------------------------------------------------------------

function guestLines(d: Diagnosis, side: GuestSide): readonly string[] {
  const gpus = factWords(d.facts.virtioGpus, (list) =>
    list.length === 0
      ? 'none'
      : list
          .map(
            (g) =>
              `${g.name}, blob resources ${g.blob === true ? 'on' : g.blob === false ? 'off' : '?'}`,
          )
          .join('; '),
  );
  const rows = side.requests.map((r) => [
    `  ${r.asks}`,
    ...r.types.map((types) => types.join('|')),
  ]);
  if (side.notKvm !== null) {
    const text = `Its hypervisor is ${side.notKvm}, not KVM: what that makes of the types that drivers ask is not known here.`;
    return [...labelled('  ', text, WIDTH), ...labelled('  virtio-gpu  ', gpus, WIDTH)];
  }
  return [
    ...wrap(
      'What its drivers ask for RAM becomes on a KVM host (kernel 6.16 or later) with:',
      WIDTH - 2,
    ).map((line) => `  ${line}`),
    ...table([['  driver asks', ...side.hosts.map((h) => h.name)], ...rows]),
    ...side.hosts.flatMap((h) => labelled(`  ${h.name.padEnd(8)} `, h.what, WIDTH)),
    ...(d.facts.pat.known
      ? []
      : labelled('  ', 'Several types: whether this guest has PAT on is not known.', WIDTH)),
    ...labelled('  virtio-gpu  ', gpus, WIDTH),
    ...labelled(
      '  which host it is: ',
      'cannot be told from inside; run doctor on the host.',
      WIDTH,
    ),
  ];
}

// ---- all of it --------------------------------------------------------------------------------

const LEGEND =
  'coherent: each side sees what the other wrote; the columns of devices say what would hold for such a ' +
  'device. With a code: see memtype rule CODE. A question mark: it depends on what is not known.';

/** Where much is not known, much is possible. */
const POSSIBLE_SHOWN = 8;

/** By what would tell. */
function unknownLines(d: Diagnosis): readonly string[] {
  const remedies = [...new Set(d.unknowns.map((u) => u.remedy))];
  return remedies.flatMap((remedy) => [
    ...labelled('  ', `${remedy}:`, WIDTH),
    ...d.unknowns
      .filter((u) => u.remedy === remedy)
      .flatMap((u) => labelled('    - ', `${u.what}: ${u.why}`, WIDTH)),
  ]);
}

function problemLines(problems: readonly Diagnostic[]): readonly string[] {
  return problems.flatMap((p) => {
    const where = p.place === undefined ? '' : `${p.place.file}:${p.place.line}: `;
    return labelled('  - ', `${where}${p.message}`, WIDTH);
  });
}

/**
 * A diagnosis as text of 80 columns: the verdict, the fixes, the machine, its VMs, what is not known.
 * Remarks that only may apply stay in the tables.
 */
export function doctorText(d: Diagnosis): string {
  const open = d.undetermined.flatMap((u) => labelled('  - ', u, WIDTH));
  const isOdd = (p: Diagnostic): boolean => p.severity === 'warning' && p.place !== undefined;
  const odd = problemLines(d.facts.problems.filter(isOdd));
  const problems = problemLines(d.facts.problems.filter((p) => !isOdd(p)));
  const certain = d.findings.filter((f) => f.certain);
  const possible = d.findings.filter(
    (f) => !f.certain && (f.severity !== 'info' || f.code === 'MT501'),
  );
  const more = possible.length - POSSIBLE_SHOWN;
  const paging = ifKnown(d.facts.kvm.paging);
  const quirk = d.policy.rules?.some((r) => r.hasPatQuirk) !== false && (paging ?? 'ept') === 'ept';
  const lines = [
    ...wrap(headline(d), WIDTH),
    ...[...certain, ...possible.slice(0, POSSIBLE_SHOWN)].flatMap(findingLines),
    ...(more > 0 ? ['', `${count(more, 'more possible problem')}: see --format json.`] : []),
    ...section('LEFT OPEN', open),
    ...section('THIS MACHINE', machineLines(d, WIDTH)),
    ...section('VIRTUAL MACHINES', d.vms.flatMap((vm) => vmLines(vm, quirk)).slice(1)),
    ...(d.vms.some((vm) => vm.regions.length > 0) ? ['', ...wrap(LEGEND, WIDTH)] : []),
    ...section('THE TRACE', traceLines(d, WIDTH)),
    ...(d.guestSide === null ? [] : section('THIS MACHINE AS A GUEST', guestLines(d, d.guestSide))),
    ...section('WHAT COULD NOT BE KNOWN, BY WHAT WOULD TELL', unknownLines(d)),
    ...section('ODD INPUT', odd),
    ...section('FILES THAT COULD NOT BE UNDERSTOOD', problems),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}
