import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { runMatrix } from '../src/cli/commands/matrix.ts';
import type { DiffFormat } from '../src/cli/formats.ts';
import { PLATFORM_IDS } from '../src/compare/platforms.ts';
import { matrixSchema } from '../src/report/compare-schemas.ts';
import { spanOf, textsOf, xmlFaults } from './pictures.ts';

interface Printed {
  readonly out: string;
  readonly err: string;
  readonly exit: number;
}

async function print(platforms: readonly string[], format: DiffFormat): Promise<Printed> {
  let [out, err] = ['', ''];
  const io = {
    write: (text: string) => {
      out += text;
    },
    error: (text: string) => {
      err += text;
    },
  };
  const exit = await runMatrix(platforms, format, io);
  return { out, err, exit };
}

const known = new Map<string, Promise<Printed>>();

function matrix(platform: string, format: DiffFormat): Promise<Printed> {
  const name = `${platform} ${format}`;
  const printed = known.get(name) ?? print([platform], format);
  known.set(name, printed);
  return printed;
}

describe.each(PLATFORM_IDS)('the matrix of %s', (platform) => {
  test('fits 80 columns, and 72 in a mail', async () => {
    for (const [format, width] of [
      ['text', 80],
      ['mail', 72],
    ] as const) {
      const { out, err } = await matrix(platform, format);
      expect(err).toBe('');
      expect(out.split('\n').filter((l) => l.length > width || /\s$/.test(l))).toEqual([]);
    }
  });

  test('keeps to the schema', async () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const validate = ajv.compile(matrixSchema());
    const { out, exit } = await matrix(platform, 'json');
    const json = JSON.parse(out);
    expect(validate(json), ajv.errorsText(validate.errors)).toBe(true);
    expect(json.exitCode).toBe(exit);
    expect(validate({ ...json, pairs: [{ ...json.pairs[0], a: 'E99' }] })).toBe(false);
  });
});

describe.each(['intel-ept', 'amd-npt', 'tdx'])('pictures of %s', (platform) => {
  test('are well-formed, and nothing overlaps or leaves them', async () => {
    const { out } = await matrix(platform, 'svg');
    expect(xmlFaults(out)).toEqual([]);
    const [, width = '0', height = '0'] = /width="(\d+)" height="(\d+)"/.exec(out) ?? [];
    const sizes: Readonly<Record<string, readonly ['start' | 'middle' | 'end', number]>> = {
      'mx-title': ['start', 15],
      'mx-share': ['middle', 12],
      'mx-equal': ['middle', 12],
      'mx-count': ['middle', 11],
      'mx-row': ['end', 12],
    };
    const boxes = textsOf(out)
      .filter(({ turned }) => !turned)
      .map((t) => ({ t, span: spanOf(t, ...(sizes[t.style] ?? (['start', 12] as const))) }));
    for (const { t, span } of boxes) {
      expect(span[0], t.words).toBeGreaterThanOrEqual(0);
      expect(span[1], t.words).toBeLessThanOrEqual(Number(width));
      expect(t.y).toBeLessThanOrEqual(Number(height) - 4);
      if (t.style === 'mx-share') expect(span[1] - span[0]).toBeLessThanOrEqual(46);
    }
    for (const [i, a] of boxes.entries()) {
      for (const b of boxes.slice(i + 1)) {
        const apart = a.span[1] <= b.span[0] || b.span[1] <= a.span[0];
        expect(apart || Math.abs(a.t.y - b.t.y) >= 11, `${a.t.words} / ${b.t.words}`).toBe(true);
      }
    }
  });

  test('stand in a page that needs nothing beside itself', async () => {
    const { out } = await matrix(platform, 'html');
    expect(out).not.toMatch(/<script|<link|<img|src=|@import|url\((?!#)/);
    const body = out.slice(out.indexOf('<body>')).replace('</html>', '').replaceAll('<br>', '');
    expect(xmlFaults(body)).toEqual([]);
  });
});

describe('the command', () => {
  test('has the same numbers in every format', async () => {
    const json = JSON.parse((await matrix('intel-ept', 'json')).out);
    const counts: readonly string[] = json.pairs.map(({ differing }: { differing: number }) =>
      String(differing).replace(/\B(?=(?:\d{3})+$)/g, ','),
    );
    for (const format of ['md', 'html', 'svg'] as const) {
      const { out } = await matrix('intel-ept', format);
      for (const count of counts.filter((c) => c !== '0')) expect(out, format).toContain(count);
    }
  });

  test('takes Intel with EPT when nothing is said, and prints the same every time', async () => {
    for (const format of ['text', 'svg'] as const) {
      const { out } = await print([], format);
      expect(out === (await matrix('intel-ept', format)).out, format).toBe(true);
    }
  });

  test('shows where nothing differs at all', async () => {
    const shadow = await matrix('intel-shadow', 'text');
    expect(shadow.out).toContain('No difference at all between E0, E1, E2, E3, E4, E5, E6, E7,');
    expect((await matrix('tdx', 'text')).out).toContain('KVM runs TDX guests from 6.16 on');
  });

  test('refuses what is no platform, and more than one', async () => {
    const wrong = await print(['intel-etp'], 'text');
    expect(wrong).toMatchObject({ exit: 2, out: '' });
    expect(wrong.err).toContain('did you mean intel-ept?');
    expect((await print(['amd'], 'text')).err).toContain('a matrix is of one platform');
    expect((await print(['tdx,snp'], 'text')).exit).toBe(2);
  });
});
