import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth, readStream } from '../index.ts';
import { readTime } from './column-types.ts';

const database = await testDatabase('column_types');
afterAll(() => database.drop());

/** What programs tell the driver for their whole process. */
const KINDS = [20, 1700, 1184, 114, 3802] as const;
const before = KINDS.map((oid) => pg.types.getTypeParser(oid, 'text'));

test('times are read as the driver reads them by itself', () => {
  const driver = before[2] as (text: string) => unknown;
  const texts = [
    'infinity',
    '-infinity',
    '2026-11-23 02:57:45.47135+00',
    '2026-11-23 02:57:45+05:30',
    '1890-01-01 00:00:00.005+00:53:28',
    '0044-03-15 12:00:00-03:30 BC',
  ];
  texts.push(
    '0001-01-01 00:00:00+00',
    '0099-12-31 23:59:59.999999+00',
    '10000-01-01 00:00:00+14',
    '294276-12-31 23:59:59.999999+00',
    '4713-01-01 00:00:00+00 BC',
  );
  for (let ms = 0; ms < 1000; ms++) texts.push(`2026-02-28 23:59:59.${String(ms).padStart(3, '0')}${ms % 2 ? '999' : ''}-11`);
  for (const text of texts) expect(readTime(text), text).toEqual(driver(text));
});

beforeAll(() => {
  for (const oid of KINDS) pg.types.setTypeParser(oid, oid === 20 || oid === 1700 ? Number : (text) => `as text: ${text}`);
});
afterAll(() => {
  for (const [index, oid] of KINDS.entries()) pg.types.setTypeParser(oid, before[index] as (text: string) => unknown);
});

test('whatever parsers the process has set, columns are read as ever: over a pool of Plinth, one of the application, and joined', async () => {
  const { plinth, serverUrl, tenantA } = database;
  const pool = new pg.Pool({ connectionString: serverUrl });
  const over = createPlinth({ database: pool });
  const stream = { type: 'order', id: '1' };
  const look = async (tx: Parameters<Parameters<typeof plinth.join>[2]>[0]) => {
    const [row] = await tx.query(
      `select 9007199254740993 as big, 1.50 as number, timestamptz '2026-01-01 00:00Z' as at, json '[1]' as json, jsonb '{"a": 1}' as jsonb`,
    );
    for await (const { data, occurredAt } of readStream(tx, stream, { limit: 1 })) return { ...row, data, dated: occurredAt instanceof Date };
    return row;
  };
  await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.append(stream, [{ type: 'order.placed', data: { cents: 4200 } }]));
  const client = await pool.connect();
  await client.query('begin; set local role plinth_app');
  const seen = [
    await plinth.transaction({ tenantId: tenantA }, look),
    await over.transaction({ tenantId: tenantA }, look),
    await plinth.join(client, { tenantId: tenantA }, look),
  ];
  const { rows } = await client.query<{ big: unknown }>('select 9007199254740993 as big');
  await client.query('rollback');
  client.release();
  await pool.end();
  const plain = {
    big: '9007199254740993',
    number: '1.50',
    at: new Date('2026-01-01T00:00:00Z'),
    json: [1],
    jsonb: { a: 1 },
    data: { cents: 4200 },
    dated: true,
  };
  expect(seen).toEqual([plain, plain, plain]);
  // The application's own queries are as it wants them.
  expect(rows).toEqual([{ big: 9007199254740992 }]);
});
