import { u64FromNumber } from '../src/base/u64.ts';
import { vmConfig } from '../src/kvm/mmu/config.ts';
import { createVm, guestAccess } from '../src/kvm/mmu/create.ts';
import { RAM_FRAME } from '../src/kvm/mmu/frames.ts';
import { ftraceWriter } from '../src/kvm/mmu/ftrace.ts';
import { createVcpu, writeCr0, writeMsr } from '../src/kvm/mmu/guest-ops.ts';
import { type HostMapping, HostMemory } from '../src/kvm/mmu/host-memory.ts';
import type { TdpMmu } from '../src/kvm/mmu/tdp-mmu.ts';
import type { Vcpu } from '../src/kvm/mmu/vcpu.ts';
import type { Vm } from '../src/kvm/mmu/vm.ts';
import { KVM_CAP_DISABLE_QUIRKS2, QUIRK } from '../src/kvm/quirks.ts';
import { decodeSpte } from '../src/kvm/spte.ts';
import { rulesFor } from '../src/kvm/timeline.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import {
  type Mapped,
  mayBeHuge,
  typeOf,
  type World,
  zapsOnCd,
  zapsOnMtrr,
  zapsOnToggle,
} from './mmu-oracle.ts';

const BLOCK = 512;
/** Memory of the guest: two 2M blocks that the host has in huge pages, one in small ones, one BAR. */
export const PAGES: number = 4 * BLOCK;
const HVA = 0x7f00_0000_0000;
const PFN = 0x10_0000;

export type Step =
  | { readonly do: 'touch'; readonly gfn: number; readonly write: boolean }
  | { readonly do: 'noncoherent' | 'cd' | 'quirk-cd' | 'quirk-pat' }
  | { readonly do: 'mtrr'; readonly start: number; readonly pages: number }
  | { readonly do: 'mtrr-off' }
  | { readonly do: 'protect'; readonly gfn: number; readonly writable: boolean }
  | { readonly do: 'discard'; readonly gfn: number }
  | { readonly do: 'slot'; readonly to: 'gone' | 'there' | 'logged' };

function hvaOf(page: number): number {
  return HVA + page * 4096;
}

function mapping(block: number, fields: Partial<HostMapping>): HostMapping {
  const hva = HVA + block * BLOCK * 4096;
  const end = hva + BLOCK * 4096;
  return {
    hva,
    end,
    pfn: PFN + block * BLOCK,
    sameFrame: false,
    level: 1,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: false,
    vma: { start: hva, end },
    vmmType: 'WB',
    poisoned: false,
    ...fields,
  };
}

/** The simulated VM beside the plain one: a map of 4K pages, and what the kernel does in a few lines. */
export class Pair {
  readonly world: World;
  readonly pages = new Map<number, Mapped>();
  readonly writer = ftraceWriter({ comm: 'vmm', tid: 7, cpu: 0 });
  readonly host = new HostMemory(0x90_0000);
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  /** MMIO entries, of the time when there was no memslot. */
  readonly #mmio = new Set<number>();
  #slot: 'gone' | 'there' | 'logged' = 'gone';

  constructor(version: string, isEpt: boolean, selfSnoop: boolean) {
    const kernel = parseKernelVersion(version);
    const [rules] = rulesFor(kernel);
    if (rules === undefined) throw new Error(version);
    this.host.frames({
      pfn: PFN + 3 * BLOCK,
      end: PFN + 4 * BLOCK,
      facts: { ...RAM_FRAME, pfnValid: false, e820Ram: false, memtype: 'UC-' },
    });
    for (const block of [0, 1]) this.host.map(mapping(block, { level: 2 }));
    this.host.map(mapping(2, {}));
    this.host.map(mapping(3, { pfnmap: true, vmmType: 'UC-' }));
    const config = vmConfig({
      kernel,
      rules,
      vendor: isEpt ? 'intel' : 'amd',
      paging: isEpt ? 'ept' : 'npt',
      selfSnoop,
      trace: this.writer.sink,
    });
    this.vm = createVm(config, this.host, true);
    // What the notifier tells of is gone: of the page, and of its 2M block where that is split.
    this.host.onInvalidate((start, end) => {
      if (this.#slot === 'gone') return;
      for (let hva = start; hva < end; hva += 4096) this.#drop((hva - HVA) / 4096);
      this.#zapTables((start - HVA) / 4096, (end - HVA) / 4096);
    });
    this.vcpu = createVcpu(this.vm);
    this.vcpu.registers.cr0 = 0x11;
    this.world = {
      kernel: version,
      rules,
      isEpt,
      selfSnoop,
      noncoherent: false,
      cd: false,
      quirkCd: !rules.hasPatQuirk || !isEpt,
      quirkPat: isEpt || !rules.hasPatQuirk,
      mtrr: null,
    };
    this.#setSlot('there');
  }

  #setSlot(to: 'gone' | 'there' | 'logged'): void {
    const old = this.#slot;
    if (old === to) return;
    const region = { slot: 0, guestPhysAddr: 0, userspaceAddr: HVA };
    const flags = to === 'logged' ? 1 : 0;
    const memorySize = to === 'gone' ? 0 : PAGES * 4096;
    const errno = this.vm.setUserMemoryRegion({ ...region, flags, memorySize });
    if (errno !== null) throw new Error(errno);
    this.#slot = to;
    if (to === 'gone') this.pages.clear();
    if (to === 'gone') this.#mmio.clear();
    if (old === 'there' && to === 'logged') this.#protectAll();
    if (old === 'logged' && to === 'there') this.#collapse();
  }

