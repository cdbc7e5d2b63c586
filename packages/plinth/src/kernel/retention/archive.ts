import { createHash } from 'node:crypto';
import { fail } from '../errors.ts';
import type { ArchiveColumn } from './columns.ts';
import type { Row, RowFacts } from './parquet.ts';
import { parquetBytes, parquetRows, rowFold } from './parquet.ts';
import type { RetentionServices } from './services.ts';
import type { Storage, StorageReader } from './storage.ts';

/** A partition on its way out: a row of plinth_kernel.retention_partitions. */
export interface Leaving {
  id: string;
  kind: string;
  table: string;
  partition: string;
  relation: number;
  lowerId: string;
  upperId: string;
  /** The uuid v7 column by which the table is partitioned. */
  rangeColumn: string;
  state: string;
  archives: boolean;
  archiveKey: string | null;
}

/** Written beside an archive, so that it can be read and checked without the database it came from. */
export interface Manifest extends RowFacts {
  version: 1;
  kind: string;
  table: string;
  partition: string;
  /** Ids of the partition: from the first up to but not including the second. */
  range: [lowerId: string, upperId: string];
  rangeColumn: string;
  columns: ArchiveColumn[];
  file: { key: string; sizeBytes: number; sha256: string };
}

const manifestKey = (key: string): string => `${key}.manifest.json`;

/** The id is part of the key: a partition of the same name in another life gets another archive. */
const keyOf = (leaving: Leaving): string => `${leaving.kind}/${leaving.partition.split('.').at(-1)}-${leaving.id.slice(-12)}.parquet`;

const PAGE = 2000;

interface KeyedColumn extends ArchiveColumn {
  key_place: number | null;
}

/** The rows of a detached partition in the order of its key, a page at a time. */
async function* partitionRows(services: RetentionServices, leaving: Leaving, columns: readonly KeyedColumn[]): AsyncGenerator<Row> {
  const keys = columns
    .map((column, at) => ({ at, place: column.key_place }))
    .filter((key): key is { at: number; place: number } => key.place !== null)
    .sort((a, b) => a.place - b.place);
  const pageAfter = (last: Row | undefined): Promise<{ values: Row }[]> => {
    const after = last ? keys.map(({ at }) => last[at] ?? null) : null;
    return services.asWorker((tx) => tx.query<{ values: Row }>('select plinth_kernel.partition_rows($1, $2, $3) as values', [leaving.id, after, PAGE]));
  };
  let last: Row | undefined;
  for (;;) {
    services.signal?.throwIfAborted();
    const page = await pageAfter(last);
    for (const { values } of page) yield values;
    last = page.at(-1)?.values;
    if (page.length < PAGE) return;
  }
}

/** Writes the archive of a detached partition and its manifest, and records both. Repeating it writes them anew. */
export async function archivePartition(services: RetentionServices, storage: Storage, leaving: Leaving): Promise<{ rows: number; bytes: number; key: string }> {
  const columns = await services.asWorker((tx) =>
    tx.query<KeyedColumn>('select name, type, key_place from plinth_kernel.partition_columns($1)', [leaving.relation]),
  );
  const described = columns.map(({ name, type }) => ({ name, type }));
  const key = keyOf(leaving);
  const fold = rowFold(described, leaving.rangeColumn);
  const body = parquetBytes(described, partitionRows(services, leaving, columns), fold.add, { plinth_kind: leaving.kind, plinth_partition: leaving.partition });
  const file = await storage.put(key, body);
  const facts = fold.facts();
  const { kind, table, partition, lowerId, upperId, rangeColumn } = leaving;
  const manifest: Manifest = {
    version: 1,
    kind,
    table,
    partition,
    range: [lowerId, upperId],
    rangeColumn,
    ...facts,
    columns: described,
    file: { key, ...file },
  };
  await storage.put(manifestKey(key), oneChunk(`${JSON.stringify(manifest, null, 2)}\n`));
  await services.asWorker((tx) =>
    tx.query('select plinth_kernel.partition_archived($1, $2, $3, $4, $5, $6)', [leaving.id, key, file.sizeBytes, file.sha256, facts.rows, facts.rowsSha256]),
  );
  return { rows: facts.rows, bytes: file.sizeBytes, key };
}

async function* oneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

/**
 * Reads the archive back, from the storage alone, and compares it with its manifest and with the table: count, id range, checksum of every
 * value. Errors: kernel_archive_unreadable, kernel_archive_mismatch.
 */
export async function verifyArchive(services: RetentionServices, storage: Storage, leaving: Leaving): Promise<{ rows: number }> {
  const key = leaving.archiveKey ?? keyOf(leaving);
  const { manifest, facts } = await checkArchive(storage, key);
  if (facts.rows !== manifest.rows || facts.rowsSha256 !== manifest.rowsSha256) {
    throw fail('archive_mismatch', { message: `The archive ${key} holds other rows than its manifest says: ${facts.rows} of ${manifest.rows}` });
  }
  await services.asWorker((tx) =>
    tx.query('select plinth_kernel.partition_verified($1, $2, $3, $4, $5)', [leaving.id, facts.rows, facts.minId, facts.maxId, facts.rowsSha256]),
  );
  return { rows: facts.rows };
}

async function checkArchive(storage: Storage, key: string): Promise<{ manifest: Manifest; facts: RowFacts }> {
  const manifest = await readManifest(storage, key);
  await using object = await opened(storage, key);
  const sha256 = await checksum(object);
  if (sha256 !== manifest.file.sha256) throw fail('archive_mismatch', { message: `The archive ${key} is not the file that was written: its checksum differs` });
  const fold = rowFold(manifest.columns, manifest.rangeColumn);
  for await (const row of parquetRows(manifest.columns, object)) fold.add(row);
  return { manifest, facts: fold.facts() };
}

/** The manifest of an archive. Errors: kernel_archive_unreadable. */
async function readManifest(storage: Storage, key: string): Promise<Manifest> {
  await using object = await opened(storage, manifestKey(key));
  const text = new TextDecoder().decode(await object.read(0, object.sizeBytes));
  try {
    return JSON.parse(text) as Manifest;
  } catch (cause) {
    throw fail('archive_unreadable', { message: `The manifest of ${key} is not JSON`, cause });
  }
}

/**
 * The rows of an archive as objects of Postgres texts, one row group in memory at a time.
 * Example: `for await (const row of archivedRows(storage, key)) console.log(row.id)`. Errors: kernel_archive_unreadable.
 */
export async function* archivedRows(storage: Storage, key: string): AsyncGenerator<Record<string, string | null>> {
  const { columns } = await readManifest(storage, key);
  await using object = await opened(storage, key);
  for await (const row of parquetRows(columns, object)) yield Object.fromEntries(columns.map((column, at) => [column.name, row[at] ?? null]));
}

async function opened(storage: Storage, key: string): Promise<StorageReader> {
  const object = await storage.open(key);
  if (!object) throw fail('archive_unreadable', { message: `There is no object ${key} in the archive storage` });
  return object;
}

const CHUNK = 1024 * 1024;

async function checksum(object: StorageReader): Promise<string> {
  const hash = createHash('sha256');
  for (let start = 0; start < object.sizeBytes; start += CHUNK) hash.update(await object.read(start, Math.min(start + CHUNK, object.sizeBytes)));
  return hash.digest('hex');
}
