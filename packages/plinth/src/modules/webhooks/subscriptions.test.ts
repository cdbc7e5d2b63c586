/** Subscribing and everything that SQL users do with it; who can see what. */

import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_subscriptions');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
const subscribe = async (
  tenantId: string,
  name = 'billing',
  patterns: unknown = ['order.*'],
  url: unknown = 'https://example.com/hooks',
  secret: string | null = null,
) => {
  const [made] = await as<{ id: string; secret: string }>(
    tenantId,
    'select subscription_id as id, secret from plinth.subscribe(p_name => $1, p_patterns => $2, p_url => $3, p_secret => $4)',
    [name, patterns, url, secret],
  );
  if (!made) throw new Error('not subscribed');
  return made;
};
const keys = async (id: string) =>
  (await database.admin.query<{ key: string }>('select key from plinth_webhooks.subscription_keys where subscription_id = $1 order by key', [id])).rows.map(
    (row) => row.key,
  );

describe('subscribing', () => {
  test('gives an id and a secret that the official library takes, and an audit entry without the secret', async () => {
    const { id, secret } = await subscribe(a);
    expect(() => new Webhook(secret)).not.toThrow();
    expect(Buffer.from(secret.slice(6), 'base64')).toHaveLength(32);
    expect((await subscribe(a, 'another')).secret).not.toBe(secret);
    const [row] = await as<Record<string, unknown>>(a, 'select * from plinth.event_subscriptions where id = $1', [id]);
    expect(row).toMatchObject({ name: 'billing', url: 'https://example.com/hooks', patterns: ['order.*'], enabled: true, created_by: 'ada', org_id: a });
    expect(Object.keys(row ?? {})).not.toContain('secret');
    const entries = await as<Record<string, unknown>>(a, 'select * from plinth.audit_logs where entity_id = $1', [id]);
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ action: 'webhooks.subscription_created', actor_id: 'ada', after: { patterns: ['order.*'] } });
    expect(JSON.stringify(entries)).not.toContain(secret);
  });

  test.each([
    ['webhooks_name_invalid', { name: '' }],
    ['webhooks_name_invalid', { name: 'x'.repeat(201) }],
    ...[
      [],
      ['order.'],
      ['.order'],
      ['or der'],
      ['order.#.x'],
      ['#.order'],
      ['**'],
      ['order.*x'],
      ['a.b.c.d.e.f.g.h.i'],
      [null],
      ["x'; drop table y; --"],
      Array.from({ length: 51 }, (_, i) => `t${i}`),
    ].map((patterns) => ['webhooks_pattern_invalid', { patterns }]),
    ...[
      '',
      'example.com',
      'ftp://example.com',
      'https://',
      'https://user:pass@example.com/',
      'https://exa mple.com/',
      'javascript:alert(1)',
      `https://example.com/${'x'.repeat(2000)}`,
      null,
    ].map((url) => ['webhooks_url_invalid', { url }]),
    ...['whsec_', 'whsec_short', 'secret', `whsec_${'A'.repeat(31)}`, `whsec_${Buffer.alloc(65).toString('base64')}`].map((secret) => [
      'webhooks_secret_invalid',
      { secret },
    ]),
  ] as [string, { name?: string; patterns?: unknown; url?: unknown; secret?: string }][])('%s: %j', async (expected, { name, patterns, url, secret }) => {
    expect(await errorCode(subscribe(a, name ?? 'n', patterns === undefined ? ['#'] : patterns, url === undefined ? 'https://example.com' : url, secret))).toBe(
      expected,
    );
  });

  test('a refused URL does not come back with its password', async () => {
    const error = await subscribe(a, 'n', ['#'], 'https://user:hunter2@example.com/').catch((reason: unknown) => reason);
    expect(JSON.stringify(error) + String(error)).not.toContain('hunter2');
  });

  test('a name is taken within its tenant only', async () => {
    await subscribe(a);
    expect(await errorCode(subscribe(a))).toBe('webhooks_name_taken');
    expect(await errorCode(subscribe(b))).toBe('no error');
  });

  test('without a tenant nothing is subscribed', async () => {
    expect(await errorCode(database.plinth.transaction({}, (tx) => tx.query(`select plinth.subscribe('n', '{#}', 'https://example.com')`)))).toBe(
      'kernel_tenant_required',
    );
  });

  test('the receiver may bring its own secret', async () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    expect((await subscribe(a, 'n', ['#'], 'https://example.com', secret)).secret).toBe(secret);
  });
});

