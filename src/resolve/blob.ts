import type { MapInfo } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import type { BackingId } from '../linux/backing.ts';
import { PRODUCERS } from '../platform/map-info.ts';
import type { Page } from './page.ts';

/** Something was said of map_info, or of who makes it up. */
export function saysMapInfo(inquiry: Inquiry): boolean {
  return inquiry.isGiven('map-info') || inquiry.isGiven('map-info-from');
}

/** The map_info of a host blob: as said, else as its producer makes it up for such memory. */
export function blobMapInfo(inquiry: Inquiry, page: Page): MapInfo {
  if (inquiry.isGiven('map-info') || !inquiry.isGiven('map-info-from')) {
    return inquiry.ask('map-info');
  }
  const producer = PRODUCERS[inquiry.ask('map-info-from')];
  const said = producer.says[page.backing().id as BackingId] ?? [];
  return inquiry.among('map-info', said, `${producer.title} goes by ${producer.by}`);
}
