import { readdirSync, readFileSync } from 'node:fs';
import { type Diagnosis, diagnose } from '../src/doctor/diagnosis/diagnose.ts';
import type { RegionDiagnosis } from '../src/doctor/diagnosis/region-diagnosis.ts';
import { gather } from '../src/doctor/gather.ts';
import type { Capture } from '../src/doctor/reading.ts';
import { collect } from '../src/host/collect.ts';
import { describedHost, type HostDescription } from '../src/host/described-host.ts';

/** What the machine's own KVM did with the memory that starts here. */
interface Truth {
  readonly region: string;
  readonly isMmio: boolean;
  readonly memtype?: number;
  readonly ipat?: boolean;
  readonly patBits?: number;
}

type Fixture = HostDescription & { readonly truth?: Readonly<Record<string, Truth>> };

const DIRECTORY = new URL('../src/doctor/fixtures/', import.meta.url);

/** The hosts that were captured, by name. */
export const HOSTS: readonly string[] = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.slice(0, -'.json'.length));

/** @throws Error when no host of that name was captured. */
export function load(name: string): Fixture {
  const text = readFileSync(new URL(`${name}.json`, DIRECTORY), 'utf8');
  return JSON.parse(text) as Fixture;
}

/** What was read of the host of that name. */
export async function captured(name: string): Promise<Capture> {
  return collect(describedHost(load(name)), null);
}

/** What doctor finds on a host. */
export async function examine(
  host: HostDescription,
  pid: number | null = null,
): Promise<Diagnosis> {
  return diagnose(gather(await collect(describedHost(host), pid)));
}

type Change = {
  readonly [K in 'files' | 'links' | 'directories']?: Readonly<Record<string, unknown>>;
} & { readonly kvm?: HostDescription['kvm']; readonly release?: string };

/** A host with some of its files, links and directories replaced. */
export function changed(host: HostDescription, change: Change): HostDescription {
  return {
    ...host,
    uname: { ...host.uname, release: change.release ?? host.uname.release },
    files: { ...host.files, ...change.files } as HostDescription['files'],
    links: { ...host.links, ...change.links } as HostDescription['links'],
    directories: { ...host.directories, ...change.directories } as Readonly<
      Record<string, readonly string[] | null>
    >,
    ...(change.kvm === undefined ? {} : { kvm: change.kvm }),
  };
}

/** The first region whose name has the part. @throws Error when there is none. */
export function regionNamed(d: Diagnosis, part: string): RegionDiagnosis {
  const found = d.vms.flatMap((vm) => vm.regions).find((r) => r.region.name.includes(part));
  if (found === undefined) throw new Error(`no region ${part}`);
  return found;
}

/** "WB>WB WC>WC+" of a region. */
export function typesOf({ answers }: RegionDiagnosis): string {
  return answers.map((a) => `${a.asks}>${a.types.join('|')}`).join(' ');
}

/** Codes of the findings: certain ones, then the others with a question mark. */
export function codesOf(d: Diagnosis): readonly string[] {
  return [...new Set(d.findings.map((f) => `${f.code}${f.certain ? '' : '?'}`))];
}

/** The test VMM of a fixture called QEMU, so that its options say that the quirk is in force. */
export function asQemu(host: HostDescription, ...options: readonly string[]): HostDescription {
  const argv = ['qemu-system-x86_64', '-accel', 'kvm', ...options, ''];
  return changed(host, {
    links: { '/proc/100/exe': '/usr/bin/qemu-system-x86_64' },
    files: { '/proc/100/cmdline': argv.join('\0') },
  });
}

/** One mapping, and nothing else, in the test VMM called QEMU. */
export function mapping(host: HostDescription, line: string, ...options: readonly string[]) {
  const files = { '/proc/100/maps': `${line}\n`, '/proc/100/smaps': { error: 'EIO' } };
  return changed(asQemu(host, ...options), { files });
}
