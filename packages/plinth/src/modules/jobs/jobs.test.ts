/** Jobs from enqueue to the claim, straight on the database: what a worker asks for and what SQL users see. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { migrateUp } from '#kernel/migrate/index.ts';
import { modules } from '#registry';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture, Options } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';
import { announceKinds } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('jobs');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

describe('enqueue', () => {
  test('commits and rolls back with the transaction, and carries who, why and the correlation', async () => {
    const correlationId = jobs.plinth.newId();
    const causationId = jobs.plinth.newId();
    let lost = '';
    await expect(
      jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
        lost = tx.jobs.enqueue('k');
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await jobs.read(jobs.a, lost)).toBeUndefined();
    const id = await jobs.plinth.transaction({ tenantId: jobs.a, correlationId, causationId, actor: { type: 'user', id: 'u1' } }, async (tx) =>
      tx.jobs.enqueue('k', { n: 1 }, { name: 'One', queue: 'mail', priority: 2, maxAttempts: 7, uniqueKey: 'one' }),
    );
    expect(await jobs.read(jobs.a, id)).toMatchObject({
      job_type: 'k',
      job_name: 'One',
      queue: 'mail',
      status: 'pending',
      priority: 2,
      payload: { n: 1 },
      attempts: 0,
      max_attempts: 7,
      unique_key: 'one',
      correlation_id: correlationId,
      causation_id: causationId,
      actor_type: 'user',
      actor_id: 'u1',
    });
    expect(await jobs.read(jobs.b, id)).toBeUndefined();
  });

  test('takes the defaults of the kind that a worker announced', async () => {
    await jobs.plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'announced', summary: 's', max_attempts: 9, timeout_ms: 5 }]));
    expect(await jobs.read(jobs.a, await jobs.enqueue(jobs.a, 'announced'))).toMatchObject({ max_attempts: 9 });
    expect(await jobs.read(jobs.a, await jobs.enqueue(jobs.a, 'unheard of'))).toMatchObject({ max_attempts: 3, priority: 5, queue: 'default' });
  });

  test('refuses a payload over 256 KiB, in TypeScript and in SQL, and writes nothing', async () => {
    const text = 'x'.repeat(256 * 1024);
    expect(await errorCode(jobs.enqueue(jobs.a, 'k', { text }))).toBe('jobs_payload_too_large');
    const error = await jobs.plinth
      .transaction({ tenantId: jobs.a }, (tx) => tx.query(`select plinth.schedule_job('k', 'n', jsonb_build_object('t', $1::text))`, [text]))
      .catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'jobs_payload_too_large', status: 413, detail: { limit_bytes: 262144 } });
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.jobs')).rowCount).toBe(0);
    expect(await errorCode(jobs.enqueue(jobs.a, 'k', { text: 'x'.repeat(255 * 1024) }))).toBe('no error');
  });

  test.each([
    ['', {}],
    ['k'.repeat(201), {}],
    ['k', { priority: 0 }],
    ['k', { priority: 1.5 }],
    ['k', { maxAttempts: 0 }],
  ] as const)('refuses what is out of range: %s %o', async (kind, options) => {
    expect(await errorCode(jobs.enqueue(jobs.a, kind, {}, options))).toBe('jobs_job_invalid');
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['The queue', {}, { queue: '' }],
    ['The name', {}, { name: 'n'.repeat(501) }],
    ['The name', {}, { name: 'a\0b' }],
    ['The unique key', {}, { uniqueKey: 'hello 😀'.slice(0, 7) }],
    ['The payload', { text: 'a\0b' }, {}],
    ['The payload', { deep: [{ text: 'hello 😀'.slice(0, 7) }] }, {}],
    ['delayMs', {}, { delayMs: Number.NaN }],
    ['delayMs', {}, { delayMs: 1e300 }],
    ['runAt', {}, { runAt: new Date(Number.NaN) }],
    ['deadline', {}, { deadline: new Date('soon') }],
    ['baseS', {}, { backoff: { baseS: -5 } }],
    ['baseS', {}, { backoff: { baseS: Number.NaN } }],
    ['mostS', {}, { backoff: { baseS: 5, mostS: 1e300 } }],
    ['jitter', {}, { backoff: { baseS: 5, jitter: 5 } }],
  ])('refuses what would mean something else, or nothing, and names it: %s %o %o', async (field, payload, options) => {
    await expect(jobs.enqueue(jobs.a, 'k', payload, options as Options)).rejects.toMatchObject({
      code: 'jobs_job_invalid',
      message: expect.stringContaining(field),
    });
  });

  test('takes text that only looks as if it could not be stored', async () => {
    const payload = { text: '\\u0000 😀 \\\\ud83d' };
    expect(await jobs.read(jobs.a, await jobs.enqueue(jobs.a, 'k', payload, { name: '😀' }))).toMatchObject({ payload });
  });

  test('an id that is given in SQL must be new in its tenant', async () => {
    const id = '01a2013b-3daa-74ff-b991-1642b15f92aa';
    const schedule = (tenantId: string, ids: string[]) =>
      jobs.plinth.transaction({ tenantId }, (tx) =>
        tx.query('select plinth.schedule_jobs($1)', [JSON.stringify(ids.map((one) => ({ job_type: 'k', id: one, max_attempts: 1 })))]),
      );
    await schedule(jobs.a, [id]);
    await schedule(jobs.b, [id]);
    const refused = { code: 'jobs_job_invalid', message: `Job 2 of 2 is not valid: id ${id} is taken`, detail: { row: 2 } };
    await expect(schedule(jobs.a, [id.replace('aa', 'ab'), id])).rejects.toMatchObject(refused);
    await expect(schedule(jobs.a, ['01a2013b-3daa-74ff-b991-1642b15f92ac', '01a2013b-3daa-74ff-b991-1642b15f92ac'])).rejects.toMatchObject({
      detail: { row: 2 },
    });
    for (const job of await jobs.claim()) await jobs.settle(job, 'failed');
    await expect(schedule(jobs.a, [id])).rejects.toMatchObject({ detail: { row: 1 } });
  });

  test('a unique key is held by one live job of the kind and tenant', async () => {
    const first = await jobs.enqueue(jobs.a, 'k', {}, { uniqueKey: 'u' });
    const second = await jobs.enqueue(jobs.a, 'k', {}, { uniqueKey: 'u' });
    expect(await jobs.read(jobs.a, second)).toBeUndefined();
    expect(await jobs.read(jobs.b, await jobs.enqueue(jobs.b, 'k', {}, { uniqueKey: 'u' }))).toBeDefined();
    expect(await jobs.read(jobs.a, await jobs.enqueue(jobs.a, 'other', {}, { uniqueKey: 'u' }))).toBeDefined();
    const sql = (tenantId: string) =>
      jobs.plinth.transaction(
        { tenantId },
        async (tx) => (await tx.query<{ id: string }>(`select plinth.schedule_job('k', p_unique_key := 'u') as id`))[0]?.id,
      );
    expect(await sql(jobs.a)).toBe(first);
    for (const job of await jobs.claim(10)) await jobs.settle(job, 'completed');
    expect(await sql(jobs.a)).not.toBe(first);
  });
});

describe('the SQL of the seeds', () => {
  let client: pg.Client;
  let other: pg.Client;
  beforeAll(async () => {
    await migrateUp({ url: jobs.database.url, modules, exposePublic: true });
    client = new pg.Client({ connectionString: jobs.database.serverUrl });
    other = new pg.Client({ connectionString: jobs.database.serverUrl });
    await client.connect();
    await other.connect();
  });
  afterAll(async () => {
    await client.end();
    await other.end();
  });
  const begin = (which: pg.Client, tenantId: string) => which.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'`);

  test('schedules a background job (seed 003)', async () => {
    await begin(client, jobs.a);
    const { rows } = await client.query(`-- Schedule a background job
SELECT public.schedule_job(
  p_job_type := 'payment_processing',
  p_job_name := 'Process Payment',
  p_payload := '{"amount": 5000}'::jsonb
);`);
    await client.query('commit');
    expect(await jobs.read(jobs.a, rows[0].schedule_job)).toMatchObject({
      job_type: 'payment_processing',
      job_name: 'Process Payment',
      payload: { amount: 5000 },
      status: 'pending',
      priority: 5,
    });
  });

  test('gets the next background job, and locks it: another worker gets the one after (seed 000)', async () => {
    const next = `SELECT * FROM background_jobs
WHERE status = 'pending'
ORDER BY priority ASC, created_at ASC
LIMIT 1
FOR UPDATE SKIP LOCKED;`;
    const late = await jobs.enqueue(jobs.a, 'k', {}, { priority: 5 });
    const urgent = await jobs.enqueue(jobs.a, 'k', {}, { priority: 1 });
    await jobs.enqueue(jobs.b, 'k', {}, { priority: 1 });
    await jobs.enqueue(jobs.a, 'k', {}, { priority: 1, delayMs: 3_600_000 });
    await begin(client, jobs.a);
    await begin(other, jobs.a);
    expect((await client.query(next)).rows.map((row) => row.id)).toEqual([urgent]);
    expect((await other.query(next)).rows.map((row) => row.id)).toEqual([late]);
    // A worker of ours passes over both, too, and takes the other tenant's.
    expect((await jobs.claim()).map((job) => job.tenant_id)).toEqual([jobs.b]);
    await client.query(`update background_jobs set status = 'processing', attempts = attempts + 1 where id = $1`, [urgent]);
    await client.query('commit');
    await other.query('rollback');
    await begin(client, jobs.a);
    await client.query(`update background_jobs set status = 'completed', result = '{"ok": true}', finished_at = now() where id = $1`, [urgent]);
    await client.query('commit');
    expect(await jobs.read(jobs.a, urgent)).toMatchObject({ status: 'completed', attempts: 1, result: { ok: true } });
  });
});

/** Rows of the live table that this transaction has read so far, by any kind of scan. */
const counted = async (client: pg.PoolClient): Promise<number> =>
  Number(
    (
      await client.query(
        `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as n from pg_stat_xact_user_tables where schemaname = 'plinth_jobs' and relname like 'jobs_%'`,
      )
    ).rows[0].n,
  );

