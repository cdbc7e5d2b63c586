import { createHash } from 'node:crypto';
import type { AsyncBuffer, ParquetParsers } from 'hyparquet';
import { parquetMetadataAsync, parquetRead } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { fail } from '../errors.ts';
import type { ArchiveColumn } from './columns.ts';
import { hasStatistics, parquetSchema, storeColumn, textColumn } from './columns.ts';
import type { StorageReader } from './storage.ts';

/** One row as texts of Postgres, in the order of the columns. */
export type Row = readonly (string | null)[];

/** What was written or read, for comparison: the same rows in the same order have the same checksum. */
export interface RowFacts {
  rows: number;
  /** Of the partitioning column. */
  minId: string | null;
  maxId: string | null;
  rowsSha256: string;
}

/** Counts rows and folds them into a checksum: each value as its length and text, null as `-`. */
export function rowFold(columns: readonly ArchiveColumn[], rangeColumn: string) {
  const hash = createHash('sha256');
  const idAt = columns.findIndex((column) => column.name === rangeColumn);
  const facts: Omit<RowFacts, 'rowsSha256'> = { rows: 0, minId: null, maxId: null };
  return {
    add(row: Row): void {
      hash.update(`${row.map((value) => (value === null ? '-' : `${Buffer.byteLength(value)}:${value}`)).join(',')}\n`);
      facts.rows += 1;
      const id = row[idAt] ?? null;
      if (id !== null && (facts.minId === null || id < facts.minId)) facts.minId = id;
      if (id !== null && (facts.maxId === null || id > facts.maxId)) facts.maxId = id;
    },
    facts: (): RowFacts => ({ ...facts, rowsSha256: hash.copy().digest('hex') }),
  };
}

/** A row group is written when it has this many rows or bytes of text, so memory does not grow with the partition. */
const GROUP_ROWS = 10_000;
const GROUP_BYTES = 16 * 1024 * 1024;

/** Rows as the bytes of a Parquet file, row group by row group. `onRow` sees each row once, in order. */
export async function* parquetBytes(
  columns: readonly ArchiveColumn[],
  rows: AsyncIterable<Row>,
  onRow: (row: Row) => void,
  notes: Record<string, string>,
): AsyncGenerator<Uint8Array> {
  const bytes = new ByteWriter(64 * 1024);
  const kvMetadata = Object.entries(notes).map(([key, value]) => ({ key, value }));
  const writer = new ParquetWriter({ writer: bytes, schema: parquetSchema(columns), createdBy: 'plinth', kvMetadata });
  const drain = (): Uint8Array => {
    const taken = bytes.getBytes().slice();
    bytes.index = 0;
    return taken;
  };
  let group: Row[] = [];
  let size = 0;
  const writeGroup = (): void => {
    const columnData = columns.map((column, at) => ({
      name: column.name,
      data: storeColumn(
        column,
        group.map((row) => row[at] ?? null),
      ),
      statistics: hasStatistics(column),
    }));
    void writer.write({ columnData, rowGroupSize: group.length });
    group = [];
    size = 0;
  };
  for await (const row of rows) {
    onRow(row);
    group.push(row);
    for (const value of row) size += value?.length ?? 0;
    if (group.length < GROUP_ROWS && size < GROUP_BYTES) continue;
    writeGroup();
    yield drain();
  }
  if (group.length > 0) writeGroup();
  void writer.finish();
  yield drain();
}

/** Times as whole microseconds: a Date would lose three digits. */
const parsers: Partial<ParquetParsers> = { timestampFromMicroseconds: (micros) => micros };

/**
 * The rows of an archive as texts of Postgres, one row group in memory at a time.
 * Errors: kernel_archive_unreadable when it is not a Parquet file or lacks a column.
 */
export async function* parquetRows(columns: readonly ArchiveColumn[], object: StorageReader): AsyncGenerator<Row> {
  const file: AsyncBuffer = {
    byteLength: object.sizeBytes,
    slice: async (start, end) => wholeBuffer(await object.read(start, end ?? object.sizeBytes)),
  };
  try {
    const metadata = await parquetMetadataAsync(file);
    let rowStart = 0;
    for (const { num_rows: groupRows } of metadata.row_groups) {
      const rowEnd = rowStart + Number(groupRows);
      const texts = await readGroup(columns, { file, metadata, rowStart, rowEnd });
      for (let at = 0; at < rowEnd - rowStart; at++) yield texts.map((column) => column[at] ?? null);
      rowStart = rowEnd;
    }
  } catch (error) {
    throw fail('archive_unreadable', { cause: error, message: `The archive cannot be read: ${(error as Error).message}` });
  }
}

/** A storage may hand out a view into a larger buffer. */
const wholeBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): ArrayBuffer =>
  (byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer;

type GroupRange = Pick<Parameters<typeof parquetRead>[0], 'file' | 'metadata' | 'rowStart' | 'rowEnd'>;

async function readGroup(columns: readonly ArchiveColumn[], range: GroupRange): Promise<(string | null)[][]> {
  let rows: unknown[][] = [];
  const onComplete = (found: unknown[][]): void => {
    rows = found;
  };
  await parquetRead({ ...range, columns: columns.map((column) => column.name), parsers, rowFormat: 'array', onComplete });
  return columns.map((column, at) =>
    textColumn(
      column,
      rows.map((row) => row[at]),
    ),
  );
}
