import { must } from '../base/assert.ts';
import type { LineConfig, PageType, ViewConfig } from '../machine/config.ts';
import { effectiveType } from './effective.ts';
import { TYPE_BYTES } from './init.ts';
import { refuseAt } from './lex.ts';
import { printView } from './setup-words.ts';
import type { Address, InitItem, LitmusTest, Proposition, Span, TypeParts, Value } from './test.ts';

const LINE_BYTES = 64;

/** A cell of a line. */
export interface Place {
  readonly line: string;
  readonly cell: number;
}

/** An array: its elements are cells of one line. */
interface ArrayOf {
  readonly length: number;
  readonly bytes: number;
}

/** Where everything is that a test names. */
export interface Places {
  /** Lines with the names of their cells: of a scalar the line and its only cell have the name of the location. */
  readonly lines: ReadonlyMap<string, readonly string[]>;
  /** Every name of a cell, aliases too: `x`, `w`, `t[1]`. */
  readonly cells: ReadonlyMap<string, Place>;
  readonly arrays: ReadonlyMap<string, ArrayOf>;
  readonly views: readonly ViewConfig[];
  /** Parts of the type of views that were given by parts, by `x` or `P0.x`. */
  readonly parts: ReadonlyMap<string, TypeParts>;
}

/** Names of locations that a proposition asks for or compares with. */
function namesIn(p: Proposition): readonly string[] {
  switch (p.kind) {
    case 'constant':
      return [];
    case 'equals':
      return [
        ...(p.left.kind === 'register' ? [] : [p.left.name]),
        ...(typeof p.right === 'number' ? [] : [p.right.symbol]),
      ];
    case 'same':
      return [p.left, p.right].flatMap((l) => (l.kind === 'register' ? [] : [l.name]));
    case 'not':
      return namesIn(p.of);
    case 'and':
    case 'or':
      return p.of.flatMap(namesIn);
    case 'implies':
      return [...namesIn(p.left), ...namesIn(p.right)];
  }
}

function symbolsOf(values: readonly Value[]): readonly string[] {
  return values.flatMap((v) => (typeof v === 'number' ? [] : [v.symbol]));
}

/** Every name that the test mentions, in the order of the text, headers last. */
function mentioned(test: LitmusTest): readonly string[] {
  const { init, threads, locations, filter, condition, setup } = test;
  const names = [
    ...init.flatMap(({ location, values }) => [
      ...(location.kind === 'symbol' ? [location.name] : []),
      ...symbolsOf(values),
    ]),
    ...threads.flatMap((t) =>
      t.lines.flatMap(({ instruction }) =>
        (instruction?.operands ?? []).flatMap((o) => (o.kind === 'symbol' ? [o.name] : [])),
      ),
    ),
    ...locations.flatMap((l) => (l.kind === 'register' ? [] : [l.name])),
    ...(filter === null ? [] : namesIn(filter)),
    ...namesIn(condition.proposition),
    ...setup.lines.flatMap((l) => l.cells),
    ...setup.aliases.map((a) => a.of),
    ...setup.views.map((v) => v.view.name),
    ...setup.cached.map((c) => c.name),
  ];
  return [...new Set(names)];
}

function arraysOf(test: LitmusTest): ReadonlyMap<string, ArrayOf> {
  const arrays = new Map<string, ArrayOf>();
  for (const { location, type, length, at } of test.init) {
    if (location.kind !== 'symbol' || length === null) continue;
    const bytes = TYPE_BYTES.get(type ?? '') ?? 8;
    if (bytes * length > LINE_BYTES) {
      refuseAt(test.source, at, `${location.name} is larger than a line`, 'a line has 64 bytes');
    }
    arrays.set(location.name, { length, bytes });
  }
  return arrays;
}

/** Names that are cells of a line with others, and names that are aliases: they have no line of their own. */
function linesOf(test: LitmusTest, arrays: Places['arrays']): Map<string, readonly string[]> {
  const { source, setup } = test;
  const aliases = new Set(setup.aliases.map((a) => a.alias.name));
  const lines = new Map<string, readonly string[]>();
  const taken = new Set<string>();
  for (const { cells, at } of setup.lines) {
    for (const name of cells) {
      if (taken.has(name)) refuseAt(source, at, `${name} is in a line already`);
      if (aliases.has(name) || arrays.has(name)) {
        refuseAt(
          source,
          at,
          `${name} is no scalar of its own`,
          'name the cells, not an alias or array',
        );
      }
      taken.add(name);
    }
    lines.set(must(cells[0], 'a line has cells'), cells);
  }
  for (const name of mentioned(test)) {
    if (taken.has(name) || aliases.has(name)) continue;
    const array = arrays.get(name);
    const elements = Array.from({ length: array?.length ?? 0 }, (_, i) => `${name}[${i}]`);
    lines.set(name, array === undefined ? [name] : elements);
  }
  return lines;
}

