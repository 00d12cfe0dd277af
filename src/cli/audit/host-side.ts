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
import { collectFirmware } from '../../host/collect.ts';
import { liveHost } from '../../host/live.ts';
import { PageFlagsFile } from '../../host/page-flags.ts';
import { Recorder } from '../../host/recorder.ts';
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

/** The page flags of some frames from one on; fewer, or undefined ones: they are not known. */
type FlagsOf = (pfn: number, pages: number) => readonly (U64 | undefined)[];

function pagesOf(facts: HostFacts, flagsOf: FlagsOf, kernel: KernelVersion): HostPages {
  const kindBy = (
    pfn: number,
    entry: U64 | undefined,
    slot: PageKind | null = null,
  ): PageKind | null => {
    if (isVga(pfn)) return VGA;
    if (entry === undefined) return slot;
    const { noPage, memtype, reserved, zeroPage, buddy } = decodePageFlags(entry, kernel);
    if (noPage) return pageless(pfn, facts) ?? slot;
    // A free frame: it was the guest's once, and says nothing of that time.
    if (buddy) return slot;
    return { kind: reserved && !zeroPage ? 'reserved' : 'ram', memtype };
  };
  const kindOf: HostPages['kindOf'] = (pfn, slot = null) => kindBy(pfn, flagsOf(pfn, 1)[0], slot);
  const alike = (pfn: number, pages: number): boolean | null => {
    const flags = flagsOf(pfn, pages);
    const first = kindBy(pfn, flags[0]);
    let isKnown = first !== null;
    for (let i = 1; i < pages; i += 1) {
      const other = kindBy(pfn + i, flags[i]);
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
  const captured: FlagsOf = (pfn, pages) =>
    Array.from({ length: pages }, (_, i) => flags.get(pfn + i));
  return {
    kernel,
    paging: ifKnown(facts.kvm.paging),
    pages: kernel === null || flags.size === 0 ? null : pagesOf(facts, captured, kernel),
    owners: owners.size === 0 ? undefined : owners,
  };
}

/** The frames of this machine, as long as it is looked at. */
export interface PagesHere {
  /** Null: its page flags cannot be read. */
  readonly pages: HostPages | null;
  readonly close: () => void;
}

/** What this machine says of a frame in the moment in which it is asked. */
export async function pagesHere(): Promise<PagesHere> {
  const host = liveHost();
  const recorder = new Recorder(host, null);
  await collectFirmware(recorder);
  const facts = gather(recorder.capture);
  host.close();
  const kernel = ifKnown(facts.kernel)?.version ?? null;
  let file: PageFlagsFile | null = null;
  try {
    file = kernel === null ? null : new PageFlagsFile();
  } catch {
    // Not root of the machine itself, or a kernel without it.
  }
  if (file === null || kernel === null) return { pages: null, close: () => {} };
  const flags = file;
  return {
    pages: pagesOf(facts, (pfn, pages) => flags.read(pfn, pages), kernel),
    close: () => flags.close(),
  };
}
