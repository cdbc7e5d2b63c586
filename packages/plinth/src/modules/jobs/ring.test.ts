/** The ring of ready jobs: what is emptied holds nothing that anybody still needs. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { pagesOf } from '#testing/pages.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_ring');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

type Query = (sql: string) => Promise<Record<string, unknown>[]>;
const rotate = async (query: Query): Promise<unknown> => (await query('select plinth_jobs.rotate(0) as did'))[0]?.did;
const turn = (): Promise<unknown> => jobs.plinth.asWorker({}, (tx) => rotate((sql) => tx.query(sql)));
const openSlot = async (): Promise<unknown> => (await jobs.database.admin.query('select last_value::int as n from plinth_jobs.open_slot')).rows[0]?.n;

test('a slot is emptied once all of its jobs were claimed, and those that wait keep theirs', async () => {
  const first = await jobs.enqueue(jobs.a, 'k');
  const before = await openSlot();
  expect(await turn()).toContain('opened');
  const second = await jobs.enqueue(jobs.b, 'k');
  expect(await openSlot()).not.toBe(before);
  expect((await jobs.claim()).map(({ id }) => id).sort()).toEqual([first, second].sort());
  const waiting = await jobs.enqueue(jobs.a, 'k');
  expect(await turn()).toContain(`emptied ${before}`);
  expect(await jobs.claim()).toMatchObject([{ id: waiting }]);
});

test('a snapshot from before a job was enqueued empties nothing', async () => {
  await jobs.plinth.asWorker({ isolation: 'repeatable read' }, async (tx) => {
    await tx.query('select count(*) from plinth_jobs.jobs');
    const id = await jobs.enqueue(jobs.a, 'k');
    // The slot of the job is closed, and looks empty from here.
    await turn();
    expect(await tx.query('select id from plinth_jobs.jobs where id = $1', [id])).toEqual([]);
    expect(await rotate((sql) => tx.query(sql))).toBeNull();
  });
  expect(await jobs.claim()).toHaveLength(1);
});

test('what waits in a closed slot is indexed a part at a time, in the open one not at all', async () => {
  const { admin } = jobs.database;
  /** Ranges of the slot without a summary; they have one afterwards. */
  const bare = async (slot: unknown): Promise<number> =>
    Number((await admin.query(`select pg_catalog.brin_summarize_new_values('plinth_jobs.jobs_ready_${slot}_ids') as n`)).rows[0]?.n);
  while (String(await turn()).includes('emptied'));
  const filled = await openSlot();
  const ids = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) =>
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 1_500 }, () => ({})),
    ),
  );
  expect(await turn()).toContain('opened');
  const summarise = (): Promise<boolean | undefined> =>
    jobs.plinth.asWorker({}, async (tx) => (await tx.query<{ more: boolean }>('select plinth_jobs.summarise_ring(1) as more'))[0]?.more);
  const answers: unknown[] = [];
  do answers.push(await summarise());
  while (answers.at(-1));
  expect(answers.length).toBeGreaterThan(1);
  expect(await bare(filled)).toBe(0);
  const { rows } = await admin.query('select from plinth_jobs.jobs where id = $1', [ids[700]]);
  expect(rows).toHaveLength(1);
  // Its first range would be written anew by every insert.
  await jobs.enqueue(jobs.a, 'k');
  expect(await bare(await openSlot())).toBe(1);
});

test('a job is found by its id without reading the backlog of others', async () => {
  const { admin } = jobs.database;
  const id = await jobs.enqueue(jobs.a, 'k');
  const slot = await openSlot();
  await admin.query(`insert into plinth_jobs.jobs_ready_${slot} (tenant_id, kind, slot) select $1, 'k', $2 from generate_series(1, 30000) n`, [jobs.b, slot]);
  const look = () => pagesOf(jobs.database, { role: 'plinth_app', tenantId: jobs.a }, `select * from plinth.background_jobs where id = '${id}'`);
  const before = await look();
  expect(await turn()).toContain('opened');
  await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.summarise_ring(100000)'));
  // The whole of it is more than a thousand pages.
  expect(before).toBeGreaterThan(500);
  expect(await look()).toBeLessThan(200);
});

test('jobs that wait for long keep no slot from being emptied: they move on and keep their place, but for those that somebody has locked', async () => {
  const { a, b, database } = jobs;
  while (String(await turn()).includes('emptied'));
  const strays: string[] = [];
  const locked = await jobs.enqueue(b, 'waits');
  const holder = await database.admin.connect();
  await holder.query(`begin; select from plinth_jobs.jobs_ready_${await openSlot()} where id = '${locked}' for update`);
  try {
    for (let n = 0; n < 4; n++) {
      strays.push(await jobs.enqueue(a, 'waits'));
      await turn();
    }
    const did: unknown[] = [];
    for (let n = 0; n < 6; n++) did.push(await turn());
    // Of four slots one is open and one is locked.
    expect(did.filter((one) => /emptied .*opened/.test(String(one))).length).toBeGreaterThan(1);
    for (const id of strays) expect((await jobs.claim(1, ['waits'])).map((job) => job.id)).toEqual([id]);
  } finally {
    await holder.query('rollback');
    holder.release();
  }
  expect((await jobs.claim(10, ['waits'])).map((job) => job.id)).toEqual([locked]);
});

test('a slot in which many wait is a backlog and is left as it is', async () => {
  const { admin } = jobs.database;
  for (let n = 0; n < 4; n++)
    await admin.query(`insert into plinth_jobs.jobs_ready_${n} (tenant_id, kind, slot) select $1, 'waits', $2 from generate_series(1, 11) n`, [jobs.a, n]);
  const gather = (most: number) => jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.gather_strays($1)::int as n', [most]));
  expect(await gather(10)).toEqual([{ n: 0 }]);
  expect(await gather(11)).toEqual([{ n: 11 }]);
});
