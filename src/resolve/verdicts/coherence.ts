import { type Access, checksCaches, isAliased, uncachedSide } from '../alias.ts';
import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import {
  GUEST_CPU,
  holdsDirtyLines,
  isDeviceMemory,
  NOSNOOP_DEVICE,
  readsCached,
  uncacheIt,
  VMM_CPU,
} from './advice.ts';

function staleForDevice(s: Situation): Finding | null {
  if (s.device !== 'nosnoop' || isDeviceMemory(s) || !holdsDirtyLines(s.result.type)) return null;
  return {
    agents: [GUEST_CPU, NOSNOOP_DEVICE],
    text:
      `The guest's stores stay in the CPU cache (effective ${s.result.type}); the device reads memory ` +
      'past the caches and gets old data, and the guest may read old lines after the device has written.',
    fix: uncacheIt(s),
  };
}

function staleReads(s: Situation): Finding | null {
  const { type } = s.result;
  if (s.device !== 'nosnoop' || isDeviceMemory(s)) return null;
  if (holdsDirtyLines(type) || !readsCached(type)) return null;
  return {
    agents: [NOSNOOP_DEVICE, GUEST_CPU],
    text:
      `The guest's stores reach memory (effective ${type}), but its loads may hit lines cached before the ` +
      'device wrote past the caches.',
    fix: uncacheIt(s),
  };
}

function aliased(s: Situation): boolean {
  return !isDeviceMemory(s) && isAliased(s.result, s.vmmMapping);
}

/** Who goes past the caches looks into them, or the CPU snoops itself: so the two sides agree. */
function copesWithAliases(s: Situation): boolean {
  if (checksCaches(pastCaches(s))) return true;
  return s.vendor === 'intel' && s.selfSnoop !== false;
}

function pastCaches(s: Situation): Access {
  return uncachedSide(s.result, s.vmmMapping, s.hostMtrr(), s.vendor);
}

function aliasText(s: Situation): string {
  return `The guest accesses the page as ${s.result.type} while the VMM maps it ${s.vmmMapping}.`;
}

function aliasNotCoherent(s: Situation): Finding | null {
  if (!aliased(s) || copesWithAliases(s)) return null;
  const { type } = pastCaches(s);
  const why =
    s.vendor === 'amd'
      ? `On AMD ${type} does not look into the caches: such mappings need a flush between them.`
      : `This CPU does not snoop its own caches for ${type} accesses, so the two may see different data.`;
  return {
    agents: [GUEST_CPU, VMM_CPU],
    text: `${aliasText(s)} ${why}`,
    fix: 'Give both mappings the same cacheability, or do not access the page through both, or flush between them (CLFLUSH).',
  };
}

function unsnoopedUc(s: Situation): Finding | null {
  if (s.vendor !== 'intel' || s.result.ucOrigin !== 'mtrr') return null;
  if (s.result.leaf.paging !== 'ept' || !aliased(s) || s.selfSnoop === false) return null;
  return {
    agents: [GUEST_CPU, VMM_CPU],
    text: `${aliasText(s)} UC from the EPT leaf does not oblige the CPU to check its caches, where a dirty line of the VMM may be.`,
    fix: 'Flush the page (CLFLUSH) after the VMM has written it, before the guest uses it.',
  };
}

function keptCoherent(s: Situation): string {
  const past = pastCaches(s);
  return checksCaches(past)
    ? `${past.type}${s.vendor === 'amd' ? '' : ' by the page tables'} looks into every cache, so the data stays coherent between the two; it does nothing for devices.`
    : 'Self-snoop keeps the data coherent between CPU accesses; it does nothing for devices.';
}

function migrationAlias(s: Situation): Finding | null {
  if (!aliased(s) || !copesWithAliases(s) || unsnoopedUc(s) !== null) return null;
  return {
    agents: [GUEST_CPU, VMM_CPU],
    text: `${aliasText(s)} ${keptCoherent(s)}`,
    fix: 'Drain write combining (SFENCE, or stop the vCPU) before the VMM copies the page, e.g. in migration.',
  };
}

export const COHERENCE: readonly VerdictDefinition[] = [
  {
    code: 'MT101',
    severity: 'error',
    title: 'Stale data for a device that does not snoop',
    room: 'cpu',
    cause:
      'The guest CPU accesses the page as WB while a device reads and writes the memory past the caches: ' +
      'amdgpu with USWC buffers, integrated GPUs without LLC, PCIe with No Snoop.',
    consequence:
      'The device reads old data, fences never complete, dirty lines written back later destroy what the ' +
      'device wrote beside them. Glitches that come and go with cache pressure.',
    fix: 'Make the effective type WC or UC, make the device snoop, or flush around each transfer.',
    sources: ['mail/seed', 'sdm/types', 'pcie/no-snoop'],
    example: '--cpu intel --kernel 6.8 --paging ept --backing ttm-wc --guest WC --device nosnoop',
    find: staleForDevice,
  },
  {
    code: 'MT102',
    severity: 'error',
    title: 'Stale reads of what a device that does not snoop has written',
    room: 'cpu',
    cause: 'The effective type is WT or WP: stores go to memory, loads may come from the cache.',
    consequence: 'The guest polls a line in its cache and never sees what the device wrote.',
    fix: 'Map it WC or UC in the guest, or flush before reading.',
    sources: ['sdm/types', 'apm/types'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing ttm-wc --guest WT --device nosnoop',
    find: staleReads,
  },
  {
    code: 'MT103',
    severity: 'error',
    title: 'Guest and VMM map the page with a cacheability that the CPU does not keep coherent',
    room: 'cpu',
    cause:
      'One of the two mappings is cacheable and the other is not, with a type that does not look into the ' +
      'caches: WC, on an Intel CPU without self-snoop also UC by the EPT leaf. UC by the page tables does.',
    consequence: 'The two sides may read different data from one address.',
    fix: 'Give both mappings one type, or flush between their accesses.',
    sources: ['sdm/alias', 'sdm/self-snoop', 'linux/self-snoop-errata', 'apm/alias'],
    example:
      '--cpu intel --self-snoop no --kernel 6.12 --paging ept --backing ram --guest WC --noncoherent-dma yes',
    find: aliasNotCoherent,
  },
  {
    code: 'MT104',
    severity: 'warning',
    title: 'UC from the EPT leaf over memory that the VMM maps cacheable',
    room: 'cpu',
    cause: 'EPT UC takes the place of an MTRR UC, for which the CPU need not check its caches.',
    consequence: "The guest may read memory under a dirty line of the VMM's mapping.",
    fix: 'Let the guest choose UC by its PAT (the CPU must then check), or flush first.',
    sources: ['sdm/t11-7', 'sdm/ept-types'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.6 --paging ept --backing ram --guest WB --guest-mtrr UC --noncoherent-dma yes',
    find: unsnoopedUc,
  },
  {
    code: 'MT105',
    severity: 'info',
    title: 'The VMM maps the page with another cacheability',
    room: 'vmm',
    cause: 'Guest and VMM map one page with types of different cacheability, on a CPU that copes.',
    consequence:
      'Harmless for most; write combining must be drained before the VMM copies the page.',
    fix: 'Drain before copying.',
    sources: ['sdm/self-snoop', 'apm/alias', 'mail/seed-series'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.16 --paging ept --backing ram --guest WC --quirk-ignore-guest-pat off',
    find: migrationAlias,
  },
];
