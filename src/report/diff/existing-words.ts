import type { AfterEvent, EventChange, Existing } from '../../compare/existing/existing.ts';
import { counted, grouped, listed, platformWords } from './words.ts';

/** Events at which the very same happens on the same platforms. */
export interface EventView {
  readonly titles: readonly string[];
  readonly change: EventChange;
}

function keyOf({ platforms, before, after, consequence }: EventChange): string {
  const side = ({ action, affected, stale }: AfterEvent): unknown => [action, affected, stale];
  return JSON.stringify([platforms.map(({ id }) => id), side(before), side(after), consequence]);
}

export function eventViews({ changes }: Existing): readonly EventView[] {
  const views = new Map<string, { titles: string[]; change: EventChange }>();
  for (const change of changes) {
    const same = views.get(keyOf(change));
    if (same === undefined) views.set(keyOf(change), { titles: [change.title], change });
    else same.titles.push(change.title);
  }
  return [...views.values()];
}

export function eventTitle({ titles, change }: EventView): string {
  return `${titles.join('; ')} (${listed(platformWords(change.platforms))})`;
}

/** In how many states a mapping keeps a type that it would not get now. */
function staleWords({ affected, stale }: AfterEvent): string {
  if (affected === 0) return 'no installed type depends on it';
  if (stale === 0) return `none of ${counted(affected, 'state')} with another type stays stale`;
  if (stale === affected) return `all ${counted(affected, 'state')} with another type stay stale`;
  return `${grouped(stale)} of ${counted(affected, 'state')} with another type stay stale`;
}

export function actionWords(side: AfterEvent): string {
  return `${side.action}; ${staleWords(side)}`;
}

export function exampleWords({ example }: AfterEvent): string | null {
  if (example === null) return null;
  return `for example ${example.state}: installed ${example.installed}, now ${example.now}`;
}

/** What holds of all the other events. */
export function otherEvents({ changes, staleOnBoth, points }: Existing): readonly string[] {
  const both = staleOnBoth.map(({ title }) => title).join('; ');
  const rest = changes.length === 0 ? 'After every event' : 'After every other event';
  return [
    ...(both === '' ? [] : [`Stale on both sides after: ${both}.`]),
    `${rest} both do the same (${counted(points, 'state')} and events folded).`,
  ];
}
