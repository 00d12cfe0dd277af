import { type U64, u64FromHex, u64FromNumber } from '../src/base/u64.ts';
import { access } from '../src/kvm/mmu/access.ts';
import { vmConfig } from '../src/kvm/mmu/config.ts';
import { type FrameFacts, RAM_FRAME } from '../src/kvm/mmu/frames.ts';
import { createVcpu, writeCr0, writeMsr } from '../src/kvm/mmu/guest-ops.ts';
import { type HostMapping, HostMemory } from '../src/kvm/mmu/host-memory.ts';
import type { Mmu } from '../src/kvm/mmu/mmu.ts';
import { fetchInstruction, shadowAccess } from '../src/kvm/mmu/shadow-access.ts';
import { ShadowMmu } from '../src/kvm/mmu/shadow-mmu.ts';
import { directPaging, type Paging, shadowPaging } from '../src/kvm/mmu/shadow-paging.ts';
import { TdpMmu } from '../src/kvm/mmu/tdp-mmu.ts';
import { CR4, EFER, type Vcpu } from '../src/kvm/mmu/vcpu.ts';
import { Vm, type VmConfig } from '../src/kvm/mmu/vm.ts';
import { KVM_CAP_DISABLE_QUIRKS2, QUIRK } from '../src/kvm/quirks.ts';
import { rulesFor } from '../src/kvm/timeline.ts';
import { LINUX_PAT } from '../src/linux/pat-layout.ts';
import { parseKernelVersion } from '../src/linux/version.ts';
import { PAT_TYPES, type PatType } from '../src/x86/types.ts';

/** The facts beside a recorded trace: what host and program were. */
export interface Run {
  readonly kernel: string;
  readonly vendor: string;
  readonly tdp: boolean;
  /** kvm.tdp_mmu=0. */
  readonly legacy: boolean;
  readonly quirks: number;
  readonly maxphyaddr: number;
  readonly cpuModel: string;
  readonly hostPat: boolean;
  readonly regions: readonly Region[];
}

export interface Region {
  readonly name: string;
  readonly gpa: number;
  readonly size: number;
  readonly hva: number;
  readonly slotFlags: number;
  /** The type in the VMM's mapping; null: no memslot. */
  readonly type: PatType | null;
  readonly kind: string;
}

/** An event of KVM, or a mark of the program. */
export interface Line {
  readonly event: string;
  readonly text: string;
}

const PAGE = 4096;
const LOW = 0x20_0000;
const LOW_HVA = 0x7e00_0000_0000;
const LOW_PFN = 0x8000;
const CODE = 0x1000;
const COMMANDS = 0x8000;
const PML4 = 0x1_0000;
const PDPT = 0x1_1000;
const PDS = 0x2_0000;
const GUEST_PAT: U64 = { hi: 0x0007_0501, lo: 0x0007_0406 };

const BULK_PAGES = 16384;
const BULK_GPA = 0x8000_0000;
/** Where the recorded program had it. */
const BULK_HVA = 0x7f65_2b00_0000;

/** Of the regions of the program, those that it stores to. */
function isWritable({ name }: Region): boolean {
  return !/^(?:zeropage|romslot|devmem_rom_cached|devmem_rom_sync|devmem_hpet)$/.test(name);
}

function frameFacts(kind: string, type: PatType): FrameFacts {
  const tracked: PatType = /lookup_memtype\(\) says WB/.test(kind) ? 'WB' : type;
  const isZero = /^zero page/.test(kind);
  if (/^(?:RAM, struct page, not reserved|zero page)/.test(kind))
    return { ...RAM_FRAME, zeroPage: isZero, reserved: isZero, memtype: tracked };
  if (/struct page reserved/.test(kind))
    return { ...RAM_FRAME, reserved: true, e820Ram: false, memtype: tracked };
  const isRam = /RAM in the raw e820/.test(kind);
  const hostMtrr = isRam ? 'WB' : 'UC';
  return { ...RAM_FRAME, pfnValid: false, e820Ram: isRam, memtype: tracked, hostMtrr };
}

