import type { Witness } from '../../compare/difference.ts';
import type { DrawnTable } from './drawn-grid.ts';
import type { Effect } from './effects.ts';
import type { UserView } from './gather.ts';

/** A label and what belongs to it. */
export interface Field {
  readonly label: string;
  readonly content: readonly Block[];
}

/** A report as a tree that text, Markdown and HTML draw each in their own way. */
export type Block =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'fields'; readonly fields: readonly Field[] }
  /** The first row is the heading. */
  | { readonly kind: 'table'; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'types'; readonly table: DrawnTable }
  | { readonly kind: 'effects'; readonly effects: readonly Effect[] }
  | { readonly kind: 'users'; readonly users: readonly UserView[] }
  /** `title`: what it shows; empty: nothing to say. */
  | { readonly kind: 'command'; readonly title: string; readonly witness: Witness }
  | { readonly kind: 'section'; readonly title: string; readonly content: readonly Block[] }
  /** What is not shown by default: its summary stands, the rest can be opened or asked for. */
  | { readonly kind: 'more'; readonly summary: string; readonly content: readonly Block[] };

export const text = (words: string): Block => ({ kind: 'text', text: words });

export const section = (title: string, content: readonly Block[]): Block => ({
  kind: 'section',
  title,
  content,
});

export const field = (label: string, ...content: readonly (Block | string)[]): Field => ({
  label,
  content: content.map((c) => (typeof c === 'string' ? text(c) : c)),
});

export const fieldsOf = (...fields: readonly Field[]): readonly Block[] =>
  fields.length === 0 ? [] : [{ kind: 'fields', fields }];

/** Nothing at all where there is nothing to say. */
export function sectionOf(title: string, content: readonly Block[]): readonly Block[] {
  return content.length === 0 ? [] : [section(title, content)];
}

/** Fields without a label belong to the one before: as one. */
export function merged(fields: readonly Field[]): readonly Field[] {
  const all: { label: string; content: readonly Block[] }[] = [];
  for (const { label, content } of fields) {
    const last = all.at(-1);
    if (label === '' && last !== undefined) last.content = [...last.content, ...content];
    else all.push({ label, content });
  }
  return all;
}