function cellsOf(test: LitmusTest, lines: Places['lines']): Map<string, Place> {
  const cells = new Map<string, Place>();
  for (const [line, names] of lines) {
    for (const [cell, name] of names.entries()) cells.set(name, { line, cell });
  }
  for (const { alias, of, at } of test.setup.aliases) {
    const place =
      cells.get(of) ??
      refuseAt(
        test.source,
        at,
        `no location is called ${of}`,
        'an alias is of a location, not of an alias',
      );
    const known = cells.get(alias.name);
    if (known !== undefined && (known.line !== place.line || known.cell !== place.cell)) {
      refuseAt(test.source, at, `${alias.name} is the name of another cell already`);
    }
    cells.set(alias.name, place);
  }
  return cells;
}

function typeOf(test: LitmusTest, type: PageType | TypeParts, at: Span): PageType {
  if (typeof type === 'string') return type;
  const effective = effectiveType(test.setup.vendor, type);
  if (typeof effective === 'string') return effective;
  return refuseAt(test.source, at, effective.message, effective.help);
}

/** Where everything is. @throws Refused */
export function placesOf(test: LitmusTest): Places {
  const { source, setup, threads } = test;
  const arrays = arraysOf(test);
  const lines = linesOf(test, arrays);
  const cells = cellsOf(test, lines);
  const parts = new Map<string, TypeParts>();
  const types = new Map<string, PageType>();
  for (const { view, type, at } of setup.views) {
    if (view.proc !== null && view.proc >= threads.length) {
      refuseAt(source, at, `there is no thread P${view.proc}`);
    }
    types.set(printView(view), typeOf(test, type, at));
    if (typeof type !== 'string') parts.set(printView(view), type);
  }
  const view = (name: string, key: string, cell: string, proc: number | null): ViewConfig => ({
    name: cell,
    ...must(cells.get(cell), 'every name has a place'),
    type: types.get(key) ?? types.get(name) ?? 'WB',
    ...(proc === null ? {} : { core: `P${proc}` }),
  });
  const elements = (name: string): readonly string[] =>
    arrays.has(name) ? must(lines.get(name), 'an array is a line') : [name];
  const onlyOwn = new Set(
    setup.aliases.filter((a) => a.alias.proc !== null).map((a) => a.alias.name),
  );
  const names = [...arrays.keys(), ...cells.keys()].filter((n) => !/\[\d+\]$/.test(n));
  const own = [...setup.views.map((v) => v.view), ...setup.aliases.map((a) => a.alias)].filter(
    (v) => v.proc !== null,
  );
  const ownKeys = new Map(own.map((v) => [printView(v), v]));
  return {
    lines,
    cells,
    arrays,
    parts,
    views: [
      ...[...ownKeys].flatMap(([key, v]) =>
        elements(v.name).map((cell) => view(v.name, key, cell, v.proc)),
      ),
      ...names
        .filter((name) => !onlyOwn.has(name))
        .flatMap((name) => elements(name).map((cell) => view(name, name, cell, null))),
    ],
  };
}

/** The name of the cell at an address. @throws Refused when nothing begins there */
export function cellAt(test: LitmusTest, places: Places, address: Address, at: Span): string {
  const array = places.arrays.get(address.symbol);
  const index = array === undefined ? 0 : address.offset / array.bytes;
  const known = array !== undefined || places.cells.has(address.symbol);
  if (!known) refuseAt(test.source, at, `no location is called ${address.symbol}`);
  if (array === undefined) {
    if (address.offset === 0) return address.symbol;
    return refuseAt(test.source, at, `nothing is ${address.offset} bytes into ${address.symbol}`);
  }
  if (Number.isInteger(index) && index >= 0 && index < array.length) {
    return `${address.symbol}[${index}]`;
  }
  return refuseAt(
    test.source,
    at,
    `no element of ${address.symbol} begins at byte ${address.offset}`,
    `it has ${array.length} of ${array.bytes} bytes`,
  );
}

/** What memory holds at the start, a value a cell. @throws Refused when two names of a cell disagree */
export function initialMemory(
  test: LitmusTest,
  places: Places,
  encode: (value: Value) => number,
): readonly LineConfig[] {
  const said = new Map<string, { value: number; item: InitItem }>();
  for (const item of test.init) {
    if (item.location.kind !== 'symbol') continue;
    for (const [i, value] of item.values.entries()) {
      const name = item.length === null ? item.location.name : `${item.location.name}[${i}]`;
      const { line, cell } = must(places.cells.get(name), 'every name has a place');
      const key = `${line} ${cell}`;
      const before = said.get(key);
      const encoded = encode(value);
      if (before !== undefined && before.value !== encoded) {
        refuseAt(test.source, item.at, `${name} starts with another value already`);
      }
      said.set(key, { value: encoded, item });
    }
  }
  return [...places.lines].map(([name, cells]) => ({
    name,
    cells: cells.length,
    memory: cells.map((_, cell) => said.get(`${name} ${cell}`)?.value ?? encode(0)),
  }));
}
