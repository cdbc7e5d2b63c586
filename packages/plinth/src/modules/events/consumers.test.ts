/** Running consumers: pause and resume, events that are put aside, going back, how far behind one is, and who may do it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { consumeAside, consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { Consumer, FeedEvent } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';

const FEED = 'plinth_events.events';
let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;
let seen: string[] = [];
let bad = new Set<string>();
const note = (event: FeedEvent): string => String(event.data.note);

/** Writes down what it handles, and fails on what is called bad. */
const fussy = (more: Partial<Consumer> = {}): Consumer => ({
  summary: 'fussy',
  from: 'now',
  ...more,
  handle: async (_tx, events) => {
    const worst = events.find((event) => bad.has(note(event)));
    if (worst) throw new Error(`cannot handle ${note(worst)}`);
    seen.push(...events.map(note));
  },
});

beforeAll(async () => {
  database = await testDatabase('consumers');
  plinth = database.plinth;
  a = database.tenantA;
  b = await inAnotherShard(a);
});
afterAll(() => database.drop());
afterEach(async () => {
  seen = [];
  bad = new Set();
  await database.admin.query(`select plinth_kernel.feed_stop($1, c.consumer) from plinth_kernel.feed_consumers as c where c.consumer like 'test.%'`, [FEED]);
});

