import type { SourceId } from '../../cite/sources.ts';
import type { MapInfo } from '../../facts/facts.ts';
import { spteDigits } from '../../kvm/spte-reading.ts';
import type { AccessType } from '../../machine/types.ts';
import type { Accessor, Backdrop, Region, StageAccess } from '../compile.ts';
import type { Actor, StageEvent } from '../happening.ts';
import type { StageInstruction } from '../instruction.ts';
import type { Program } from '../scenario.ts';
import { effectiveOf } from './effective.ts';
import { type MtrrPlanned, programMtrrs } from './firmware.ts';
import { type GuestMapping, guestPat, mapBlob } from './guest-kernel.ts';
import { GuestMachine } from './guest-machine.ts';
import { type HostPage, hostPage } from './host.ts';
import { type Assumed, type Known, Undetermined } from './known.ts';
import {
  askForGuestPat,
  cacheSwitches,
  flagSlot,
  hostQuirks,
  mapInfoOf,
  possibleMapInfo,
  vendorOf,
  vmmOf,
} from './vmm.ts';

/** Everything in front of which a program runs. */
export interface Stage {
  /** Null: somebody refused. */
  readonly backdrop: Backdrop | null;
  /** Who refused what, in words. */
  readonly refused: string | null;
  readonly mapping: GuestMapping | null;
  readonly page: HostPage;
  /** What KVM installed for the blob at its first touch; null: it was not touched. */
  readonly leaf: string | null;
  /** What happened before the program. */
  readonly events: readonly StageEvent[];
  /** What was not said, and taken at its initial state. */
  readonly assumed: readonly Assumed[];
}

/** Somebody refuses: there is no run. */
export class Refusal extends Error {}

class Script {
  readonly events: StageEvent[] = [];

  tell(
    step: number | null,
    who: Actor,
    what: string,
    source: SourceId,
    more: Partial<Pick<StageEvent, 'type' | 'trace'>> = {},
  ): void {
    this.events.push({ step, who, what, sources: [source], type: null, trace: [], ...more });
  }

  refuse(step: number, who: Actor, what: string, source: SourceId): never {
    this.tell(step, who, what, source);
    throw new Refusal(what);
  }

  /** What was told since. */
  since(count: number): readonly StageEvent[] {
    return this.events.slice(count);
  }
}

const JOINS = 'a device whose DMA is not coherent joins the VM';

const SNOOP_WORDS = {
  snoop: 'the GPU snoops it',
  nosnoop: 'the GPU does not snoop it',
  none: 'no device reaches it',
} as const;

class Staging {
  readonly script = new Script();
  readonly known: Known;
  readonly program: Program;
  readonly planned: MtrrPlanned;
  readonly page: HostPage;
  mapping: GuestMapping | null = null;
  leaf: string | null = null;

  constructor(known: Known, program: Program) {
    this.known = known;
    this.program = program;
    this.planned = programMtrrs(known);
    this.page = hostPage(known);
  }

