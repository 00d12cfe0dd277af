import type { ColumnSource } from 'hyparquet-writer';
import { refuse } from '../../base/diagnostic.ts';
import type { AuditReport } from '../../report/audit/document.ts';
import {
  type Cell,
  type RegionColumn,
  type RegionRow,
  regionRows,
} from '../../report/audit/tables.ts';

type Kind = NonNullable<ColumnSource['type']>;

/** Columns of the file, each with its type, and whether it may be empty. */
const COLUMNS: Readonly<Record<RegionColumn, readonly [type: Kind, nullable: boolean]>> = {
  file: ['STRING', false],
  vm: ['INT64', true],
  as_id: ['INT32', false],
  gfn_start: ['INT64', false],
  gfn_end: ['INT64', false],
  pages: ['INT64', false],
  paging: ['STRING', true],
  memtype: ['STRING', true],
  ipat: ['BOOLEAN', true],
  pat_index: ['INT32', true],
  level: ['INT32', false],
  writable: ['BOOLEAN', false],
  sure: ['BOOLEAN', false],
  since_place: ['INT64', false],
  since_time: ['DOUBLE', true],
  until_place: ['INT64', false],
  until_time: ['DOUBLE', true],
  changes: ['INT32', false],
  before_memtype: ['STRING', true],
  before_ipat: ['BOOLEAN', true],
};

/** Rows that are written at once. */
const GROUP = 100_000;

const ENTRIES = Object.entries(COLUMNS) as readonly [RegionColumn, readonly [Kind, boolean]][];

function parquetValue(cell: Cell, type: Kind): unknown {
  return type === 'INT64' && typeof cell === 'number' ? BigInt(cell) : cell;
}

function columnsOf(rows: readonly RegionRow[]): ColumnSource[] {
  return ENTRIES.map(([name, [type, nullable]]) => ({
    name,
    type,
    nullable,
    data: rows.map((row) => parquetValue(row[name], type)),
  }));
}

async function load() {
  try {
    return await import('hyparquet-writer');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return refuse(
      'Parquet is written by the optional package hyparquet-writer, which is not installed',
      'npm install hyparquet-writer, or take --format csv',
    );
  }
}

/** Writes the regions of traces as one Parquet file, a group of rows at a time. */
export interface ParquetFile {
  readonly report: (report: AuditReport) => void;
  readonly end: () => void;
}

/**
 * @param write gets the bytes of the file, in their order
 * @throws InputError when the package that writes it is not there
 */
export async function parquetFile(write: (bytes: Uint8Array) => void): Promise<ParquetFile> {
  const { ByteWriter, ParquetWriter, schemaFromColumnData } = await load();
  const bytes = new ByteWriter();
  const flush = (): void => {
    write(bytes.getBytes().slice());
    bytes.index = 0;
  };
  const schema = schemaFromColumnData({ columnData: columnsOf([]) });
  const file = new ParquetWriter({ writer: bytes, schema, createdBy: 'memtype' });
  const put = (rows: readonly RegionRow[]): void => {
    if (rows.length === 0) return;
    void file.write({ columnData: columnsOf(rows), rowGroupSize: GROUP });
    flush();
  };
  return {
    report(report) {
      let rows: RegionRow[] = [];
      for (const row of regionRows(report)) {
        rows.push(row);
        if (rows.length < GROUP) continue;
        put(rows);
        rows = [];
      }
      put(rows);
    },
    end() {
      void file.finish();
      flush();
    },
  };
}
