import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { createPlinth } from '../index.ts';
import { currentContext, makeContext } from './context.ts';
import { uuidV7 } from './ids.ts';

const database = await testDatabase('context');
const { plinth, tenantA, tenantB } = database;
afterAll(() => database.drop());

/** By current_setting, because a connection outside a transaction of ours may call none of our functions. */
const SETTINGS = `select nullif(current_setting('plinth.tenant_id', true), '') as tenant, nullif(current_setting('plinth.actor_id', true), '') as actor,
  nullif(current_setting('plinth.reason', true), '') as reason, nullif(current_setting('plinth.correlation_id', true), '') as correlation, current_user::text as role`;
const EMPTY = { tenant: null, actor: null, reason: null, correlation: null, role: 'plinth_test_server' };

test('SQL reads back exactly the text it was given, whatever it holds', async () => {
  const seed = drawnSeed();
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }).filter((value) => !value.includes('\0') && !/[\ud800-\udfff]/u.test(value));
  await fc.assert(
    fc.asyncProperty(text, text, async (id, reason) => {
      const [row] = await plinth.transaction({ tenantId: tenantA, actor: { type: 'user', id }, reason }, (tx) => tx.query(SETTINGS));
      expect(row).toMatchObject({ tenant: tenantA, actor: id, reason });
    }),
    { numRuns: drawnRuns(60), seed },
  );
});

test('quotes, backslashes and statements in the context stay text', async () => {
  const nasty = `x'; reset role; set plinth.tenant_id = '${tenantB}'; -- \\' \\\\`;
  const [row] = await plinth.transaction({ tenantId: tenantA, actor: { type: 'user', id: nasty }, reason: nasty }, (tx) => tx.query(SETTINGS));
  expect(row).toMatchObject({ tenant: tenantA, actor: nasty, reason: nasty, role: 'plinth_app' });
});

test.each([
  ['a tenant that is no UUID', { tenantId: 'acme' }, /tenantId is not a UUID/],
  ['a correlation id that is no UUID', { correlationId: `x' or true` }, /correlationId is not a UUID/],
  ['a cause that is no UUID', { causationId: 'order-7' }, /causationId is not a UUID/],
  ['a NUL byte', { actor: { type: 'user' as const, id: 'a\0b' } }, /NUL byte/],
  ['an actor of an unknown type', { actor: { type: 'martian' as 'user', id: 'x' } }, /actor.type is not one of user, .*"martian"/],
  ['an actor without an id', { actor: { type: 'user' } as { type: 'user'; id: string } }, /actor.id/],
  ['an actor whose id is empty', { actor: { type: 'user' as const, id: '' } }, /actor.id/],
  ['a novel as reason', { reason: 'x'.repeat(1001) }, /longer than 1000/],
])('%s is refused before anything is sent', async (_, input, message) => {
  await expect(plinth.transaction(input, (tx) => tx.query('select 1'))).rejects.toMatchObject({
    code: 'kernel_context_invalid',
    message: expect.stringMatching(message),
  });
  expect(plinth.pool.totalCount - plinth.pool.idleCount).toBe(0);
});

test('the correlation id goes with the asynchronous flow and into nested transactions', async () => {
  const correlationId = uuidV7();
  await plinth.transaction({ tenantId: tenantA, correlationId }, async () => {
    await Promise.resolve();
    expect(currentContext()?.correlationId).toBe(correlationId);
    const [inner] = await plinth.transaction({ tenantId: tenantB }, (tx) => tx.query(SETTINGS));
    expect(inner).toMatchObject({ correlation: correlationId, tenant: tenantB });
  });
  expect(currentContext()).toBeUndefined();
  expect(makeContext({}, uuidV7).actor).toEqual({ type: 'system', id: 'plinth' });
});

test('a tenant that somebody set for the session is not that of later transactions', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  try {
    await one.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'session.tenant' });
      await tx.query(`select set_config('plinth.tenant_id', $1, false)`, [tenantA]);
    });
    const seen = `select plinth_kernel.tenant_id() as tenant, (select count(*)::int from plinth.audit_logs) as entries`;
    expect(await one.transaction({}, (tx) => tx.query(seen))).toEqual([{ tenant: null, entries: 0 }]);
    await expect(one.transaction({}, async (tx) => void tx.audit.record({ action: 'session.tenant' }))).rejects.toMatchObject({ status: 400 });
  } finally {
    await one.close();
  }
});

/** Every connection of the pool, once: what would the next borrower see? */
async function leftovers(): Promise<unknown[]> {
  const clients = await Promise.all(Array.from({ length: plinth.pool.options.max ?? 10 }, () => plinth.pool.connect()));
  const seen = await Promise.all(clients.map(async (client) => (await client.query(SETTINGS)).rows[0] as unknown));
  for (const client of clients) client.release();
  return seen.filter((row) => JSON.stringify(row) !== JSON.stringify(EMPTY));
}

test('pooled connections keep nothing of a transaction that failed', async () => {
  const input = { tenantId: tenantA, actor: { type: 'user' as const, id: 'ana' }, reason: 'because' };
  await expect(plinth.transaction(input, (tx) => tx.query('select 1 / 0'))).rejects.toThrow('division by zero');
  await expect(plinth.transaction(input, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  expect(await leftovers()).toEqual([]);
});

test('nor of one that ran into its time limit', async () => {
  await expect(plinth.transaction({ tenantId: tenantA, timeoutMs: 20 }, (tx) => tx.query('select pg_sleep(10)'))).rejects.toMatchObject({ code: '57014' });
  expect(await leftovers()).toEqual([]);
});

test('nor of one that was cancelled, which is rolled back', async () => {
  const stop = new AbortController();
  const running = plinth.transaction({ tenantId: tenantA, signal: stop.signal }, async (tx) => {
    tx.audit.record({ action: 'never.written' });
    await tx.flush();
    setImmediate(() => stop.abort(new Error('caller went away')));
    await tx.query('select pg_sleep(10)');
  });
  await expect(running).rejects.toThrow('caller went away');
  expect(await leftovers()).toEqual([]);
  const { rows } = await database.admin.query(`select count(*)::int as n from plinth_audit.entries where action = 'never.written'`);
  expect(rows).toEqual([{ n: 0 }]);
});

test('one that is cancelled while it waits for a connection takes none, and the connection serves the next', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  try {
    const busy = await one.pool.connect();
    const stop = new AbortController();
    let ran = false;
    const waiting = one.transaction({ tenantId: tenantA, signal: stop.signal }, async () => void (ran = true));
    await expect.poll(() => one.pool.waitingCount).toBe(1);
    stop.abort(new Error('caller went away'));
    busy.release();
    await expect(waiting).rejects.toThrow('caller went away');
    expect(ran).toBe(false);
    await expect.poll(() => one.pool.idleCount).toBe(1);
    expect(await one.transaction({ tenantId: tenantA }, (tx) => tx.query('select 1 as n'))).toEqual([{ n: 1 }]);
  } finally {
    await one.close();
  }
});

test('nor of one whose connection was lost', async () => {
  const failing = plinth.transaction({ tenantId: tenantA, actor: { type: 'user', id: 'ana' } }, async (tx) => {
    const [self] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
    await database.admin.query('select pg_terminate_backend($1)', [self?.pid]);
    await tx.query('select 1');
  });
  await expect(failing).rejects.toMatchObject({ code: 'kernel_unavailable' });
  expect(await leftovers()).toEqual([]);
});
