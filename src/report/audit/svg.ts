import type { AuditRegion, AuditVm } from '../../audit/audit.ts';
import { count } from '../doctor-words.ts';
import { ADVANCE, COLOURS, escaped, FONT, LINE, textAt } from '../svg-parts.ts';
import { type AuditReport, leafName } from './document.ts';
import { type Extent, extentsOf, stripsOf } from './extents.ts';

const WIDTH = 1000;
const MARGIN = 20;
const BAND = 44;
/** Between two parts of the space. */
const BREAK = 26;
const LEAST = 104;
const IN_ROW = 6;
const PARTS = 24;
/** Pixels that a page is wide at least. */
const THIN = 3;
const ROW = BAND + 3 * LINE + 8;

const STYLE = [
  FONT,
  '.h{font-weight:bold}.s{font-size:12px;fill:#555}.t{font-size:12px}',
  '.b{stroke:#8a8a8a;fill:none}.g{stroke:#8a8a8a;fill:none;stroke-dasharray:3 3}',
].join('');

const OTHER = '#e3d7f2';

function fillOf(type: string): string {
  if (type === 'PAT index 0') return COLOURS['WB'] ?? OTHER;
  return COLOURS[type.replace(/\+IPAT$/, '')] ?? OTHER;
}

/** IPAT is hatched: what the guest asks counts for nothing there. */
function isForced(type: string): boolean {
  return type.endsWith('+IPAT');
}

