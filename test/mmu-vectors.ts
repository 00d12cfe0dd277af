import { PAT_TYPES } from '../src/x86/types.ts';
import { type Line, type Region, Replay, type Run, readLines } from './mmu-replay.ts';

/**
 * A recorded run in few bytes: the host, the memslots, what the program did, and of what KVM printed every
 * entry that was installed or zapped, without its frame.
 */
export interface Recording {
  readonly run: Run;
  readonly scenarios: readonly {
    readonly name: string;
    readonly marks: readonly Readonly<Record<string, unknown>>[];
    readonly entries: readonly string[];
  }[];
}

function bits(hex: string): string {
  return hex.length <= 3 ? hex : `${hex.slice(0, Math.max(0, hex.length - 13))}_${hex.slice(-3)}`;
}

/** "= gfn level bits" installed, "- gfn level" gone; null: another event. */
export function entryLine({ event, text }: Line): string | null {
  if (event === 'kvm_mmu_set_spte') {
    const match = /^gfn (\w+) spte (\w+) \(.*level (\d)/.exec(text);
    return match === null ? null : `= ${match[1]} ${match[3]} ${bits(match[2] ?? '')}`;
  }
  if (event !== 'kvm_tdp_mmu_spte_changed') return null;
  const match = /gfn (\w+) level (\d) .* new_spte (?:0|80{15})$/.exec(text);
  return match === null ? null : `- ${match[1]} ${match[2]}`;
}

const KEPT = new Set(['quirk', 'slot', 'touch', 'touched', 'wrmsr', 'cr0', 'ncdma', 'dirtylog']);

function markLine(mark: Readonly<Record<string, unknown>>): string | null {
  const ev = String(mark['ev']);
  if (ev === 'touched') return null;
  if (ev === 'touch') return `touch ${mark['gva']} ${mark['op']}`;
  if (ev === 'wrmsr') return `wrmsr ${mark['msr']} ${mark['val']}`;
  if (ev === 'cr0') return `cr0 ${mark['val']}`;
  if (ev === 'ncdma') return `ncdma ${mark['on']}`;
  if (ev === 'quirk') return `quirk ${mark['disable']}`;
  if (ev === 'remap') return `remap ${mark['to']}`;
  const isNamed = KEPT.has(ev) || /^(?:dontneed|mprotect_ro|mprotect_rw)$/.test(ev);
  return isNamed ? `${ev} ${mark['name'] ?? ''}`.trim() : null;
}

function markOf(line: string): Readonly<Record<string, unknown>> {
  const [ev = '', a, b] = line.split(' ');
  switch (ev) {
    case 'touch':
      return { ev, gva: a, op: b };
    case 'wrmsr':
      return { ev, msr: a, val: b };
    case 'cr0':
      return { ev, val: a };
    case 'ncdma':
      return { ev, on: a };
    case 'quirk':
      return { ev, disable: a };
    case 'remap':
      return { ev, to: a };
    default:
      return { ev, name: a };
  }
}

/** The lines of one scenario out of its trace. */
export function scenarioText(name: string, trace: string): readonly string[] {
  const lines = [`scenario ${name}`];
  let isInside = false;
  let touched = '';
  for (const line of readLines(trace)) {
    if (line.event !== 'tracing_mark_write') {
      const entry = isInside ? entryLine(line) : null;
      if (entry !== null) lines.push(entry);
      continue;
    }
    const mark = JSON.parse(line.text.slice('MT '.length)) as Record<string, unknown>;
    if (mark['ev'] === 'end') break;
    if (mark['ev'] === 'scenario') isInside = true;
    const text = isInside ? markLine(mark) : null;
    if (text !== null) lines.push(text);
    if (mark['ev'] === 'touch') touched = `${mark['op']} ${mark['gpa']}`;
    // The program marks the change to read-only, not the change back.
    if (mark['ev'] === 'touched' && touched === 'ld 0x41004000' && name === 'remap')
      lines.push('mprotect_rw thp');
  }
  return lines;
}

/** The head of a recording. */
export function runText(run: Run): readonly string[] {
  const { kernel, vendor, tdp, legacy, quirks, maxphyaddr, cpuModel, hostPat } = run;
  return [
    `run ${kernel} ${vendor} ${tdp} ${legacy} ${quirks} ${maxphyaddr} ${cpuModel} ${hostPat}`,
    ...run.regions.map(({ name, gpa, size, hva, slotFlags, type, kind }) => {
      const numbers = [gpa, size, hva, slotFlags].map((n) => n.toString(16)).join(' ');
      return `region ${name} ${numbers} ${type} ${kind}`;
    }),
  ];
}

function regionOf(line: string): Region {
  const [, name = '', gpa, size, hva, slotFlags, type, ...kind] = line.split(' ');
  const number = (text: string | undefined): number => Number.parseInt(text ?? '', 16);
  return {
    name,
    gpa: number(gpa),
    size: number(size),
    hva: number(hva),
    slotFlags: number(slotFlags),
    type: PAT_TYPES.find((t) => t === type) ?? null,
    kind: kind.join(' '),
  };
}

/** Reads what `runText` and `scenarioText` wrote. */
export function readRecording(text: string): Recording {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const [, kernel = '', vendor = '', tdp, legacy, quirks, maxphyaddr, cpuModel = '', hostPat] = (
    lines[0] ?? ''
  ).split(' ');
  const run: Run = {
    kernel,
    vendor,
    tdp: tdp === 'true',
    legacy: legacy === 'true',
    quirks: Number(quirks),
    maxphyaddr: Number(maxphyaddr),
    cpuModel,
    hostPat: hostPat === 'true',
    regions: lines.filter((line) => line.startsWith('region ')).map(regionOf),
  };
  const starts = lines.flatMap((line, i) => (line.startsWith('scenario ') ? [i] : []));
  const scenarios = starts.map((start, i) => {
    const own = lines.slice(start + 1, starts[i + 1]);
    const isEntry = (line: string): boolean => /^[=-] /.test(line);
    return {
      name: (lines[start] ?? '').slice('scenario '.length),
      marks: own.filter((line) => !isEntry(line)).map(markOf),
      entries: own.filter(isEntry),
    };
  });
  return { run, scenarios };
}

/** The entries that the simulated VM installs and zaps when the program does the same. */
export function replayed(
  recording: Recording,
  scenario: Recording['scenarios'][number],
): readonly string[] {
  const replay = new Replay(recording.run);
  for (const mark of scenario.marks) replay.mark(mark);
  replay.mark({ ev: 'end' });
  return replay.lines.map(entryLine).filter((line) => line !== null);
}