/** A tenant whose events wait for nothing that happens to those of the first. */
async function inAnotherShard(tenantId: string): Promise<string> {
  const { rows } = await database.admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (id, slug, name) select o.id, 'elsewhere', 'Elsewhere' from (select plinth_kernel.uuid_v7() as id from generate_series(1, 200)) as o
     where plinth_kernel.shard_of(o.id) <> plinth_kernel.shard_of($1) limit 1 returning id`,
    [tenantId],
  );
  return rows[0]?.id ?? '';
}

const publish = (tenantId: string, ...notes: string[]): Promise<void> =>
  plinth.transaction({ tenantId }, async (tx) => {
    for (const one of notes) tx.events.publish('consumer.tested', { note: one });
  });
/** Until there is nothing to do; failures are what the cursors say of them. */
async function drain(name: string, consumer: Consumer): Promise<void> {
  for (let quiet = 0; quiet < 2; ) {
    await database.admin.query('update plinth_kernel.feed_cursors set retry_at = null where consumer = $1', [name]);
    await database.admin.query('update plinth_events.parked set retry_at = null where consumer = $1 and retry_at is not null', [name]);
    const handled = await consumeOnce(plinth, name, consumer).catch(() => -1);
    const { tried } = await consumeAside(plinth, name, consumer);
    quiet = handled === 0 && tried === 0 ? quiet + 1 : 0;
  }
}
const asWorker = <T>(text: string, values: unknown[] = []): Promise<T[]> => plinth.asWorker({}, (tx) => tx.query<T>(text, values));
const status = async (name: string) =>
  (
    await asWorker<{ status: string; waiting: number; waiting_capped: boolean; lag_s: number; parked: number; pause_reason: string | null }>(
      'select status, waiting::int, waiting_capped, lag_s, parked::int, pause_reason from plinth.consumers where consumer = $1',
      [name],
    )
  )[0];
const parked = (name: string) =>
  asWorker<{ id: string; tenant_id: string; status: string; error: string; attempts: number; note: string }>(
    `select p.id, p.tenant_id, p.status, p.error, p.attempts, e.payload ->> 'note' as note from plinth.parked_events as p join plinth_events.events as e on e.id = p.event_id
     where p.consumer = $1 order by p.position`,
    [name],
  );
const audited = (action: string) =>
  database.admin.query<{ tenant_id: string; entity_id: string; reason: string | null }>(
    'select tenant_id, entity_id, reason from plinth_audit.entries where action = $1 order by id',
    [action],
  );

test('a bare consumer hears of every event, of both tenants, without its data', async () => {
  const bare: FeedEvent[] = [];
  const consumer: Consumer = { summary: 'bare', from: 'now', bare: true, handle: async (_tx, events) => void bare.push(...events) };
  await drain('test.bare', consumer);
  await publish(a, 'x');
  await publish(b, 'y');
  await drain('test.bare', consumer);
  expect(bare.map(({ tenantId, type, data }) => ({ tenantId, type, data })).sort((one, other) => (one.tenantId < other.tenantId ? -1 : 1))).toEqual(
    [a, b].sort().map((tenantId) => ({ tenantId, type: 'consumer.tested', data: {} })),
  );
});

describe('a paused consumer', () => {
  test('gets nothing until it is resumed, keeps what it has not read, and both are in the audit log with the reason', async () => {
    await drain('test.paused', fussy());
    await asWorker(`select plinth.pause_consumer('test.paused', 'the mail server is down')`);
    await publish(a, 'while paused');
    await drain('test.paused', fussy());
    expect(seen).toEqual([]);
    expect(await status('test.paused')).toMatchObject({ status: 'paused', waiting: 1, pause_reason: 'the mail server is down' });
    await asWorker(`select plinth.resume_consumer('test.paused')`);
    await drain('test.paused', fussy());
    expect(seen).toEqual(['while paused']);
    expect((await audited('events.consumer_paused')).rows).toEqual([
      { tenant_id: '00000000-0000-0000-0000-000000000000', entity_id: 'test.paused', reason: 'the mail server is down' },
    ]);
    expect((await audited('events.consumer_resumed')).rows).toHaveLength(1);
  });

  test('goes on by itself when the pause had an end', async () => {
    await drain('test.brief', fussy());
    await asWorker(`select plinth.pause_consumer('test.brief', 'a moment', interval '1 hour')`);
    await publish(a, 'later');
    await drain('test.brief', fussy());
    expect(seen).toEqual([]);
    await database.admin.query(`update plinth_kernel.feed_consumers set paused_until = clock_timestamp() where consumer = 'test.brief'`);
    await drain('test.brief', fussy());
    expect(seen).toEqual(['later']);
    expect(await status('test.brief')).toMatchObject({ status: 'current', pause_reason: null });
  });
});

describe('an event that is failed on every time', () => {
  test('blocks its tenant by default, and no other', async () => {
    await drain('test.blocks', fussy());
    bad.add('bad');
    await publish(a, 'bad', 'behind');
    await publish(b, 'elsewhere');
    for (let n = 0; n < 12; n++) {
      await consumeOnce(plinth, 'test.blocks', fussy()).catch(() => undefined);
      await database.admin.query(`update plinth_events.parked set retry_at = null where consumer = 'test.blocks'`);
      await consumeAside(plinth, 'test.blocks', fussy());
    }
    expect(seen).toEqual(['elsewhere']);
    expect(await status('test.blocks')).toMatchObject({ status: 'failing', waiting: 2, parked: 0 });
  });

  test('is parked after so many tries where the consumer wants that, and everything else is handled once and in order', async () => {
    const parks = fussy({ onPoison: 'park', attempts: 3 });
    await drain('test.parks', parks);
    bad = new Set(['bad 1', 'bad 2']);
    await publish(a, 'one', 'bad 1', 'two', 'bad 2', 'three');
    await publish(b, 'elsewhere');
    await drain('test.parks', parks);
    expect(seen.filter((one) => one !== 'elsewhere')).toEqual(['one', 'two', 'three']);
    expect(seen).toContain('elsewhere');
    expect(await parked('test.parks')).toEqual([
      { id: expect.any(String), tenant_id: a, status: 'parked', error: 'cannot handle bad 1', attempts: 3, note: 'bad 1' },
      { id: expect.any(String), tenant_id: a, status: 'parked', error: 'cannot handle bad 2', attempts: expect.any(Number), note: 'bad 2' },
    ]);
    expect(await status('test.parks')).toMatchObject({ status: 'current', waiting: 0, parked: 2 });
  });

  test('is tried again when somebody asks, by position, and parked again when it fails again', async () => {
    const parks = fussy({ onPoison: 'park', attempts: 1 });
    await drain('test.retries', parks);
    bad = new Set(['bad 1', 'bad 2']);
    await publish(a, 'bad 1');
    await publish(b, 'bad 2');
    await drain('test.retries', parks);
    bad = new Set(['bad 2']);
    expect(await consumeParked(plinth, 'test.retries', parks)).toBe(0);
    // A tenant asks for its own, and gets nothing of the other's.
    const own = await plinth.transaction({ tenantId: a }, (tx) => tx.query<{ n: number }>(`select plinth.retry_parked_events('test.retries') as n`));
    expect(own).toEqual([{ n: 1 }]);
    expect(await consumeParked(plinth, 'test.retries', parks)).toBe(1);
    expect(seen).toEqual(['bad 1']);
    expect(await asWorker(`select plinth.retry_parked_events('test.retries') as n`)).toEqual([{ n: 1 }]);
    expect(await consumeParked(plinth, 'test.retries', parks)).toBe(0);
    expect(await parked('test.retries')).toMatchObject([
      { status: 'handled', note: 'bad 1' },
      { status: 'parked', note: 'bad 2', error: 'cannot handle bad 2' },
    ]);
    expect((await audited('events.parked_retried')).rows.map((row) => row.tenant_id)).toEqual([a, '00000000-0000-0000-0000-000000000000']);
  });

  test('can be given up for good, by its tenant with a reason, and by no other tenant', async () => {
    const parks = fussy({ onPoison: 'park', attempts: 1 });
    await drain('test.discards', parks);
    bad.add('bad');
    await publish(a, 'bad');
    await drain('test.discards', parks);
    const [one] = await parked('test.discards');
    const discard = (tenantId: string, reason: string) =>
      plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.discard_parked_event($1, $2)', [one?.id, reason]));
    await expect(discard(b, 'not mine')).rejects.toMatchObject({ code: 'events_parked_not_found', status: 404 });
    await expect(discard(a, ' ')).rejects.toMatchObject({ code: 'events_operation_invalid', status: 422 });
    await discard(a, 'a test event');
    await expect(discard(a, 'twice')).rejects.toMatchObject({ code: 'events_parked_not_found' });
    await expect(plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.retry_parked_events(p_id := $1)', [one?.id]))).rejects.toMatchObject({
      code: 'events_parked_not_found',
    });
    expect(await parked('test.discards')).toMatchObject([{ status: 'discarded' }]);
    expect((await audited('events.parked_discarded')).rows).toMatchObject([{ tenant_id: a, reason: 'a test event' }]);
  });

  test('can be let go of by its tenant where the consumer would block, and by no other; a consumer that is forgotten leaves nothing behind', async () => {
    await drain('test.lets-go', fussy());
    bad.add('bad');
    await publish(a, 'bad', 'behind');
    for (let n = 0; n < 3; n++) await consumeOnce(plinth, 'test.lets-go', fussy()).catch(() => undefined);
    const [failing] = await parked('test.lets-go');
    expect(failing).toMatchObject({ status: 'failing', tenant_id: a });
    const park = (tenantId: string) =>
      plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.park_failing_event($1, $2)', [failing?.id, 'not needed']));
    await expect(park(b)).rejects.toMatchObject({ code: 'events_parked_not_found' });
    await park(a);
    expect(await consumeParked(plinth, 'test.lets-go', fussy())).toBe(1);
    expect(seen).toEqual(['behind']);
    expect(await parked('test.lets-go')).toMatchObject([{ status: 'parked', note: 'bad' }]);
    const forget = (name: string) => asWorker('select plinth.forget_consumer($1, $2)', [name, 'replaced by another']);
    await expect(forget('test.nobody')).rejects.toMatchObject({ code: 'events_consumer_unknown' });
    await expect(plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth.forget_consumer('test.lets-go', 'x')`))).rejects.toMatchObject({
      code: 'kernel_forbidden',
    });
    await forget('test.lets-go');
    expect(await status('test.lets-go')).toBeUndefined();
    expect(await parked('test.lets-go')).toMatchObject([{ status: 'discarded' }]);
    expect((await audited('events.consumer_forgotten')).rows).toMatchObject([{ entity_id: 'test.lets-go', reason: 'replaced by another' }]);
  });

  test('can be parked by hand where the consumer would block', async () => {
    await drain('test.byhand', fussy());
    bad.add('bad');
    await publish(a, 'bad', 'behind');
    await consumeOnce(plinth, 'test.byhand', fussy()).catch(() => undefined);
    const park = (consumer: string) =>
      asWorker<{ id: string | null }>('select plinth.park_next_event($1, plinth_kernel.shard_of($2), $3) as id', [consumer, a, 'a bug, see ticket 12']);
    await expect(park('test.nobody')).rejects.toMatchObject({ code: 'events_consumer_unknown', status: 404 });
    expect(await park('test.byhand')).toEqual([{ id: expect.any(String) }]);
    await drain('test.byhand', fussy());
    expect(seen).toEqual(['behind']);
    expect(await park('test.byhand')).toEqual([{ id: null }]);
  });
});

