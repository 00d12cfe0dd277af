import { u64FromBytes } from '../../base/u64.ts';
import { parseCpuinfo } from '../../linux/text/cpuinfo.ts';
import { factsOf, type KernelLog, parseDmesg } from '../../linux/text/dmesg.ts';
import type { E820Entry } from '../../linux/text/e820.ts';
import { parseFirmwareMemmap } from '../../linux/text/firmware-memmap.ts';
import { type MtrrRange, parseMtrr } from '../../linux/text/mtrr.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import { MTRR_ENABLE } from '../../x86/mtrr.ts';
import { patLayout } from '../../x86/pat.ts';
import { hasSelfSnoopErratum } from '../../x86/self-snoop.ts';
import { type MtrrType, mtrrTypeOf } from '../../x86/types.ts';
import { MSR_MTRR_DEF_TYPE, MSR_PAT } from '../capture/reads.ts';
import { type Fact, known, refused, unknown } from '../fact.ts';
import type {
  Confidential,
  CpuFacts,
  FirmwareFacts,
  KernelFacts,
  Lockdown,
  PatFacts,
} from '../host-facts.ts';
import { attempt, type Gathering } from '../parse.ts';
import type { Readings } from '../reading.ts';

// ---- CPU --------------------------------------------------------------------------------------

/** The kernel filters the flag ss by the errata list from 5.3 on; before, we do. */
function usableSelfSnoop(cpu: Omit<CpuFacts, 'usableSelfSnoop'>): boolean | null {
  if (cpu.vendor !== 'intel' || cpu.selfSnoop === null) return null;
  if (!cpu.selfSnoop) return false;
  if (cpu.family === null || cpu.model === null) return null;
  return !hasSelfSnoopErratum(cpu.family, cpu.model);
}

export function gatherCpu(readings: Readings, gathering: Gathering): Fact<CpuFacts> {
  const file = '/proc/cpuinfo';
  const info = gathering.fact(readings.text(file), file, parseCpuinfo, 'partial');
  if (!info.known) return info;
  const { value } = info;
  if (value.vendorId === null && value.flags === null) {
    return unknown(`${file} says neither vendor nor flags`, 'look at the file; it may be damaged');
  }
  return known({ ...value, usableSelfSnoop: usableSelfSnoop(value) }, file);
}

/** CPUID.01H:ECX bit 31, as the flag hypervisor. */
export function gatherIsGuest(cpu: Fact<CpuFacts>): Fact<boolean> {
  if (!cpu.known) return cpu;
  const { hypervisor } = cpu.value;
  return hypervisor === null
    ? unknown('/proc/cpuinfo has no flags', 'look at the file; it may be damaged')
    : known(hypervisor, '/proc/cpuinfo, flag hypervisor');
}

const LOCKDOWN = '/sys/kernel/security/lockdown';
const LOCKDOWN_STATES: readonly Lockdown[] = ['none', 'integrity', 'confidentiality'];

/** The state in brackets: "none [integrity] confidentiality". */
export function gatherLockdown(readings: Readings): Fact<Lockdown> {
  const reading = readings.text(LOCKDOWN);
  if (!reading.ok) {
    const absent = 'nothing: the kernel has no lockdown, or securityfs is not mounted';
    return refused(LOCKDOWN, reading, { absent });
  }
  const state = LOCKDOWN_STATES.find((s) => reading.text.includes(`[${s}]`));
  if (state !== undefined) return known(state, LOCKDOWN);
  return unknown(`${LOCKDOWN} names no state that is known here`, 'look at the file');
}

// ---- kernel -----------------------------------------------------------------------------------

const DEBIAN = /\bDebian (\d+\.\d+(?:\.\d+)?)[-~+]/g;
/** "Ubuntu 5.15.0-91.101-generic 5.15.131": the stable version is the last word. */
const UBUNTU = /^Ubuntu \S+ (\d+\.\d+\.\d+)\s*$/g;

function sameSeries(a: KernelVersion, b: KernelVersion): boolean {
  return a.major === b.major && a.minor === b.minor;
}

/**
 * The stable version that a distribution's kernel is made from, where it says so and the release does
 * not. /proc/version names Debian's compiler as well, so that the series has to agree.
 */
function stableVersion(readings: Readings, release: KernelVersion): KernelFacts['stable'] {
  const files = [
    ['/proc/version', DEBIAN],
    ['/proc/version_signature', UBUNTU],
  ] as const;
  for (const [from, pattern] of files) {
    for (const [, text = ''] of (readings.word(from) ?? '').matchAll(pattern)) {
      const version = attempt(() => parseKernelVersion(text));
      if (version === null || !sameSeries(version, release)) continue;
      return compareVersions(version, release) === 0 ? null : { version, from };
    }
  }
  return null;
}

