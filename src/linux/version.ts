import { refuse } from '../base/diagnostic.ts';

/**
 * How far the version string tells which KVM code runs.
 *
 * - `exact`: a mainline or stable version as it stands
 * - `series`: the distribution hides the stable patch level behind its own ABI number
 * - `backports`: the distribution takes whole subsystems from later kernels
 */
export type VersionTrust = 'exact' | 'series' | 'backports';

export interface KernelVersion {
  /** As given, without what stands before and after it in a banner. */
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Release candidate, or null for a release. */
  readonly rc: number | null;
  readonly trust: VersionTrust;
  /** Why the trust is not `exact`, or what a local suffix means. */
  readonly note: string | null;
}

const VERSION =
  /^(?:[Ll]inux[- ]?(?:version )?|v)?(\d{1,3})\.(\d{1,4})(?:\.(\d{1,5}))?(?:\.\d{1,5})?(?:-?rc(\d{1,3}))?(\S*)/;

/** A candidate named inside of a package's own suffix: "-0.rc3.30.fc42", "-061100rc3-generic", "~rc3-1". */
const INNER_RC = /(?:[.~-]|-\d{6})rc(\d{1,3})\b/;

interface Distribution {
  readonly suffix: RegExp;
  readonly trust: VersionTrust;
  readonly note: string;
}

/** First match decides. Sources: the naming rules of the distributions' kernel packages. */
const DISTRIBUTIONS: readonly Distribution[] = [
  {
    suffix: /\+deb\d+/,
    trust: 'exact',
    note: 'a Debian kernel: the patch level is the stable one',
  },
  {
    suffix: /^-[\w.~]+(?:-cloud|-rt|-pae)*-(?:amd64|686(?:-pae)?)(?:-unsigned)?$/,
    trust: 'series',
    note: 'a Debian ABI name: the stable patch level is not in it (see /proc/version)',
  },
  {
    suffix: /\.el\d+|\.amzn2\.|\.oe\d|\.an\d+|\.tl\d+|uek/,
    trust: 'backports',
    note: 'a RHEL-style kernel: KVM comes from later versions than the number says',
  },
  {
    suffix: /^-\d{2,}(?:\.\d+)+(?:\.g[0-9a-f]+)?-default/,
    trust: 'backports',
    note: 'a SUSE Linux Enterprise kernel: fixes and features are backported under one number',
  },
  {
    suffix: /^-\d{6}(?:rc\d+)?-generic$/,
    trust: 'exact',
    note: 'an Ubuntu mainline build: the patch level is the stable one',
  },
  {
    suffix:
      /^-\d+(?:[.~][\w.~]+)?-(?:generic|lowlatency|aws|azure|gcp|gke|oracle|kvm|oem|hwe|nvidia|raspi|virtual|server)/,
    trust: 'series',
    note: 'an Ubuntu ABI name: the stable patch level is not in it (see /proc/version_signature)',
  },
  {
    suffix: /-pve$/,
    trust: 'series',
    note: 'a Proxmox kernel: built from an Ubuntu tree, with its own patches',
  },
];

const LOCAL = 'a local version suffix: the tree may have been changed';

/**
 * A kernel version as `uname -r`, `--kernel` or a changelog writes it: "6.12.80", "5.15.0-91-generic",
 * "6.1.0-18-amd64", "6.11-rc3", "2.6.32-5-amd64".
 *
 * @throws InputError when there is no version in it.
 */
export function parseKernelVersion(text: string): KernelVersion {
  const match = VERSION.exec(text.trim());
  if (match === null) {
    refuse(
      `not a kernel version: "${text.slice(0, 80)}"`,
      'give something like 6.8, 6.12.80 or 5.15.0-91-generic',
    );
  }
  const [, major, minor, patch, rc, suffix = ''] = match;
  if (suffix !== '' && !/^[-+._~\w]+$/.test(suffix)) {
    refuse(
      `"${suffix}" cannot follow a kernel version in "${text.slice(0, 80)}"`,
      'give something like 6.8, 6.12.80 or 5.15.0-91-generic',
    );
  }
  const rest = text.trim().slice(match[0].length);
  if (rest !== '' && !/^linux version /i.test(text.trim())) {
    refuse(
      `"${rest.trim().slice(0, 40)}" cannot follow a kernel version in "${text.slice(0, 80)}"`,
      'give something like 6.8, 6.12.80 or 5.15.0-91-generic',
    );
  }
  const distribution = DISTRIBUTIONS.find((d) => d.suffix.test(suffix));
  const candidate = rc ?? INNER_RC.exec(suffix)?.[1];
  const name = match[0].replace(/^linux[- ]?(?:version )?/i, '');
  return {
    text: name,
    major: Number(major),
    minor: Number(minor),
    patch: Number(patch ?? 0),
    rc: candidate === undefined ? null : Number(candidate),
    trust: distribution?.trust ?? 'exact',
    note: distribution?.note ?? (suffix === '' ? null : LOCAL),
  };
}

type Position = Pick<KernelVersion, 'major' | 'minor' | 'patch' | 'rc'>;

/** A release comes after all its candidates. */
function candidate({ rc }: Position): number {
  return rc ?? Number.POSITIVE_INFINITY;
}

/** Negative when `a` comes before `b`: 6.12-rc1 < 6.12 < 6.12.78 < 6.13-rc1. 2.6.x are series of their own. */
export function compareVersions(a: Position, b: Position): number {
  if (a.major !== b.major) return a.major - b.major;
  if (a.minor !== b.minor) return a.minor - b.minor;
  if (a.major === 2 && a.patch !== b.patch) return a.patch - b.patch;
  if (a.rc !== b.rc) return candidate(a) < candidate(b) ? -1 : 1;
  return a.patch - b.patch;
}

/** Whether both are of one series: 6.12 and 6.12.78, 2.6.32 and 2.6.32.61. */
export function sameSeries(a: KernelVersion, b: KernelVersion): boolean {
  if (a.major !== b.major || a.minor !== b.minor) return false;
  return a.major !== 2 || a.patch === b.patch;
}
