import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HOSTS, load } from '../../../test/hosts.ts';
import { InputError, renderDiagnostic } from '../../base/diagnostic.ts';
import { collect } from '../../host/collect.ts';
import { describedHost } from '../../host/described-host.ts';
import type { Capture, Refusal } from '../reading.ts';
import { captureJson, parseCapture, parseCaptureFile } from './capture-file.ts';

const ORIGIN = { tool: 'memtype 0.0.0', by: 'node', masked: ['host names'] } as const;

function printed(capture: Capture): string {
  return captureJson(capture, ORIGIN);
}

const refusal: fc.Arbitrary<Refusal> = fc.record({
  ok: fc.constant(false as const),
  reason: fc.constantFrom('absent', 'denied', 'timeout', 'error', 'not read'),
  detail: fc.string(),
});
const word = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('links', 'cut', 'refused', 'names', '__proto__', '10', '9', 'constructor', ''),
);
const text = fc.oneof(
  word,
  fc.array(word).map((lines) => lines.join('\n')),
  fc.array(word).map((lines) => lines.map((l) => `${l}\n`).join('')),
  fc.array(word).map((words) => words.map((w) => `${w}\0`).join('')),
);
const cut = fc.boolean();
const ok = fc.constant(true as const);

function readings<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Map<string, T | Refusal>> {
  return fc
    .array(fc.tuple(word, fc.oneof(value, refusal)), { maxLength: 5 })
    .map((entries) => new Map(entries));
}

/** Objects put "2" before "10" and both before "a"; a capture from a file has that order. */
const links = fc
  .dictionary(word, word)
  .map((d) => Object.keys(d).map((name) => ({ name, target: d[name] ?? '' })));

const capture: fc.Arbitrary<Capture> = fc.record({
  uname: fc.record({ sysname: word, release: word, machine: word }),
  pid: fc.option(fc.integer({ min: 1, max: 2 ** 22 })),
  texts: readings(fc.record({ ok, text, cut })),
  lists: readings(fc.record({ ok, names: fc.array(word), cut })),
  links: readings(fc.record({ ok, target: word })),
  linkLists: readings(fc.record({ ok, links, cut })),
  bytes: readings(fc.record({ ok, hex: fc.stringMatching(/^(?:[0-9a-f]{2}){0,9}$/) })),
  kvm: readings(fc.record({ ok, value: fc.maxSafeInteger() })),
  log: fc.oneof(fc.record({ ok, text, cut }), refusal),
});

