// Faults of the simulated TDP MMU: node bench/mmu.mjs [GIB]. Ends with 1 when JavaScript and C disagree.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './dist.mjs';
import { machine, table } from './measure.mjs';

const { vmConfig } = await import('../dist/kvm/mmu/config.js');
const { GUEST_FINAL, PFERR } = await import('../dist/kvm/mmu/error-code.js');
const { createVm, guestAccess } = await import('../dist/kvm/mmu/create.js');
const { createVcpu } = await import('../dist/kvm/mmu/guest-ops.js');
const { HostMemory } = await import('../dist/kvm/mmu/host-memory.js');
const { rulesFor } = await import('../dist/kvm/timeline.js');
const { parseKernelVersion } = await import('../dist/linux/version.js');

const GIB = 2 ** 30;
const HVA = 2 ** 40;
const FIRST_PFN = 0x10_0000;
const size = Number(process.argv[2] ?? 64) * GIB;

function newVm(version, level) {
  const kernel = parseKernelVersion(version);
  const [rules] = rulesFor(kernel);
  const host = new HostMemory();
  host.map({
    hva: HVA,
    end: HVA + size,
    pfn: FIRST_PFN,
    sameFrame: false,
    level,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: false,
    vma: null,
    vmmType: 'WB',
    poisoned: false,
  });
  const config = vmConfig({ kernel, rules, vendor: 'intel', paging: 'ept' });
  const vm = createVm(config, host);
  vm.setUserMemoryRegion({
    slot: 0,
    flags: 0,
    guestPhysAddr: 0,
    memorySize: size,
    userspaceAddr: HVA,
  });
  const vcpu = createVcpu(vm);
  vcpu.registers.cr0 = 0x11;
  return { vm, vcpu };
}

/** Every page once, in order; the exclusive or of all entries. */
function faultIn({ vm, vcpu }, step) {
  const code = PFERR.WRITE + GUEST_FINAL;
  let checksum = 0;
  for (let gpa = 0; gpa < size; gpa += step) {
    if (vm.mmu.pageFault(vcpu, gpa, code) !== 'fixed') throw new Error(`gpa ${gpa.toString(16)}`);
    checksum ^= vm.sptes.lo ^ vm.sptes.hi;
  }
  return checksum >>> 0;
}

function measured(version, level) {
  globalThis.gc?.();
  const before = process.memoryUsage();
  const made = newVm(version, level);
  const step = 4096 * 512 ** (level - 1);
  const start = process.hrtime.bigint();
  const checksum = faultIn(made, step);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  globalThis.gc?.();
  const after = process.memoryUsage();
  const bytes = after.heapUsed - before.heapUsed + made.vm.tables.bytes;
  const { walk, hit } = accesses(made);
  const zapStart = process.hrtime.bigint();
  made.vm.mmu.zapGfnRange(0, size / 4096);
  const zapSeconds = Number(process.hrtime.bigint() - zapStart) / 1e9;
  return { pages: size / step, seconds, bytes, checksum, zapSeconds, walk, hit };
}

/** Loads of the guest in nanoseconds: through the TLB, and with a walk of KVM's tables each. */
function accesses(made) {
  const pages = 1024;
  const rounds = 200;
  const one = (flush) => {
    const start = process.hrtime.bigint();
    for (let round = 0; round < rounds; round += 1) {
      if (flush) made.vm.flushTlbs();
      for (let page = 0; page < pages; page += 1)
        guestAccess(made.vm, made.vcpu, page * 4096, 'load');
    }
    return Number(process.hrtime.bigint() - start) / (pages * rounds);
  };
  return { walk: one(true), hit: one(false) };
}

/** The same walk and the same entries in C; null without a compiler. */
function baseline() {
  const folder = mkdtempSync(join(tmpdir(), 'memtype-mmu-'));
  const program = join(folder, 'mmu');
  const cc = process.env.CC ?? 'cc';
  const built = spawnSync(cc, ['-O2', '-std=c11', '-o', program, `${ROOT}bench/mmu-baseline.c`]);
  const ran =
    built.status === 0 ? spawnSync(program, [String(size / 4096)], { encoding: 'utf8' }) : null;
  rmSync(folder, { recursive: true });
  if (ran === null || ran.status !== 0) return null;
  const [nanoseconds, checksum] = ran.stdout.trim().split(' ');
  return { seconds: Number(nanoseconds) / 1e9, checksum: Number.parseInt(checksum, 16) };
}

const million = (n) => (n / 1e6).toFixed(2);
process.stdout.write(`${machine()}, ${size / GIB} GiB of guest memory\n\n`);
const c = baseline();
const rows = [];
let ok = true;
for (const [version, level] of [
  ['6.1', 1],
  ['6.12', 1],
  ['7.3', 1],
  ['7.3', 2],
]) {
  const { pages, seconds, bytes, checksum, zapSeconds, walk, hit } = measured(version, level);
  const isSame = c !== null && version === '6.1';
  if (isSame && c.checksum !== checksum) ok = false;
  rows.push([
    `${version}, pages of ${level === 1 ? '4K' : '2M'}`,
    String(pages),
    million(pages / seconds),
    level === 1 ? (bytes / pages).toFixed(2) : '',
    million(pages / zapSeconds),
    isSame ? million(pages / c.seconds) : '',
    million(1e9 / hit),
    million(1e9 / walk),
  ]);
}
process.stdout.write(
  table(
    [
      'kernel',
      'pages',
      'faults M/s',
      'bytes a page',
      'zapped M/s',
      'C faults M/s',
      'TLB hits M/s',
      'walks M/s',
    ],
    rows,
  ),
);
if (c === null) process.stdout.write('\nno C compiler: no baseline\n');
if (!ok) process.stdout.write('\nJavaScript and C made different entries\n');
process.exitCode = ok ? 0 : 1;
