import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { examine, HOSTS, load } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import { doctorJson } from '../../report/doctor-json.ts';
import { doctorText } from '../../report/doctor-text.ts';
import { type Diagnosis, doctorExitCode } from './diagnose.ts';

/** Reads, gathers, diagnoses and prints; nothing of it may throw. */
async function survive(host: HostDescription): Promise<Diagnosis> {
  const diagnosis = await examine(host);
  const text = doctorText(diagnosis);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  expect(JSON.parse(JSON.stringify(doctorJson(diagnosis)))).toMatchObject({ schemaVersion: 1 });
  expect([0, 1, 3]).toContain(doctorExitCode(diagnosis));
  return diagnosis;
}

/** Arbitrary bytes, as a reader decodes them; now and then with what lines are made of. */
const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 400 }).map((bytes) => new TextDecoder().decode(bytes)),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.stringMatching(/^[0-9a-fx:\-. \n\t,=/{}"rwsp]{0,300}$/),
);

function mutate(text: string, at: number, by: string, cut: number): string {
  const start = Math.floor(at * text.length);
  return text.slice(0, start) + by + text.slice(start + cut);
}

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  by: fc.oneof(garbage, fc.constantFrom('', '\0', '\n', '0x', 'ffffffffffffffff', ' (deleted)')),
  cut: fc.nat(200),
});

describe('no content of any file is too much', () => {
  test.each(HOSTS)('%s: any file replaced by garbage', async (name) => {
    const host = load(name);
    const paths = Object.keys(host.files);
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...paths), garbage, { maxKeys: 6 }),
        async (files) => {
          await survive({ ...host, files: { ...host.files, ...files } });
        },
      ),
      { numRuns: 20 },
    );
  });

  test.each(HOSTS)('%s: any file damaged somewhere', async (name) => {
    const host = load(name);
    const texts = Object.entries(host.files).filter((f): f is [string, string] => f[1] !== null);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...texts), edit, async ([path, text], { at, by, cut }) => {
        const damaged = mutate(text, at, by, cut);
        await survive({ ...host, files: { ...host.files, [path]: damaged } });
      }),
      { numRuns: 40 },
    );
  });

  test.each(HOSTS)('%s: links, log, bytes and uname of any content', async (name) => {
    const host = load(name);
    const links = fc.dictionary(
      fc.constantFrom(...Object.keys(host.links), '/proc/1/fd/3'),
      garbage,
    );
    const bytes = fc.dictionary(
      fc.constantFrom(...Object.keys(host.bytes ?? {}), '/dev/cpu/0/msr 631', '/dev/cpu/0/msr 767'),
      fc.oneof(fc.string({ maxLength: 40 }), fc.stringMatching(/^[0-9a-f]{0,32}$/)),
    );
    await fc.assert(
      fc.asyncProperty(
        links,
        bytes,
        garbage,
        garbage,
        fc.nat(),
        async (l, b, log, release, word) => {
          await survive({
            ...host,
            uname: { ...host.uname, release },
            links: { ...host.links, ...l },
            bytes: { ...host.bytes, ...b },
            kvm: { api: 12, 116: 1, 213: word },
            log,
          });
        },
      ),
      { numRuns: 8 },
    );
  });

  test('a refusal of any single file is survived, and what it hides is listed', async () => {
    for (const host of HOSTS.filter((name) => /^(?:pvm|guest|vfio)/.test(name)).map(load)) {
      for (const path of Object.keys(host.files)) {
        for (const refusal of [null, { error: 'EIO' }]) {
          const d = await survive({ ...host, files: { ...host.files, [path]: refusal } });
          if (path === '/proc/cpuinfo') expect(d.unknowns.map((u) => u.what)).toContain('CPU');
          if (path === '/proc/mtrr') {
            expect(d.unknowns.map((u) => u.what)).toContain('variable MTRRs');
          }
        }
      }
    }
  });
});

describe('garbage is never taken for an answer', () => {
  test('/proc/mtrr with one damaged line is unknown, not shorter', async () => {
    for (const host of HOSTS.map(load)) {
      const files = { ...host.files, '/proc/mtrr': 'reg00: base=0x0c0000000 junk\n' };
      const { facts } = await survive({ ...host, files });
      expect(facts.firmware.mtrrs.known).toBe(false);
    }
  });

  test('a program name cannot steer the terminal', async () => {
    const host = load('pvm-6.18');
    await survive({ ...host, links: { ...host.links, '/proc/317/exe': '/bin/\u001b[2Jqemu' } });
  });
});
