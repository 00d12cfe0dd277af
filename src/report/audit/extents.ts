import type { AuditRegion } from '../../audit/audit.ts';

/** A part of the guest-physical space with something mapped in it, without a large gap. */
export interface Extent {
  readonly gfnStart: number;
  readonly gfnEnd: number;
  readonly regions: readonly AuditRegion[];
  /** Pages between the one before and this; 0: it is the first. */
  readonly gap: number;
}

/** A smaller gap is drawn, not left out: 2 MiB, and this part of what is drawn. */
const GAP_MIN = 512;
const GAP_PART = 1 / 32;

/**
 * The space, broken at its largest gaps.
 *
 * @param regions by ascending gfn
 * @param most parts
 */
export function extentsOf(regions: readonly AuditRegion[], most: number): readonly Extent[] {
  const gaps: { readonly before: number; readonly size: number }[] = [];
  let end = regions[0]?.gfnEnd ?? 0;
  regions.forEach(({ gfnStart, gfnEnd }, i) => {
    if (gfnStart - end >= GAP_MIN) gaps.push({ before: i, size: gfnStart - end });
    end = Math.max(end, gfnEnd);
  });
  let drawn = end - (regions[0]?.gfnStart ?? 0);
  const kept: typeof gaps = [];
  for (const gap of gaps.sort((a, b) => b.size - a.size || a.before - b.before)) {
    if (kept.length === most - 1 || gap.size < drawn * GAP_PART) break;
    kept.push(gap);
    drawn -= gap.size;
  }
  const cuts = kept.sort((a, b) => a.before - b.before);
  const starts = [0, ...cuts.map(({ before }) => before)];
  return starts.flatMap((start, i) => {
    const part = regions.slice(start, starts[i + 1] ?? regions.length);
    const [first] = part;
    if (first === undefined) return [];
    const gfnEnd = part.reduce((max, r) => Math.max(max, r.gfnEnd), 0);
    const gap = i === 0 ? 0 : (cuts[i - 1]?.size ?? 0);
    return [{ gfnStart: first.gfnStart, gfnEnd, regions: part, gap }];
  });
}

/** What is drawn in one column of pixels, or in several that are alike. */
export interface Strip {
  readonly x: number;
  readonly width: number;
  /** Types, with the share that each has of the mapped pages. */
  readonly shares: readonly { readonly type: string; readonly share: number }[];
}

/** Regions as strips of whole pixels; a page is never thinner than one. */
export function stripsOf(
  { gfnStart, gfnEnd, regions }: Extent,
  width: number,
  typeOf: (region: AuditRegion) => string,
): readonly Strip[] {
  const perPixel = (gfnEnd - gfnStart) / width;
  const columns: Map<string, number>[] = Array.from({ length: width }, () => new Map());
  for (const region of regions) {
    const type = typeOf(region);
    const from = (region.gfnStart - gfnStart) / perPixel;
    const to = (region.gfnEnd - gfnStart) / perPixel;
    for (let x = Math.floor(from); x < Math.min(width, Math.max(Math.ceil(to), from + 1)); x += 1) {
      const column = columns[x];
      const part = Math.max(Math.min(to, x + 1) - Math.max(from, x), 0);
      column?.set(type, (column.get(type) ?? 0) + part);
    }
  }
  const strips: { x: number; width: number; key: string; shares: Strip['shares'] }[] = [];
  columns.forEach((column, x) => {
    if (column.size === 0) return;
    const sum = [...column.values()].reduce((a, b) => a + b, 0);
    const shares = [...column]
      .map(([type, part]) => ({ type, share: Math.round((part / sum) * 100) / 100 }))
      .sort((a, b) => (a.type < b.type ? -1 : 1));
    const key = JSON.stringify(shares);
    const last = strips.at(-1);
    if (last !== undefined && last.key === key && last.x + last.width === x) last.width += 1;
    else strips.push({ x, width: 1, key, shares });
  });
  return strips;
}
