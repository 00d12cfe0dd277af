import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { compare } from './compare.ts';
import type { Category, Change, Condition, Difference } from './difference.ts';
import { type PlatformId, platformsOf } from './platforms.ts';
import { pairsOf } from './sides.ts';
import type { Restriction } from './space/fold.ts';
import type { SweepInput } from './space/space.ts';

interface More {
  readonly facts?: Restriction;
  readonly only?: Category;
}

function diff(a: string, b: string, { facts = {}, only }: More = {}): Difference {
  const [pair] = pairsOf({ text: a }, { text: b }).pairs;
  return compare({
    ...must(pair, 'a pair'),
    platforms: null,
    backings: [],
    facts,
    only: only ?? null,
  });
}

function group(d: Difference, platform: PlatformId): Difference['platforms'][number] {
  return must(
    d.platforms.find((g) => g.platforms.some((p) => p.id === platform)),
    platform,
  );
}

/** Every full condition of every change: that of the cause and that of the change together. */
function conditions(d: Difference, platform: PlatformId): readonly Condition[] {
  return group(d, platform).causes.flatMap((cause) =>
    cause.when.conditions.flatMap((outer) =>
      cause.changes.flatMap((c) => c.when.conditions.map((inner) => [...outer, ...inner])),
    ),
  );
}

function demands(condition: Condition, input: SweepInput | 'host-mmio', value: string): boolean {
  return condition.some((l) => l.input === input && l.values.length === 1 && l.values[0] === value);
}

function user(d: Difference, id: string, platform: PlatformId): Difference['users'][number] | null {
  return d.users.find((u) => u.id === id && u.platforms.some((p) => p.id === platform)) ?? null;
}

function changes(d: Difference, platform: PlatformId): readonly Change[] {
  return group(d, platform).causes.flatMap((c) => c.changes);
}

function kinds(d: Difference, platform: PlatformId): readonly string[] {
  const all = changes(d, platform).flatMap((c) => c.kinds.flatMap((k) => k.backings));
  return [...new Set(all)].sort();
}

const texts = (list: readonly { readonly text: string }[] = []): string =>
  list.map(({ text }) => text).join('; ');

