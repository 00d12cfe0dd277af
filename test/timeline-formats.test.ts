import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { runTimeline } from '../src/cli/commands/timeline.ts';
import { DIFF_FORMATS, type DiffFormat } from '../src/cli/formats.ts';
import { timelineSchema } from '../src/report/compare-schemas.ts';
import { shellFlags } from './ask.ts';
import { spanOf, textsOf, xmlFaults } from './pictures.ts';

interface Printed {
  readonly out: string;
  readonly err: string;
  readonly exit: number;
}

async function print(line: string, format: DiffFormat, file?: string): Promise<Printed> {
  let [out, err] = ['', ''];
  const io = {
    write: (text: string) => {
      out += text;
    },
    error: (text: string) => {
      err += text;
    },
  };
  const flags = Object.fromEntries(
    Object.entries(shellFlags(line)).map(([key, value]) => [key, [value].flat()]),
  );
  const exit = await runTimeline(flags, file, format, io);
  return { out, err, exit };
}

const known = new Map<string, Promise<Printed>>();

function timeline(line: string, format: DiffFormat = 'text'): Promise<Printed> {
  const name = `${format} ${line}`;
  const printed = known.get(name) ?? print(line, format);
  known.set(name, printed);
  return printed;
}

const EPT = '--cpu intel --self-snoop yes --paging ept';

const CASES: Readonly<Record<string, string>> = {
  'write-combined GPU memory': `${EPT} --backing ttm-wc --guest WC --device nosnoop`,
  'with the opt-out': `${EPT} --backing ttm-wc --guest WC --quirk-ignore-guest-pat off`,
  bochs: `${EPT} --backing ram --guest UC- --guest-mtrr WB`,
  'the zero page': `${EPT} --backing zero`,
  'a BAR': `${EPT} --backing bar --guest WB`,
  AMD: '--cpu amd --paging npt --backing ram --guest WC',
  'MTRRs alone': `${EPT} --noncoherent-dma yes --guest-mtrr UC --guest WB --backing ram`,
  'the firmware phase': `${EPT} --noncoherent-dma yes --guest-mtrr UC --guest WC --backing ram --cr0-cd 1 --quirk-cd-nw-cleared off`,
  DAX: `${EPT} --backing dax --guest WB`,
  'a lost UC hole': `${EPT} --noncoherent-dma yes --backing ram --guest WB --guest-mtrr-ranges "WB 0-4G, UC 3G-4G" --guest-mtrr-default UC --gpa 0xd0000000`,
  TDX: '--confidential tdx --backing ram --guest WC',
  shadow: '--cpu intel --paging shadow --backing ram --guest WC',
  open: `${EPT} --guest WC`,
};