describe('secrets', () => {
  test('can be read by the worker alone, whatever view or function is tried', async () => {
    await subscribe(a);
    const read = 'select secret from plinth_webhooks.secrets';
    expect(await errorCode(as(a, read))).toBe('42501');
    expect(
      await errorCode(
        as(
          a,
          `insert into plinth_webhooks.secrets (tenant_id, subscription_id, secret) select tenant_id, id, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' from plinth_webhooks.subscriptions returning secret`,
        ),
      ),
    ).toBe('42501');
    expect(await errorCode(as(a, `select plinth_webhooks.valid_secrets(tenant_id, id) from plinth_webhooks.subscriptions`))).toBe('42501');
    expect(await errorCode(as(a, `update plinth_webhooks.secrets set secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'`))).toBe('42501');
    expect(await errorCode(database.plinth.asReader({}, (tx) => tx.query(read)))).toBe('42501');
    expect(await database.plinth.asWorker({}, (tx) => tx.query(read))).toHaveLength(1);
  });

  test('a rotation leaves both valid for the overlap, and refuses overlaps beyond its limits', async () => {
    const { id, secret } = await subscribe(a);
    const rotate = async (overlap: string) => (await as<{ s: string }>(a, 'select plinth.rotate_subscription_secret($1, $2) as s', [id, overlap]))[0]?.s ?? '';
    const valid = async () =>
      (await database.plinth.asWorker({}, (tx) => tx.query<{ s: string[] }>('select plinth_webhooks.valid_secrets($1, $2) as s', [a, id])))[0]?.s;
    const second = await rotate('1 day');
    expect(await valid()).toEqual([second, secret]);
    const third = await rotate('0');
    expect(await valid(), 'one that is known to somebody is void, also when it was promised a day').toEqual([third]);
    const fourth = await rotate('1 hour');
    expect(await valid()).toEqual([fourth, third]);
    expect(await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.forget_secrets() as n'))).toEqual([{ n: 2 }]);
    await database.admin.query(`update plinth_webhooks.secrets set created_at = created_at - interval '2 hours'`);
    expect(await valid()).toEqual([fourth]);
    for (const overlap of ['-1 second', '8 days']) expect(await errorCode(rotate(overlap))).toBe('webhooks_overlap_invalid');
    expect(await errorCode(as(b, 'select plinth.rotate_subscription_secret($1)', [id]))).toBe('webhooks_subscription_not_found');
    expect(await as(a, `select action from plinth.audit_logs where entity_id = $1 and action = 'webhooks.secret_rotated'`, [id])).toHaveLength(3);
  });
});

describe('changing', () => {
  test('keeps what is not given, and the keys follow the patterns', async () => {
    const { id } = await subscribe(a);
    await as(a, `select plinth.update_subscription($1, p_patterns => '{user.#, order.*}', p_description => 'both')`, [id]);
    expect(await keys(id)).toEqual(['order.*', 'user.#']);
    await as(a, `select plinth.update_subscription($1, p_url => 'https://example.org/new')`, [id]);
    const [row] = await as<Record<string, unknown>>(a, 'select * from plinth.event_subscriptions where id = $1', [id]);
    expect(row).toMatchObject({ name: 'billing', url: 'https://example.org/new', description: 'both', patterns: ['user.#', 'order.*'] });
    await subscribe(a, 'other');
    expect(await errorCode(as(a, `select plinth.update_subscription($1, p_name => 'other')`, [id]))).toBe('webhooks_name_taken');
    expect(await errorCode(as(a, `select plinth.update_subscription($1, p_url => 'nowhere')`, [id]))).toBe('webhooks_url_invalid');
    expect(await errorCode(as(a, `select plinth.update_subscription($1, p_patterns => '{a..b}')`, [id]))).toBe('webhooks_pattern_invalid');
  });

  test('a test event of a registered type is its example, transformed, in the format, and marked', async () => {
    const { id } = await subscribe(a);
    const put = (tenantId: string, name: string, visibility: string, examples: unknown[]) =>
      as(tenantId, `select plinth.define_event_type(p_name => $1, p_schema => '{"type": "object"}', p_visibility => $2, p_examples => $3)`, [
        name,
        visibility,
        JSON.stringify(examples),
      ]);
    await put(a, 'shop.paid', 'public', [{ total: 7, card: '4242' }]);
    await put(a, 'shop.audited', 'internal', [{ total: 8 }]);
    await put(a, 'shop.empty', 'public', []);
    await put(b, 'shop.foreign', 'public', [{ total: 9 }]);
    const send = async (type: string | null): Promise<unknown> => {
      const [made] = await as<{ id: string }>(a, 'select plinth.send_test_event($1, $2) as id', [id, type]);
      const [kept] = await as<{ body: string; event_type: string; event_id: null }>(
        a,
        'select body, event_type, event_id from plinth.event_deliveries where id = $1',
        [made?.id],
      );
      expect(kept).toMatchObject({ event_type: type ?? 'webhooks.test', event_id: null });
      return JSON.parse(kept?.body ?? '');
    };
    const change = (what: string) => as(a, `select plinth.update_subscription($1, ${what})`, [id]);
    expect(await send(null)).toEqual({
      type: 'webhooks.test',
      timestamp: expect.any(String),
      data: { subscription_id: id, name: expect.any(String) },
      test: true,
    });
    expect(await send('shop.paid')).toEqual({ type: 'shop.paid', timestamp: expect.any(String), data: { total: 7, card: '4242' }, test: true });
    await change(`p_transform => '{"omit": ["data.card"], "set": {"data.source": "{{ type }}"}}'`);
    expect(await send('shop.paid')).toEqual({ type: 'shop.paid', timestamp: expect.any(String), data: { total: 7, source: 'shop.paid' }, test: true });
    await change(`p_format => 'cloudevents-structured'`);
    expect(await send('shop.audited')).toMatchObject({ specversion: '1.0', type: 'shop.audited', test: true, data: { total: 8, source: 'shop.audited' } });
    await change(`p_format => 'standard', p_transform => '{"body": {"text": "{{ data.total }}", "test": "{{ metadata.test }}"}}'`);
    expect(await send('shop.paid')).toEqual({ text: 7, test: true });
    const refused = (type: string) => errorCode(as(a, 'select plinth.send_test_event($1, $2)', [id, type]));
    for (const type of ['shop.empty', 'shop.foreign', 'shop.nobody']) expect(await refused(type), type).toBe('webhooks_test_type_invalid');
    await change('p_public_only => true');
    expect(await refused('shop.audited')).toBe('webhooks_test_type_invalid');
  });

  test('dead letters are what was given up, of the tenant, until they are sent again', async () => {
    const [{ id }, other] = [await subscribe(a), await subscribe(b)];
    await as(a, 'select plinth.send_test_event($1) from generate_series(1, 2)', [id]);
    await as(b, 'select plinth.send_test_event($1)', [other.id]);
    expect(await as(a, 'select from plinth.event_dead_letters')).toEqual([]);
    await database.admin.query(
      `update plinth_webhooks.deliveries set status = 'failed', due_at = 'infinity', attempts = 10, finished_at = now(), last_response_code = 500, last_error = 'HTTP 500'
      where id = (select min(id::text)::uuid from plinth_webhooks.deliveries where tenant_id = $1) or tenant_id <> $1`,
      [a],
    );
    const letters = (tenantId: string) =>
      as<{ id: string }>(
        tenantId,
        'select id, subscription_name, url, event_type, attempts, last_response_code, last_error, failed_at, body from plinth.event_dead_letters',
      );
    const [letter, ...more] = await letters(a);
    expect(more).toEqual([]);
    expect(letter).toMatchObject({
      url: expect.stringContaining('https://'),
      event_type: 'webhooks.test',
      attempts: 10,
      last_response_code: 500,
      last_error: 'HTTP 500',
      failed_at: expect.any(Date),
      body: expect.stringContaining('"test"'),
    });
    await as(a, 'select plinth.resend_delivery($1)', [letter?.id]);
    expect([await letters(a), (await letters(b)).length]).toEqual([[], 1]);
  });

  test('disabling keeps what waits, enabling sends it; twice is no error', async () => {
    const { id } = await subscribe(a);
    await as(a, 'select plinth.send_test_event($1)', [id]);
    await as(a, `select plinth.disable_subscription($1, 'moving house')`, [id]);
    await as(a, 'select plinth.disable_subscription($1)', [id]);
    expect(await as(a, 'select status, due_at from plinth.event_deliveries')).toEqual([{ status: 'pending', due_at: null }]);
    expect(await as(a, 'select enabled, disabled_reason from plinth.event_subscriptions')).toEqual([{ enabled: false, disabled_reason: 'moving house' }]);
    expect(await errorCode(as(a, 'select plinth.send_test_event($1)', [id]))).toBe('webhooks_subscription_disabled');
    expect(await as(a, 'select plinth.enable_subscription($1) as waiting', [id])).toEqual([{ waiting: 1 }]);
    expect(await as(a, 'select plinth.enable_subscription($1) as waiting', [id])).toEqual([{ waiting: 0 }]);
    expect(await as(a, 'select status from plinth.event_deliveries where due_at is not null')).toEqual([{ status: 'pending' }]);
  });

  test('deleting takes keys, secrets and waiting deliveries along', async () => {
    const { id } = await subscribe(a);
    await as(a, 'select plinth.send_test_event($1)', [id]);
    await as(a, 'select plinth.unsubscribe($1)', [id]);
    for (const table of ['subscriptions', 'subscription_keys', 'secrets', 'deliveries'])
      expect((await database.admin.query(`select from plinth_webhooks.${table}`)).rowCount, table).toBe(0);
  });

  test('sends again only what was given up, and only while the subscription is enabled', async () => {
    const { id } = await subscribe(a);
    const [{ delivery } = { delivery: '' }] = await as<{ delivery: string }>(a, 'select plinth.send_test_event($1) as delivery', [id]);
    expect(await errorCode(as(a, 'select plinth.resend_delivery($1)', [delivery]))).toBe('webhooks_delivery_not_dead');
    await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', due_at = 'infinity', attempts = 10, finished_at = now()`);
    await as(a, 'select plinth.disable_subscription($1)', [id]);
    expect(await errorCode(as(a, 'select plinth.resend_delivery($1)', [delivery]))).toBe('webhooks_subscription_disabled');
    await as(a, 'select plinth.enable_subscription($1)', [id]);
    expect(await errorCode(as(b, 'select plinth.resend_delivery($1)', [delivery]))).toBe('webhooks_delivery_not_found');
    await as(a, 'select plinth.resend_delivery($1)', [delivery]);
    expect(await as(a, 'select id, status, attempts from plinth.event_deliveries')).toEqual([{ id: delivery, status: 'pending', attempts: 0 }]);
  });

  test.each(['unsubscribe', 'enable_subscription', 'disable_subscription', 'update_subscription', 'rotate_subscription_secret', 'send_test_event'])(
    '%s answers another tenant as it answers for an id that does not exist',
    async (name) => {
      const { id } = await subscribe(a);
      const missing = await as(b, `select plinth.${name}($1)`, [database.plinth.newId()]).catch((error: { code: string }) => error.code);
      expect(missing).toBe('webhooks_subscription_not_found');
      expect(await errorCode(as(b, `select plinth.${name}($1)`, [id]))).toBe(missing);
      expect(await as(a, 'select id from plinth.event_subscriptions where enabled')).toEqual([{ id }]);
    },
  );
});

describe('the schedule', () => {
  test('is that of Standard Webhooks, with a fifth of jitter, ten attempts in all', async () => {
    const delays = async (jitter: number): Promise<number[]> =>
      (
        await database.admin.query<{ s: number | null }>(
          'select extract(epoch from plinth_webhooks.retry_delay(n, $1))::float8 as s from generate_series(1, 10) n order by n',
          [jitter],
        )
      ).rows.map((row) => row.s ?? -1);
    const schedule = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    expect(await delays(0.5)).toEqual([...schedule, -1]);
    expect((await delays(0)).slice(0, 9).map((s, i) => s / (schedule[i] ?? 1))).toEqual(schedule.map(() => expect.closeTo(0.8, 5)));
    expect((await delays(1)).slice(0, 9).map((s, i) => s / (schedule[i] ?? 1))).toEqual(schedule.map(() => expect.closeTo(1.2, 5)));
  });
});

describe('seed 000', () => {
  test('its alert on failing deliveries runs verbatim', async () => {
    const alert = `
      SELECT COUNT(*) FILTER (WHERE status = 'failed') * 100.0 / COUNT(*)
      FROM event_delivery_log
      WHERE attempted_at > NOW() - INTERVAL '1 hour';`;
    await database.admin.query(
      `insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_type, attempt, status, url)
      select $1, plinth_kernel.uuid_v7(), plinth_kernel.uuid_v7(), 'order.created', 1, s, 'https://example.com' from unnest('{failed,delivered,delivered,delivered}'::text[]) s`,
      [a],
    );
    const rows = await database.plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query('set local search_path = plinth');
      return tx.query<Record<string, string>>(alert);
    });
    expect(Number(Object.values(rows[0] ?? {})[0])).toBe(25);
  });
});