describe('what is written is read again', () => {
  test('of any capture', () => {
    fc.assert(
      fc.property(capture, (c) => {
        const file = parseCaptureFile(printed(c), 'c.json');
        expect(file.capture).toEqual(c);
        expect(file.origin).toEqual(ORIGIN);
        expect(file.notes).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test.each(HOSTS)('of %s', async (name) => {
    const c = await collect(describedHost(load(name)), null);
    expect(parseCapture(printed(c), 'c.json')).toEqual(c);
  });
});

function refusalOf(text: string): string {
  try {
    parseCapture(text, 'c.json');
  } catch (error) {
    if (error instanceof InputError) return error.diagnostics.map(renderDiagnostic).join('\n');
    throw error;
  }
  return 'it was read';
}

describe('what is no capture is refused with its place', () => {
  test.each([
    ['', 'no JSON', '1:1'],
    ['[]', 'a capture is an object', '1:1'],
    ['{"a": 1}', 'no key "memtypeCapture"', '1:1'],
    ['{"memtypeCapture": "1"}', 'version of the format', '1:20'],
    ['{"memtypeCapture": 1, "log": [1]}', 'a text', '1:31'],
    ['{"memtypeCapture": 1, "log": {"lines": ["a"], "cut": 1}}', '"cut" is true or', '1:54'],
    ['{"memtypeCapture": 1, "texts": []}', '"texts" is an object', '1:32'],
    ['{"memtypeCapture": 1,\n"lists": {"/proc": [1]}}', 'a directory', '2:21'],
    ['{"memtypeCapture": 1, "links": {"a": 1}}', 'a link', '1:38'],
    ['{"memtypeCapture": 1, "linkLists": {"a": {"3": 4}}}', 'target of a link', '1:48'],
    ['{"memtypeCapture": 1, "bytes": {"a 0 8": "0g"}}', 'hexadecimal', '1:42'],
    ['{"memtypeCapture": 1, "kvm": {"api": "12"}}', 'an integer', '1:38'],
    ['{"memtypeCapture": 1, "uname": {"release": 6}}', '"release" is a string', '1:44'],
    ['{"memtypeCapture": 1, "pid": -1}', '"pid" is null', '1:30'],
    ['{"memtypeCapture": 1, "masked": "all"}', '"masked" is a list', '1:33'],
  ])('%s', (text, message, place) => {
    const refused = refusalOf(text);
    expect(refused).toContain(message);
    expect(refused).toContain(`--> c.json:${place}`);
  });
});

describe('versions', () => {
  test('a higher one is refused, with the reason and the writer', () => {
    const refused = refusalOf('{"memtypeCapture": 2, "tool": "memtype 9.1.0"}');
    expect(refused).toContain('capture format 2, written by memtype 9.1.0');
    expect(refused).toContain('help: run doctor of that version');
  });

  test('a newer one that does not say who wrote it', () => {
    expect(refusalOf('{"memtypeCapture": 7}')).toContain(
      'error: capture format 7: this version reads up to 1\n',
    );
  });

  test('a key twice: refused with its place where the two differ', () => {
    const twice = refusalOf('{"memtypeCapture": 7,\n "memtypeCapture": 1}');
    expect(twice).toContain('this key stands here for the second time');
    expect(twice).toContain('--> c.json:2:2');
    const nested = '{"memtypeCapture": 1, "texts": {"/a\\"": "x",\n"/b": "y", "/a\\u0022": "z"}}';
    expect(refusalOf(nested)).toContain('--> c.json:2:12');
    const same = '{"memtypeCapture": 1, "bytes": {"/a 0 1": "00", "/a 0 1": "00"}}';
    expect(parseCapture(same, 'c.json').bytes.size).toBe(1);
  });

  test('what a newer one added is read over and noted', () => {
    const value = { memtypeCapture: 1, uname: { nodename: 'x' }, log: ['a'], smbios: {} };
    const { capture: c, notes } = parseCaptureFile(JSON.stringify(value), 'c.json');
    expect(c.log).toEqual({ ok: true, text: 'a\n', cut: false });
    expect(notes.map((n) => n.message)).toEqual([
      'key "smbios" is not known to this version: read over',
      'key "nodename" of uname is not known to this version: read over',
    ]);
  });

  test('what an older one did not write is not read', () => {
    const { capture: c, origin } = parseCaptureFile('{"memtypeCapture": 1}', 'c.json');
    expect(c.log).toMatchObject({ ok: false, reason: 'not read' });
    expect([c.texts.size, c.pid, c.uname.release]).toEqual([0, null, '']);
    expect(origin).toEqual({ tool: null, by: null, masked: null });
  });

  test('a reason that is not known is an error with that word', () => {
    const text = '{"memtypeCapture": 1, "log": {"refused": "busy", "detail": "EBUSY"}}';
    const { capture: c, notes } = parseCaptureFile(text, 'c.json');
    expect(c.log).toEqual({ ok: false, reason: 'error', detail: 'busy: EBUSY' });
    expect(notes).toHaveLength(1);
  });
});

describe('damage', () => {
  test.each(HOSTS)('%s: anywhere gives a capture or a reason', async (name) => {
    const whole = printed(await collect(describedHost(load(name)), null));
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 5 }),
      fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '1', 'null', '\n', ''),
    );
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(40), piece, (at, length, by) => {
        const damaged = whole.slice(0, at) + by + whole.slice(at + length);
        expect(refusalOf(damaged)).toMatch(/^it was read$|^error: /);
      }),
      { numRuns: 150 },
    );
  });
});
