import { Stretches, type StretchOptions } from '../../audit/stretches.ts';
import { InternalError } from '../../base/assert.ts';
import type { AuditReport } from '../../report/audit/document.ts';
import { auditJson } from '../../report/audit/json.ts';
import { PerfettoTrace } from '../../report/audit/perfetto.ts';
import { AuditSarif } from '../../report/audit/sarif.ts';
import { auditSvg } from '../../report/audit/svg.ts';
import { csvHead, csvLines, jsonLines } from '../../report/audit/tables.ts';
import { auditText } from '../../report/audit/text.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { AuditFormat } from '../formats.ts';
import type { Io } from '../io.ts';
import { packageVersion } from '../version.ts';
import { parquetFile } from './parquet.ts';

/** How traces are printed, one after the other. */
export interface Rendering {
  /** A trace begins. What it gives takes the batches of it; null: they are not looked at. */
  readonly begin: (
    file: string,
    options: Omit<StretchOptions, 'emit'>,
  ) => ((batch: EventBatch) => void) | null;
  readonly report: (report: AuditReport) => void;
  /** There is no further trace. */
  readonly end: () => void;
}

type Write = (text: string) => void;

const LEAST = 1 << 16;

/** Gathers small pieces: a write for each line of a million would take long. */
function gathered(write: Write): { readonly put: Write; readonly flush: () => void } {
  let pieces: string[] = [];
  let size = 0;
  const flush = (): void => {
    if (size > 0) write(pieces.join(''));
    pieces = [];
    size = 0;
  };
  const put = (text: string): void => {
    pieces.push(text);
    size += text.length;
    if (size >= LEAST) flush();
  };
  return { put, flush };
}

function perfetto(write: Write): Rendering {
  const { put, flush } = gathered(write);
  const trace = new PerfettoTrace(put, packageVersion());
  let stretches: Stretches | null = null;
  return {
    begin(file, options) {
      trace.begin(file);
      const made = new Stretches({
        ...options,
        emit: (event) => trace.take(event, made.isTimed),
      });
      stretches = made;
      return (batch) => made.push(batch);
    },
    report({ findings, source }) {
      stretches?.end();
      trace.findings(findings, source);
    },
    end() {
      trace.end();
      flush();
    },
  };
}

function lines(
  write: Write,
  head: string,
  of: (report: AuditReport) => Iterable<string>,
): Rendering {
  const { put, flush } = gathered(write);
  let isFirst = true;
  return {
    begin: () => null,
    report(report) {
      if (isFirst) put(head);
      isFirst = false;
      for (const line of of(report)) put(line);
      flush();
    },
    end: flush,
  };
}

function sarif(write: Write): Rendering {
  const log = new AuditSarif();
  let isFirst = true;
  const head = (): void => {
    if (isFirst) write(log.head(packageVersion()));
    isFirst = false;
  };
  return {
    begin: () => null,
    report(report) {
      head();
      write(log.report(report));
    },
    end() {
      head();
      write(log.tail());
    },
  };
}

function noBytes(): never {
  throw new InternalError('nothing takes bytes');
}

/** @param isMany of several traces JSON is a line for each */
export async function renderingOf(
  format: AuditFormat,
  isMany: boolean,
  { write, writeBytes }: Io,
): Promise<Rendering> {
  const plain = (print: (report: AuditReport) => string, between = ''): Rendering => {
    let isFirst = true;
    return {
      begin: () => null,
      report(report) {
        write((isFirst ? '' : between) + print(report));
        isFirst = false;
      },
      end: () => undefined,
    };
  };
  switch (format) {
    case 'text':
      return plain(auditText, '\n');
    case 'json':
      return plain((report) => `${JSON.stringify(auditJson(report), null, isMany ? 0 : 2)}\n`);
    case 'svg':
      return plain(auditSvg);
    case 'csv':
      return lines(write, csvHead(), csvLines);
    case 'jsonl':
      return lines(write, '', jsonLines);
    case 'sarif':
      return sarif(write);
    case 'perfetto':
      return perfetto(write);
    case 'parquet':
      return { begin: () => null, ...(await parquetFile(writeBytes ?? noBytes)) };
  }
}