function rect(x: number, y: number, width: number, height: number, type: string): string {
  const place = `x="${x}" y="${round(y)}" width="${width}" height="${round(height)}"`;
  const base = `<rect ${place} fill="${fillOf(type)}"/>`;
  return isForced(type) ? `${base}<rect ${place} fill="url(#ipat)"/>` : base;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function sizeWords(pages: number): string {
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = pages * 4;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

function address(gfn: number): string {
  return `0x${(gfn * 4096).toString(16)}`;
}

/** Widths of the parts in a row: the larger ones wider, by the logarithm of their pages. */
function widthsOf(row: readonly Extent[], isOnly: boolean): readonly number[] {
  const room = WIDTH - 2 * MARGIN - BREAK * row.length;
  const weights = row.map(({ gfnStart, gfnEnd }) => Math.log2(gfnEnd - gfnStart + 1));
  const sum = weights.reduce((a, b) => a + b, 0);
  const spare = room - LEAST * row.length;
  // The last row keeps the scale of the full ones above it.
  const share = isOnly ? spare : (spare * row.length) / IN_ROW;
  return weights.map((weight) => Math.floor(LEAST + (share * weight) / Math.max(1, sum)));
}

function drawExtent(extent: Extent, x: number, y: number, width: number): string {
  const strips = stripsOf(extent, width, leafName);
  const bars = strips.map((strip) => {
    let top = y;
    // A few pages of many would be a hair.
    const wide = Math.max(strip.width, THIN);
    const left = x + Math.min(strip.x, width - wide);
    return strip.shares
      .map(({ type, share }) => {
        const height = BAND * share;
        const bar = rect(left, top, wide, height, type);
        top += height;
        const fits = share === 1 && strip.width >= type.length * ADVANCE + 4;
        return fits ? bar + textAt(x + strip.x + 4, y + BAND / 2 + 4, type, 't') : bar;
      })
      .join('');
  });
  const pages = extent.gfnEnd - extent.gfnStart;
  return [
    ...bars,
    `<rect class="b" x="${x}" y="${y}" width="${width}" height="${BAND}"/>`,
    textAt(x, y + BAND + LINE, address(extent.gfnStart), 't'),
    textAt(x, y + BAND + 2 * LINE, `${sizeWords(pages)} long`, 's'),
  ].join('\n');
}

/** A break in the axis, with the length of what is left out. */
function drawBreak(x: number, y: number, gap: number): string {
  const middle = y + BAND / 2;
  const left = x + 8;
  return [
    `<path class="b" d="M${left} ${middle + 7}l5 -14m2 14l5 -14"/>`,
    textAt(x - 8, y - 4, `gap ${sizeWords(gap)}`, 's'),
  ].join('\n');
}

function drawSpace(regions: readonly AuditRegion[], y: number): { svg: string; height: number } {
  const extents = extentsOf(regions, PARTS);
  const drawn: string[] = [];
  let top = y;
  for (let at = 0; at < extents.length; at += IN_ROW) {
    const row = extents.slice(at, at + IN_ROW);
    const widths = widthsOf(row, extents.length <= IN_ROW);
    let x = MARGIN;
    top += LINE;
    row.forEach((extent, i) => {
      const width = widths[i] ?? LEAST;
      if (extent.gap > 0) drawn.push(drawBreak(x, top, extent.gap));
      x += BREAK;
      drawn.push(drawExtent(extent, x, top, width));
      x += width;
    });
    top += ROW;
  }
  return { svg: drawn.join('\n'), height: top - y };
}

function pagesOf(regions: readonly AuditRegion[]): number {
  return regions.reduce((sum, { gfnStart, gfnEnd }) => sum + gfnEnd - gfnStart, 0);
}

function drawLegend(regions: readonly AuditRegion[], y: number): { svg: string; height: number } {
  const types = [...new Set(regions.map(leafName))].sort((a, b) => (a < b ? -1 : 1));
  const rows = types.map((type, i) => {
    const same = regions.filter((region) => leafName(region) === type);
    const pages = pagesOf(same);
    const top = y + i * (LINE + 5);
    const ipat = isForced(type) ? ': the guest PAT is ignored' : '';
    const words = `${type}${ipat}: ${count(pages, 'page')}, ${sizeWords(pages)}, in ${count(same.length, 'region')}`;
    return [
      rect(MARGIN, top, 26, LINE, type),
      `<rect class="b" x="${MARGIN}" y="${top}" width="26" height="${LINE}"/>`,
      textAt(MARGIN + 36, top + 13, words),
    ].join('\n');
  });
  return { svg: rows.join('\n'), height: types.length * (LINE + 5) };
}

function drawVm(vm: AuditVm, y: number): { svg: string; height: number } {
  const name = vm.id === null ? 'The VM' : `VM ${vm.id}`;
  const spaces = [0, 1].map((asId) => vm.regions.filter((region) => region.asId === asId));
  const drawn: string[] = [];
  let top = y;
  spaces.forEach((regions, asId) => {
    if (regions.length === 0 && (asId === 1 || vm.regions.length > 0)) return;
    const smm = asId === 1 ? ', in system management mode' : '';
    const what =
      regions.length === 0 ? 'nothing is mapped' : `${sizeWords(pagesOf(regions))} mapped`;
    const unsure = regions.some((region) => !region.sure) ? '; not sure, events were lost' : '';
    drawn.push(
      textAt(MARGIN, top + LINE, `${name}${smm}: ${what} at the end of the trace${unsure}`, 'h'),
    );
    top += LINE + 8;
    const space = drawSpace(regions, top);
    drawn.push(space.svg);
    top += space.height;
  });
  return { svg: drawn.join('\n'), height: top - y + 6 };
}

/** The guest-physical space of each VM at the end of a trace, as a picture. */
export function auditSvg({ source, result }: AuditReport): string {
  const file = source.file === '-' ? 'standard input' : source.file;
  const title = `Guest-physical memory by ${file}`;
  const parts: string[] = [textAt(MARGIN, 28, title, 'h')];
  let y = 38;
  for (const vm of result.vms) {
    const { svg, height } = drawVm(vm, y);
    parts.push(svg);
    y += height;
  }
  if (result.vms.length === 0) {
    parts.push(textAt(MARGIN, y + LINE, 'No VM is seen in this trace.'));
    y += 2 * LINE;
  }
  const regions = result.vms.flatMap((vm) => vm.regions);
  const legend = drawLegend(regions, y + 4);
  const note =
    'Widths are by the logarithm of lengths; gaps are left out where marked. A column is filled where any page of it is mapped.';
  const bottom = y + legend.height + LINE + 8;
  const height = bottom + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    '<defs><pattern id="ipat" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0v6" stroke="#1c1c1c" stroke-opacity="0.28" stroke-width="1.6"/></pattern></defs>',
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    legend.svg,
    textAt(MARGIN, bottom, note, 's'),
    '</svg>\n',
  ].join('\n');
}
