import type { AuditCount, AuditRegion, AuditVm } from '../../audit/audit.ts';
import type { Written } from '../../audit/guest-state.ts';
import type { JoinRow } from '../../audit/host-pages.ts';
import type { Prediction } from '../../audit/predict.ts';
import type { VmId } from '../../audit/vms.ts';
import { u64ToHex } from '../../base/u64.ts';
import type { Json } from '../schema-parts.ts';
import type { AuditReport, ShownFinding } from './document.ts';
import { leftOpen } from './outcome.ts';

export const AUDIT_SCHEMA_VERSION = 1;

function countJson({ paging, memtype, ipat, patIndex, level, installs, first }: AuditCount): Json {
  return { paging, memtype, ipat, patIndex, level, installs, first };
}

/** A region as it stands in `regions`, and alone on a line of JSONL. */
export function regionJson(region: AuditRegion, vm: VmId): Json {
  const { gfnStart, gfnEnd, memtype, ipat, level, patIndex, writable, asId } = region;
  const { sure, since, until, changes, before } = region;
  return {
    vm,
    gfnStart,
    gfnEnd,
    memtype,
    ipat,
    level,
    patIndex,
    writable,
    asId,
    sure,
    since,
    until,
    changes,
    before: before === null ? null : { memtype: before.memtype, ipat: before.ipat },
  };
}

function findingJson(f: ShownFinding): Json {
  const { code, severity, title, vm, count, at, excerpt, text, agents, fix } = f;
  return {
    code,
    severity,
    title,
    vm,
    count,
    at,
    line: excerpt?.text ?? null,
    column: excerpt?.column ?? null,
    length: excerpt?.length ?? null,
    text,
    agents,
    fix,
  };
}

function writtenJson({ value, place, time, times }: Written): Json {
  return { value: u64ToHex(value), place, time, times };
}

function joinJson({ host, memtype, ipat, patIndex, installs, mixed, first }: JoinRow): Json {
  const { gfn, pfn, level, place, time } = first;
  return {
    host: { kind: host.kind, memtype: host.memtype },
    memtype,
    ipat,
    patIndex,
    installs,
    mixed,
    first: { gfn, pfn, level, place, time },
  };
}

function vmJson({ id, events, sptes, threads, counts, state, join, emulated }: AuditVm): Json {
  const { pat, cr0, mtrrs } = state.guest;
  return {
    vm: id,
    events,
    sptes,
    threads,
    removed: state.removals,
    mmioFaults: state.mmioFaults,
    mmioMarked: state.mmioMarked,
    zapAll: state.zapAll.times,
    counts: counts.map(countJson),
    guest: {
      pat: pat === null ? null : writtenJson(pat),
      cr0: cr0 === null ? null : writtenJson(cr0),
      mtrrs: mtrrs.map(([msr, written]) => ({ msr: msr.toString(16), ...writtenJson(written) })),
    },
    host: join.map(joinJson),
    emulated: emulated === null ? null : { count: emulated.count, gfn: emulated.gfn },
  };
}

function predictionJson(prediction: Prediction): Json {
  const { entries, predicted, open, mismatched, mismatches, unknown, rows } = prediction;
  return {
    entries,
    predicted,
    open,
    mismatched,
    mismatches: mismatches.map(
      ({ place, time, gfn, level, spte, slot, installed, expected, reasons }) => ({
        place,
        time,
        gfn,
        level,
        spte: u64ToHex(spte),
        slot,
        installed,
        expected,
        reasons,
      }),
    ),
    unknown,
    rows,
    contradictions: prediction.contradictions,
  };
}

/** What `audit --format json` prints of one trace: see `auditSchema`. */
export function auditJson(report: AuditReport): Json {
  const { source, result, findings, inferences, prediction } = report;
  const { file, form, unit, bytes, lines, about, damaged } = source;
  return {
    schemaVersion: AUDIT_SCHEMA_VERSION,
    file,
    form,
    unit,
    bytes,
    lines,
    about,
    events: result.events,
    sptes: result.sptes,
    paging: result.paging,
    toldBy: result.told,
    vmsAtLeast: result.least,
    unassigned: result.ambiguous,
    counts: result.counts.map(countJson),
    findings: findings.map(findingJson),
    undetermined: leftOpen(report),
    vms: result.vms.map(vmJson),
    inferences,
    gaps: { count: result.gapCount, lost: result.lost, first: result.gaps },
    unreadable: { count: result.unreadableCount, first: result.unreadable },
    damaged: damaged.map(({ what, count, isLoss, first }) => ({ what, count, isLoss, first })),
    otherEvents: Object.fromEntries([...result.others].sort(([a], [b]) => (a < b ? -1 : 1))),
    prediction: prediction === null ? null : predictionJson(prediction),
    regions: result.vms.flatMap((vm) => vm.regions.map((region) => regionJson(region, vm.id))),
  };
}
