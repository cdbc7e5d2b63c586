/** Unique keys and bulk enqueue: who holds a key, until when, and what becomes of the others. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import { uniqueJob } from './enqueue.ts';
import type { JobsFixture, Options } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_unique');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const live = async (): Promise<string[]> =>
  (await jobs.database.admin.query(`select id from plinth_jobs.jobs where status in ('scheduled', 'pending', 'processing') order by created_at, id`)).rows.map(
    (row) => row.id,
  );
const holder = (kind = 'k', key = 'u', tenantId = jobs.a) => jobs.plinth.transaction({ tenantId }, (tx) => uniqueJob(tx, kind, key));
const put = (payload: Record<string, unknown>, options: Options = {}, tenantId = jobs.a) =>
  jobs.enqueue(tenantId, 'k', payload, { uniqueKey: 'u', ...options });

describe('enqueueMany', () => {
  test('writes jobs of one kind with common options, in order, and returns their ids', async () => {
    const runAt = new Date(Date.now() + 3_600_000);
    const [now, later] = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => [
      tx.jobs.enqueueMany(
        'k',
        Array.from({ length: 300 }, (_, n) => ({ n })),
        { priority: 2, queue: 'bulk', concurrencyKey: 'c', name: 'Bulk' },
      ),
      tx.jobs.enqueueMany('k', [{ late: 1 }, { late: 2 }], { runAt }),
    ]);
    const { rows } = await jobs.database.admin.query(
      `select id, payload, priority, queue, concurrency_key, name, status, tenant_id from plinth_jobs.jobs where status = 'pending' order by seq`,
    );
    expect(rows.map((row) => row.id)).toEqual(now);
    expect(rows.map((row) => row.payload.n)).toEqual(Array.from({ length: 300 }, (_, n) => n));
    expect(rows[7]).toMatchObject({ priority: 2, queue: 'bulk', concurrency_key: 'c', name: 'Bulk', tenant_id: jobs.a });
    expect(await jobs.read(jobs.a, later?.[1] ?? '')).toMatchObject({ status: 'scheduled', payload: { late: 2 }, run_at: runAt });
    expect(await jobs.read(jobs.b, later?.[1] ?? '')).toBeUndefined();
  });

  test('takes rows with options of their own, and rolls back with the transaction', async () => {
    const ids = await jobs.plinth.transaction({ tenantId: jobs.b }, async (tx) =>
      tx.jobs.enqueueMany([
        { kind: 'k', payload: { n: 1 } },
        { kind: 'other', priority: 9 },
        { kind: 'k', delayMs: 60_000, uniqueKey: 'u' },
      ]),
    );
    expect(await Promise.all(ids.map(async (id) => (await jobs.read(jobs.b, id))?.status))).toEqual(['pending', 'pending', 'scheduled']);
    await expect(
      jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
        tx.jobs.enqueueMany('k', [{}, {}]);
        await tx.flush();
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect((await live()).length).toBe(3);
  });

  test('names the row that it refuses, in TypeScript and in SQL, and writes none', async () => {
    const large = { text: 'x'.repeat(256 * 1024) };
    const many = jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => tx.jobs.enqueueMany('k', [{}, large, {}]));
    await expect(many).rejects.toMatchObject({ code: 'jobs_payload_too_large', message: expect.stringContaining('(job 2 of 3)') });
    const rows = jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => tx.jobs.enqueueMany([{ kind: 'k' }, { kind: 'k', priority: 101 }]));
    await expect(rows).rejects.toMatchObject({ code: 'jobs_job_invalid', message: expect.stringContaining('(job 2 of 2)') });
    const sql = (list: unknown[]) => jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.schedule_jobs($1)', [JSON.stringify(list)]));
    await expect(sql([{ job_type: 'k' }, { job_type: 'k', payload: large }])).rejects.toMatchObject({ code: 'jobs_payload_too_large', detail: { row: 2 } });
    await expect(sql([{ job_type: 'k' }, { job_type: 'k' }, { job_type: '' }])).rejects.toMatchObject({ code: 'jobs_job_invalid', detail: { row: 3 } });
    // Otherwise it would run at once, and as often as it is given.
    for (const misspelt of [{ runAt: '2090-01-01' }, { uniqueKey: 'u' }, { kind: 'k' }])
      await expect(sql([{ job_type: 'k' }, { job_type: 'k', ...misspelt }])).rejects.toMatchObject({
        code: 'jobs_job_invalid',
        detail: { row: 2 },
        message: expect.stringContaining(`there is no field ${Object.keys(misspelt)[0]}`),
      });
    for (const none of [['k'], [['k']], [null]]) await expect(sql(none)).rejects.toMatchObject({ code: 'jobs_job_invalid' });
    await expect(sql([{ job_type: 'k', on_duplicate: 'keep' }])).rejects.toMatchObject({ code: 'jobs_job_invalid' });
    for (const backoff of [[-1], { base_s: 1, jitter: 1e300 }, { base_s: 1, most_s: 1e300 }, { most_s: 1 }, { base_s: '1' }])
      await expect(sql([{ job_type: 'k', backoff }])).rejects.toMatchObject({ code: 'jobs_job_invalid' });
    expect(await live()).toEqual([]);
  });

  test('from SQL returns the ids in order, that of the holder in place of a duplicate', async () => {
    const first = await put({});
    const [row] = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query<{ ids: string[] }>(
        `select plinth.schedule_jobs('[{"job_type": "k", "priority": 1}, {"job_type": "k", "unique_key": "u"}, {"job_type": "k", "delay_ms": 60000}]') as ids`,
      ),
    );
    expect(row?.ids[1]).toBe(first);
    expect(await jobs.read(jobs.a, row?.ids[0] ?? '')).toMatchObject({ priority: 1, status: 'pending' });
    expect(await jobs.read(jobs.a, row?.ids[2] ?? '')).toMatchObject({ status: 'scheduled' });
    expect((await live()).length).toBe(3);
  });
});

describe('a unique key', () => {
  test('until done: held while the job waits, runs and waits again; free when it has ended', async () => {
    const first = await put({});
    const dropped = await put({});
    expect(await jobs.read(jobs.a, dropped)).toBeUndefined();
    expect(await holder()).toBe(first);
    expect(await holder('k', 'u', jobs.b)).toBeUndefined();
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
    await put({});
    expect(await live()).toEqual([first]);
    await jobs.makeDue(first);
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect(await holder()).toBeUndefined();
    const next = await put({});
    expect(await live()).toEqual([next]);
  });

  test('until started: free as soon as the first attempt begins', async () => {
    const first = await put({}, { uniqueUntil: 'started' });
    await put({}, { uniqueUntil: 'started' });
    expect(await live()).toEqual([first]);
    const running = await jobs.claimOne();
    expect(await holder()).toBeUndefined();
    const second = await put({}, { uniqueUntil: 'started' });
    await put({}, { uniqueUntil: 'started' });
    expect(await live()).toEqual([first, second]);
    await jobs.settle(running, 'completed');
    expect(await holder()).toBe(second);
    await put({}, { uniqueUntil: 'started' });
    expect(await live()).toEqual([second]);
  });

  test('for a time: also when the job has ended, and no longer than that', async () => {
    const first = await put({}, { uniqueForMs: 3_600_000 });
    await jobs.settle(await jobs.claimOne(), 'completed');
    await put({});
    expect(await live()).toEqual([]);
    expect(await holder()).toBe(first);
    await jobs.database.admin.query(`update plinth_jobs.unique_keys set expires_at = clock_timestamp()`);
    expect(await holder()).toBeUndefined();
    const next = await put({});
    expect(await live()).toEqual([next]);
  });

  test('reject: error jobs_duplicate that tells the holder and rolls the transaction back', async () => {
    const first = await put({});
    const error = await put({}, { onDuplicate: 'reject' }).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ status: 409, detail: { effect_code: 'jobs_duplicate', job_id: first, unique_key: 'u' } });
    expect(
      await errorCode(
        jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(`select plinth.schedule_job('k', p_unique_key := 'u', p_on_duplicate := 'reject')`)),
      ),
    ).toBe('jobs_duplicate');
    expect(await errorCode(put({}, { onDuplicate: 'reject' }, jobs.b))).toBe('no error');
  });

  test('replace: a job that waits gets the newest payload, priority and time, and keeps its id; one that runs is left', async () => {
    const first = await put({ n: 1 }, { onDuplicate: 'replace', delayMs: 60_000 });
    await put({ n: 2 }, { onDuplicate: 'replace', priority: 2 });
    expect(await live()).toEqual([first]);
    expect(await jobs.read(jobs.a, first)).toMatchObject({ status: 'pending', payload: { n: 2 }, priority: 2 });
    await put({ n: 3 }, { onDuplicate: 'replace', delayMs: 60_000 });
    expect(await jobs.read(jobs.a, first)).toMatchObject({ status: 'scheduled', payload: { n: 3 }, priority: 2 });
    await jobs.makeDue(first);
    const running = await jobs.claimOne();
    const second = await put({ n: 4 }, { onDuplicate: 'replace' });
    expect(await jobs.read(jobs.a, first)).toMatchObject({ status: 'processing', payload: { n: 3 } });
    expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'pending', payload: { n: 4 } });
    await jobs.settle(running, 'completed');
    await jobs.settle(await jobs.claimOne(), 'completed');
    // Until done: what runs keeps the key, and nothing is written.
    await put({ n: 5 }, { onDuplicate: 'replace', uniqueUntil: 'done' });
    await jobs.claimOne();
    await put({ n: 6 }, { onDuplicate: 'replace', uniqueUntil: 'done' });
    expect((await live()).length).toBe(1);
  });

  test('replace leaves a job alone that waits for another attempt and has let go of its key: a new one holds it', async () => {
    for (const onDuplicate of ['replace', 'debounce'] as const) {
      await jobs.clear();
      const first = await put({ n: 1 }, { uniqueUntil: 'started', backoff: [3600] });
      await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
      const second = await put({ n: 2 }, { onDuplicate, delayMs: 60_000 });
      expect(await jobs.read(jobs.a, first)).toMatchObject({ status: 'scheduled', payload: { n: 1 }, attempts: 1 });
      expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'scheduled', payload: { n: 2 } });
      expect(await holder()).toBe(second);
    }
  });

  test('debounce: pushed back each time, at most maxWaitMs from the first', async () => {
    const first = await put({ n: 1 }, { onDuplicate: 'debounce', delayMs: 60_000, maxWaitMs: 90_000 });
    await jobs.database.admin.query(`update plinth_jobs.jobs set run_at = run_at - interval '50 seconds'`);
    await jobs.database.admin.query(`update plinth_jobs.unique_keys set created_at = created_at - interval '50 seconds'`);
    await put({ n: 2 }, { onDuplicate: 'debounce', delayMs: 60_000, maxWaitMs: 90_000 });
    const row = await jobs.read(jobs.a, first);
    expect(row).toMatchObject({ status: 'scheduled', payload: { n: 2 } });
    // 60 s more would be 50 s beyond what the first allows.
    expect(row?.waits_s).toBeGreaterThan(10);
    expect(row?.waits_s).toBeLessThan(41);
    await jobs.database.admin.query(`update plinth_jobs.unique_keys set created_at = created_at - interval '1 hour'`);
    await put({ n: 3 }, { onDuplicate: 'debounce', delayMs: 60_000, maxWaitMs: 90_000 });
    expect(await jobs.read(jobs.a, first)).toMatchObject({ status: 'pending', payload: { n: 3 } });
    expect(await errorCode(put({}, { onDuplicate: 'debounce' }))).toBe('jobs_job_invalid');
  });

  test('replace and debounce give a job that waits for others its time, and leave one alone whose time is over', async () => {
    const first = await jobs.enqueue(jobs.a, 'other');
    const waits = await put({ n: 1 }, { dependsOn: [first] });
    await put({ n: 2 }, { onDuplicate: 'replace', delayMs: 60_000 });
    await jobs.settle((await jobs.claim(1, ['other']))[0] as ClaimedJob, 'completed');
    expect(await jobs.read(jobs.a, waits)).toMatchObject({ status: 'scheduled', payload: { n: 2 } });
    await jobs.clear();
    const before = await jobs.enqueue(jobs.a, 'other');
    const twice = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      const id = tx.jobs.enqueue('k', { n: 1 }, { uniqueKey: 'u', dependsOn: [before], delayMs: 3_600_000 });
      tx.jobs.enqueue('k', { n: 2 }, { uniqueKey: 'u', onDuplicate: 'replace' });
      return id;
    });
    await jobs.settle((await jobs.claim(1, ['other']))[0] as ClaimedJob, 'completed');
    expect(await jobs.read(jobs.a, twice)).toMatchObject({ status: 'pending', payload: { n: 2 } });
    await jobs.clear();
    const over = await put({ n: 1 }, { uniqueForMs: 60_000 });
    await jobs.database.admin.query('update plinth_jobs.unique_keys set expires_at = clock_timestamp()');
    const next = await put({ n: 2 }, { onDuplicate: 'replace' });
    expect(await jobs.read(jobs.a, over)).toMatchObject({ payload: { n: 1 } });
    expect(await jobs.read(jobs.a, next)).toMatchObject({ payload: { n: 2 } });
  });

  test.each<[string, Options, number]>([
    ['until done', {}, 1],
    ['until started', { onDuplicate: 'debounce', delayMs: 0 }, 2],
    ['for a time that is over', { uniqueForMs: 60_000 }, 2],
  ])('a dead letter that held it %s runs again: what comes meanwhile is left out only if it would have been before', async (_until, options, count) => {
    const first = await put({}, { maxAttempts: 1, ...options });
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
    await jobs.database.admin.query('update plinth_jobs.unique_keys set expires_at = clock_timestamp()');
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.retry_job($1)', [first]));
    await jobs.claimOne();
    await put({}, options);
    expect((await live()).length).toBe(count);
  });

  test('a job may depend on one that the same call leaves out: it waits for the holder', async () => {
    const first = await put({});
    const second = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      const same = tx.jobs.enqueue('k', {}, { uniqueKey: 'u' });
      return tx.jobs.enqueue('k', {}, { dependsOn: [same] });
    });
    expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'scheduled' });
    const run = await jobs.claimOne();
    expect(run.id).toBe(first);
    await jobs.settle(run, 'completed');
    expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'pending' });
  });

  test('in one bulk call the first of a key is written and the others meet it', async () => {
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      tx.jobs.enqueueMany(Array.from({ length: 30 }, (_, n) => ({ kind: 'k', payload: { n }, uniqueKey: `u${n % 3}` })));
      tx.jobs.enqueueMany(Array.from({ length: 30 }, (_, n) => ({ kind: 'r', payload: { n }, uniqueKey: `u${n % 3}`, onDuplicate: 'replace' as const })));
      await tx.flush();
      tx.jobs.enqueueMany([
        { kind: 'k', uniqueKey: 'u1' },
        { kind: 'r', payload: { n: 99 }, uniqueKey: 'u1', onDuplicate: 'replace' },
      ]);
    });
    const { rows } = await jobs.database.admin.query(`select kind, payload -> 'n' as n from plinth_jobs.jobs order by kind, n`);
    expect(rows.map((row) => [row.kind, row.n])).toEqual([
      ['k', 0],
      ['k', 1],
      ['k', 2],
      ['r', 27],
      ['r', 29],
      ['r', 99],
    ]);
  });
});

describe('unique keys between transactions', () => {
  const clients: pg.Client[] = [];
  const session = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: jobs.database.serverUrl });
    await client.connect();
    clients.push(client);
    await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${jobs.a}'`);
    return client;
  };
  const schedule = async (client: pg.Client, more = ''): Promise<string> =>
    (await client.query(`select plinth.schedule_job('k', p_unique_key := 'u'${more}) as id`)).rows[0].id;
  const waiting = (client: pg.Client) =>
    expect
      .poll(
        async () =>
          (
            await jobs.database.admin.query(`select wait_event_type from pg_stat_activity where pid = $1`, [
              (client as unknown as { processID: number }).processID,
            ])
          ).rows[0]?.wait_event_type,
      )
      .toBe('Lock');
  afterAll(() => Promise.all(clients.map((client) => client.end())));

  test.each([
    ['commit', 1],
    ['rollback', 1],
  ] as const)('a second waits for the %s of the first, and one job comes of it', async (end, count) => {
    const one = await session();
    const two = await session();
    const first = await schedule(one);
    const second = schedule(two);
    await waiting(two);
    await one.query(end);
    expect((await second) === first).toBe(end === 'commit');
    await two.query('commit');
    expect((await live()).length).toBe(count);
  });

  test('with a lock_timeout it does not wait', async () => {
    const one = await session();
    const two = await session();
    await schedule(one);
    await two.query(`set local lock_timeout = '20ms'`);
    expect(await errorCode(schedule(two))).toBe('55P03');
    await two.query('rollback');
    await one.query('commit');
  });

  test('until started: a job that a duplicate met does not start before the duplicate has committed', async () => {
    const id = await put({}, { uniqueUntil: 'started' });
    const one = await session();
    expect(await schedule(one, `, p_unique_until := 'started'`)).toBe(id);
    expect(await jobs.claim()).toEqual([]);
    await one.query('commit');
    expect((await jobs.claim()).map((job) => job.id)).toEqual([id]);
  });

  test('many at once, with claims and ends in between: never two that hold the key, never none', async () => {
    const modes = [{ uniqueUntil: 'done' }, { uniqueUntil: 'started' }, { onDuplicate: 'replace' }, { onDuplicate: 'debounce', delayMs: 1 }] as const;
    for (const [index, mode] of modes.entries()) {
      const kind = `race${index}`;
      let marks = 0;
      let most = 0;
      let mostWaiting = 0;
      const seen = new Set<number>();
      const enqueuer = async (): Promise<void> => {
        for (let n = 0; n < 15; n++) await jobs.enqueue(jobs.a, kind, { mark: ++marks }, { uniqueKey: 'u', ...mode });
      };
      let done = false;
      const worker = async (): Promise<void> => {
        while (!done || (await live()).length > 0) {
          await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.promote()'));
          const { rows } = await jobs.database.admin.query(
            `select count(*) filter (where status = 'processing')::int as running, count(*) filter (where status <> 'processing')::int as waiting from plinth_jobs.jobs
             where kind = $1 and status in ('scheduled', 'pending', 'processing')`,
            [kind],
          );
          most = Math.max(most, rows[0].running + rows[0].waiting);
          mostWaiting = Math.max(mostWaiting, rows[0].waiting);
          for (const job of await jobs.claim(5, [kind])) {
            seen.add(Number(job.payload.mark));
            await jobs.settle(job, 'completed');
          }
        }
      };
      const working = Promise.all([worker(), worker()]);
      try {
        await Promise.all([enqueuer(), enqueuer(), enqueuer(), enqueuer()]);
      } finally {
        done = true;
        await working;
      }
      expect((await jobs.database.admin.query('select 1 from plinth_jobs.unique_keys')).rowCount, kind).toBe(0);
      expect(mostWaiting, kind).toBe(1);
      if (index === 0) expect(most, kind).toBe(1);
      expect(seen.size, kind).toBeGreaterThan(0);
      const { rows } = await jobs.database.admin.query(`select count(*)::int as n, count(distinct id)::int as ids from plinth_jobs.jobs where kind = $1`, [
        kind,
      ]);
      expect(rows[0].n).toBe(rows[0].ids);
    }
  });
});
