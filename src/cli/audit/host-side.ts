import { type HostPages, isVga, type PageKind, VGA } from '../../audit/host-pages.ts';
import type { AuditPaging } from '../../audit/paging.ts';
import { type U64, u64FromHex } from '../../base/u64.ts';
import { reduce } from '../../doctor/capture/mask.ts';
import { ifKnown } from '../../doctor/fact.ts';
import { gather } from '../../doctor/gather.ts';
import type { HostFacts } from '../../doctor/host-facts.ts';
import { Readings } from '../../doctor/reading.ts';
import { tasksPath } from '../../doctor/trace/trace-facts.ts';
import { KPAGEFLAGS } from '../../doctor/vms/sample.ts';
import { decodePageFlags } from '../../linux/text/kpageflags.ts';
import type { KernelVersion } from '../../linux/version.ts';
import { readCaptureFile } from '../read-capture.ts';

/** What a capture says of the host that was traced. */
export interface HostSide {
  readonly kernel: KernelVersion | null;
  readonly paging: AuditPaging | null;
  /** Null: no page flags were captured. */
  readonly pages: HostPages | null;
  /** VM of each thread; undefined: no VM was seen. */
  readonly owners: ReadonlyMap<number, number> | undefined;
}

const DIGITS = 16;
const ENTRY = 8;
const PAGE = 4096;

function entryOf(hex: string): U64 | null {
  return u64FromHex((hex.match(/../g) ?? []).reverse().join(''));
}

/** Page flags that were captured, by frame. */
function flagsOf(readings: Readings): ReadonlyMap<number, U64> {
  const flags = new Map<number, U64>();
  for (const { offset, reading } of readings.pieces(KPAGEFLAGS)) {
    if (!reading.ok) continue;
    for (let at = 0; at + DIGITS <= reading.hex.length; at += DIGITS) {
      const entry = entryOf(reading.hex.slice(at, at + DIGITS));
      if (entry !== null) flags.set((offset + at / 2) / ENTRY, entry);
    }
  }
  return flags;
}

/** A frame without a page: RAM that the firmware lists and Linux does not use, or a device. */
function pageless(pfn: number, facts: HostFacts): PageKind | null {
  const map = ifKnown(facts.firmware.memmap);
  if (map === null) return null;
  const address = pfn * PAGE;
  const entry = map.find((e) => e.start <= address && address <= e.endInclusive);
  if (entry?.type === 'reserved' || entry?.type === 'other') return null;
  return { kind: entry === undefined ? 'device' : 'hidden-ram', memtype: null };
}

function pagesOf(
  facts: HostFacts,
  flags: ReadonlyMap<number, U64>,
  kernel: KernelVersion,
): HostPages {
  const kindOf: HostPages['kindOf'] = (pfn, slot = null) => {
    if (isVga(pfn)) return VGA;
    const entry = flags.get(pfn);
    if (entry === undefined) return slot;
    const { noPage, memtype, reserved, zeroPage } = decodePageFlags(entry, kernel);
    if (noPage) return pageless(pfn, facts) ?? slot;
    return { kind: reserved && !zeroPage ? 'reserved' : 'ram', memtype };
  };
  const alike = (pfn: number, pages: number): boolean | null => {
    const first = kindOf(pfn);
    let isKnown = first !== null;
    for (let i = 1; i < pages; i += 1) {
      const other = kindOf(pfn + i);
      if (other === null) isKnown = false;
      else if (first !== null && (other.kind !== first.kind || other.memtype !== first.memtype))
        return false;
    }
    return isKnown ? true : null;
  };
  return { kindOf, alike };
}

/**
 * The side of the host, out of a capture file.
 *
 * @throws InputError when it is none
 */
export async function readHostSide(path: string): Promise<HostSide> {
  const { capture } = await readCaptureFile(path);
  const reduced = reduce(capture);
  const readings = new Readings(reduced);
  const facts = gather(reduced);
  const kernel = ifKnown(facts.kernel)?.version ?? null;
  const owners = new Map<number, number>();
  for (const { pid } of facts.vms) {
    owners.set(pid, pid);
    const list = readings.list(tasksPath(pid));
    for (const name of list.ok ? list.names : []) owners.set(Number(name), pid);
  }
  const flags = flagsOf(readings);
  return {
    kernel,
    paging: ifKnown(facts.kvm.paging),
    pages: kernel === null || flags.size === 0 ? null : pagesOf(facts, flags, kernel),
    owners: owners.size === 0 ? undefined : owners,
  };
}
