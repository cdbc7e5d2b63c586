/** How a subscription is signed: its choice, its keys, their rotation, and who can read what. */

import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { deriveKeys, KEY_MADE, keyDeriver } from './derive-keys.ts';
import { publicHalf } from './keys.ts';
import type { Signing } from './profiles.ts';
import { signAs } from './profiles.ts';
import { verifyMessage } from './sign.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_signing');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
const worker = <Row>(text: string, values: unknown[] = []) => database.plinth.asWorker({}, (tx) => tx.query<Row>(text, values));
const subscribe = async (signing: string | null, secret: string | null = null) =>
  (
    await as<{ id: string; secret: string | null }>(
      a,
      `select subscription_id as id, secret from plinth.subscribe(coalesce($1, 'n'), '{#}', 'https://example.com/', p_signing => coalesce($1, 'v1'), p_secret => $2)`,
      [signing, secret],
    )
  )[0] ?? { id: '', secret: null };
const valid = async (id: string, signing: Signing): Promise<string[]> =>
  (await worker<{ s: string[] }>('select plinth_webhooks.valid_secrets($1, $2, $3) as s', [a, id, signing]))[0]?.s ?? [];
const publicKeys = async (id: string): Promise<string[]> =>
  (await as<{ keys: string[] }>(a, 'select public_keys as keys from plinth.event_subscriptions where id = $1', [id]))[0]?.keys ?? [];

describe('signing', () => {
  test.each<[Signing, RegExp, number]>([
    ['v1', /^v1$/, 0],
    ['v1a', /^v1a$/, 1],
    ['both', /^v1 v1a$/, 1],
    ['stripe', /^$/, 0],
    ['github', /^$/, 0],
    ['slack', /^$/, 0],
  ])('%s gets the secrets and keys that it needs, and no other', async (signing, versions, keys) => {
    const { id, secret } = await subscribe(signing);
    expect(secret === null).toBe(signing === 'v1a');
    await database.plinth.asWorker({}, deriveKeys);
    expect(await publicKeys(id)).toHaveLength(keys);
    const secrets = await valid(id, signing);
    const headers = signAs(signing, secrets, { id: 'm', type: 't', timestampSeconds: 1, body: 'x' });
    const told = (headers['webhook-signature'] ?? '').split(' ').map((one) => one.split(',')[0]);
    expect(told.join(' ')).toMatch(versions);
    const known = [...(secret === null ? [] : [secret]), ...(await publicKeys(id))];
    if (versions.source !== '^$') for (const one of known) expect(verifyMessage({ secrets: [one], headers, body: 'x', now: new Date(1000) }).id).toBe('m');
  });

  test('is refused when nobody knows it; a text of 16 characters is a secret only in the forms of other providers', async () => {
    expect(await errorCode(subscribe('rsa'))).toBe('webhooks_signing_invalid');
    const text = 'the secret that the receiver has';
    expect(await errorCode(subscribe('v1', text.replaceAll(' ', '-')))).toBe('webhooks_secret_invalid');
    expect((await subscribe('github', text.replaceAll(' ', '-'))).secret).toBe(text.replaceAll(' ', '-'));
    for (const wrong of ['short', text]) expect(await errorCode(subscribe('slack', wrong))).toBe('webhooks_secret_invalid');
  });

  test('can be changed; what is missing for it is made', async () => {
    const { id } = await subscribe('v1a');
    const change = (signing: string) => as(a, 'select plinth.update_subscription($1, p_signing => $2)', [id, signing]);
    await change('both');
    expect((await valid(id, 'both')).map((one) => one.slice(0, 5))).toEqual(['whsec', 'whsk_']);
    await change('github');
    await change('v1');
    expect(await valid(id, 'v1')).toHaveLength(2);
    expect(await errorCode(change('nonsense'))).toBe('webhooks_signing_invalid');
    const log = await as<{ after: { signing: string } }>(
      a,
      `select after from plinth.audit_logs where entity_id = $1 and action = 'webhooks.subscription_updated' order by id`,
      [id],
    );
    expect(log.map(({ after }) => after.signing)).toEqual(['both', 'github', 'v1']);
  });
});