const IS_PFNMAP = /^(?:drm_|devmem_|vfio_|ivshmem_|vga_|cirrus_|e1000_|virtio_)/;

function mappingOf(region: Region, index: number, type: PatType): HostMapping {
  const isHuge = region.name === 'thp' || region.name === 'hugetlb2m';
  const isZero = region.name === 'zeropage';
  return {
    hva: region.hva,
    end: region.hva + region.size,
    pfn: (index + 2) * 0x1_0000,
    sameFrame: isZero,
    level: isHuge ? 2 : 1,
    present: true,
    writable: !isZero,
    onWrite: 'refused',
    pfnmap: IS_PFNMAP.test(region.name),
    vma: { start: region.hva, end: region.hva + region.size },
    vmmType: type,
    poisoned: false,
  };
}

/** The program that made the traces, the VMM and the guest in it: it does what the marks say. */
export class Replay {
  readonly lines: Line[] = [];
  readonly host = new HostMemory(0x100_0000);
  readonly #run: Run;
  vm: Vm;
  #vcpu: Vcpu;
  #isFirst = true;
  #commands: { readonly op: string; readonly a: number; readonly value: U64 }[] = [];
  readonly #slots = new Map<string, number>();

  constructor(run: Run) {
    this.#run = run;
    for (const [index, region] of run.regions.entries()) {
      if (region.type === null) continue;
      const mapping = mappingOf(region, index, region.type);
      const end = mapping.pfn + region.size / PAGE;
      this.host.frames({ pfn: mapping.pfn, end, facts: frameFacts(region.kind, region.type) });
      this.host.map(mapping);
    }
    this.host.map({
      ...mappingOf(
        { ...(run.regions[0] as Region), name: 'low', hva: LOW_HVA, size: LOW },
        0,
        'WB',
      ),
      pfn: LOW_PFN,
    });
    [this.vm, this.#vcpu] = this.#newVm();
  }

  #config(): VmConfig {
    const run = this.#run;
    const kernel = parseKernelVersion(run.kernel);
    const [rules] = rulesFor(kernel);
    if (rules === undefined) throw new Error(run.kernel);
    const isIntel = run.vendor === 'kvm_intel';
    const isSkylake = run.cpuModel === 'corei7_skylake_x';
    const pat = QUIRK.IGNORE_GUEST_PAT;
    const inapplicable = isIntel ? QUIRK.CD_NW_CLEARED : pat;
    return vmConfig({
      kernel,
      rules,
      vendor: isIntel ? 'intel' : 'amd',
      paging: run.tdp ? (isIntel ? 'ept' : 'npt') : 'shadow',
      adBits: !run.tdp || !isIntel || isSkylake,
      pml: run.tdp && isIntel && isSkylake,
      selfSnoop: !isIntel || (run.quirks & pat) !== 0,
      hostPat: run.hostPat ? LINUX_PAT['wt-wp'] : null,
      l1tfCacheBits: isIntel ? (isSkylake ? 40 : 44) : null,
      quirks: { supported: run.quirks, inapplicable: rules.hasPatQuirk ? inapplicable : 0 },
      guestMaxphyaddr: run.maxphyaddr,
      trace: (event, _context, text) => this.lines.push({ event, text }),
    });
  }