describe('what is publicly known of the history comes out of the rules', () => {
  it('E9 to E10, the revert: the bochs frame buffer on Sapphire Rapids', () => {
    const revert = user(diff('E9', 'E10'), 'bochs-frame-buffer', 'intel-ept');
    expect([revert?.before, revert?.after]).toEqual([['UC'], ['WB']]);
    expect(texts(revert?.consequences)).toContain('stores faster: 23 times (Sapphire Rapids)');
    const series = user(diff('6.10', '6.11-rc1'), 'bochs-frame-buffer', 'intel-ept');
    expect([series?.before, series?.after]).toEqual([['WB'], ['UC']]);
    expect(texts(series?.consequences)).toContain('stores slower: 23 times (Sapphire Rapids)');
  });

  it('E9 to E10: only with self-snoop, only without non-coherent DMA, and virtio-gpu is stale again', () => {
    const d = diff('E9', 'E10');
    expect(group(d, 'intel-ept-noss').differing).toBe(0);
    expect(group(d, 'amd-npt').differing).toBe(0);
    expect(conditions(d, 'intel-ept').every((c) => demands(c, 'noncoherent-dma', 'no'))).toBe(true);
    const blob = user(d, 'virtio-gpu-wc-blob', 'intel-ept');
    expect([blob?.before, blob?.after]).toEqual([['WC'], ['WB']]);
    expect(blob?.consequences.map((c) => c.kind)).toContain('stale');
  });

  it('E7 to E8: the firmware phase of a VM with non-coherent DMA, and nothing else', () => {
    const d = diff('E7', 'E8');
    const phase = user(d, 'firmware-phase', 'intel-ept');
    expect([phase?.before, phase?.after]).toEqual([['WB'], ['WC']]);
    expect([...new Set(d.users.map((u) => u.id))]).toEqual(['firmware-phase']);
    for (const condition of conditions(d, 'intel-ept')) {
      expect(demands(condition, 'cr0-cd', 'yes')).toBe(true);
      expect(demands(condition, 'noncoherent-dma', 'yes')).toBe(true);
      expect(demands(condition, 'quirk-cd-nw-cleared', 'on')).toBe(true);
    }
  });

  it('E8 to E10: guests that relied on MTRRs alone get WB, stale for their device', () => {
    const d = diff('E8', 'E10');
    for (const platform of ['intel-ept', 'intel-ept-noss'] as const) {
      const guest = user(d, 'mtrr-only-guest', platform);
      expect([guest?.before, guest?.after]).toEqual([['UC'], ['WB']]);
      expect(guest?.consequences.map((c) => c.kind)).toContain('stale');
      const all = conditions(d, platform);
      expect(all.every((c) => demands(c, 'noncoherent-dma', 'yes'))).toBe(true);
    }
    expect(d.rules.map((r) => r.what)).toContain('guest MTRRs');
  });

  it('E6: machine checks come with it and go after it', () => {
    const come = diff('E5', 'E6', { only: 'mce' });
    const go = diff('E6', 'E7', { only: 'mce' });
    for (const [d, kind, types] of [
      [come, 'machine-check', [['UC'], ['WB']]],
      [go, 'machine-check-gone', [['WB'], ['UC']]],
    ] as const) {
      expect(kinds(d, 'intel-ept')).toContain('bar');
      const registers = user(d, 'wb-on-bar', 'intel-ept');
      expect([registers?.before, registers?.after]).toEqual(types);
      expect(registers?.consequences.map((c) => c.kind)).toContain(kind);
    }
    expect(conditions(go, 'intel-ept').every((c) => demands(c, 'host-mmio', 'yes'))).toBe(true);
    expect(diff('E7', 'E8', { only: 'mce' }).users).toEqual([]);
  });

  it('E10 to E11: nobody who does not disable the quirk, and nobody without self-snoop', () => {
    const d = diff('E10', 'E11');
    const all = conditions(d, 'intel-ept');
    expect(all.length).toBeGreaterThan(0);
    expect(all.every((c) => demands(c, 'quirk-ignore-guest-pat', 'off'))).toBe(true);
    expect(group(d, 'intel-ept-noss').differing).toBe(0);
    expect(d.users.every((u) => u.id.endsWith(', quirk-ignore-guest-pat off'))).toBe(true);
    expect(user(d, 'virtio-gpu-wc-blob, quirk-ignore-guest-pat off', 'intel-ept')?.after).toEqual([
      'WC',
    ]);
    expect(diff('E10', 'E11', { facts: { 'quirk-ignore-guest-pat': ['on'] } }).differing).toBe(0);
  });

  it('E3 to E4: every VM had its own MTRRs, then only those with non-coherent DMA', () => {
    const d = diff('E3', 'E4');
    const ram = changes(diff('E3', 'E4', { facts: { 'noncoherent-dma': [false] } }), 'intel-ept');
    expect(ram.every((c) => c.after === 'WB')).toBe(true);
    expect(conditions(d, 'intel-ept').every((c) => demands(c, 'host-mmio', 'no'))).toBe(true);
  });

  it('the zero page of 3.18, DAX before 4.16, mem= before 5.2', () => {
    expect(user(diff('3.17', '3.18'), 'zero-page', 'intel-ept')?.after).toEqual(['UC']);
    expect(kinds(diff('3.17', '3.18'), 'intel-ept')).toEqual(['zero']);
    expect(user(diff('4.15', '4.16'), 'dax', 'intel-ept')?.after).toEqual(['WB']);
    // A host whose tracker says WB: the VGA hole loses its UC with DAX.
    expect(kinds(diff('4.15', '4.16'), 'intel-ept')).toEqual(['dax', 'vga-hole']);
    expect(kinds(diff('5.1', '5.2'), 'intel-ept')).toEqual(['hidden-ram']);
  });

  it('AMD: the guest PAT from 4.14.3 on', () => {
    const d = diff('4.14.2', '4.14.3');
    expect(user(d, 'virtio-gpu-wc-blob', 'amd-npt')?.after).toEqual(['WC+']);
    expect(group(d, 'intel-ept').differing).toBe(0);
  });
});

