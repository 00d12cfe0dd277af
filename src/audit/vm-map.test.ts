import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leafWord, typeMask, WORD } from './leaf-word.ts';
import { GuestMap } from './vm-map.ts';

const MASK = typeMask(true);
const WB = leafWord(0xb77, 1);
const UC = leafWord(0xb07, 1);
const HUGE = 512;

type Step =
  | { readonly do: 'set'; readonly level: number; readonly gfn: number; readonly word: number }
  | { readonly do: 'remove'; readonly level: number; readonly gfn: number }
  | { readonly do: 'table'; readonly level: number; readonly gfn: number }
  | { readonly do: 'split'; readonly level: number; readonly gfn: number }
  | { readonly do: 'clear' };

/** What each page is mapped by, page by page. */
class Plain {
  readonly pages = new Map<number, { level: number; word: number }>();

  #each(gfn: number, pages: number, visit: (page: number) => void): void {
    for (let page = gfn; page < gfn + pages; page += 1) visit(page);
  }

  take(step: Step): void {
    if (step.do === 'clear') {
      this.pages.clear();
      return;
    }
    const { level } = step;
    const size = HUGE ** (level - 1);
    const { gfn } = step;
    if (step.do === 'set') {
      const old = this.pages.get(gfn);
      if (level === 1 && old?.level === 2)
        this.#each(gfn - (gfn % HUGE), HUGE, (page) => this.pages.delete(page));
      const { word } = step;
      this.#each(gfn, size, (page) => this.pages.set(page, { level, word }));
    } else if (step.do === 'remove') {
      if (this.pages.get(gfn)?.level !== level) return;
      this.#each(gfn, size, (page) => this.pages.delete(page));
    } else if (step.do === 'table') {
      const first = gfn - (gfn % HUGE ** level);
      this.#each(first, HUGE ** level, (page) => this.pages.delete(page));
    } else {
      const old = this.pages.get(gfn);
      if (old?.level !== 2) return;
      this.#each(gfn, HUGE, (page) => this.pages.set(page, { level: 1, word: old.word }));
    }
  }
}

const word = fc.constantFrom(WB, UC);
const small = fc.integer({ min: 0, max: 2 * HUGE - 1 });
const large = fc.integer({ min: 0, max: 1 }).map((i) => i * HUGE);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('set' as const), level: fc.constant(1), gfn: small, word }),
  fc.record({ do: fc.constant('set' as const), level: fc.constant(2), gfn: large, word }),
  fc.record({ do: fc.constant('remove' as const), level: fc.constant(1), gfn: small }),
  fc.record({ do: fc.constant('remove' as const), level: fc.constant(2), gfn: large }),
  fc.record({ do: fc.constant('split' as const), level: fc.constant(2), gfn: large }),
  fc.record({ do: fc.constant('clear' as const) }),
);

describe('the map of a guest', () => {
  test('is what a list of its pages would be', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const map = new GuestMap();
        const plain = new Plain();
        steps.forEach((s, place) => {
          plain.take(s);
          if (s.do === 'set') map.set(s.level, s.gfn, s.word, MASK, place + 1, place);
          else if (s.do === 'remove') map.remove(s.level, s.gfn);
          else if (s.do === 'split') map.split(s.level, s.gfn, MASK, place + 1, place);
          else map.clear();
        });
        const found = new Map<number, { level: number; word: number }>();
        for (const r of map.regions(MASK)) {
          for (let gfn = r.gfnStart; gfn < r.gfnEnd; gfn += 1)
            found.set(gfn, { level: r.level, word: r.word });
        }
        const expected = [...plain.pages].map(([gfn, page]) => [
          gfn,
          { ...page, word: page.word & (MASK | WORD.writable) },
        ]);
        const byGfn = (a: unknown[], b: unknown[]) => Number(a[0]) - Number(b[0]);
        expect([...found].sort(byGfn)).toEqual(expected.sort(byGfn));
      }),
      { numRuns: 200 },
    );
  });

  test('neighbours that are alike are one region, since the first of them', () => {
    const map = new GuestMap();
    for (let gfn = 0x1000; gfn < 0x1400; gfn += 1) map.set(1, gfn, WB, MASK, gfn, gfn / 10);
    map.set(1, 0x1200, UC, MASK, 9000, 900);
    const [first, middle, last] = map.regions(MASK);
    expect(first).toMatchObject({ gfnStart: 0x1000, gfnEnd: 0x1200, changes: 0, before: null });
    expect(first?.since).toEqual({ place: 0x1000, time: 409.6 });
    expect(middle).toMatchObject({ gfnStart: 0x1200, gfnEnd: 0x1201, changes: 1, before: WB });
    expect(middle?.since).toEqual({ place: 9000, time: 900 });
    expect(last).toMatchObject({ gfnStart: 0x1201, gfnEnd: 0x1400 });
  });

  test('after events were lost, only what is installed anew is sure', () => {
    const map = new GuestMap();
    map.set(1, 5, WB, MASK, 1, 1);
    map.set(1, 700, WB, MASK, 2, 1);
    map.doubt();
    map.set(1, 6, WB, MASK, 3, 1);
    map.set(1, 700, WB, MASK, 4, 1);
    const sure = map.regions(MASK).map((r) => [r.gfnStart, (r.word & WORD.unsure) === 0]);
    expect(sure).toEqual([
      [5, false],
      [6, true],
      [700, true],
    ]);
  });

  test('a place past 2^32 is kept whole, and so is a gfn of 52-bit addresses', () => {
    const map = new GuestMap();
    const place = 2 ** 40 + 1;
    map.set(1, 2 ** 40 - 1, WB, MASK, place, Number.NaN);
    expect(map.at(1, 2 ** 40 - 1)).toBe(WB);
    expect(map.regions(MASK)[0]).toMatchObject({
      gfnStart: 2 ** 40 - 1,
      since: { place, time: null },
    });
  });

  test('64 GiB in pages of 4 KiB take less than 100 MiB, and nothing more when they repeat', () => {
    const map = new GuestMap();
    const pages = 2 ** 24;
    for (let gfn = 0; gfn < pages; gfn += 1) map.set(1, gfn, WB, MASK, gfn + 1, gfn);
    const { bytes } = map;
    expect(bytes).toBe(pages * 5 + 2 ** 20 * 8);
    expect(bytes).toBeLessThan(100 * 2 ** 20);
    for (let gfn = 0; gfn < 4096; gfn += 1) map.set(1, gfn, WB, MASK, gfn + 1, gfn);
    expect(map.bytes).toBe(bytes);
    expect(map.regions(MASK)).toHaveLength(1);
    expect(map.entries).toBe(pages);
  });
});