  #newMmu(vm: Vm): Mmu {
    const { tdp, legacy, vendor } = this.#run;
    if (tdp && !legacy) return new TdpMmu(vm);
    const paging = (vcpu: Vcpu): Paging => (tdp ? directPaging(vm, vcpu) : shadowPaging(vm, vcpu));
    return new ShadowMmu(vm, paging, vendor !== 'kvm_pvm');
  }

  #newVm(): [Vm, Vcpu] {
    this.#buildTables();
    const vm = new Vm(this.#config(), this.host, (of) => this.#newMmu(of));
    vm.setUserMemoryRegion({
      slot: 0,
      flags: 0,
      guestPhysAddr: 0,
      memorySize: LOW,
      userspaceAddr: LOW_HVA,
    });
    // KVM_SET_TSS_ADDR of a guest that is not unrestricted: a memslot of KVM's own, in both address spaces.
    if (this.#run.vendor === 'kvm_intel' && !this.#run.tdp)
      for (const space of [0, 1])
        vm.setUserMemoryRegion({
          slot: space * 0x1_0000 + 32764,
          flags: 0,
          guestPhysAddr: 0xfffb_d000,
          memorySize: 3 * PAGE,
          userspaceAddr: 0x7d00_0000_0000 + space * LOW,
        });
    const vcpu = createVcpu(vm);
    const { registers } = vcpu;
    registers.cr3 = PML4;
    registers.cr4 = CR4.PAE;
    registers.cr0 = 0x8001_0033;
    registers.efer = EFER.LME | EFER.LMA;
    registers.pat = GUEST_PAT;
    registers.cpl = this.#run.vendor === 'kvm_pvm' ? 3 : 0;
    this.#isFirst = true;
    this.#slots.clear();
    return [vm, vcpu];
  }

  #write(gpa: number, value: U64): void {
    this.host.write64(LOW_PFN + Math.floor(gpa / PAGE), gpa % PAGE, value);
  }

  #buildTables(): void {
    for (let alias = 0; alias < 8; alias += 1) {
      this.#write(PML4 + alias * 8, u64FromNumber((PDPT + alias * PAGE) | 7));
      for (let gigabyte = 0; gigabyte < 4; gigabyte += 1) {
        const table = PDS + (alias * 4 + gigabyte) * PAGE;
        this.#write(PDPT + alias * PAGE + gigabyte * 8, u64FromNumber(table | 7));
        const pat = ((alias & 3) << 3) | (alias & 4 ? 0x1000 : 0);
        for (let i = 0; i < 512; i += 1)
          this.#write(
            table + i * 8,
            u64FromNumber(gigabyte * 2 ** 30 + i * 2 ** 21 + (0x87 | pat)),
          );
      }
    }
  }

  #region(name: string): Region {
    const found = this.#run.regions.find((region) => region.name === name);
    if (found === undefined) throw new Error(`no region ${name}`);
    return found;
  }

  /** The VM of the scenario before goes: the events of that. */
  destroy(): readonly Line[] {
    const before = this.lines.length;
    this.vm.destroy();
    return this.lines.splice(before);
  }

  /** Does what a mark says. */
  mark(fields: Readonly<Record<string, unknown>>): void {
    const text = (key: string): string => String(fields[key]);
    const ev = text('ev');
    if (ev !== 'wrmsr' && this.#commands.length > 0) this.#go();
    switch (ev) {
      case 'scenario':
        this.vm.destroy();
        [this.vm, this.#vcpu] = this.#newVm();
        break;
      case 'quirk':
        this.vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, Number(fields['disable']));
        break;
      case 'slot':
        this.#addSlot(text('name'));
        break;
      case 'touch':
        this.#touch(text('gva'), text('op'));
        break;
      case 'wrmsr':
        this.#command('wrmsr', Number(fields['msr']), text('val'));
        break;
      case 'cr0':
        this.#command('cr0', 0, text('val'));
        this.#go();
        break;
      case 'ncdma':
        if (Number(fields['on']) === 1) this.vm.registerNoncoherentDma();
        else this.vm.unregisterNoncoherentDma();
        break;
      case 'dirtylog':
        this.#slot(text('name'), 1);
        break;
      default:
        this.#change(ev, fields);
    }
  }

  /** What the program does to its own mappings. */
  #change(ev: string, fields: Readonly<Record<string, unknown>>): void {
    const thp = this.#run.regions.find((region) => region.name === 'thp')?.hva ?? 0;
    const at = this.#region('anon4k').hva + 0x1_0000;
    if (ev === 'remap' && fields['to'] !== 'anon') {
      const from = this.#region(String(fields['to'])).hva + 0x1_0000;
      this.host.move(from, from + PAGE, at);
    } else if (ev === 'remap') {
      const old = this.host.mappingOf(this.#region('anon4k').hva);
      if (old === null) throw new Error('anon4k is gone');
      const vma = { start: at, end: at + PAGE };
      this.host.map({ ...old, hva: at, end: at + PAGE, pfn: 0x7777, vma });
    } else if (ev === 'dontneed') this.host.discard(thp, thp + PAGE);
    else if (ev === 'mprotect_ro') this.host.protect(thp + 0x4000, thp + 0x5000, false);
    else if (ev === 'mprotect_rw') this.host.protect(thp + 0x4000, thp + 0x5000, true);
  }

  #addSlot(name: string): void {
    this.#slots.set(name, this.#slots.size + 1);
    if (name === 'bulk_anon') this.#bulk();
    else this.#slot(name, 0);
  }

  /** Scenario bulk: accesses of a linear congruential generator, most of them to memory that is untouched. */
  #bulk(): void {
    const size = BULK_PAGES * PAGE;
    const zero = 0xffff;
    this.host.frames({
      pfn: zero,
      end: zero + 1,
      facts: { ...RAM_FRAME, zeroPage: true, reserved: true },
    });
    const anon = mappingOf({ ...this.#region('anon4k'), hva: BULK_HVA, size }, 0, 'WB');
    const untouched = {
      present: false,
      writable: false,
      onWrite: 'copy',
      sameFrame: true,
    } as const;
    this.host.map({ ...anon, ...untouched, pfn: zero, vma: null });
    this.vm.setUserMemoryRegion({
      slot: this.#slots.size,
      flags: 0,
      guestPhysAddr: BULK_GPA,
      memorySize: size,
      userspaceAddr: BULK_HVA,
    });
    const { regions } = this.#run;
    let seed = 12345n;
    const bits = (from: bigint, mask: bigint): number => Number((seed >> from) & mask);
    for (let i = 0; i < BULK_PAGES; i += 1) {
      seed = (seed * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
      const alias = Number((seed >> 40n) % 6n);
      const region = regions[Number((seed >> 50n) % BigInt(regions.length))] as Region;
      const pages = region.size / PAGE;
      const isBulk = bits(33n, 7n) < 5 || region.size === 0 || region.type === null;
      const isStore = bits(45n, 1n) === 1 && (isBulk || isWritable(region));
      const page = Number((seed >> 20n) % BigInt(isBulk ? BULK_PAGES : pages));
      const gpa = (isBulk ? BULK_GPA : region.gpa) + page * PAGE;
      this.#command(isStore ? 'st' : 'ld', alias * 2 ** 39 + gpa, '0');
      if (i % 900 === 899) this.#go();
    }
    this.#go();
  }

  #slot(name: string, flags: number): void {
    const region = this.#region(name);
    this.vm.setUserMemoryRegion({
      slot: this.#slots.get(name) ?? 0,
      flags: region.slotFlags | flags,
      guestPhysAddr: region.gpa,
      memorySize: region.size,
      userspaceAddr: region.hva,
    });
  }

  #command(op: string, a: number, value: string): void {
    this.#commands.push({ op, a, value: u64FromHex(value) ?? { hi: 0, lo: 0 } });
  }

  #touch(gva: string, op: string): void {
    this.#command(op, Number(gva), '0x1122334455667788');
    this.#go();
  }

  #at(rip: number, address: number, kind: 'load' | 'store' | 'fetch') {
    this.#vcpu.rip = rip;
    const { mmu } = this.vm;
    const outcome =
      mmu instanceof ShadowMmu && !this.#run.tdp
        ? shadowAccess(mmu, this.#vcpu, address, kind)
        : access(this.vm, this.#vcpu, address, kind);
    if (outcome.is === 'efault' || outcome.is === 'guest-fault')
      throw new Error(`${kind} ${address.toString(16)}: ${outcome.is}`);
    return outcome;
  }

  /** QEMU's TCG does not tell where the next instruction is: KVM reads the intercepted one. */
  #stepOver(rip: number): void {
    const { mmu } = this.vm;
    this.#vcpu.rip = rip;
    const { tdp, vendor } = this.#run;
    if (mmu instanceof ShadowMmu && !tdp && vendor === 'kvm_amd') fetchInstruction(mmu, this.#vcpu);
  }

  /** KVM_RUN until HLT: the guest goes through its list of commands. */
  #go(): void {
    const commands = this.#commands;
    this.#commands = [];
    const start = this.#isFirst ? CODE : CODE + 0x278;
    this.#isFirst = false;
    this.#at(start, start, 'fetch');
    for (const [index, { op, a, value }] of commands.entries()) {
      const at = COMMANDS + index * 32;
      this.#at(CODE + 7, at, 'load');
      this.#at(CODE + 10, at + 8, 'load');
      if (op === 'ld') {
        this.#at(CODE + 0xad, a, 'load');
        this.#at(CODE + 0xb0, at + 24, 'store');
      } else if (op === 'st') this.#at(CODE + 0xb9, a, 'store');
      else if (op === 'wrmsr') {
        writeMsr(this.vm, this.#vcpu, a, value);
        this.#stepOver(CODE + 0xcc);
        this.#at(CODE + 0xce, CODE + 0xce, 'fetch');
      } else {
        this.#stepOver(CODE + 0xd3);
        writeCr0(this.vm, this.#vcpu, value.lo);
        this.#stepOver(CODE + 0xd6);
        this.#at(CODE + 0xd6, CODE + 0xd6, 'fetch');
        this.#at(CODE + 0xd9, at + 24, 'store');
      }
    }
    this.#at(CODE + 7, COMMANDS + commands.length * 32, 'load');
    // At CPL 3 there is no HLT: it ends with a store to where no memory is.
    if (this.#run.vendor === 'kvm_pvm') this.#at(CODE + 0x282, 0xf000_0000, 'store');
    else this.#stepOver(CODE + 0x277);
  }
}

/** meta.json and regions.json of a recorded run. */
export function readRun(
  meta: Readonly<Record<string, unknown>>,
  regions: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  legacy: boolean = false,
): Run {
  return {
    kernel: String(meta['kernel']),
    vendor: String(meta['vendor']),
    tdp: meta['tdp'] === true,
    legacy,
    quirks: Number(meta['quirks']),
    maxphyaddr: Number(meta['maxphyaddr'] ?? 40),
    cpuModel: String(meta['cpu_model']),
    hostPat: !/\bnopat\b/.test(String(meta['cmdline_extra'] ?? '')),
    regions: Object.entries(regions).map(([name, fields]) => ({
      name,
      gpa: Number(fields['gpa']),
      size: Math.ceil(Number(fields['size']) / PAGE) * PAGE,
      hva: Number(fields['hva']),
      slotFlags: Number(fields['slotflags']),
      type: PAT_TYPES.find((type) => type === fields['host_memtype']) ?? null,
      kind: String(fields['pfn_kind'] ?? ''),
    })),
  };
}

/** The events of a trace in ftrace's text. */
export function readLines(trace: string): readonly Line[] {
  return trace.split('\n').flatMap((line) => {
    const match = /^.{33}.*?\d+\.\d+: (\w+): (.*)$/.exec(line);
    return match === null ? [] : [{ event: match[1] ?? '', text: match[2] ?? '' }];
  });
}
