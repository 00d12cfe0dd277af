import type { Severity, VerdictCode } from '../../resolve/verdict.ts';
import type { Diagnosis } from '../diagnosis/diagnose.ts';
import { exitCodeFor, FAIL_ON_DEFAULT, type FailOn } from '../diagnosis/exit-code.ts';
import { ifKnown } from '../fact.ts';
import type { DoctorFinding } from '../findings.ts';

/** What is kept of a host among many; the whole diagnosis is that of its file alone. */
export interface HostRow {
  readonly verdict: 'problem' | 'undetermined' | 'ok';
  readonly file: string;
  /** Without regard to what the run fails on. */
  readonly exitCode: 0 | 1 | 3;
  /** uname -r; null: not known. */
  readonly kernel: string | null;
  /** "ept", "npt", "shadow", "none" without KVM; null: not known. */
  readonly paging: string | null;
  /** Eras of KVM's rules that may hold; empty without KVM; null: not known. */
  readonly eras: readonly string[] | null;
  readonly vms: number;
  readonly regions: number;
  readonly findings: readonly DoctorFinding[];
  readonly undetermined: readonly string[];
}

/** A file that could not be read, or is no capture. */
export interface ErrorRow {
  readonly verdict: 'error';
  readonly file: string;
  readonly error: string;
}

export type FleetRow = HostRow | ErrorRow;

const VERDICT = { 0: 'ok', 1: 'problem', 3: 'undetermined' } as const;

export function hostRow(file: string, d: Diagnosis): HostRow {
  const exitCode = exitCodeFor(d, FAIL_ON_DEFAULT);
  const hasKvm = ifKnown(d.facts.kvm.present) !== false;
  return {
    verdict: VERDICT[exitCode],
    file,
    exitCode,
    kernel: ifKnown(d.facts.kernel)?.release ?? null,
    paging: hasKvm ? ifKnown(d.facts.kvm.paging) : 'none',
    eras: hasKvm ? d.policy.rules && [...new Set(d.policy.rules.map((r) => r.vmx.id))] : [],
    vms: d.vms.filter((v) => v.vm.evidence === 'fd').length,
    regions: d.vms.reduce((sum, vm) => sum + vm.regions.length, 0),
    findings: d.findings,
    undetermined: d.undetermined,
  };
}

/** Codes of a host: certain ones, then possible ones with a question mark; remarks that only may apply are left out. */
export function rowCodes({ findings }: HostRow): readonly string[] {
  const shown = findings.filter((f) => f.certain || f.severity !== 'info');
  const certain = new Set(shown.filter((f) => f.certain).map((f) => f.code));
  const possible = shown.filter((f) => !certain.has(f.code)).map((f) => `${f.code}?`);
  return [...new Set([...certain, ...possible])];
}

/** A code over all hosts. */
export interface CodeCount {
  readonly code: VerdictCode;
  readonly severity: Severity;
  readonly title: string;
  /** Hosts with a certain finding of this code, and hosts where it is possible only. */
  readonly certain: number;
  readonly possible: number;
}

/** One part of several. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly of: number;
}

/** More pods than any cluster gives a job. */
export const SHARDS_MAX = 1_000_000;

export interface FleetSummary {
  /** Files given, readable or not. */
  readonly files: number;
  readonly verdicts: Readonly<Record<FleetRow['verdict'], number>>;
  /** By code. */
  readonly codes: readonly CodeCount[];
  /** Hosts by their eras ("E9|E10" where several may hold, "none", "not known"), and by paging; by name. */
  readonly eras: Readonly<Record<string, number>>;
  readonly paging: Readonly<Record<string, number>>;
  readonly vms: number;
  /** "0/8"; null: all of the list. */
  readonly shard: string | null;
}

/** "E9|E10"; "none" without KVM. */
export function eraWord({ eras }: Pick<HostRow, 'eras'>): string {
  if (eras === null) return 'not known';
  return eras.length === 0 ? 'none' : eras.join('|');
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sorted(counts: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Counts over many hosts. Only counts are kept, and they do not depend on the order, so that rows of
 * several runs add up to what one run says.
 */
export class FleetTally {
  readonly #failOn: FailOn;
  readonly #verdicts = { problem: 0, undetermined: 0, ok: 0, error: 0 };
  readonly #codes = new Map<string, Writable<CodeCount>>();
  readonly #eras = new Map<string, number>();
  readonly #paging = new Map<string, number>();
  #files = 0;
  #vms = 0;
  #failed = false;
  #open = false;

  constructor(failOn: FailOn) {
    this.#failOn = failOn;
  }

  add(row: FleetRow): void {
    this.#files += 1;
    this.#verdicts[row.verdict] += 1;
    if (row.verdict === 'error') return;
    const exit = exitCodeFor(row, this.#failOn);
    if (exit === 1) this.#failed = true;
    if (exit === 3) this.#open = true;
    this.#vms += row.vms;
    bump(this.#eras, eraWord(row));
    bump(this.#paging, row.paging ?? 'not known');
    const certain = new Set(row.findings.filter((f) => f.certain).map((f) => f.code));
    for (const { code, severity, title } of new Map(
      row.findings.map((f) => [f.code, f]),
    ).values()) {
      const count = this.#codes.get(code) ?? { code, severity, title, certain: 0, possible: 0 };
      if (certain.has(code)) count.certain += 1;
      else count.possible += 1;
      this.#codes.set(code, count);
    }
  }

  summary(shard: Shard | null = null): FleetSummary {
    return {
      files: this.#files,
      verdicts: { ...this.#verdicts },
      codes: [...this.#codes.values()].sort((a, b) => (a.code < b.code ? -1 : 1)),
      eras: sorted(this.#eras),
      paging: sorted(this.#paging),
      vms: this.#vms,
      shard: shard === null ? null : `${shard.index}/${shard.of}`,
    };
  }

  /** 2 when a file could not be read: the run says less than was asked; then 1, then 3, as for one host. */
  exitCode(): 0 | 1 | 2 | 3 {
    if (this.#verdicts.error > 0) return 2;
    if (this.#failed) return 1;
    return this.#open ? 3 : 0;
  }
}
