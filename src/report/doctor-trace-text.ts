import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { JoinRow, TraceDiagnosis } from '../doctor/trace/trace-diagnosis.ts';
import { count } from './doctor-words.ts';
import { labelled, table } from './wrap.ts';

function exampleWords({ examples, pages }: JoinRow): string {
  const words = examples.map(({ gfn, pfn }) => `${gfn.toString(16)}/${pfn.toString(16)}`);
  return `${words.join(' ')}${pages > examples.length ? ' ...' : ''}`;
}

function vmLines({ vm, rows }: TraceDiagnosis): readonly string[] {
  const title = vm === null ? 'threads of no VM that runs here' : `VM ${vm}`;
  return [
    `  ${title}`,
    ...table([
      ['    on the host', 'KVM installed', 'pages', 'e.g. gfn/pfn'],
      ...rows.map((row) => [
        `    ${row.host}`,
        row.installed,
        String(row.pages),
        exampleWords(row),
      ]),
    ]),
  ];
}

/** What a trace shows: of each VM how many pages have which type on the host and in KVM's entries. */
export function traceLines(d: Diagnosis, width: number): readonly string[] {
  const { trace } = d.facts;
  if (trace === null) return [];
  const { events, unreadable, dropped, pages } = trace;
  const head = [
    `${count(events, 'event')} of page-table entries, ${count(pages.length, 'guest page')} looked up`,
    ...(dropped > 0 ? ['earlier ones left out'] : []),
    ...(unreadable > 0
      ? [
          `${count(unreadable, 'event')} without readable fields (trace options raw and hex lose them)`,
        ]
      : []),
  ].join('; ');
  const nothing = pages.length === 0 ? ' Events that tell: see docs/doctor.md.' : '';
  return [...labelled('  ', `${head}.${nothing}`, width), ...d.traces.flatMap(vmLines)];
}