describe('the founding patch', () => {
  const d = diff('6.16', 'wc-as-mmio');

  it('flips the pages of RAM that the host tracks as WC, and no other', () => {
    for (const condition of conditions(d, 'intel-ept')) {
      expect(demands(condition, 'host-memtype', 'WC')).toBe(true);
      expect(demands(condition, 'pfn-valid', 'yes')).toBe(true);
      expect(demands(condition, 'zero-page', 'no')).toBe(true);
      expect(demands(condition, 'page-reserved', 'no')).toBe(true);
    }
    expect(kinds(d, 'intel-ept')).toEqual(['ttm-wc', 'vgem-wc', 'xe-wc']);
  });

  it('is coherent and takes WB from those who want it; AMD and shadow paging are left alone', () => {
    const careless = user(d, 'wb-guest-on-wc-blob', 'intel-ept');
    expect([careless?.before, careless?.after]).toEqual([['WB'], ['UC']]);
    expect(careless?.consequences.map((c) => c.kind)).toEqual(['coherent', 'slower', 'slower']);
    for (const platform of ['amd-npt', 'amd-shadow', 'intel-shadow'] as const) {
      expect(group(d, platform).differing).toBe(0);
    }
  });
});

describe('the ideal', () => {
  it('gives both guests of the founding mail what the host has, everywhere', () => {
    const d = diff('6.16', 'host-pat');
    for (const platform of platformsOf('intel').concat(platformsOf('amd'))) {
      const careless = user(d, 'wb-guest-on-wc-blob', platform.id);
      expect(careless?.after, platform.id).toEqual(['WC']);
      expect(careless?.consequences.map((c) => c.kind)).toContain('coherent');
    }
    expect(d.usersUnchanged.map((u) => u.id)).toContain('ordinary-guest-ram');
  });

  it('costs what the maintainer feared: guests that asked UC- by mistake', () => {
    const bochs = user(diff('6.16', 'host-pat'), 'bochs-frame-buffer', 'intel-ept');
    expect([bochs?.before, bochs?.after]).toEqual([['WB'], ['UC']]);
    expect(user(diff('6.16', 'host-pat'), 'bochs-frame-buffer', 'intel-ept-noss')).toBeNull();
  });

  it('to the letter of the tracker, leaves i915 and the VGA hole as they are', () => {
    const d = diff('host-pat-tracked', 'host-pat');
    const types = (id: string): unknown => [
      user(d, id, 'intel-ept')?.before,
      user(d, id, 'intel-ept')?.after,
    ];
    expect(types('i915-mmap-offset')).toEqual([['WB'], ['WC']]);
    expect(types('vga-hole')).toEqual([undefined, undefined]);
    // The guest maps it UC anyway; one that maps it WB is the difference.
    expect(kinds(d, 'intel-ept')).toEqual(['i915-wc', 'vga-hole']);
    expect(user(diff('6.16', 'host-pat'), 'vga-hole', 'intel-ept')?.after).toEqual(['UC']);
    expect(user(d, 'i915-dmabuf', 'intel-ept')).toBeNull();
  });
});

describe('the ideal behind a memslot flag', () => {
  it.each([
    '6.16',
    '6.15',
    '6.12.78',
    '6.11',
    '6.10',
    '6.6',
    '6.1',
    '5.10',
    '4.2',
    '3.13',
    '2.6.31',
  ])('changes nothing on %s for whoever does not set the flag', (kernel) => {
    const { pairs } = pairsOf({ text: kernel }, { text: 'host-pat-slot' });
    for (const pair of pairs) {
      const d = compare({
        ...pair,
        platforms: null,
        backings: [],
        facts: { 'slot-host-memtype': [false] },
        only: null,
      });
      expect(d.differing).toBe(0);
      expect(d.points).toBeGreaterThan(100_000_000);
      expect(d.platforms.every((g) => g.leafOnly === 0)).toBe(true);
      expect(d.users).toEqual([]);
    }
  });

  it('is the ideal for whoever sets it', () => {
    const flagged = { 'slot-host-memtype': [true] };
    expect(diff('host-pat', 'host-pat-slot', { facts: flagged }).differing).toBe(0);
    const d = diff('6.16', 'host-pat-slot');
    const all = ['intel-ept', 'intel-ept-noss', 'intel-shadow', 'amd-npt', 'amd-shadow'] as const;
    for (const platform of all) {
      const own = conditions(d, platform);
      expect(own.length).toBeGreaterThan(0);
      expect(own.every((c) => demands(c, 'slot-host-memtype', 'yes'))).toBe(true);
    }
  });
});
