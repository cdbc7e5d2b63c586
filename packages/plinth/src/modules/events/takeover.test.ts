import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unavailable } from '#kernel/errors.ts';
import { consumeAside, consumeOnce, consumeParked } from '#kernel/feed.ts';
import { retryLost } from '#kernel/feed-aside.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('takeover');
  await database.admin.query(`create schema takeover; create table takeover.effects (event_id uuid primary key, by text not null);
    grant usage on schema takeover to plinth_worker; grant insert on takeover.effects to plinth_worker`);
});
afterAll(() => database.drop());

/** A process that handles two events of two tenants and holds on; and another that would handle them. */
async function holding(consumer: string, idleMs: number) {
  const { plinth, tenantA, tenantB, admin } = database;
  await admin.query('delete from takeover.effects');
  for (const tenantId of [tenantA, tenantB]) await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('takeover.tested', {}));
  const child = spawn(process.execPath, [fileURLToPath(new URL('takeover.fixture.ts', import.meta.url))], {
    env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, CONSUMER: consumer, IDLE_MS: String(idleMs) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('holding');
  const take = () =>
    consumeOnce(plinth, consumer, {
      summary: 'writes',
      handle: async (tx, events) => {
        for (const event of events) await tx.query('insert into takeover.effects (event_id, by) values ($1, $2)', [event.id, 'heir']);
      },
    });
  const effects = async () => (await admin.query('select by, count(*)::int as n from takeover.effects group by by')).rows;
  return { child, lines, take, effects };
}

test('what a process was handling when it was killed is handled by another at once, and once', { timeout: 60_000 }, async () => {
  const { child, take, effects } = await holding('test.killed', 60_000);
  const ended = once(child, 'exit');
  // As long as the other lives, it holds the cursors.
  expect(await take()).toBe(0);
  child.kill('SIGKILL');
  await ended;
  await expect.poll(async () => (await take(), effects()), { timeout: 30_000, interval: 50 }).toEqual([{ by: 'heir', n: 2 }]);
});

test('what a process was handling when it was stopped is handled by another soon, and the stopped one changes nothing when it comes back', {
  timeout: 60_000,
}, async () => {
  const { child, lines, take, effects } = await holding('test.stopped', 2_000);
  child.kill('SIGSTOP');
  await expect.poll(async () => (await take(), effects()), { timeout: 30_000, interval: 50 }).toEqual([{ by: 'heir', n: 4 }]);
  child.kill('SIGCONT');
  child.stdin.write('go on\n');
  expect((await lines.next()).value).toBe('25P03');
  expect(await effects()).toEqual([{ by: 'heir', n: 4 }]);
  const { rows } = await database.admin.query(`select status, failures, last_error from plinth.consumers where consumer = 'test.stopped'`);
  expect(rows).toEqual([{ status: 'current', failures: 0, last_error: null }]);
});

test('a handler that hangs outside of the database is given up, and plinth.consumers says so', { timeout: 60_000 }, async () => {
  const { plinth, tenantA, admin } = database;
  await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('takeover.tested', {}));
  let after: Promise<unknown> | undefined;
  let wake = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (wake = resolve));
  const consumer = { summary: 'hangs', idleMs: 200 };
  const hang = consumeOnce(plinth, 'test.hangs', { ...consumer, handle: (tx) => (after = hanging.then(() => tx.query('select 1'))).then(() => undefined) });
  await expect(hang).rejects.toMatchObject({ code: '25P03' });
  const status = async () =>
    (await admin.query(`select status, failures, failing_since, last_error from plinth.consumers where consumer = 'test.hangs'`)).rows[0];
  expect(await status()).toEqual({
    status: 'failing',
    failures: 1,
    failing_since: expect.any(Date),
    last_error: expect.stringContaining('idle-in-transaction'),
  });
  // The connection is not that of the next transaction.
  wake();
  await expect(after).rejects.toThrow();
  while ((await consumeOnce(plinth, 'test.hangs', { ...consumer, handle: async () => {} })) > 0);
  expect(await status()).toEqual({ status: 'current', failures: 0, failing_since: null, last_error: null });
});

