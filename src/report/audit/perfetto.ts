import type { Happening, Stretch } from '../../audit/stretches.ts';
import type { VmId } from '../../audit/vms.ts';
import { u64ToHex } from '../../base/u64.ts';
import { count } from '../doctor-words.ts';
import { LEVEL_WORDS, leafName, type ShownFinding, type TraceSource } from './document.ts';

/** Track event and counter names; the numbers of processes and threads are running ones. */
interface Process {
  readonly pid: number;
  readonly tracks: Map<string, Track>;
}

interface Track {
  readonly pid: number;
  readonly tid: number;
  /** Where its last slice ends. */
  end: number;
}

/** Microseconds with three digits behind the point, as the format has them. */
function micros(seconds: number): number {
  return Math.round(seconds * 1e9) / 1e3;
}

const FINDINGS = 'findings';
const GUEST = 'the guest writes';
const KVM = 'KVM';

/**
 * The Trace Event Format that ui.perfetto.dev opens, written as a trace is read: a process for each VM, a
 * thread for each type and level with a slice for each stretch of installed entries, and counters.
 */
export class PerfettoTrace {
  readonly #write: (text: string) => void;
  readonly #version: string;
  readonly #processes = new Map<string, Process>();
  #file = '';
  #isTimed = true;
  #isOpen = false;
  #first: number | null = null;
  #overlaps = 0;

  /** @param version of memtype */
  constructor(write: (text: string) => void, version: string) {
    this.#write = write;
    this.#version = version;
  }

  begin(file: string): void {
    this.#file = file;
    this.#first = null;
  }

  /** @param isTimed false: the numbers of events stand for times */
  take(event: Stretch | Happening, isTimed: boolean): void {
    this.#isTimed = isTimed;
    this.#first ??= event.is === 'stretch' ? event.start : event.at;
    if (event.is === 'stretch') this.#stretch(event);
    else this.#happening(event);
  }

  findings(findings: readonly ShownFinding[], { unit }: TraceSource): void {
    for (const { vm, at, code, severity, title, text, fix, excerpt } of findings) {
      const args = { severity, text, fix, [unit]: at?.place ?? null, event: excerpt?.text ?? null };
      const when = at === null ? null : this.#isTimed ? at.time : at.place;
      this.#instant(vm, FINDINGS, `${code} ${title}`, when ?? this.#first ?? 0, args);
    }
  }

  end(): void {
    if (!this.#isOpen) this.#head();
    this.#write('\n]}\n');
  }

  #head(): void {
    const otherData = { tool: `memtype ${this.#version}` };
    this.#write(`{"displayTimeUnit":"ns","otherData":${JSON.stringify(otherData)},"traceEvents":[`);
  }

  #event(event: object): void {
    if (!this.#isOpen) this.#head();
    this.#write(`${this.#isOpen ? ',' : ''}\n${JSON.stringify(event)}`);
    this.#isOpen = true;
  }

  #ts(time: number): number {
    return this.#isTimed ? micros(time) : time;
  }

  #process(vm: VmId): Process {
    const key = `${vm} ${this.#file}`;
    const known = this.#processes.get(key);
    if (known !== undefined) return known;
    const pid = this.#processes.size + 1;
    const name = vm === null ? this.#file : `VM ${vm} (${this.#file})`;
    this.#event({ ph: 'M', name: 'process_name', pid, tid: 0, args: { name } });
    const made = { pid, tracks: new Map<string, Track>() };
    this.#processes.set(key, made);
    return made;
  }

  #track(vm: VmId, name: string): Track {
    const { pid, tracks } = this.#process(vm);
    const known = tracks.get(name);
    if (known !== undefined) return known;
    const made = { pid, tid: tracks.size + 1, end: Number.NEGATIVE_INFINITY };
    tracks.set(name, made);
    this.#event({ ph: 'M', name: 'thread_name', pid, tid: made.tid, args: { name } });
    return made;
  }

  #instant(vm: VmId, track: string, name: string, time: number, args: object): void {
    const { pid, tid } = this.#track(vm, track);
    this.#event({ ph: 'i', s: 't', name, cat: track, pid, tid, ts: this.#ts(time), args });
  }

  #stretch({ vm, type, level, start, end, installs, total, ...where }: Stretch): void {
    const name = `${leafName(type)} ${LEVEL_WORDS[level] ?? `level ${level}`}`;
    const { firstGfn, lastGfn, place } = where;
    const gfns = { firstGfn: `0x${firstGfn.toString(16)}`, lastGfn: `0x${lastGfn.toString(16)}` };
    const args = { installs, ...gfns, place };
    const track = this.#track(vm, name);
    const { pid, tid } = track;
    const ts = this.#ts(start);
    const until = this.#ts(end);
    const slice = { name, cat: 'installed', pid, tid };
    if (ts === until) this.#event({ ph: 'i', s: 't', ...slice, ts, args });
    else if (ts < track.end) {
      // The clock went back: slices of a thread must not overlap, asynchronous ones may.
      this.#overlaps += 1;
      const id = this.#overlaps;
      this.#event({ ph: 'b', ...slice, id, ts, args });
      this.#event({ ph: 'e', ...slice, id, ts: until, args: {} });
    } else {
      track.end = until;
      this.#event({ ph: 'X', ...slice, ts, dur: Math.round((until - ts) * 1000) / 1000, args });
    }
    const counter = { name: `installed ${name}`, pid, tid, ts: until };
    this.#event({ ph: 'C', ...counter, args: { entries: total } });
  }

  #happening({ is, vm, at, place, key, hi, lo }: Happening): void {
    if (is === 'register') {
      const name = key === 0 ? 'CR0' : key === 0x277 ? 'PAT' : `MTRR ${key.toString(16)}`;
      const value = u64ToHex({ hi, lo });
      this.#instant(vm, GUEST, `${name} = ${value}`, at, { place });
    } else if (is === 'lost events') {
      const words = key < 0 ? 'events lost' : `${count(key, 'event')} lost`;
      this.#instant(vm, KVM, words, at, { place });
    } else this.#instant(vm, KVM, 'all entries zapped', at, { place });
  }
}
