import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { HOSTS, load } from '../../../test/hosts.ts';
import { collect } from '../../host/collect.ts';
import { describedHost } from '../../host/described-host.ts';
import type { Capture } from '../reading.ts';
import { isListed, READS } from './reads.ts';

/** Every path that was read, of whatever kind. */
function pathsOf(capture: Capture): readonly string[] {
  const bytes = [...capture.bytes.keys()].map((key) => key.split(' ')[0] ?? '');
  const { texts, lists, links, linkLists } = capture;
  return [...texts.keys(), ...lists.keys(), ...links.keys(), ...linkLists.keys(), ...bytes];
}

describe('the list of what is read', () => {
  test.each(HOSTS)('%s: every path read is in it', async (name) => {
    const capture = await collect(describedHost(load(name)), null);
    expect(pathsOf(capture).filter((path) => !isListed(path))).toEqual([]);
  });

  test('docs/doctor.md has the same table', () => {
    const page = readFileSync(new URL('../../../docs/doctor.md', import.meta.url), 'utf8');
    const rows = page.split('\n').filter((line) => /^\| `\//.test(line) || /^\| `MOUNT/.test(line));
    const expected = READS.map(({ path, what, needs }) => `| \`${path}\` | ${what} | ${needs} |`);
    expect(rows).toEqual(expected);
  });

  test('what is not in it is not', () => {
    expect(isListed('/etc/shadow')).toBe(false);
    expect(isListed('/proc/12/environ')).toBe(false);
    expect(isListed('/proc/12/mem')).toBe(false);
    expect(isListed('/proc/12/maps')).toBe(true);
  });
});