describe.each(Object.entries(CASES))('%s', (_, line) => {
  test('fits 80 columns, and 72 in a mail', async () => {
    for (const [format, width] of [
      ['text', 80],
      ['mail', 72],
    ] as const) {
      const { out, err, exit } = await timeline(line, format);
      expect([0, 1, 3]).toContain(exit);
      expect(err).toBe('');
      expect(out.split('\n').filter((l) => l.length > width || /\s$/.test(l))).toEqual([]);
    }
  });

  test('is the same every time, in every format', async () => {
    for (const format of DIFF_FORMATS) {
      const [first, second] = [await timeline(line, format), await print(line, format)];
      expect(first.out === second.out, format).toBe(true);
      expect(first.out.endsWith('\n')).toBe(true);
    }
  });

  test('keeps to the schema', async () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const validate = ajv.compile(timelineSchema());
    const { out, exit } = await timeline(line, 'json');
    const json = JSON.parse(out);
    expect(validate(json), ajv.errorsText(validate.errors)).toBe(true);
    expect(json.exitCode).toBe(exit);
    expect(validate({ ...json, stretches: [] })).toBe(false);
    expect(validate({ ...json, exitCode: 2 })).toBe(false);
  });

  test('is a well-formed picture in which nothing overlaps or leaves it', async () => {
    const { out } = await timeline(line, 'svg');
    expect(xmlFaults(out)).toEqual([]);
    const [, width = '0', height = '0'] = /width="(\d+)" height="(\d+)"/.exec(out) ?? [];
    const texts = textsOf(out);
    const sizes: Readonly<Record<string, readonly ['start' | 'middle' | 'end', number]>> = {
      'tl-title': ['start', 15],
      'tl-type': ['middle', 13],
      'tl-leaf': ['middle', 11],
      'tl-text tl-end': ['end', 12],
    };
    const boxes = texts
      .filter(({ turned }) => !turned)
      .map((t) => ({ t, span: spanOf(t, ...(sizes[t.style] ?? (['start', 12] as const))) }));
    for (const { t, span } of boxes) {
      expect(span[0], t.words).toBeGreaterThanOrEqual(0);
      expect(span[1], t.words).toBeLessThanOrEqual(Number(width));
      expect(t.y).toBeLessThanOrEqual(Number(height) - 4);
    }
    for (const [i, a] of boxes.entries()) {
      for (const b of boxes.slice(i + 1)) {
        const apart = a.span[1] <= b.span[0] || b.span[1] <= a.span[0];
        expect(apart || Math.abs(a.t.y - b.t.y) >= 11, `${a.t.words} / ${b.t.words}`).toBe(true);
      }
    }
    const versions = texts.filter(({ style }) => style === 'tl-version').map(({ x }) => x);
    for (const [i, x] of versions.entries()) {
      if (i > 0) expect(x - (versions[i - 1] ?? 0)).toBeGreaterThan(20);
    }
  });

  test('is a page that needs nothing beside itself', async () => {
    const { out } = await timeline(line, 'html');
    expect(out).toMatch(/^<!DOCTYPE html>\n<html lang="en">/);
    expect(out).not.toMatch(/<script|<link|<img|src=|@import|url\((?!#)/);
    const body = out.slice(out.indexOf('<body>')).replace('</html>', '').replaceAll('<br>', '');
    expect(xmlFaults(body)).toEqual([]);
    expect(out.match(/<th scope="row">/g)?.length).toBeGreaterThan(0);
    expect(out).toContain('prefers-color-scheme:dark');
  });

  test('has in every format what the text has', async () => {
    const json = JSON.parse((await timeline(line, 'json')).out);
    const commits: readonly string[] = json.stretches.flatMap(
      (s: { causes: { commit: string | null }[] }) =>
        s.causes.flatMap((c) => (c.commit === null ? [] : [c.commit.slice(0, 12)])),
    );
    const kernels: readonly string[] = json.stretches.map((s: { kernels: string }) => s.kernels);
    for (const format of ['text', 'mail', 'md', 'svg', 'html'] as const) {
      const { out } = await timeline(line, format);
      for (const word of [...commits, ...kernels]) expect(out, format).toContain(word);
    }
  });
});

describe('the command', () => {
  test('ends with 1, 0 or 3', async () => {
    expect((await timeline(CASES['AMD'] ?? '')).exit).toBe(1);
    expect((await timeline(CASES['shadow'] ?? '')).exit).toBe(0);
    expect((await timeline('--cpu intel --guest WC')).exit).toBe(3);
  });

  test('refuses a kernel, and facts that exclude each other', async () => {
    const named = await timeline(`${EPT} --kernel 6.8`);
    expect(named).toMatchObject({ exit: 2, out: '' });
    expect(named.err).toContain('leave out kernel');
    expect((await timeline('--cpu amd --paging ept')).exit).toBe(2);
    expect((await print('', 'text', 'no/such/file.yaml')).exit).toBe(2);
  });

  test('says what changed in a sentence, and what the sources leave open', async () => {
    const { out } = await timeline(CASES['AMD'] ?? '');
    expect(out).toMatch(
      /^The type changed 3 times from 2\.6\.26-rc2 to 7\.3\.4, and is WC\+ now\./,
    );
    expect(out).toContain('the sources do not settle which of S0 to S2');
    expect(out).toContain('perhaps by commit 3c2e7f7de324');
    const tdx = (await timeline(CASES['TDX'] ?? '')).out;
    expect(tdx).toMatch(/^The type is WC where there is such an access: 6\.16 to 7\.3\./);
  });

  test('links no commit whose id nobody checked', async () => {
    const { out } = await timeline(CASES['DAX'] ?? '', 'html');
    expect(out).toContain('aa2e063aea56 KVM: MMU: consider host cache mode in MMIO page check');
    expect(out).toContain('[recalled, not verified]');
    expect(out).not.toContain('linus/aa2e063aea56');
    expect(out).toContain('linus/9d70f3fec144');
  });
});
