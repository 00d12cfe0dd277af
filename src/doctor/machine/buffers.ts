import type { BackingId } from '../../linux/backing.ts';
import { type AmdgpuBuffer, type AmdgpuGem, parseAmdgpuGem } from '../../linux/text/amdgpu-gem.ts';
import { type Fact, ifKnown, known } from '../fact.ts';
import type { Gpu } from '../host-facts.ts';
import type { Gathering } from '../parse.ts';
import type { Readings } from '../reading.ts';

/** Where the buffers of an amdgpu card are listed, under debugfs. Cards go by the number of their node. */
export function gemInfoPath(debugfs: string, card: string): string {
  return `${debugfs}/dri/${card.slice('card'.length)}/amdgpu_gem_info`;
}

export function isAmdgpuCard({ name, driver }: Pick<Gpu, 'name' | 'driver'>): boolean {
  return driver === 'amdgpu' && name.startsWith('card');
}

const REMEDIES = {
  absent: 'mount -t debugfs none /sys/kernel/debug',
  denied: 'run doctor as root',
} as const;

/** The buffers of all amdgpu cards; null: there is no such card. */
export function gatherAmdgpu(
  readings: Readings,
  gathering: Gathering,
  gpus: Fact<readonly Gpu[]>,
  debugfs: string,
): Fact<AmdgpuGem> | null {
  const cards = (ifKnown(gpus) ?? []).filter(isAmdgpuCard);
  if (cards.length === 0) return null;
  const facts = cards.map(({ name }) => {
    const path = gemInfoPath(debugfs, name);
    return gathering.fact(readings.text(path), path, parseAmdgpuGem, 'whole', REMEDIES);
  });
  const missing = facts.find((fact) => !fact.known);
  if (missing !== undefined && !missing.known) return missing;
  const clients = facts.flatMap((fact) => (fact.known ? fact.value.clients : []));
  return known({ clients }, facts.flatMap((f) => (f.known ? [f.from] : [])).join(', '));
}

/** What is known of the buffers behind a mapping. */
export interface Buffers {
  readonly backings: readonly BackingId[];
  /** Where they are, in words. */
  readonly words: string;
}

const EVERYWHERE: readonly BackingId[] = ['ttm-cached', 'ttm-wc', 'bar-wc'];

/**
 * The classes that the pages of a buffer may have. RAM is WC with CPU_GTT_USWC, else cached
 * (amdgpu_ttm_tt_create); VRAM that the CPU does not reach moves when it is touched.
 */
function backingsOf({ placement, uswc }: AmdgpuBuffer): readonly BackingId[] {
  const ram: BackingId = uswc ? 'ttm-wc' : 'ttm-cached';
  switch (placement) {
    case 'visible':
      return ['bar-wc'];
    case 'vram':
      return ['bar-wc', ram];
    case 'gtt':
    case 'system':
      return [ram];
    case 'other':
    case 'unknown':
      return EVERYWHERE;
  }
}

const MIB = 2 ** 20;

function sizeWords(name: string, buffers: readonly AmdgpuBuffer[]): readonly string[] {
  const size = buffers.reduce((sum, buffer) => sum + buffer.size, 0);
  return size === 0 ? [] : [`${(size / MIB).toFixed(1)} MiB ${name}`];
}

function buffersOf(buffers: readonly AmdgpuBuffer[]): Buffers | null {
  // TTM refuses to fault the pages of an imported buffer: they are mapped through their exporter.
  const mapped = buffers.filter((buffer) => !buffer.noCpuAccess && !buffer.imported);
  if (mapped.length === 0) return null;
  const isRam = ({ placement }: AmdgpuBuffer): boolean =>
    placement === 'gtt' || placement === 'system';
  const isVram = ({ placement }: AmdgpuBuffer): boolean =>
    placement === 'vram' || placement === 'visible';
  const words = [
    ...sizeWords(
      'of RAM write-combined',
      mapped.filter((b) => isRam(b) && b.uswc),
    ),
    ...sizeWords(
      'of RAM cached',
      mapped.filter((b) => isRam(b) && !b.uswc),
    ),
    ...sizeWords('of VRAM', mapped.filter(isVram)),
    ...sizeWords(
      'elsewhere',
      mapped.filter((b) => !isRam(b) && !isVram(b)),
    ),
  ].join(', ');
  const found = new Set(mapped.flatMap(backingsOf));
  return { backings: EVERYWHERE.filter((id) => found.has(id)), words };
}

/**
 * The buffers that a process has as a client of its own. Null: it is none, as where a render server opened
 * the GPU for it; or none of them is for the CPU.
 */
export function clientBuffers(gem: AmdgpuGem, pid: number): Buffers | null {
  return buffersOf(gem.clients.filter((c) => c.pid === pid).flatMap((c) => c.buffers));
}

/** The buffer that was exported as the dma-buf with this inode, whoever did it; null: none is known to be. */
export function exportedBuffer(gem: AmdgpuGem, inode: string): Buffers | null {
  const found = gem.clients.flatMap((c) => c.buffers).find((b) => b.inode === inode && !b.imported);
  return found === undefined ? null : buffersOf([{ ...found, noCpuAccess: false }]);
}
