/** A crash, or a disk that was set back, gives transaction ids again on the same timeline: whoever has seen them is told, and not passed over. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Listening } from './realtime.fixture.ts';
import { eventually, listening } from './realtime.fixture.ts';
import { parseSnapshot, readOffset, writeOffset } from './realtime-offset.ts';
import { createTail } from './realtime-tail.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
let http: Listening;
beforeAll(async () => {
  server = await testServer('realtime_given_again', { realtime: { heartbeatMs: 300 } });
  http = await listening(server);
});
afterAll(async () => {
  await http.close();
  await server.close();
});

const AHEAD = 20_000n;
const xmax = async (): Promise<bigint> => {
  const { rows } = await server.database.admin.query<{ now: string }>('select pg_current_snapshot()::text as now');
  return parseSnapshot(rows[0]?.now ?? '').xmax;
};

/** What somebody has seen who was told of ids that the server has not given yet: those that it gave before it lost them. */
const lost = async (): Promise<string> => {
  const ahead = (await xmax()) + AHEAD;
  return `${ahead}:${ahead}:`;
};

/** Events are published under the ids that were seen, and time goes by; then more ids are given than were seen. */
async function giveAgain(seen: string, atMs: number): Promise<void> {
  const { plinth, admin, tenantA } = server.database;
  await eventually(async () => {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('given.again', {}));
    const { rows } = await admin.query('select from plinth_events.events where created_at > to_timestamp(($1::double precision + 200) / 1000)', [atMs]);
    return rows.length > 0;
  }, 'events are published later than they were seen');
  await admin.query(`do $$ begin for i in 1..${AHEAD} loop perform pg_current_xact_id(); commit; end loop; end $$`);
  expect(await xmax()).toBeGreaterThan(parseSnapshot(seen).xmax);
}

test('a reader that comes back with an offset from before is told to begin anew', async () => {
  const { keyA } = server;
  const reader = await http.listen({ key: keyA });
  reader.close();
  const offset = readOffset(reader.lastId ?? '');
  if (!offset) throw new Error('the id is no offset');
  const s1 = await lost();
  await giveAgain(s1, offset.atMs);
  const back = await http.listen({ key: keyA, offset: writeOffset({ ...offset, window: { s1, last: '0' } }) });
  expect(back.told[0]).toMatchObject({ event: 'reset', data: { reason: 'log_changed' } });
  back.close();
  // Nothing has happened since to one that has seen no more than there was.
  const calm = await http.listen({ key: keyA, offset: back.lastId });
  expect(calm.told[0]).toMatchObject({ event: 'ready', data: { resumed: true } });
  calm.close();
});

test('a process that goes on tells its readers', async () => {
  let breaks = 0;
  const log = { info() {}, warn() {}, error() {}, debug() {} };
  const tail = createTail(server.database.plinth as never, log as never, { onBatch() {}, onBreak: () => void breaks++ });
  await tail.start();
  // No look is under way any more that would move it.
  await tail.refresh();
  tail.stop();
  const s1 = await lost();
  Object.assign(tail, { at: { s1, last: '0' } });
  await giveAgain(s1, tail.atMs);
  await tail.start();
  tail.stop();
  expect(breaks).toBe(1);
  await tail.start();
  tail.stop();
  expect(breaks).toBe(1);
});
