import pg from 'pg';
import { expect, test } from 'vitest';
import { testServerUrl } from '#testing/database.ts';
import { Client, clientBeside } from './database.ts';

test('a connection beside a pool goes where those of the pool go, with the password that the pool hides', async () => {
  const pool = new pg.Pool({ host: 'db.test', port: 6000, user: 'app', password: 'secret', database: 'shop', max: 3 });
  const { host, port, user, password, database } = clientBeside(pool, { application_name: 'beside' });
  expect({ host, port, user, password, database }).toEqual({ host: 'db.test', port: 6000, user: 'app', password: 'secret', database: 'shop' });
  await pool.end();
});

test('times and backslashes mean the same whatever the server, the database or the environment says', async () => {
  const client = new Client({ connectionString: testServerUrl(), options: '-c datestyle=German -c standard_conforming_strings=off' });
  await client.connect();
  try {
    const { rows } = await client.query(`select timestamptz '2026-11-22 10:00+00' as at, '\\d' as text`);
    expect(rows).toEqual([{ at: new Date('2026-11-22T10:00:00Z'), text: '\\d' }]);
  } finally {
    await client.end();
  }
});
