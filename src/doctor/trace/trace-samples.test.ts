import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { changed, load } from '../../../test/hosts.ts';
import { collect } from '../../host/collect.ts';
import { describedHost, type HostDescription } from '../../host/described-host.ts';
import { parseIomem } from '../../linux/text/iomem.ts';
import { parsePageFlagRanges } from '../../linux/text/kpageflags.ts';
import { reduceTrace } from '../../trace/reduce.ts';
import { type Diagnosis, diagnose } from '../diagnosis/diagnose.ts';
import { gather } from '../gather.ts';
import { frameRuns, runBytes } from './trace-facts.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;

function text(path: string): string {
  const isPlain = existsSync(path);
  const bytes = readFileSync(isPlain ? path : `${path}.gz`);
  return (isPlain ? bytes : gunzipSync(bytes)).toString('utf8');
}

/** Eight bytes of /proc/kpageflags, least significant first. */
function entry({ hi }: { readonly hi: number }): string {
  const digits = `${hi.toString(16).padStart(8, '0')}00000000`;
  return (digits.match(/../g) ?? []).reverse().join('');
}

/** A whole trace of a real run, on the host that it was recorded on, with the page flags of that host. */
async function traced(host: HostDescription, run: string, scenario: string): Promise<Diagnosis> {
  const directory = join(folder, 'realkvm', run);
  const trace = reduceTrace(text(join(directory, `trace-${scenario}.txt`))).text;
  const file = join(directory, 'host/kpageflags_with_memtype_bits');
  const { ranges } = parsePageFlagRanges(text(file), file).value;
  const ram = parseIomem(String(host.files['/proc/iomem']), 'iomem').value.entries.filter(
    (e) => e.name === 'System RAM',
  );
  // The capture has the ranges with a type only; what is no RAM is taken for reserved.
  const plain = (pfn: number) =>
    ram.some((e) => e.start <= pfn * 4096 && pfn * 4096 <= e.endInclusive) ? { hi: 0 } : { hi: 1 };
  const flags = (pfn: number) =>
    entry(ranges.find((r) => r.startPfn <= pfn && pfn < r.endPfn)?.flags ?? plain(pfn));
  const bytes = Object.fromEntries(
    frameRuns(trace, 'ept').map((run_) => [
      `/proc/kpageflags ${runBytes(run_).offset}`,
      Array.from({ length: run_.count }, (_, i) => flags(run_.first + i)).join(''),
    ]),
  );
  const tasks = [...new Set([...trace.matchAll(/task-(\d+)/g)].map(([, tid = '']) => tid))];
  const described = { ...changed(host, { directories: { '/proc/100/task': tasks } }), bytes };
  return diagnose(gather(await collect(describedHost(described), null, { trace })));
}

describe.skipIf(folder === '')('whole traces of EPT hosts', () => {
  test.each([
    ['ept-6.12-self-snoop', 'bochs-ept-6.12-skx', 'base', 'WB+IPAT', ['on']],
    ['ept-6.12-self-snoop', 'bochs-ept-6.12-skx', 'nopat', 'WB', ['off']],
    ['ept-6.12-self-snoop', 'bochs-ept-6.12-skx', 'dirty', 'WB+IPAT', ['on']],
    ['ept-6.12-no-self-snoop', 'bochs-ept-6.12-snb', 'base', 'WB+IPAT', ['on']],
    ['ept-6.1', 'bochs-ept-6.1-skx', 'base', 'WB+IPAT', ['on']],
    ['ept-6.1', 'bochs-ept-6.1-skx', 'ncdma', 'UC', ['on']],
  ])('%s, %s %s: WC pages are %s', async (fixture, run, scenario, installed, quirk) => {
    const d = await traced(load(fixture), run, scenario);
    expect(d.vms[0]?.quirk).toEqual(quirk);
    const found = d.findings.find((f) => f.code === 'MT620');
    const forced = installed === 'WB+IPAT';
    expect(found !== undefined).toBe(forced);
    const wc = d.traces.flatMap((t) => t.rows).filter((r) => r.host === 'WC');
    expect(wc.map((r) => r.installed)).toEqual([installed]);
    // Non-coherent DMA up to 6.10: the type is that of the guest's MTRRs, here still disabled.
    expect(d.findings.some((f) => f.code === 'MT622')).toBe(installed === 'UC');
    if (forced)
      expect(found?.text).toMatch(/gfn 0x490[0-9a-f]{2} is pfn 0x[0-9a-f]+, WC on the host/);
  });
});