export function gatherKernel(readings: Readings): Fact<KernelFacts> {
  const { release } = readings.capture.uname;
  const version = attempt(() => parseKernelVersion(release));
  if (version === null) {
    return unknown(`uname -r: no kernel version in "${release.slice(0, 40)}"`, 'see uname -r');
  }
  return known({ release, version, stable: stableVersion(readings, version) }, 'uname -r');
}

// ---- boot log ---------------------------------------------------------------------------------

/** The facts of the last boot that the ring buffer still has. */
export function gatherLog(readings: Readings, gathering: Gathering): Fact<KernelLog> {
  const { log } = readings.capture;
  return gathering.fact(log, '/dev/kmsg', parseDmesg, 'partial', {
    denied: 'run doctor as root, or set kernel.dmesg_restrict=0',
  });
}

/** "Hypervisor detected: KVM". */
export function gatherHypervisor(log: Fact<KernelLog>): Fact<string> {
  if (!log.known) return log;
  const name = factsOf(log.value, 'hypervisor').at(-1)?.name;
  return name === undefined
    ? unknown('the boot log names none', 'look at dmesg from the boot on')
    : known(name.slice(0, 64), '/dev/kmsg');
}

const CONFIDENTIAL: readonly (readonly [RegExp, Confidential])[] = [
  [/TDX/, 'tdx'],
  [/SEV-SNP/, 'snp'],
  [/SEV/, 'sev'],
];

/** A TDX guest has a CPU flag; SEV is only told in "Memory Encryption Features active". */
export function gatherConfidential(
  cpu: Fact<CpuFacts>,
  log: Fact<KernelLog>,
): Fact<Confidential | null> {
  const flags = cpu.known ? cpu.value.flags : null;
  if (flags?.includes('tdx_guest')) return known('tdx', '/proc/cpuinfo, flag tdx_guest');
  if (!log.known) return log;
  const said = factsOf(log.value, 'memory-encryption').at(-1);
  const found = said && CONFIDENTIAL.find(([pattern]) => pattern.test(said.features));
  return known(found?.[1] ?? null, '/dev/kmsg');
}

// ---- PAT --------------------------------------------------------------------------------------

function msr(readings: Readings, index: number): ReturnType<typeof u64FromBytes> | null {
  const reading = readings.bytes('/dev/cpu/0/msr', index, 8);
  if (!reading.ok || reading.hex.length !== 16) return null;
  const bytes = reading.hex.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  return bytes.some(Number.isNaN) ? null : u64FromBytes(bytes);
}

function patEnabled(
  readings: Readings,
  cpu: Fact<CpuFacts>,
  log: Fact<KernelLog>,
  listPath: string,
): Fact<boolean> {
  if (readings.text(listPath).ok) return known(true, `${listPath} exists only with PAT`);
  if (log.known) {
    const off = factsOf(log.value, 'pat-off').at(-1);
    if (off !== undefined) return known(false, `/dev/kmsg: PAT off (${off.reason})`);
    if (factsOf(log.value, 'pat-layout').length > 0) {
      return known(true, '/dev/kmsg: PAT configured, and nothing switched it off');
    }
  }
  const commandLine = readings.word('/proc/cmdline');
  if (commandLine !== null && /(?:^|\s)nopat(?:\s|$)/.test(commandLine)) {
    return known(false, '/proc/cmdline: nopat');
  }
  const flag = cpu.known ? cpu.value.pat : null;
  if (flag === false) return known(false, '/proc/cpuinfo: no flag pat');
  if (flag === true && commandLine !== null) {
    return known(true, 'inferred: /proc/cpuinfo has pat, /proc/cmdline has no nopat');
  }
  return unknown(
    'neither the boot log nor debugfs could be read',
    'run doctor as root with debugfs mounted, or look for x86/PAT in dmesg',
  );
}

