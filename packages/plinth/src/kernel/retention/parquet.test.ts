import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { emptyDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import type { ArchiveColumn } from './columns.ts';
import { storeColumn, textColumn } from './columns.ts';
import type { Row } from './parquet.ts';
import { parquetBytes, parquetRows, rowFold } from './parquet.ts';
import type { StorageReader } from './storage.ts';

const database = await emptyDatabase('parquet');
afterAll(() => database.drop());

const inMemory = (bytes: Uint8Array): StorageReader => ({
  sizeBytes: bytes.length,
  read: async (start, end) => bytes.slice(start, end),
  [Symbol.asyncDispose]: async () => {},
});

async function* each(rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows;
}

/** Rows through a Parquet file and back; also that both sides have the same checksum, and how many pieces were written. */
async function throughParquet(columns: ArchiveColumn[], rows: readonly Row[]): Promise<{ rows: Row[]; pieces: number; same: boolean }> {
  const written = rowFold(columns, 'id');
  const pieces = await Array.fromAsync(parquetBytes(columns, each(rows), written.add, {}));
  const read = rowFold(columns, 'id');
  const back = await Array.fromAsync(parquetRows(columns, inMemory(Buffer.concat(pieces))));
  for (const row of back) read.add(row);
  return { rows: back, pieces: pieces.length, same: JSON.stringify(read.facts()) === JSON.stringify(written.facts()) };
}

test('every type comes back as the text that Postgres gave', async () => {
  const types = [
    'uuid',
    'timestamptz',
    'timestamp',
    'date',
    'smallint',
    'integer',
    'bigint',
    'numeric',
    'double precision',
    'boolean',
    'text',
    'jsonb',
    'bytea',
    'inet',
    'interval',
    'xid8',
    'text[]',
  ];
  const values: (string | null)[][] = [
    [
      '018f0000-0000-7000-8000-000000000001',
      '2026-11-21 10:20:30.123456+01',
      '1969-12-31 23:59:59.999999',
      '2000-02-29',
      '-32768',
      '2147483647',
      '9223372036854775807',
      '1e-30',
      '0.1',
      'true',
      'Grüße\n"',
      '{"a": [1, 2.50, null], "ü": "\\u0001"}',
      '\\x00ff',
      '10.0.0.1/8',
      '1 year 2 mons 3.000001 s',
      '18446744073709',
      '{a,"b c",NULL}',
    ],
    [
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      'infinity',
      '-infinity',
      '9999-12-31',
      '0',
      '-2147483648',
      '-9223372036854775808',
      '123456789012345678901234567890.123456789',
      '-Infinity',
      'false',
      '',
      '"just text"',
      '\\x',
      '::1',
      '-1 days',
      '3',
      '{}',
    ],
    [
      '00000000-0000-0000-0000-000000000000',
      '0001-01-01 00:00:00+00',
      '12026-01-01 00:00:00.1',
      '0001-01-01',
      '1',
      '0',
      '0',
      'NaN',
      'NaN',
      'true',
      'NULL',
      'null',
      '\\x01',
      '0.0.0.0',
      '0',
      '0',
      '{""}',
    ],
    types.map(() => null),
  ];
  await database.admin.query(`create table t (n int, ${types.map((type, at) => `c${at} ${type}`).join(', ')})`);
  for (const [n, row] of values.entries()) await database.admin.query(`insert into t values (${n}, ${row.map((_, at) => `$${at + 1}`).join(', ')})`, row);
  const client = await database.admin.connect();
  await client.query(`set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'iso_8601'; set extra_float_digits = 1; set bytea_output = 'hex'`);
  const { rows } = await client.query<{ texts: Row }>(`select array[${types.map((_, at) => `c${at}::text`).join(', ')}] as texts from t order by n`);
  const { rows: named } = await client.query<{ name: string; type: string }>(
    `select attname as name, format_type(atttypid, null) as type from pg_attribute where attrelid = 't'::regclass and attnum > 1 order by attnum`,
  );
  client.release();
  const texts = rows.map((row) => row.texts);
  const result = await throughParquet(named, texts);
  expect(result.rows).toEqual(texts);
  expect(result.same).toBe(true);
});

test('any timestamp to the microsecond, and any text, comes back as it was', async () => {
  const columns: ArchiveColumn[] = [
    { name: 'at', type: 'timestamp with time zone' },
    { name: 'id', type: 'text' },
  ];
  const day = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true });
  const stamp = fc.tuple(day, fc.integer({ min: 0, max: 999_999 })).map(([date, micros]) => {
    const fraction = micros === 0 ? '' : `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`;
    return `${date.toISOString().slice(0, 19).replace('T', ' ')}${fraction}+00`;
  });
  const text = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed() && !value.includes('\0'));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.option(stamp), fc.option(text)), { maxLength: 30 }), async (rows) => {
      const result = await throughParquet(columns, rows);
      expect(result.rows).toEqual(rows);
      expect(result.same).toBe(true);
    }),
    { seed: drawnSeed(), numRuns: drawnRuns(40) },
  );
});

test('a large partition is written and read a row group at a time', async () => {
  const columns: ArchiveColumn[] = [
    { name: 'id', type: 'uuid' },
    { name: 'n', type: 'integer' },
  ];
  const rows = Array.from({ length: 45_001 }, (_, n): Row => [`018f0000-0000-7000-8000-${String(n).padStart(12, '0')}`, String(n)]);
  const result = await throughParquet(columns, rows);
  expect(result.pieces).toBe(5);
  expect(result.same).toBe(true);
  expect(result.rows.at(-1)).toEqual(rows.at(-1));
  const wide = Array.from({ length: 30 }, (_, n): Row => ['018f0000-0000-7000-8000-000000000000', String(n).padEnd(1024 * 1024, ' ')]);
  const text: ArchiveColumn[] = [
    { name: 'id', type: 'uuid' },
    { name: 'n', type: 'text' },
  ];
  expect((await throughParquet(text, wide)).pieces).toBe(2);
});

test('no rows make a file that reads as no rows', async () => {
  expect(await throughParquet([{ name: 'id', type: 'uuid' }], [])).toEqual({ rows: [], pieces: 1, same: true });
});

test('a date before the common era is refused rather than changed', () => {
  expect(() => storeColumn({ name: 'at', type: 'timestamp with time zone' }, ['0044-03-15 12:00:00+00 BC'])).toThrow(/an archive cannot hold/);
  expect(textColumn({ name: 'n', type: 'integer' }, [null, 3])).toEqual([null, '3']);
});

test('a file that is no Parquet file is unreadable, by name', async () => {
  const rows = parquetRows([{ name: 'id', type: 'uuid' }], inMemory(new TextEncoder().encode('this is not a Parquet file')));
  await expect(rows.next()).rejects.toMatchObject({ code: 'kernel_archive_unreadable' });
});
