/** Readers who come while the database connections of a server are ended, as an administrator or a failover does. */
import { afterAll, expect, test } from 'vitest';
import type { Reader } from './realtime.fixture.ts';
import { eventually, listening } from './realtime.fixture.ts';
import { testServer } from './server.fixture.ts';

const server = await testServer('realtime_terminated');
const { database } = server;
const door = await listening(server);
afterAll(async () => {
  server.handler.endStreams();
  await door.close();
  await server.close();
});

const OTHERS = `from pg_stat_activity where datname = current_database() and usename <> current_user`;

/** Ends all sessions while a reader who comes waits for this table, which is free again then. */
async function comesMeanwhile(table: string): Promise<Reader> {
  const holder = await database.admin.connect();
  try {
    await holder.query(`begin; lock table ${table} in access exclusive mode`);
    const coming = door.listen({ key: server.keyA });
    const waits = eventually(async () => (await holder.query(`select ${OTHERS} and wait_event_type = 'Lock'`)).rows.length > 0, `somebody reads ${table}`);
    await Promise.race([waits, coming]);
    await holder.query(`select pg_terminate_backend(pid) ${OTHERS}`);
    await holder.query('commit');
    return await coming;
  } finally {
    await holder.query('rollback');
    holder.release();
  }
}

async function hears(...readers: Reader[]): Promise<void> {
  await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => void tx.events.publish('shop.opened', { n: 1 }));
  for (const reader of readers) {
    await reader.until(({ numbers }) => numbers.length === 1, 'it hears of an event');
    expect(reader.told.map(({ event }) => event)).toEqual(['ready', 'event']);
    reader.close();
  }
}

test('the first one, for whom the state of the log is read, is not refused: new connections are made', { timeout: 60_000 }, async () => {
  await hears(await comesMeanwhile('plinth_kernel.feed_epochs'));
});

test('one who comes while others listen is not refused, and they hear on', { timeout: 60_000 }, async () => {
  const other = await door.listen({ key: server.keyA });
  await hears(other, await comesMeanwhile('plinth_events.events'));
});
