import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import { ifKnown } from '../doctor/fact.ts';
import { type GuestMemory, grantedTypes, type MemoryKind } from '../doctor/guest/guest-memories.ts';
import type { GuestBlock, GuestRequest, GuestSide, Outcome } from '../doctor/guest/guest-side.ts';
import type { BackingId } from '../linux/backing.ts';
import { PAT_TYPES } from '../x86/types.ts';
import { bytes, factWords } from './doctor-words.ts';
import { labelled, table } from './wrap.ts';

const TITLES: Readonly<Record<MemoryKind, string>> = {
  'host-blobs': 'host blobs of virtio-gpu',
  shm: 'shared memory of a virtio device',
  bochs: 'frame buffer of the standard VGA',
  ivshmem: 'inter-VM shared memory (ivshmem)',
  vfio: 'memory of a device under vfio-pci',
  bar: 'memory of a device',
};

const BACKED: Partial<Readonly<Record<BackingId, string>>> = {
  ram: 'RAM',
  memfd: 'RAM',
  'ttm-cached': 'cached RAM',
  'ttm-wc': 'WC RAM',
  'bar-wc': 'VRAM',
  bar: 'device',
};

function placeWords({ bar, device, size, start }: GuestMemory): string {
  return `BAR ${bar} of ${device}, ${bytes(size)} at 0x${start.toString(16)}`;
}

function hintWords({ hints }: GuestMemory): string {
  if (hints === null) return 'not known';
  const words = hints.map((h) => (h === 'mixed' ? 'several types' : h === 'disabled' ? 'off' : h));
  return words.join(' or ');
}

function reservedWords({ reserved }: GuestMemory): string {
  if (reserved === null) return 'not known';
  const kinds = PAT_TYPES.flatMap((type) => {
    const n = reserved.filter((t) => t === type).length;
    return n === 0 ? [] : [n === 1 ? type : `${type} (${n} times)`];
  });
  return kinds.length === 0 ? 'nothing' : kinds.join(', ');
}

function memoryHead({ memory, alike }: GuestBlock, d: Diagnosis, width: number): readonly string[] {
  if (memory === null) return ['  RAM (buffers that a driver makes WC or uncached)'];
  const driver = memory.driver === null ? 'no driver' : memory.driver;
  const inferred = memory.isInferred ? ' (told by its size only)' : '';
  const untracked = ifKnown(d.facts.pat)?.enabled === false;
  const mapped = untracked ? 'not tracked (PAT off)' : reservedWords(memory);
  const facts = `guest MTRR ${hintWords(memory)}; mapped now: ${mapped}; ${driver}`;
  return [
    ...labelled('  ', `${TITLES[memory.kind]}${inferred}: ${placeWords(memory)}`, width),
    ...alike.flatMap((m) => labelled('  ', `and alike: ${placeWords(m)}`, width)),
    ...labelled('    ', facts, width),
  ];
}

function outcomeWords({ types, isStale }: Outcome): string {
  return `${types.join('|')}${isStale ? '!' : ''}`;
}

function rowCells(row: GuestRequest, before: GuestRequest | undefined): readonly string[] {
  const isSame = before?.who === row.who && before.asks === row.asks;
  const types = grantedTypes(row);
  const granted = types.length === 0 ? 'refused' : types.join('|');
  const asked = isSame ? ['    ', '', ''] : [`    ${row.who}`, row.asks, granted];
  return [...asked, BACKED[row.backing] ?? row.backing, ...row.outcomes.map(outcomeWords)];
}

function blockLines(
  block: GuestBlock,
  d: Diagnosis,
  side: GuestSide,
  width: number,
): readonly string[] {
  const who = block.memory?.kind === 'host-blobs' ? 'map_info' : 'who';
  const head = [`    ${who}`, 'asks', 'granted', 'backing', ...side.hosts.map((h) => h.name)];
  const rows = block.rows.map((row, i) => rowCells(row, block.rows[i - 1]));
  return ['', ...memoryHead(block, d, width), ...table([head, ...rows])];
}

const CONFIDENTIAL = { tdx: 'Intel TDX', snp: 'AMD SEV-SNP', sev: 'AMD SEV' } as const;

function gpuWords(d: Diagnosis): string {
  return factWords(d.facts.virtioGpus, (list) =>
    list.length === 0
      ? 'none'
      : list
          .map((g) => {
            const blob = g.blob === true ? 'on' : g.blob === false ? 'off' : '?';
            return `${g.name}, blob resources ${blob}`;
          })
          .join('; '),
  );
}

/** What the drivers of this guest ask, get from its kernel, and from each host that it may run on. */
export function guestLines(d: Diagnosis, side: GuestSide, width: number): readonly string[] {
  const confidential = ifKnown(d.facts.confidential);
  const many = side.blocks.some((b) => b.rows.some((row) => grantedTypes(row).length > 1));
  const stale = side.blocks.some((b) => b.rows.some((row) => row.outcomes.some((o) => o.isStale)));
  const intro =
    side.notKvm === null
      ? 'What its drivers ask, what its own kernel grants, and what comes of it on each KVM host:'
      : `Its hypervisor is ${side.notKvm}, not KVM: what that makes of the types is not known here. What its drivers ask and its own kernel grants:`;
  return [
    ...labelled('  ', intro, width),
    ...side.blocks.flatMap((block) => blockLines(block, d, side, width)),
    '',
    ...side.hosts.flatMap((h) => labelled(`  ${h.name.padEnd(8)} `, h.what, width)),
    ...(stale ? ['  !        somebody sees old data (memtype rule MT101)'] : []),
    ...(many
      ? labelled('  ', 'Several types: it depends on what is not known of this guest.', width)
      : []),
    ...(confidential === null
      ? []
      : labelled('  encrypted   ', `${CONFIDENTIAL[confidential]}`, width)),
    ...labelled('  virtio-gpu  ', gpuWords(d), width),
    ...(side.notKvm === null
      ? labelled(
          '  which host it is: ',
          'cannot be told from inside; run doctor on the host.',
          width,
        )
      : []),
  ];
}