  /** Dirty logging begins: small pages, and none of them writable. */
  #protectAll(): void {
    const splits = this.vm.config.behaviour.eagerSplit;
    for (const [page, mapped] of this.pages)
      this.pages.set(page, { ...mapped, level: splits ? 1 : mapped.level, writable: false });
  }

  /** Dirty logging ended: what the host has in a huge page is huge again, or zapped for that. */
  #collapse(): void {
    for (let block = 0; block < PAGES; block += BLOCK) {
      const first = this.#inBlock(block)[0];
      if (first === undefined || first[1].level === 2 || this.#hostLevel(block) === 1) continue;
      this.#dropBlock(block);
      this.#forgetMmio(block);
      if (!this.vm.config.behaviour.recoverHuge) continue;
      const pfn = first[1].pfn - (first[0] - block);
      for (let page = block; page < block + BLOCK; page += 1)
        this.pages.set(page, { ...first[1], level: 2, pfn: pfn + page - block });
    }
  }

  #clear(): void {
    this.pages.clear();
    this.#zapTables(0, PAGES);
  }

  /** Up to 5.17 a zap takes tables that lie in it whole, where a leaf is or was: MMIO entries go along. */
  #zapTables(start: number, end: number): void {
    if (!this.vm.config.behaviour.zapsTables) return;
    for (let block = 0; block < PAGES; block += BLOCK)
      if (block >= start && block + BLOCK <= end) this.#forgetMmio(block);
  }

  /** A table goes, with what is in it. */
  #forgetMmio(block: number): void {
    for (let page = block; page < block + BLOCK; page += 1) this.#mmio.delete(page);
  }

  #inBlock(block: number): readonly (readonly [number, Mapped])[] {
    return [...this.pages]
      .filter(([page]) => page >= block && page < block + BLOCK)
      .sort((a, b) => a[0] - b[0]);
  }

  #dropBlock(block: number): void {
    for (const [page] of this.#inBlock(block)) this.pages.delete(page);
  }

  #hostLevel(page: number): 1 | 2 {
    const hva = HVA + page * 4096;
    const found = this.host.mappingOf(hva);
    return found !== null && this.host.levelIn(found, hva) === 2 ? 2 : 1;
  }

  /** A page goes, with the huge page that it is in. */
  #drop(page: number): void {
    if (this.pages.get(page)?.level === 2) this.#dropBlock(page - (page % BLOCK));
    else this.pages.delete(page);
  }

  #touch(page: number, write: boolean): void {
    guestAccess(this.vm, this.vcpu, page * 4096, write ? 'store' : 'load');
    if (this.#slot === 'gone') {
      this.#mmio.add(page);
      return;
    }
    const old = this.pages.get(page);
    if (old !== undefined && (!write || old.writable)) return;
    const hva = HVA + page * 4096;
    const host = this.host.mappingOf(hva);
    // An EPT misconfiguration does not say that it was a write: a stale MMIO entry becomes a mapping first.
    const isRead = !write || (this.world.isEpt && this.#mmio.has(page));
    if (host === null || (!isRead && !host.writable)) return;
    this.#mmio.delete(page);
    const isFixed =
      old !== undefined && old.level === 1 && host.writable && this.#isMmuWritable(old);
    if (isFixed) {
      this.pages.set(page, { ...old, writable: true });
      return;
    }
    this.#install(page, host.writable, this.host.frameIn(host, hva));
  }

  /** W was taken by dirty logging: it comes back, and the type is what it was. */
  #isMmuWritable(old: Mapped): boolean {
    return !old.writable && this.#slot === 'logged';
  }

  #install(page: number, writable: boolean, pfn: number): void {
    const block = page - (page % BLOCK);
    const isHuge =
      this.#slot === 'there' && this.#hostLevel(page) === 2 && mayBeHuge(this.world, block);
    const isMmio = block === 3 * BLOCK;
    if (!isHuge) {
      const huge = this.pages.get(page)?.level === 2;
      if (huge) this.#splitOnFault(block);
      const type = typeOf(this.world, page, isMmio);
      this.pages.set(page, { level: 1, type, writable, pfn });
      return;
    }
    const type = typeOf(this.world, block, isMmio);
    this.#forgetMmio(block);
    for (let p = block; p < block + BLOCK; p += 1)
      this.pages.set(p, { level: 2, type, writable, pfn: pfn + p - page });
  }

  #splitOnFault(block: number): void {
    if (!this.vm.config.behaviour.splitOnFault) this.#dropBlock(block);
    else
      for (const [page, mapped] of this.#inBlock(block))
        this.pages.set(page, { ...mapped, level: 1 });
  }

  #mtrr(start: number, pages: number): void {
    const { world } = this;
    const write = (index: number, value: number): void => {
      if (!writeMsr(this.vm, this.vcpu, index, u64FromNumber(value))) throw new Error('#GP');
    };
    write(0x2ff, 0x806);
    this.#zapMtrr(0, PAGES);
    write(0x200, start * 4096);
    // The range as it is now: the new base with the old mask.
    world.mtrr ??= { start: 0, end: 0 };
    const old = this.#mask;
    if (old !== 0) this.#zapMtrr(start, start + (2 ** 46 - old) / 4096);
    const mask = 2 ** 46 - pages * 4096;
    write(0x201, mask + 0x800);
    this.#mask = mask;
    world.mtrr = { start, end: start + pages };
    this.#zapMtrr(start, start + pages);
    write(0x2ff, 0x806);
    this.#zapMtrr(0, PAGES);
  }

  #mask = 0;

  #zapMtrr(start: number, end: number): void {
    if (!zapsOnMtrr(this.world)) return;
    this.#zapTables(start, end);
    for (let page = start; page < Math.min(end, PAGES); page += 1) this.#drop(page);
  }

  run(what: Step): void {
    const { world, vm } = this;
    switch (what.do) {
      case 'touch':
        this.#touch(what.gfn, what.write);
        break;
      case 'noncoherent':
        world.noncoherent = !world.noncoherent;
        if (world.noncoherent) vm.registerNoncoherentDma();
        else vm.unregisterNoncoherentDma();
        if (zapsOnToggle(world)) this.#clear();
        break;
      case 'cd':
        world.cd = !world.cd;
        writeCr0(vm, this.vcpu, world.cd ? 0x4000_0011 : 0x11);
        if (zapsOnCd(world)) this.#clear();
        break;
      case 'quirk-cd':
        vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, QUIRK.CD_NW_CLEARED);
        world.quirkCd = false;
        break;
      case 'quirk-pat': {
        const { ret } = vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, QUIRK.IGNORE_GUEST_PAT);
        if (ret === 0) world.quirkPat = false;
        break;
      }
      case 'mtrr':
        this.#mtrr(what.start, what.pages);
        break;
      case 'mtrr-off':
        writeMsr(vm, this.vcpu, 0x2ff, u64FromNumber(6));
        world.mtrr = null;
        this.#zapMtrr(0, PAGES);
        break;
      case 'protect':
        this.host.protect(hvaOf(what.gfn), hvaOf(what.gfn + 1), what.writable);
        break;
      case 'discard':
        this.host.discard(hvaOf(what.gfn), hvaOf(what.gfn + 1));
        break;
      case 'slot':
        this.#setSlot(what.to);
    }
  }

  /** What the simulated tables map, by 4K page. */
  mapped(): ReadonlyMap<number, Mapped> {
    const found = new Map<number, Mapped>();
    const { paging, edition } = this.vm.config;
    const flavour = paging === 'ept' ? 'ept' : 'npt';
    const { tables } = this.vm.mmu as TdpMmu;
    for (const root of this.vm.mmu.roots())
      tables.leaves(root, 0, PAGES, (page, index, hi, lo) => {
        const spte = decodeSpte({ hi, lo }, flavour, edition.layout, page.level);
        if (spte.kind !== 'leaf') throw new Error(spte.kind);
        const size = 512 ** (page.level - 1);
        const start = page.gfn + index * size;
        const type =
          spte.memtype === null ? '' : `${spte.memtype}${spte.ipat === true ? ' ipat' : ''}`;
        for (let p = 0; p < size; p += 1)
          found.set(start + p, {
            level: page.level as 1 | 2,
            type,
            writable: spte.writable,
            pfn: spte.pfn + p,
          });
      });
    return found;
  }
}

export function lines(pages: ReadonlyMap<number, Mapped>): readonly string[] {
  return [...pages]
    .sort((a, b) => a[0] - b[0])
    .map(([page, m]) => `${page} ${m.level} ${m.type} ${m.writable ? 'w' : 'r'} ${m.pfn}`);
}