test.each(['park', 'block'])(
  'an event that ends every process that handles it is set aside after four of them, and all others are handled once (%s)',
  { timeout: 240_000 },
  async (onPoison) => {
    const { plinth, tenantA, tenantB, admin } = database;
    const consumer = `test.deadly-${onPoison}`;
    await admin.query('delete from takeover.effects');
    await admin.query('delete from plinth_kernel.feed_cursors where consumer like $1', ['test.%']);
    await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start('plinth_events.events', $1, 'now')`, [consumer]));
    const kinds = ['takeover.before', 'takeover.deadly', 'takeover.behind'];
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void kinds.map((kind) => tx.events.publish(kind, {})));
    await plinth.transaction({ tenantId: tenantB }, async (tx) => void tx.events.publish('takeover.other', {}));
    let said = '';
    const run = async (): Promise<number | null> => {
      // What is set aside for the first time, because processes ended on it, is tried at once.
      const waiting = `select from plinth_events.parked where consumer = $1 and status = 'failing' and lost = 2 and retry_at is not null`;
      expect((await admin.query(waiting, [consumer])).rows).toEqual([]);
      // Waits are over, but for that of an event that was set aside for its deaths: a slow machine must not reach its end.
      await admin.query(
        `update plinth_events.parked set retry_at = case when lost >= 3 then retry_at + interval '1 hour' end where consumer = $1 and retry_at is not null`,
        [consumer],
      );
      const child = spawn(process.execPath, [fileURLToPath(new URL('deadly.fixture.ts', import.meta.url))], {
        env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, CONSUMER: consumer, ON_POISON: onPoison },
        stdio: ['inherit', 'pipe', 'inherit'],
      });
      child.stdout.on('data', (text: Buffer) => (said += text));
      return ((await once(child, 'close')) as [number | null])[0];
    };
    const ends: (number | null)[] = [];
    while (ends.filter((code) => code !== 0).length < 4 && ends.length < 7) ends.push(await run());
    expect(ends.filter((code) => code === 9)).toHaveLength(4);
    expect(await run()).toBe(0);
    expect(said).toBe('aside\n');
    const parked = async () =>
      (
        await admin.query(
          'select event_type, status, attempts, retry_at, error from plinth_events.parked where consumer = $1 and ended_at is null order by position',
          [consumer],
        )
      ).rows;
    const deadly = { event_type: 'takeover.deadly', attempts: expect.any(Number), error: expect.stringContaining('ended before it was done') };
    const handled = async () => (await admin.query<{ by: string }>('select by from takeover.effects order by by')).rows.map((row) => row.by);
    if (onPoison === 'park') {
      expect(await parked()).toEqual([{ ...deadly, status: 'parked', retry_at: null }]);
      expect(await handled()).toEqual(['takeover.before', 'takeover.behind', 'takeover.other']);
    } else {
      // Tried again in 10 s, then ever more seldom; its tenant waits for it, or until somebody says what is to become of it.
      expect(await parked()).toMatchObject([
        { ...deadly, status: 'failing', retry_at: expect.any(Date) },
        { event_type: 'takeover.behind', status: 'waiting' },
      ]);
      expect(await handled()).toEqual(['takeover.before', 'takeover.other']);
      await plinth.asWorker({}, (tx) =>
        tx.query(`select plinth.discard_parked_event(id, 'it ends the worker') from plinth.parked_events where consumer = $1 and status = 'failing'`, [
          consumer,
        ]),
      );
      expect(await run()).toBe(0);
      expect(await handled()).toEqual(['takeover.before', 'takeover.behind', 'takeover.other']);
    }
  },
);

test('what ends its process again and again is tried again after 10 s, 1, 6 and 36 minutes, then every hour', async () => {
  const { rows } = await database.admin.query<{ waits: number[] }>(
    `select array_agg(round(extract(epoch from ${retryLost('lost')} - clock_timestamp()))::int order by lost) as waits from generate_series(3, 12) as g (lost)`,
  );
  expect(rows[0]?.waits).toEqual([10, 60, 360, 2160, 3600, 3600, 3600, 3600, 3600, 3600]);
});

test.each(['park', 'block'] as const)(
  'an event whose try lost only its connection is tried again at once, also when another has taken it for the third that ended its process (%s)',
  async (onPoison) => {
    const { plinth, tenantA, admin } = database;
    const name = `test.connection-${onPoison}`;
    await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start('plinth_events.events', $1, 'now')`, [name]));
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('takeover.tested', {}));
    const state = async () =>
      (
        await admin.query(
          'select status, attempts, lost, retry_at > clock_timestamp() as waits from plinth_events.parked where consumer = $1 and ended_at is null',
          [name],
        )
      ).rows;
    const failing = async (): Promise<never> => {
      throw new Error('not yet');
    };
    while ((await state()).length === 0) await consumeOnce(plinth, name, { summary: 'fails', handle: failing }).catch(() => undefined);
    const [{ attempts }] = (await state()) as [{ attempts: number }];
    await admin.query('update plinth_events.parked set lost = 2, retry_at = null where consumer = $1', [name]);

    let noted: unknown;
    let calls = 0;
    /** Says what it has to say only after another process has looked. */
    const slow: typeof plinth = Object.assign(Object.create(plinth), {
      asWorker: async (...args: Parameters<typeof plinth.asWorker>) => {
        if (++calls === 2) {
          await consumeAside(plinth, name, { summary: 'finds it left behind', onPoison, handle: async () => {} });
          noted = await state();
        }
        return plinth.asWorker(...args);
      },
    });
    const losing = consumeAside(slow, name, {
      summary: 'loses its connection',
      onPoison,
      handle: async (tx) => {
        const [own] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
        await admin.query('select pg_terminate_backend($1, 10000)', [own?.pid]);
        await tx.query('select 1');
      },
    });
    await expect(losing).rejects.toMatchObject({ code: 'kernel_unavailable' });
    expect(noted).toMatchObject([
      { status: onPoison === 'park' ? 'parked' : 'failing', lost: 3, attempts: attempts + 1, waits: onPoison === 'park' ? null : true },
    ]);
    expect(await state()).toEqual([{ status: onPoison === 'park' ? 'due' : 'failing', lost: 0, attempts, waits: null }]);
    expect(await consumeParked(plinth, name, { summary: 'handles', onPoison, handle: async () => {} })).toBe(1);
    expect(await state()).toEqual([]);
  },
);

test('a database that was away and comes back as another, restored from a dump, is read on by a process that went on running', async () => {
  const { plinth, tenantA, admin } = database;
  const handled: string[] = [];
  let away = false;
  const consume = () =>
    consumeOnce(plinth, 'test.restored', {
      summary: 'notes',
      async handle(_tx, events) {
        if (away) throw unavailable('away');
        handled.push(...events.filter(({ type }) => type === 'restored.tested').map(({ data }) => String(data.note)));
      },
    });
  const publish = (note: string) => plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('restored.tested', { note }));
  const caughtUp = async () => {
    while ((await consume()) > 0);
  };
  await publish('before');
  await caughtUp();
  away = true;
  await publish('in the dump');
  await expect(consume()).rejects.toMatchObject({ code: 'kernel_unavailable' });
  away = false;
  // The ids of another server, which had given more of them, and had read everything.
  await admin.query(`update plinth_kernel.feed_epochs set system_identifier = 1`);
  await admin.query(`update plinth_kernel.feed_cursors set s1 = '900000000:900000000:' where consumer = 'test.restored'`);
  await publish('after');
  await caughtUp();
  expect(handled).toEqual(['before', 'after']);
});