describe('keys', () => {
  test('are made by SQL, derived by the worker once it hears of them, and private halves are read by the worker alone', async () => {
    const runtime = { plinth: database.plinth, services: { log: { warn: () => undefined } }, wake: database.plinth.wake } as unknown as WorkerRuntime;
    const part = keyDeriver(runtime);
    try {
      const { id } = await subscribe('v1a');
      await database.plinth.asWorker({}, async (tx) => tx.signal(KEY_MADE));
      const end = performance.now() + 25_000;
      while ((await publicKeys(id)).length === 0) {
        if (performance.now() > end) throw new Error('no public key within 25 s');
        await database.plinth.wake.next([], 20);
      }
      const [secret] = await valid(id, 'v1a');
      expect(await publicKeys(id)).toEqual([publicHalf(secret ?? '')]);
      for (const read of ['select seed from plinth_webhooks.signing_keys', 'select * from plinth_webhooks.keys_to_derive()']) {
        expect(await errorCode(as(a, read))).toBe('42501');
        expect(await errorCode(database.plinth.asReader({}, (tx) => tx.query(read)))).toBe('42501');
      }
      expect(await as(b, 'select * from plinth.webhook_public_keys')).toEqual([]);
      expect(JSON.stringify(await as(a, 'select * from plinth.audit_logs'))).not.toContain((secret ?? '').slice(5));
    } finally {
      await part.stop();
    }
  });

  test('of a rotation both sign for the overlap; the old public half is shown until an hour after', async () => {
    const { id } = await subscribe('v1a');
    const rotate = (overlap: string | null, tenantId = a) =>
      as<{ key: string }>(tenantId, 'select plinth.rotate_subscription_key($1, $2) as key', [id, overlap]);
    await rotate('1 day');
    expect(await valid(id, 'v1a')).toHaveLength(2);
    await database.plinth.asWorker({}, deriveKeys);
    const [fresh, old] = await publicKeys(id);
    expect((await valid(id, 'v1a')).map(publicHalf)).toEqual([fresh, old]);
    await database.admin.query(`update plinth_webhooks.signing_keys set created_at = created_at - interval '1 day 30 minutes'`);
    expect((await valid(id, 'v1a')).map(publicHalf)).toEqual([fresh]);
    await worker('select plinth_webhooks.forget_secrets()');
    expect(await publicKeys(id)).toEqual([fresh, old]);
    await database.admin.query(`update plinth_webhooks.signing_keys set created_at = created_at - interval '1 hour'`);
    await worker('select plinth_webhooks.forget_secrets()');
    expect(await publicKeys(id)).toEqual([fresh]);
    for (const overlap of ['-1 second', '8 days', null]) expect(await errorCode(rotate(overlap))).toBe('webhooks_overlap_invalid');
    expect(await errorCode(rotate('1 day', b))).toBe('webhooks_subscription_not_found');
    expect(await as(a, `select action from plinth.audit_logs where entity_id = $1 and action = 'webhooks.key_rotated'`, [id])).toHaveLength(1);
  });

  test('and secrets sign five at most, however often somebody rotates: the newest; the rest is forgotten', async () => {
    const { id } = await subscribe('both');
    const rotated: string[] = [];
    for (let n = 0; n < 7; n++) {
      const [made] = await as<{ secret: string }>(
        a,
        `select plinth.rotate_subscription_secret($1, '7 days') as secret, plinth.rotate_subscription_key($1, '7 days')`,
        [id],
      );
      rotated.unshift(made?.secret ?? '');
    }
    const secrets = await valid(id, 'both');
    expect(secrets.slice(0, 5)).toEqual(rotated.slice(0, 5));
    expect(secrets.map((one) => one.slice(0, 5))).toEqual([...Array(5).fill('whsec'), ...Array(5).fill('whsk_')]);
    await as(a, 'select plinth.send_test_event($1)', [id]);
    expect(await worker('select secrets from plinth_webhooks.claim(1)')).toEqual([{ secrets }]);
    await database.admin.query(`update plinth_webhooks.signing_keys set created_at = created_at - interval '1 hour 1 minute'`);
    await worker('select plinth_webhooks.forget_secrets()');
    expect(await valid(id, 'both')).toEqual(secrets);
    for (const table of ['secrets', 'signing_keys']) expect((await database.admin.query(`select from plinth_webhooks.${table}`)).rowCount, table).toBe(5);
  });

  test('of others are derived while a transaction that deletes one is open', async () => {
    const held = await subscribe('v1a');
    const [free] = await as<{ id: string }>(b, `select subscription_id as id from plinth.subscribe('n', '{#}', 'https://example.com/', p_signing => 'v1a')`);
    const deleting = new pg.Client({ connectionString: database.url });
    await deleting.connect();
    try {
      await deleting.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${a}'`);
      await deleting.query('select plinth.unsubscribe($1)', [held.id]);
      await database.plinth.asWorker({ timeoutMs: 5000 }, deriveKeys);
    } finally {
      await deleting.end();
    }
    const derived = await database.admin.query<{ id: string }>('select subscription_id as id from plinth_webhooks.public_keys where public_key is not null');
    expect(derived.rows).toEqual([{ id: free?.id }]);
  });

  test('leave with their subscription', async () => {
    const { id } = await subscribe('both');
    await as(a, 'select plinth.unsubscribe($1)', [id]);
    for (const table of ['signing_keys', 'public_keys', 'secrets', 'transforms'])
      expect((await database.admin.query(`select from plinth_webhooks.${table}`)).rowCount, table).toBe(0);
  });
});

