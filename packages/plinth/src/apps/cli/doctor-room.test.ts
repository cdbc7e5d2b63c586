/** What `plinth doctor` says of a disk that is full. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client } from '#kernel/database.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { roomFindings } from './doctor-room.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('doctor_room');
});
afterAll(() => database.drop());

async function found(): Promise<Awaited<ReturnType<typeof roomFindings>>> {
  const client = new Client({ connectionString: database.serverUrl });
  await client.connect();
  try {
    const findings = await roomFindings(client);
    expect((await client.query(`select from pg_class where relname = 'plinth_doctor'`)).rowCount, 'nothing stays').toBe(0);
    return findings;
  } finally {
    await client.end();
  }
}

test('a disk that is full is a fault with its way out, although everything can be read', async () => {
  const { admin, name } = database;
  expect(await found()).toMatchObject([{ check: 'disk of the server', state: 'ok' }]);
  // What the server answers where the file of a table cannot grow.
  await admin.query(`create function public.no_room() returns event_trigger language plpgsql as $$ begin
      raise exception 'could not extend file "base/1/2": No space left on device' using errcode = 'disk_full'; end $$;
    create event trigger no_room on ddl_command_end when tag in ('ALTER TABLE') execute function public.no_room()`);
  expect(await found()).toMatchObject([
    { state: 'fault', seen: expect.stringContaining('No space left'), wayOut: expect.stringContaining('free space first') },
  ]);
  await admin.query('drop event trigger no_room');
  await admin.query(`alter database ${name} set default_transaction_read_only = on`);
  expect(await found(), 'told as writable').toEqual([]);
  await admin.query(`begin read write; alter database ${name} reset default_transaction_read_only; revoke temporary on database ${name} from public; commit`);
  expect(await found()).toMatchObject([{ state: 'ok', seen: expect.stringContaining('not tried') }]);
});