describe('claim', () => {
  test('takes the most urgent first, then the oldest, of all tenants, and only kinds it was asked for', async () => {
    const ids = [
      await jobs.enqueue(jobs.a, 'k'),
      await jobs.enqueue(jobs.b, 'k'),
      await jobs.enqueue(jobs.a, 'k', {}, { priority: 1 }),
      await jobs.enqueue(jobs.b, 'k', {}, { priority: 9 }),
    ];
    await jobs.enqueue(jobs.a, 'other');
    expect((await jobs.claim(10)).map((job) => job.id).sort()).toEqual([...ids].sort());
    await jobs.database.admin.query(`update plinth_jobs.jobs set status = 'pending'`);
    expect((await jobs.claim(1)).map((job) => job.id)).toEqual([ids[2]]);
    // Of one priority the tenants come first in turn, whoever was there first.
    expect([...(await jobs.claim(1)), ...(await jobs.claim(1))].map((job) => job.id).sort()).toEqual([ids[0], ids[1]].sort());
    expect((await jobs.claim(1)).map((job) => job.id)).toEqual([ids[3]]);
  });

  test('of any number of workers at once, each job goes to one', async () => {
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      for (let n = 0; n < 200; n++) tx.jobs.enqueue('k', { n });
    });
    const claimed = (
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const mine: ClaimedJob[] = [];
          for (;;) {
            const taken = await jobs.claim(7);
            if (taken.length === 0) return mine;
            mine.push(...taken);
          }
        }),
      )
    ).flat();
    expect(claimed.length).toBe(200);
    expect(new Set(claimed.map((job) => job.id)).size).toBe(200);
  });

  test('leaves a job alone until its time has come', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { delayMs: 3_600_000 });
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled' });
    expect(await jobs.claim()).toEqual([]);
    await jobs.makeDue(id);
    expect((await jobs.claim()).map((job) => job.id)).toEqual([id]);
  });

  test('and every step after it reads what it takes, not the backlog', async () => {
    const client = await jobs.database.admin.connect();
    const reads = async (text: string, values: unknown[] = []): Promise<number> => {
      await client.query('begin');
      const before = await counted(client);
      await client.query(text, values);
      const after = await counted(client);
      await client.query('commit');
      return after - before;
    };
    try {
      await client.query(
        `insert into plinth_jobs.jobs (tenant_id, kind, priority, status, run_at, correlation_id)
         select $1, 'k', 1 + n % 9, case n % 2 when 0 then 'scheduled' else 'pending' end, clock_timestamp() + interval '1 hour', plinth_kernel.uuid_v7() from generate_series(1, 20000) n`,
        [jobs.a],
      );
      expect(await reads(`create temp table mine as select * from plinth_jobs.claim('w', 10, interval '1 minute', '{k}')`)).toBeLessThan(60);
      expect(await reads(`select plinth_jobs.heartbeat('w')`)).toBeLessThan(10);
      await jobs.falls('w');
      expect(await reads(`select plinth_jobs.recover(10)`)).toBeLessThan(90);
      const settled = `select plinth_jobs.settle((select jsonb_agg(to_jsonb(c) || '{"outcome": "completed"}') from plinth_jobs.claim('w', 10, interval '1 minute', '{k}') c))`;
      expect(await reads(settled)).toBeLessThan(120);
      await client.query('drop table mine');
    } finally {
      client.release();
    }
  });

  test('the SQL of the seeds reads jobs that may run now, and no others', async () => {
    const { rows } = await jobs.database.admin.query(
      `explain (costs off) select * from plinth.background_jobs where status = 'pending' order by priority, created_at limit 1 for update skip locked`,
    );
    expect(JSON.stringify(rows)).toContain('jobs_ready_0');
    expect(JSON.stringify(rows)).not.toMatch(/jobs_failed|jobs_run|jobs_scheduled/);
  });
});