describe('rewinding', () => {
  test('to the beginning, behind a position, to a moment and to now gives what is promised, and late commits in any case', async () => {
    await publish(a, 'r1');
    await drain('test.rewound', fussy({ from: 'beginning' }));
    await publish(a, 'r2');
    // Events a second apart: a moment is found to a second.
    await database.admin.query(`alter table plinth_events.events disable trigger append_only`);
    await database.admin.query(`update plinth_events.events set created_at = created_at - interval '1 hour' where payload ->> 'note' <> 'r2'`);
    await database.admin.query(`alter table plinth_events.events enable trigger append_only`);
    const { rows } = await database.admin.query<{ position: string; at: Date }>(
      `select position, created_at - interval '1 minute' as at from plinth_events.events where payload ->> 'note' = 'r2'`,
    );
    await drain('test.rewound', fussy());
    const after = async (clause: string, values: unknown[] = []): Promise<string[]> => {
      seen = [];
      await asWorker(`select * from plinth.rewind_consumer('test.rewound', 'tested', ${clause})`, values);
      await drain('test.rewound', fussy());
      return seen.filter((one) => /^r\d/.test(one));
    };
    expect(await after(`p_to := 'beginning'`)).toEqual(['r1', 'r2']);
    expect(await after('p_position := $1', [Number(rows[0]?.position) - 1])).toEqual(['r2']);
    expect(await after('p_position := $1', [Number(rows[0]?.position)])).toEqual([]);
    expect(await after('p_at := $1', [rows[0]?.at])).toEqual(['r2']);
    await publish(a, 'r3');
    // Open while the cursor is set: it is told of when it commits, wherever its position lies.
    let commit = (): void => undefined;
    let appended = (): void => undefined;
    const holds = new Promise<void>((resolve) => (appended = resolve));
    const late = plinth.transaction({ tenantId: a }, async (tx) => {
      tx.events.publish('consumer.tested', { note: 'r-late' });
      await tx.flush();
      appended();
      await new Promise<void>((resolve) => (commit = resolve));
    });
    await holds;
    expect(await after(`p_to := 'now'`)).toEqual([]);
    commit();
    await late;
    await drain('test.rewound', fussy());
    expect(seen).toEqual(['r-late']);
    await publish(a, 'r4');
    await drain('test.rewound', fussy());
    expect(seen).toContain('r4');
    expect((await audited('events.consumer_rewound')).rows.map((row) => row.reason)).toEqual(Array.from({ length: 5 }, () => 'tested'));
  });

  test('to a place ahead of what was read is refused, unless somebody says that events may be passed over', async () => {
    await drain('test.forward', fussy());
    await publish(a, 'f1', 'f2');
    const { rows } = await database.admin.query<{ position: string }>(`select position from plinth_events.events where payload ->> 'note' = 'f1'`);
    const rewind = (clause: string, values: unknown[]) => asWorker(`select * from plinth.rewind_consumer('test.forward', 'tested', ${clause})`, values);
    await expect(rewind('p_position := $1', [rows[0]?.position])).rejects.toMatchObject({ code: 'kernel_rewind_passes', status: 409 });
    await expect(rewind(`p_at := clock_timestamp() + interval '1 hour'`, [])).rejects.toMatchObject({ code: 'kernel_rewind_passes' });
    // Nothing was moved.
    expect(await status('test.forward')).toMatchObject({ waiting: 2 });
    await rewind('p_position := $1, p_forward := true', [rows[0]?.position]);
    await drain('test.forward', fussy());
    expect(seen).toEqual(['f2']);
    // Read, it may be read again.
    await rewind('p_position := $1', [Number(rows[0]?.position) - 1]);
    await drain('test.forward', fussy());
    expect(seen).toEqual(['f2', 'f1', 'f2']);
  });

  test('to the beginning supersedes what fails and what waits for it; to now passes over it', async () => {
    await drain('test.held', fussy());
    bad.add('held bad');
    const twice = async (): Promise<void> => {
      for (let n = 0; n < 4; n++) await consumeOnce(plinth, 'test.held', fussy()).catch(() => undefined);
    };
    await publish(a, 'held bad', 'held behind');
    await twice();
    expect((await parked('test.held')).map((row) => row.status)).toEqual(['failing', 'waiting']);
    bad.clear();
    await asWorker(`select * from plinth.rewind_consumer('test.held', 'the bug is fixed', p_to := 'beginning')`);
    await drain('test.held', fussy());
    expect(seen.filter((one) => one.startsWith('held'))).toEqual(['held bad', 'held behind']);
    seen = [];
    bad.add('held again');
    await publish(a, 'held again', 'held more');
    await twice();
    await asWorker(`select * from plinth.rewind_consumer('test.held', 'never mind', p_to := 'now')`);
    bad.clear();
    await drain('test.held', fussy());
    expect(seen).toEqual([]);
    expect((await parked('test.held')).map((row) => row.status)).toEqual(['superseded', 'superseded', 'superseded', 'superseded']);
  });

  test('supersedes parked events that are read again', async () => {
    const parks = fussy({ onPoison: 'park', attempts: 1 });
    await drain('test.supersedes', parks);
    bad.add('superseded');
    await publish(a, 'superseded');
    await drain('test.supersedes', parks);
    bad.clear();
    await asWorker(`select * from plinth.rewind_consumer('test.supersedes', 'the bug is fixed', p_to := 'beginning')`);
    await drain('test.supersedes', parks);
    expect(seen.filter((one) => one === 'superseded')).toEqual(['superseded']);
    expect(await parked('test.supersedes')).toMatchObject([{ status: 'superseded' }]);
    expect(await asWorker(`select plinth.retry_parked_events('test.supersedes') as n`)).toEqual([{ n: 0 }]);
  });

  test('refuses what makes no sense, and operators only may do any of it', async () => {
    await drain('test.refused', fussy());
    const rewind = (clause: string) => asWorker(`select * from plinth.rewind_consumer('test.refused', 'x', ${clause})`);
    await expect(rewind(`p_to := 'yesterday'`)).rejects.toMatchObject({ code: 'kernel_invalid_input' });
    await expect(rewind(`p_to := 'now', p_position := 1`)).rejects.toMatchObject({ code: 'kernel_invalid_input' });
    await expect(asWorker(`select plinth.pause_consumer('test.nobody', 'x')`)).rejects.toMatchObject({ code: 'events_consumer_unknown' });
    await expect(asWorker(`select plinth.pause_consumer('test.refused', '')`)).rejects.toMatchObject({ code: 'events_operation_invalid' });
    await expect(asWorker(`select plinth.pause_consumer('test.refused', 'x', interval '-1 s')`)).rejects.toMatchObject({ code: 'events_operation_invalid' });
    await expect(asWorker('select plinth.retry_parked_events()')).rejects.toMatchObject({ code: 'events_operation_invalid' });
    for (const call of [
      `plinth.pause_consumer('test.refused', 'x')`,
      `plinth.resume_consumer('test.refused')`,
      `plinth.park_next_event('test.refused', 0, 'x')`,
    ])
      await expect(plinth.transaction({ tenantId: a }, (tx) => tx.query(`select ${call}`))).rejects.toMatchObject({ code: 'kernel_forbidden' });
  });
});

