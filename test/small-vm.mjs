// A VM for tests: a 64-bit guest at CPL 3 stores into 64 pages and into one address where nothing is.
// Says "ready", runs when a line comes, says "ran", and ends with its standard input. CPL 3, for a KVM
// without hardware support runs nothing else natively.
import { openSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load(null);
const ioctlP = libc.func('int ioctl(int fd, unsigned long req, void *p)');
const ioctlL = libc.func('int ioctl(int fd, unsigned long req, uintptr_t v)');
const mmap = libc.func('void *mmap(void *at, size_t n, int prot, int flags, int fd, int64_t off)');
const madvise = libc.func('int madvise(void *at, size_t n, int advice)');

function check(result, what) {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
}
const io = (nr) => 0xae00 + nr;
const sized = (direction, nr, size) => direction * 2 ** 30 + size * 2 ** 16 + io(nr);
const CREATE_VM = io(0x01);
const VCPU_MMAP_SIZE = io(0x04);
const SUPPORTED_CPUID = sized(3, 0x05, 8);
const CREATE_VCPU = io(0x41);
const SET_MEMORY = sized(1, 0x46, 32);
const RUN = io(0x80);
const SET_REGS = sized(1, 0x82, 144);
const GET_SREGS = sized(2, 0x83, 312);
const SET_SREGS = sized(1, 0x84, 312);
const SET_CPUID2 = sized(1, 0x90, 8);
const EXIT_MMIO = 6;
const MADV_NOHUGEPAGE = 15;

const PML4 = 0x10000;
const PDPT = 0x11000;
const PD = 0x12000;
const CODE = 0x1000;
const DATA = 0x40000000;
const NOTHING = 0xf0000000;
const PAGES = 64;
const LOW_BYTES = 0x20000;

const w64 = (bytes, at, value) => void bytes.writeBigUInt64LE(BigInt(value), at);

function memory(length, flags, fd) {
  const at = mmap(null, length, 3, flags, fd, 0);
  if (fd < 0) madvise(at, length, MADV_NOHUGEPAGE);
  return { address: koffi.address(at), bytes: Buffer.from(koffi.view(at, length)), length };
}

function slot(vm, id, gpa, { address, length }) {
  const region = Buffer.alloc(32);
  region.writeUInt32LE(id, 0);
  w64(region, 8, gpa);
  w64(region, 16, length);
  w64(region, 24, address);
  check(ioctlP(vm, SET_MEMORY, region), 'KVM_SET_USER_MEMORY_REGION');
}

/** The low 4 GiB in pages of 2 MiB, for CPL 3. */
function pageTables(bytes) {
  w64(bytes, PML4, PDPT + 7);
  for (let g = 0; g < 4; g += 1) {
    const directory = PD + g * 0x1000;
    w64(bytes, PDPT + 8 * g, directory + 7);
    for (let i = 0; i < 512; i += 1)
      w64(bytes, directory + 8 * i, (BigInt(g) << 30n) + (BigInt(i) << 21n) + 0x87n);
  }
}

// mov rsi, DATA; mov ecx, PAGES; 1: mov byte [rsi], 1; add rsi, 4096; dec ecx; jnz 1b;
// mov edi, NOTHING; mov byte [rdi], 1; 2: jmp 2b
const GUEST = Buffer.from(
  `48be${'00'.repeat(8)}b9${'00'.repeat(4)}c606014881c600100000ffc975f2bf${'00'.repeat(4)}c60701ebfe`,
  'hex',
);
w64(GUEST, 2, DATA);
GUEST.writeUInt32LE(PAGES, 11);
GUEST.writeUInt32LE(NOTHING, 30);

const kvm = openSync('/dev/kvm', 'r+');
const vm = check(ioctlL(kvm, CREATE_VM, 0), 'KVM_CREATE_VM');
const low = memory(LOW_BYTES, 0x22, -1);
pageTables(low.bytes);
GUEST.copy(low.bytes, CODE);
slot(vm, 0, 0, low);
slot(vm, 1, DATA, memory(PAGES * 4096, 0x22, -1));

const vcpu = check(ioctlL(vm, CREATE_VCPU, 0), 'KVM_CREATE_VCPU');
const run = memory(ioctlL(kvm, VCPU_MMAP_SIZE, 0), 1, vcpu).bytes;
const cpuid = Buffer.alloc(8 + 40 * 256);
cpuid.writeUInt32LE(256, 0);
check(ioctlP(kvm, SUPPORTED_CPUID, cpuid), 'KVM_GET_SUPPORTED_CPUID');
check(ioctlP(vcpu, SET_CPUID2, cpuid), 'KVM_SET_CPUID2');
const sregs = Buffer.alloc(312);
check(ioctlP(vcpu, GET_SREGS, sregs), 'KVM_GET_SREGS');
for (let i = 0; i < 6; i += 1) {
  const isCode = i === 0;
  w64(sregs, 24 * i, 0);
  sregs.writeUInt32LE(0xffffffff, 24 * i + 8);
  sregs.writeUInt16LE(isCode ? 0x33 : 0x2b, 24 * i + 12);
  // type, present, dpl, db, s, l, g, avl, unusable
  sregs.set([isCode ? 11 : 3, 1, 3, isCode ? 0 : 1, 1, isCode ? 1 : 0, 1, 0, 0], 24 * i + 14);
}
const CR = 24 * 8 + 16 * 2;
w64(sregs, CR, 0x80010033);
w64(sregs, CR + 16, PML4);
w64(sregs, CR + 24, 0x620);
w64(sregs, CR + 40, 0x500);
check(ioctlP(vcpu, SET_SREGS, sregs), 'KVM_SET_SREGS');
const regs = Buffer.alloc(144);
w64(regs, 16 * 8, CODE);
w64(regs, 17 * 8, 2);
check(ioctlP(vcpu, SET_REGS, regs), 'KVM_SET_REGS');

process.stdout.write('ready\n');
process.stdin.once('data', () => {
  check(ioctlL(vcpu, RUN, 0), 'KVM_RUN');
  const reason = run.readUInt32LE(8);
  const at = Number(run.readBigUInt64LE(32));
  if (reason !== EXIT_MMIO || at !== NOTHING) throw new Error(`exit ${reason}`);
  process.stdout.write('ran\n');
});
process.stdin.on('end', () => process.exit(0));
