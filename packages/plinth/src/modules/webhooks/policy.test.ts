/** How a subscription is served and changed while things wait for it: order, poison, schedules, warnings, resuming, replaying. */

import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { fanOut } from './consumer.ts';
import type { Answer, Claimed } from './simulation.fixture.ts';
import { backlog, Simulation } from './simulation.fixture.ts';

let database: TestDatabase;
let a: string;
let b: string;
const HOLDER = '018f0000-0000-7000-8000-0000000000d1';
beforeAll(async () => {
  database = await testDatabase('webhooks_policy');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query(
    'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts, plinth_webhooks.flights, plinth_webhooks.held_back, plinth_webhooks.tenant_limits, plinth_webhooks.tenant_buckets cascade',
  ),
);

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
async function subscribe(policy = '', patterns = ['order.#'], tenantId = a): Promise<string> {
  const [made] = await as<{ id: string }>(
    tenantId,
    `select subscription_id as id from plinth.subscribe('s' || gen_random_uuid(), $1, 'https://example.com/')`,
    [patterns],
  );
  if (policy) await as(tenantId, `select plinth.set_delivery_policy($1, ${policy})`, [made?.id]);
  return made?.id ?? '';
}
async function happen(tenantId: string, events: { type: string; n: number; stream?: string }[]): Promise<void> {
  for (const { type, n, stream } of events)
    await as(tenantId, 'select plinth.append_event(p_aggregate_id := $3, p_aggregate_type := $4, p_event_type := $1, p_payload := $2)', [
      type,
      { n, customer: { id: `c${n % 2}` } },
      stream ?? `o${n}`,
      'order',
    ]);
  await readFeed();
}
async function readFeed(): Promise<void> {
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
}
const waiting = async (id: string): Promise<{ key: string | null; n: number | null; due: boolean; status: string; id: string }[]> =>
  (
    await database.admin.query(
      `select id, lane_key as key, (body::jsonb -> 'data' ->> 'n')::int as n, due_at < 'infinity' as due, status from plinth_webhooks.deliveries where subscription_id = $1 order by seq`,
      [id],
    )
  ).rows;
const simulation = () => new Simulation(database.admin);
const answer = (claimed: readonly Claimed[], how: Answer) => simulation().settle(claimed.map((one) => ({ claimed: one, answer: how })));

describe('order', () => {
  test('by key follows the stream, or a path into the payload; only the first of a key is due', async () => {
    const byStream = await subscribe(`p_ordering => 'fifo_by_key'`);
    const byPath = await subscribe(`p_ordering => 'fifo_by_key', p_order_key => '$.customer.id'`);
    await happen(a, [
      { type: 'order.created', n: 1 },
      { type: 'order.created', n: 2 },
      { type: 'order.paid', n: 3, stream: 'o1' },
    ]);
    expect((await waiting(byStream)).map((row) => [row.key, row.n, row.due])).toEqual([
      ['order/o1', 1, true],
      ['order/o2', 2, true],
      ['order/o1', 3, false],
    ]);
    expect((await waiting(byPath)).map((row) => [row.key, row.n, row.due])).toEqual([
      ['c1', 1, true],
      ['c0', 2, true],
      ['c1', 3, false],
    ]);
    const first = (await simulation().claim(10, HOLDER)).filter((one) => one.subscription_id === byStream);
    expect(first).toHaveLength(2);
    await answer(first, { outcome: 'delivered' });
    expect((await waiting(byStream)).map((row) => [row.n, row.due])).toEqual([[3, true]]);
  });

  test('a lane that somebody holds is not waited for, neither by the fan-out nor by results', async () => {
    const id = await subscribe(`p_ordering => 'fifo'`);
    await happen(a, [{ type: 'order.created', n: 1 }]);
    const [one] = await simulation().claim(10, HOLDER);
    if (!one) throw new Error('nothing claimed');
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    try {
      await other.query('begin');
      await other.query('select from plinth_webhooks.lanes for update');
      expect(await answer([one], { outcome: 'delivered' })).toEqual(new Map([[one.id, 'busy']]));
      await happen(a, [{ type: 'order.created', n: 2 }]);
      await other.query('commit');
    } finally {
      await other.end();
    }
    expect(await answer([one], { outcome: 'delivered' })).toEqual(new Map([[one.id, 'delivered']]));
    expect(await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.release_held_back() as n'))).toEqual([{ n: 1 }]);
    expect((await waiting(id)).map((row) => [row.n, row.due])).toEqual([[2, true]]);
  });

  test('can be changed while deliveries wait', async () => {
    const id = await subscribe();
    await happen(
      a,
      [1, 2, 3, 4].map((n) => ({ type: 'order.created', n })),
    );
    await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [id]);
    expect((await waiting(id)).map((row) => row.due)).toEqual([true, false, false, false]);
    await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => '$.customer.id')`, [id]);
    expect((await waiting(id)).map((row) => [row.key, row.due])).toEqual([
      ['c1', true],
      ['c0', true],
      ['c1', false],
      ['c0', false],
    ]);
    await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'parallel')`, [id]);
    expect((await waiting(id)).map((row) => [row.key, row.due])).toEqual(Array.from({ length: 4 }, () => [null, true]));
  });

  test('can be given while events are being fanned out that do not know of it: they come in it, too', async () => {
    const id = await subscribe();
    const [made, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await as(a, `select plinth.publish_event('order.created', jsonb_build_object('n', n, 'customer', '{"id": "c"}'::jsonb)) from generate_series(1, 3) n`);
    const fanning = consumeOnce(database.plinth, 'webhooks.fan-out', {
      ...fanOut,
      async handle(tx, events) {
        await fanOut.handle(tx, events);
        made.resolve();
        await go.promise;
      },
    });
    await made.promise;
    await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => '$.customer.id')`, [id]);
    expect(await simulation().claim(10, HOLDER)).toEqual([]);
    go.resolve();
    await fanning;
    for (const left of [[2, 3], [3], []]) {
      const claimed = await simulation().claim(10, HOLDER);
      expect(claimed).toHaveLength(1);
      await answer(claimed, { outcome: 'delivered' });
      expect((await waiting(id)).map(({ n }) => n)).toEqual(left);
    }
    const notes = () => database.admin.query('select until from plinth_webhooks.held_back where subscription_id = $1', [id]);
    // The transactions of then are over.
    await database.admin.query(`update plinth_webhooks.held_back set until = '3'`);
    await simulation().claim(10, HOLDER);
    expect((await notes()).rows).toEqual([]);
  });

  test('can be changed while deliveries are under way: of a key the next goes out when these have ended, alone, however they ended', async () => {
    for (const [outcome, after] of [
      [{ outcome: 'delivered' }, [3, 4]],
      [{ outcome: 'failed', response_code: 400 }, [1, 2, 3, 4]],
      [{ outcome: 'returned' }, [1, 2, 3, 4]],
    ] as [Answer, number[]][]) {
      const id = await subscribe('p_max_in_flight => 2');
      await happen(
        a,
        [1, 2, 3, 4].map((n) => ({ type: 'order.created', n })),
      );
      const under = await simulation().claim(10, HOLDER);
      expect(under).toHaveLength(2);
      await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [id]);
      expect(await simulation().claim(10, HOLDER)).toEqual([]);
      for (const one of under) await answer([one], outcome);
      const sent: number[] = [];
      for (const _ of after) {
        const claimed = await simulation().claim(10, HOLDER);
        expect(claimed, JSON.stringify(outcome)).toHaveLength(1);
        sent.push((await waiting(id)).find((row) => row.id === claimed[0]?.id)?.n ?? 0);
        await answer(claimed, { outcome: 'delivered' });
      }
      expect(sent).toEqual(after);
      await as(a, 'select plinth.unsubscribe($1)', [id]);
    }
  });

  test('has no place for a test event: one that waits when the order changes still goes first', async () => {
    const id = await subscribe();
    await happen(a, [{ type: 'order.created', n: 1 }]);
    const [told] = await as<{ id: string }>(a, 'select plinth.send_test_event($1) as id', [id]);
    for (const ordering of ['fifo', 'fifo_by_key', 'parallel', 'fifo']) {
      await as(a, 'select plinth.set_delivery_policy($1, p_ordering => $2)', [id, ordering]);
      expect((await waiting(id)).find((one) => one.id === told?.id)).toMatchObject({ key: null, due: true });
    }
    expect((await new Simulation(database.admin).claim(9, HOLDER)).map((one) => one.id)).toEqual([told?.id]);
  });

  test('poison is skipped, or blocks until somebody sends it again or skips it', async () => {
    const skips = await subscribe(`p_ordering => 'fifo', p_retry_schedule => 'none'`);
    const blocks = await subscribe(`p_ordering => 'fifo', p_retry_schedule => 'none', p_poison => 'block'`);
    await happen(
      a,
      [1, 2, 3].map((n) => ({ type: 'order.created', n })),
    );
    await answer(await simulation().claim(10, HOLDER), { outcome: 'failed', response_code: 400 });
    expect((await waiting(skips)).map((row) => [row.n, row.status, row.due])).toEqual([
      [1, 'failed', false],
      [2, 'pending', true],
      [3, 'pending', false],
    ]);
    expect((await waiting(blocks)).map((row) => [row.n, row.status, row.due])).toEqual([
      [1, 'blocked', false],
      [2, 'pending', false],
      [3, 'pending', false],
    ]);
    const [blocked] = await waiting(blocks);
    expect(await errorCode(as(b, 'select plinth.skip_delivery($1)', [blocked?.id]))).toBe('webhooks_delivery_not_found');
    await as(a, 'select plinth.resend_delivery($1)', [blocked?.id]);
    expect((await waiting(blocks)).map((row) => row.due)).toEqual([true, false, false]);
    expect(await errorCode(as(a, 'select plinth.skip_delivery($1)', [blocked?.id]))).toBe('webhooks_delivery_not_blocked');
    await answer(
      (await simulation().claim(10, HOLDER)).filter((one) => one.subscription_id === blocks),
      { outcome: 'failed', response_code: 400 },
    );
    await as(a, 'select plinth.skip_delivery($1)', [blocked?.id]);
    expect(await as(a, `select action from plinth.audit_logs where entity_id = $1 order by created_at`, [blocked?.id])).toEqual([
      { action: 'webhooks.delivery_resent' },
      { action: 'webhooks.delivery_skipped' },
    ]);
    expect((await waiting(blocks)).map((row) => [row.n, row.status, row.due])).toEqual([
      [1, 'failed', false],
      [2, 'pending', true],
      [3, 'pending', false],
    ]);
    const [skipped] = await waiting(skips);
    await as(a, 'select plinth.resend_delivery($1)', [skipped?.id]);
    expect((await waiting(skips)).map((row) => [row.n, row.due])).toEqual([
      [2, true],
      [3, false],
      [1, false],
    ]);
  });
});

describe('policies', () => {
  test('wrong ones are refused by name, right ones are kept and audited', async () => {
    const id = await subscribe();
    for (const wrong of [
      `p_ordering => 'lifo'`,
      `p_poison => 'eat'`,
      `p_retry_schedule => 'weekly'`,
      `p_retry_schedule => 'custom'`,
      `p_retry_schedule => 'custom', p_retry_seconds => '{0}'`,
      'p_max_in_flight => 0',
      `p_rate_per_second => -1`,
      `p_rate_per_second => '5e-324'`,
      `p_rate_per_second => 'NaN'`,
      'p_disable_after_failures => 0',
      'p_disable_after_failures => 1000001',
      `p_disable_after => '-1 second'`,
      `p_disable_after => '365 days 1 second'`,
      `p_disable_after => '6000000000000 seconds'`,
      `p_order_key => 'not a path ('`,
      `p_order_key => '$ ? (@ like_regex "a")'`,
    ])
      expect(await errorCode(as(a, `select plinth.set_delivery_policy($1, ${wrong})`, [id])), wrong).toBe('webhooks_policy_invalid');
    await as(a, `select plinth.set_delivery_policy($1, p_retry_schedule => 'custom', p_retry_seconds => '{7,8}', p_rate_per_second => 2.5)`, [id]);
    expect(await as(a, 'select retry_schedule, retry_seconds, rate_per_second, max_in_flight from plinth.event_subscriptions')).toEqual([
      { retry_schedule: 'custom', retry_seconds: [7, 8], rate_per_second: 2.5, max_in_flight: 10 },
    ]);
    await as(a, 'select plinth.set_delivery_policy($1, p_rate_per_second => 0)', [id]);
    expect(await as(a, 'select rate_per_second from plinth.event_subscriptions')).toEqual([{ rate_per_second: null }]);
    expect(await as(a, `select action from plinth.audit_logs where entity_id = $1 and action = 'webhooks.policy_changed'`, [id])).toHaveLength(2);
    for (const wrong of ['0', '5e-324', 'NaN', '100001'])
      expect(await errorCode(as(a, 'select plinth.set_delivery_limits($1)', [wrong])), wrong).toBe('webhooks_policy_invalid');
    expect(await errorCode(as(b, `select plinth.set_delivery_policy($1)`, [id]))).toBe('webhooks_subscription_not_found');
  });

  test('a custom schedule is kept to, and given up at its end', async () => {
    const id = await subscribe(`p_retry_schedule => 'custom', p_retry_seconds => '{100,200}'`);
    await happen(a, [{ type: 'order.created', n: 1 }]);
    const waits: number[] = [];
    for (let i = 0; i < 3; i++) {
      await answer(await simulation().claim(10, HOLDER), { outcome: 'failed', response_code: 400 });
      waits.push((await simulation().nextS()) ?? -1);
      await simulation().advance(250);
    }
    expect(waits.map((s, i) => s / (i === 0 ? 100 : 200)).every((s, i) => i === 2 || (s > 0.75 && s <= 1.21))).toBe(true);
    expect(waits[2]).toBe(-1);
    expect((await waiting(id)).map((row) => row.status)).toEqual(['failed']);
  });

  test('the times of a schedule can be seen beforehand', async () => {
    const rows = await as<{ attempt: number; after_seconds: number }>(
      a,
      `select attempt, after_seconds::int as after_seconds from plinth.preview_retry_schedule('custom', '{10,20}') order by attempt`,
    );
    expect(rows).toEqual([
      { attempt: 1, after_seconds: 0 },
      { attempt: 2, after_seconds: 10 },
      { attempt: 3, after_seconds: 30 },
    ]);
    expect(await as(a, 'select plinth.preview_retry_schedule()')).toHaveLength(10);
    for (const wrong of [`'quick'`, `'custom'`, `'custom', '{0}'`, 'null'])
      expect(await errorCode(as(a, `select plinth.preview_retry_schedule(${wrong})`)), wrong).toBe('webhooks_policy_invalid');
  });
});

describe('warnings', () => {
  test('come at 50, 70 and 90 percent and at the end, each once in a failing spell', async () => {
    const id = await subscribe(`p_disable_after_failures => 10, p_disable_after => '10 hours'`);
    await backlog(database.admin, id, 30);
    const tell = () => as<{ stage: number | null }>(a, 'select plinth_webhooks.tell($1) as stage', [id]);
    const stages: (number | null)[] = [];
    const spell = async (): Promise<void> => {
      for (let hour = 0; hour < 11; hour++) {
        await answer((await simulation().claim(1, HOLDER)).slice(0, 1), { outcome: 'failed', response_code: 400 });
        stages.push((await tell())[0]?.stage ?? null, (await tell())[0]?.stage ?? null);
        await simulation().advance(3600);
      }
    };
    await spell();
    expect(stages.filter((stage) => stage !== null)).toEqual([50, 70, 90, 100]);
    expect(await as(a, 'select enabled, disabled_reason from plinth.event_subscriptions')).toMatchObject([
      { enabled: false, disabled_reason: expect.stringMatching(/^every attempt failed since/) },
    ]);
    const told = await as<{ type: string; stage: number | null; keys: number }>(
      a,
      `select event_type as type, (payload ->> 'stage')::int as stage, (select count(*)::int from json_object_keys(payload::json)) as keys from plinth.event_store where event_type like 'webhooks.%' and payload ->> 'subscription_id' = $1 order by created_at`,
      [id],
    );
    expect(told).toEqual(
      [50, 70, 90]
        .map((stage) => ({ type: 'webhooks.subscription_failing', stage, keys: 6 }))
        .concat([{ type: 'webhooks.subscription_disabled', stage: null as unknown as number, keys: 3 }]),
    );
    expect(
      await as(a, `select from plinth.audit_logs where entity_id = $1 and action in ('webhooks.subscription_failing', 'webhooks.subscription_disabled')`, [id]),
    ).toHaveLength(4);
    await as(a, 'select plinth.resume_subscription($1)', [id]);
    stages.length = 0;
    await spell();
    expect(stages.filter((stage) => stage !== null)).toEqual([50, 70, 90, 100]);
  });
});

describe('resuming', () => {
  test('goes on, drops what waits, or sends again from a time; the open breaker is probed at once', async () => {
    const id = await subscribe();
    await happen(
      a,
      [1, 2, 3].map((n) => ({ type: 'order.created', n })),
    );
    for (let i = 0; i < 2; i++) {
      await answer(await simulation().claim(10, HOLDER), { outcome: 'failed', response_code: 500 });
      await simulation().advance(7);
    }
    expect(await as(a, 'select breaker from plinth.event_subscriptions')).toEqual([{ breaker: 'open' }]);
    expect(await simulation().claim(10, HOLDER)).toEqual([]);
    await as(a, 'select plinth.disable_subscription($1)', [id]);
    await happen(a, [{ type: 'order.created', n: 4 }]);
    expect(await as(a, 'select waiting, dropped from plinth.resume_subscription($1)', [id])).toEqual([{ waiting: 3, dropped: 0 }]);
    const probe = await simulation().claim(10, HOLDER);
    expect(probe).toHaveLength(1);
    await answer(probe, { outcome: 'delivered' });
    expect(await simulation().claim(10, HOLDER)).toHaveLength(1);
    await database.admin.query('truncate plinth_webhooks.flights');
    expect(await as(a, `select waiting, dropped from plinth.resume_subscription($1, 'skip')`, [id])).toEqual([{ waiting: 0, dropped: 2 }]);
    const [replayed] = await as<{ waiting: number; replay_id: string }>(
      a,
      `select waiting, replay_id from plinth.resume_subscription($1, 'replay', now() - interval '1 hour')`,
      [id],
    );
    expect(replayed?.replay_id).toMatch(/^[0-9a-f-]{36}$/);
    const audited = await as<{ mode: string; dropped: number }>(
      a,
      `select metadata ->> 'mode' as mode, (metadata ->> 'dropped')::int as dropped from plinth.audit_logs where entity_id = $1 and action = 'webhooks.subscription_enabled' order by created_at`,
      [id],
    );
    expect(audited).toEqual([
      { mode: 'continue', dropped: 0 },
      { mode: 'skip', dropped: 2 },
      { mode: 'replay', dropped: 0 },
    ]);
    for (const wrong of [`'sideways'`, `'replay'`, `'continue', now()`, 'null'])
      expect(await errorCode(as(a, `select plinth.resume_subscription($1, ${wrong})`, [id])), wrong).toBe('webhooks_resume_invalid');
    expect(await errorCode(as(b, 'select plinth.resume_subscription($1)', [id]))).toBe('webhooks_subscription_not_found');
  });
});

describe('replays', () => {
  const work = () => database.plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_webhooks.work_replays() as n'));
  const replays = () => as<{ status: string; total: number; added: number }>(a, 'select status, total, added from plinth.webhook_replays order by id');

  test('send what was delivered under its old webhook-id, and what came before the subscription for the first time', async () => {
    const mark = await database.admin.query<{ at: Date }>('select clock_timestamp() as at');
    await database.plinth.wake.next([], 5);
    await happen(a, [{ type: 'order.created', n: 1 }]);
    const id = await subscribe();
    await happen(a, [
      { type: 'order.paid', n: 2 },
      { type: 'user.created', n: 3 },
    ]);
    const before = await waiting(id);
    expect(before.map((row) => row.n)).toEqual([2]);
    await answer(await simulation().claim(10, HOLDER), { outcome: 'delivered' });
    const since = mark.rows[0]?.at;
    expect(await as(a, 'select plinth.preview_replay($1, $2) as n', [id, since])).toEqual([{ n: 2 }]);
    expect(await as(a, `select plinth.preview_replay($1, $2, p_patterns => '{order.paid}') as n`, [id, since])).toEqual([{ n: 1 }]);
    await as(a, 'select plinth.start_replay($1, $2)', [id, since]);
    await work();
    expect((await waiting(id)).map((row) => row.n).sort()).toEqual([1, 2]);
    expect((await waiting(id)).find((row) => row.n === 2)?.id).toBe(before[0]?.id);
    expect(await replays()).toEqual([{ status: 'done', total: 2, added: 2 }]);
    // What waits is left alone.
    await as(a, 'select plinth.start_replay($1, $2)', [id, since]);
    await work();
    expect((await replays()).at(-1)).toEqual({ status: 'done', total: 0, added: 0 });
    expect(await as(a, `select from plinth.audit_logs where entity_id = $1 and action = 'webhooks.replay_started'`, [id])).toHaveLength(2);
  });

  test('by ids take events and webhook-ids, by failure what was given up; a rate slows them, cancelling stops them', async () => {
    const id = await subscribe(`p_retry_schedule => 'none'`);
    await happen(
      a,
      [1, 2, 3, 4].map((n) => ({ type: 'order.created', n })),
    );
    const all = await waiting(id);
    await answer(await simulation().claim(10, HOLDER), { outcome: 'failed', response_code: 400 });
    expect((await waiting(id)).map((row) => row.status)).toEqual(['failed', 'failed', 'failed', 'failed']);
    await as(a, 'select plinth.start_replay($1, p_ids => $2)', [id, [all[1]?.id]]);
    await work();
    expect((await waiting(id)).filter((row) => row.status === 'pending').map((row) => row.id)).toEqual([all[1]?.id]);
    await as(a, 'select plinth.start_replay($1, p_only_failed => true, p_rate_per_second => 0.1)', [id]);
    await database.admin.query(`update plinth_webhooks.replays set worked_at = clock_timestamp() - interval '12 seconds' where status = 'running'`);
    await work();
    expect((await replays()).at(-1)).toEqual({ status: 'running', total: 3, added: 1 });
    await work();
    expect((await replays()).at(-1)?.added).toBe(1);
    const [running] = await as<{ id: string }>(a, `select id from plinth.webhook_replays where status = 'running'`);
    expect(await errorCode(as(b, 'select plinth.cancel_replay($1)', [running?.id]))).toBe('webhooks_replay_not_found');
    expect(await as(a, 'select plinth.cancel_replay($1) as added', [running?.id])).toEqual([{ added: 1 }]);
    expect((await replays()).at(-1)?.status).toBe('cancelled');
    expect(
      await as(
        a,
        `select actor_id, metadata ->> 'added' as added, metadata ->> 'total' as total from plinth.audit_logs where entity_id = $1 and action = 'webhooks.replay_cancelled'`,
        [id],
      ),
    ).toEqual([{ actor_id: 'ada', added: '1', total: '3' }]);
    await as(a, 'select plinth.start_replay($1, p_only_failed => true)', [id]);
    await work();
    expect((await waiting(id)).map((row) => row.status)).toEqual(['pending', 'pending', 'pending', 'pending']);
    for (const wrong of ['', ", now(), now() - interval '1 day'", `, p_ids => '{}'`, ", now() - interval '1 hour', p_rate_per_second => 0"])
      expect(await errorCode(as(a, `select plinth.start_replay($1${wrong})`, [id])), wrong).toBe('webhooks_replay_invalid');
    expect(await errorCode(as(b, 'select plinth.start_replay($1, p_only_failed => true)', [id]))).toBe('webhooks_subscription_not_found');
  });
});

describe('over the API', () => {
  const caller = (tenantId: string, scopes = ['webhooks.*']) => {
    const actor = { type: 'user', id: 'ada' } as const;
    const context: CallContext = {
      principal: { actor, tenantId, roles: [], scopes, operator: false },
      correlationId: database.plinth.newId(),
      adapters: {},
      run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
    };
    return createCaller(router(api))(context);
  };

  test('policy, limits, schedule, resume, replay and skip do what the functions do, with their permissions', async () => {
    const id = await subscribe();
    const call = caller(a);
    await call.setPolicy({ id, ordering: 'fifo', poison: 'block', disable_after_seconds: 3600 });
    expect(await call.get({ id })).toMatchObject({ ordering: 'fifo', poison: 'block', breaker: 'closed', in_flight_now: 10 });
    expect(await call.setLimits({ rate_per_second: 5, max_in_flight: null })).toEqual({ rate_per_second: 5, max_in_flight: null });
    await call.setLimits({ rate_per_second: null, max_in_flight: null });
    expect(await call.previewSchedule({ schedule: 'short' })).toHaveLength(6);
    await expect(call.setPolicy({ id, disable_after_seconds: 9_000_000_000_000_000 })).rejects.toThrow(/disable_after_seconds/);
    await happen(a, [{ type: 'order.created', n: 1 }]);
    expect(await call.resume({ id })).toEqual({ waiting: 1, dropped: 0, replay_id: null });
    expect((await call.previewReplay({ id, since: new Date(Date.now() - 3_600_000).toISOString() })).total).toBeGreaterThan(0);
    const { replay_id } = await call.replay({ id, only_failed: true });
    expect(await call.cancelReplay({ id: replay_id })).toEqual({ added: 0 });
    const [first] = await waiting(id);
    expect(await errorCode(call.skip({ id: first?.id ?? '' }))).toBe('webhooks_delivery_not_blocked');
    const stranger = caller(a, ['webhooks.read']);
    for (const refused of [stranger.setPolicy({ id }), stranger.resume({ id }), stranger.replay({ id }), stranger.skip({ id }), stranger.cancelReplay({ id })])
      expect(await errorCode(refused)).toBe('kernel_forbidden');
  });
});