/** Whether PAT is on, and its layout where MSR or boot log give it. */
export function gatherPat(
  readings: Readings,
  cpu: Fact<CpuFacts>,
  log: Fact<KernelLog>,
  listPath: string,
): Fact<PatFacts> {
  const enabled = patEnabled(readings, cpu, log, listPath);
  const value = msr(readings, MSR_PAT);
  // 0 would be UC eight times: the kernel takes it for no PAT (9d34cfdf4796), as VMware answers without one.
  const isZero = value !== null && value.lo === 0 && value.hi === 0;
  const fromMsr = value === null || isZero ? null : patLayout(value);
  const fromLog = log.known ? (factsOf(log.value, 'pat-layout').at(-1)?.layout ?? null) : null;
  const off = log.known ? (factsOf(log.value, 'pat-off').at(-1)?.reason ?? null) : null;
  if (!enabled.known) return enabled;
  const layout = fromMsr ?? fromLog;
  const told = enabled.from.startsWith('/dev/kmsg') ? '' : '; /dev/kmsg';
  const source = fromMsr !== null ? '; MSR 277H' : fromLog !== null ? told : '';
  return known({ enabled: enabled.value, layout, off, isMsrZero: isZero }, enabled.from + source);
}

// ---- firmware ---------------------------------------------------------------------------------

const MTRR_REMEDIES = {
  absent: 'nothing: no MTRRs in this (virtual) CPU, or none in this kernel',
  error: 'nothing: the kernel has MTRRs disabled and lists none (see dmesg)',
} as const;

/** RAM would be uncached under any other default when only UC ranges are listed. */
function inferredDefault(ranges: readonly MtrrRange[] | null): Fact<MtrrType | null> | null {
  if (ranges === null || ranges.length === 0 || ranges.some((r) => r.type !== 'UC')) return null;
  return known(
    'WB',
    'inferred: /proc/mtrr lists UC ranges only, so that RAM is left to the default',
  );
}

function mtrrDefault(
  readings: Readings,
  log: Fact<KernelLog>,
  ranges: readonly MtrrRange[] | null,
): Fact<MtrrType | null> {
  const value = msr(readings, MSR_MTRR_DEF_TYPE);
  if (value !== null) {
    if ((value.lo & MTRR_ENABLE) === 0) return known(null, 'MSR 2FFH: MTRRs off');
    const type = mtrrTypeOf(value.lo & 0xff);
    if (type !== null) return known(type, 'MSR 2FFH');
  }
  if (log.known) {
    const said = factsOf(log.value, 'mtrr-default').at(-1);
    if (said !== undefined) return known(said.type, '/dev/kmsg');
    const off = factsOf(log.value, 'mtrr-off').at(-1);
    if (off !== undefined) return known(null, `/dev/kmsg: MTRRs off (${off.reason})`);
  }
  const inferred = inferredDefault(ranges);
  if (inferred !== null) return inferred;
  return unknown(
    '/proc/mtrr never shows the default type',
    'root and the module msr (MSR 2FFH), or mtrr=debug on the kernel command line',
  );
}

/** Printed in one block with the default type, so that a log with that block and no TOM2 tells, too. */
function tom2(log: Fact<KernelLog>): Fact<number | null> {
  if (!log.known) return log;
  const said = factsOf(log.value, 'tom2').at(-1);
  if (said !== undefined) return known(said.address, '/dev/kmsg');
  if (factsOf(log.value, 'mtrr-default').length > 0) return known(null, '/dev/kmsg');
  return unknown('the boot log has no block of MTRRs', 'mtrr=debug on the kernel command line');
}

function memmapText(readings: Readings): string | null {
  const directory = '/sys/firmware/memmap';
  const entries = readings.list(directory);
  if (!entries.ok) return null;
  const lines = entries.names.map((name) => {
    const word = (file: string): string => readings.word(`${directory}/${name}/${file}`) ?? '';
    return `${word('start')}-${word('end')} ${word('type')}\n`;
  });
  return lines.join('');
}

function memmap(readings: Readings, gathering: Gathering): Fact<readonly E820Entry[]> {
  const file = '/sys/firmware/memmap';
  const list = readings.list(file);
  if (!list.ok) return refused(file, list, {});
  const text = memmapText(readings) ?? '';
  const map = gathering.fact({ ok: true, text, cut: false }, file, parseFirmwareMemmap, 'whole');
  return map.known ? known(map.value.entries, file) : map;
}

export function gatherFirmware(
  readings: Readings,
  gathering: Gathering,
  log: Fact<KernelLog>,
): FirmwareFacts {
  const file = '/proc/mtrr';
  const list = gathering.fact(readings.text(file), file, parseMtrr, 'whole', MTRR_REMEDIES);
  return {
    mtrrs: list.known ? known(list.value.ranges, file) : list,
    oddMtrrs: gathering.oddLines(file),
    mtrrDefault: mtrrDefault(readings, log, list.known ? list.value.ranges : null),
    memmap: memmap(readings, gathering),
    isReadOnly: log.known && factsOf(log.value, 'mtrr-read-only').length > 0,
    tom2: tom2(log),
  };
}