test('lag costs a bounded look, says when there is more, and is shown to the installation and to no tenant', { timeout: 60_000 }, async () => {
  await drain('test.lag', fussy());
  await database.admin.query(
    `insert into plinth_events.events (tenant_id, shard, type, payload, created_at) select $1, plinth_kernel.shard_of($1), 'consumer.bulk', '{}', clock_timestamp() - interval '10 minutes' from generate_series(1, 5000)`,
    [a],
  );
  const behind = await status('test.lag');
  expect(behind).toMatchObject({ status: 'behind', waiting: 1000, waiting_capped: true });
  expect(behind?.lag_s).toBeGreaterThan(590);
  // In the middle of the window it counts from where the cursor is.
  for (let n = 0; n < 9; n++) await consumeOnce(plinth, 'test.lag', fussy({ batchSize: 500 }));
  expect(await status('test.lag')).toMatchObject({ waiting: 500, waiting_capped: false });
  await drain('test.lag', fussy());
  expect(await status('test.lag')).toMatchObject({ status: 'current', waiting: 0, lag_s: 0 });
  const asUser = await plinth.transaction({ tenantId: a, actor: { type: 'user', id: 'u-1' } }, (tx) => tx.query('select * from plinth.consumers'));
  expect(asUser).toEqual([]);
});