  #mapInfo(): MapInfo {
    return mapInfoOf(this.known, this.page.backing);
  }

  /** Steps 1 to 8. */
  set(): Backdrop {
    const { known, script, planned, page } = this;
    const rules = known.rules();
    const quirks = hostQuirks(known, rules);
    const vmm = vmmOf(known);
    script.tell(1, 'FW', planned.words, 'sdm/mtrr-precedence');
    const pat = guestPat(known);
    script.tell(1, 'GK', `PAT ${pat.join(' ')}`, 'linux/pat_bp_init');
    const request = askForGuestPat(known, quirks);
    if (request.refuses) script.refuse(2, 'VM', request.words, request.source);
    const machine = new GuestMachine(known, rules, quirks, page, planned);
    script.tell(2, 'VM', `${vmm?.title ?? 'a VMM'}: ${request.words}`, request.source);
    if (request.asks) this.#disableQuirk(machine, 2);
    if (known.ask('noncoherent-dma')) {
      this.#change(machine, 3, JOINS, 'kvm/vfio.c', () => machine.attach());
    }
    if (!known.ask('noncoherent-dma') && known.ask('assigned-device')) machine.assign();
    this.#allocate();
    this.#mapIntoGuest(machine);
    if (known.ask('cr0-cd')) {
      script.tell(8, 'guest', 'sets CR0.CD', 'sdm/ept-types');
      machine.setCd(true);
    }
    this.#touch(machine, 8, 'blob', false);
    if (this.program.memory.ram.length > 0) this.#touch(machine, 8, 'ram', false);
    return this.#backdrop(machine);
  }

  #allocate(): void {
    const { script, page, known } = this;
    const { backing, memtype, vmm } = page;
    const device = known.said('device');
    const how = device === null ? '' : `; ${SNOOP_WORDS[device]}`;
    const words = `${backing.id}: tracked ${memtype}, VMM maps ${vmm}${how}`;
    script.tell(4, 'HK', words, backing.sources[0], { type: memtype });
  }

  #mapIntoGuest(machine: GuestMachine): void {
    const { script, known } = this;
    const slot = flagSlot(known, known.rules(), () => this.#mapInfo());
    if (slot.einval === 'fails') {
      script.refuse(
        6,
        'VM',
        'MAP_BLOB fails: KVM answers EINVAL to the memslot flag',
        'crosvm/noncoherent-dma',
      );
    }
    if (slot.einval === 'retries') {
      script.tell(
        6,
        'KVM',
        'EINVAL for KVM_MEM_NON_COHERENT_DMA; crosvm goes on without',
        'crosvm/retry',
      );
    }
    machine.addSlot({ noncoherent: slot.flag, hostMemtype: known.ask('slot-host-memtype') });
    const info = possibleMapInfo(known, this.page.backing).join(' or ').toUpperCase();
    const answer = info === '' ? '' : `, answers map_info ${info}`;
    if (info !== '') script.tell(5, 'guest', 'CREATE_BLOB (HOST3D, USE_MAPPABLE)', 'virtio/blob');
    const flag = slot.flag ? ' with KVM_MEM_NON_COHERENT_DMA' : '';
    script.tell(6, 'VM', `makes a memslot of it${flag}${answer}`, 'qemu/virgl-blob');
    const mapping = mapBlob(known, this.planned, () => this.#mapInfo());
    this.mapping = mapping;
    const { granted, words, source } = mapping;
    if (granted === null) script.refuse(7, 'GK', words, source);
    script.tell(7, 'GK', words, source, { type: granted });
    machine.mapInGuest(mapping);
  }

  #disableQuirk(machine: GuestMachine, step: number | null): void {
    const ok = machine.disableQuirk();
    const words = ok
      ? 'IGNORE_GUEST_PAT is disabled'
      : 'EINVAL: IGNORE_GUEST_PAT cannot be disabled here';
    this.script.tell(step, 'KVM', words, 'kvm/x86.c-quirks');
  }

  /** Something that KVM hears of, and whether it drops what it has mapped. */
  #change(
    machine: GuestMachine,
    step: number | null,
    words: string,
    source: SourceId,
    change: () => void,
  ): void {
    const { trace, zapped } = machine.during(change);
    const what = step === null ? `${words}; KVM ${zapped ? 'zaps' : 'zaps nothing'}` : words;
    this.script.tell(step, 'KVM', what, source, { trace });
  }

  /** An access of the guest, with the fault and the mapping that it takes. */
  #touch(machine: GuestMachine, step: number | null, region: Region, write: boolean): StageAccess {
    const { script } = this;
    const before = script.events.length;
    const touched = machine.access(region, write);
    if (touched.failed !== null) {
      if (step === null) throw new Refusal(touched.failed);
      script.refuse(step, 'KVM', touched.failed, 'kvm/make_spte');
    }
    const { type, typed, spte, trace, faulted } = touched;
    if (faulted) {
      const name = region === 'blob' ? 'the blob' : 'RAM';
      if (region === 'blob' && this.leaf === null) this.leaf = typed.leaf;
      const entry = `${typed.leaf} (SPTE ${spteDigits(spte)})`;
      const words = `maps ${name}: ${entry}; the guest's accesses are ${effectiveOf(type)}`;
      script.tell(step, 'KVM', words, 'kvm/make_spte', { type: effectiveOf(type), trace });
    }
    return { type, faulted, events: script.since(before) };
  }

  #act(machine: GuestMachine, act: StageInstruction): readonly StageEvent[] {
    const before = this.script.events.length;
    const change = (words: string, source: SourceId, job: () => void): void =>
      this.#change(machine, null, words, source, job);
    switch (act.op) {
      case 'attach':
        change(JOINS, 'kvm/vfio.c', () => machine.attach());
        break;
      case 'detach':
        change('the device leaves the VM', 'kvm/vfio.c', () => machine.detach());
        break;
      case 'quirk-off':
        this.#disableQuirk(machine, null);
        break;
      case 'remap':
        change('the MMU notifier tells of a change', 'kvm/mmu-notifier', () => machine.remap());
        break;
      case 'cd': {
        const { on } = act;
        change(`CR0.CD=${on ? 1 : 0}`, 'kvm/b18d5431acc7', () => machine.setCd(on));
        break;
      }
    }
    return this.script.since(before);
  }

  /** Step 10. */
  #end(machine: GuestMachine): readonly StageEvent[] {
    const before = this.script.events.length;
    const { trace, zapped } = machine.during(() => machine.removeSlot());
    const what = `deletes the memslot; KVM ${zapped ? 'zaps its mapping' : 'had nothing mapped'}`;
    this.script.tell(10, 'VM', what, 'kvm/set-memory-region', { trace });
    return this.script.since(before);
  }

  #backdrop(machine: GuestMachine): Backdrop {
    const { known, program } = this;
    const vendor = vendorOf(known);
    const device = known.said('device');
    const hasGpu = program.parts.some((p) => p.agent === 'gpu');
    if (hasGpu && device === null) known.ask('device');
    if (hasGpu && device === 'none' && !this.page.device) {
      throw new Undetermined([
        {
          severity: 'error',
          message: `undetermined: ${program.name} has a GPU, and device is none`,
          help: 'say device: snoop or nosnoop',
        },
      ]);
    }
    return {
      vendor,
      switches: cacheSwitches(vendor, vendor === 'intel' && known.ask('self-snoop')),
      snoop: device === 'snoop',
      access: (accessor: Accessor, region: Region, write: boolean): StageAccess => {
        if (accessor === 'guest') return this.#touch(machine, null, region, write);
        const type: AccessType = machine.vmmType(region);
        return { type, faulted: false, events: [] };
      },
      act: (act) => this.#act(machine, act),
      end: () => this.#end(machine),
    };
  }
}

/**
 * Firmware, guest kernel, VMM, host and KVM, one after the other, up to the first touch of the blob.
 *
 * @throws Undetermined when a fact that somebody looks at has no single value
 */
export function setStage(known: Known, program: Program): Stage {
  const staging = new Staging(known, program);
  const { page, script } = staging;
  try {
    const backdrop = staging.set();
    const { mapping, leaf } = staging;
    const events = [...script.events];
    return { backdrop, refused: null, mapping, page, leaf, events, assumed: known.assumed };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { mapping, leaf } = staging;
    const refused = error.message;
    return {
      backdrop: null,
      refused,
      mapping,
      page,
      leaf,
      events: script.events,
      assumed: known.assumed,
    };
  }
}