describe('who hears', () => {
  test('of a type is told by its patterns, for the tenant alone, and by index among 20,000 subscriptions', async () => {
    await as(a, `select plinth.subscribe('orders', '{order.*, order.#}', 'https://example.com/', p_filter => '"$.data.x"')`);
    await as(a, `select plinth.subscribe('users', '{user.#}', 'https://example.com/')`);
    await as(b, `select plinth.subscribe('of B', '{#}', 'https://example.com/')`);
    expect(await as(a, `select name, has_filter from plinth.match_subscriptions('order.paid')`)).toEqual([{ name: 'orders', has_filter: true }]);
    await database.admin.query(
      `with s as (insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by)
        select t, 'many ' || n, 'https://example.com', '{x}', 'test' from generate_series(1, 10000) n cross join unnest($1::uuid[]) t returning tenant_id, id, name)
      insert into plinth_webhooks.subscription_keys (tenant_id, key, subscription_id) select tenant_id, replace(name, ' ', '.') || '.#', id from s`,
      [[a, b]],
    );
    await database.admin.query('analyze plinth_webhooks.subscription_keys, plinth_webhooks.subscriptions');
    // What the transaction did is counted: a plan inside a function cannot be explained.
    const scans = `select relname as table, seq_scan::integer as all, (idx_scan > 0) as by_index from pg_stat_xact_user_tables
      where schemaname = 'plinth_webhooks' and relname in ('subscription_keys', 'subscriptions') and seq_scan + idx_scan > 0 order by relname`;
    const byIndex = [
      { table: 'subscription_keys', all: 0, by_index: true },
      { table: 'subscriptions', all: 0, by_index: true },
    ];
    await database.plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query(`select * from plinth.match_subscriptions('many.77')`);
      expect(await tx.query(scans)).toEqual(byIndex);
    });
    await database.plinth.asWorker({}, async (tx) => {
      const event = { tenant_id: a, id: database.plinth.newId(), type: 'many.77', correlation_id: null, place: 0 };
      await tx.query('select plinth_webhooks.fan_out($1)', [JSON.stringify([event])]);
      expect(await tx.query(scans)).toEqual(byIndex);
    });
    expect(await as(a, `select name from plinth.match_subscriptions('many.77')`)).toEqual([{ name: 'many 77' }]);
  });
});
