/** Seed 000: common queries and alert conditions. `'org-uuid'` stands for a uuid there and is replaced by the tenant's; nothing else is. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import maintenance from '../../packages/plinth/src/modules/maintenance/module.ts';
import { promiseSeed, promiseTables, type SeedDatabase, seedDatabase, snippetsOf } from './seed.ts';

let database: SeedDatabase;
beforeAll(async () => {
  database = await seedDatabase('seed 000');
  await database.admin.query(`
    insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_type, attempt, status, url)
    select t.id, plinth_kernel.uuid_v7(), plinth_kernel.uuid_v7(), 'order.created', 1, s.status, 'https://example.com/'
    from plinth_kernel.tenants as t cross join (values ('delivered'), ('delivered'), ('delivered'), ('failed')) as s (status) where t.slug in ('tenant-a', 'tenant-b')`);
  for (const tenant of [database.tenantA, database.tenantB]) {
    await database.rows(`select public.publish_event('order.created', '{"total": 5}')`, tenant);
    await database.rows(`select public.log_audit_event(p_action := 'job.closed', p_resource_type := 'job', p_resource_id := 'job-uuid')`, tenant);
  }
});
afterAll(() => database.drop());

interface Event {
  org_id: string;
  event_type: string;
  status: string;
}

const NEXT_JOB = 'Get Next Background Job: SELECT * FROM background_jobs';

promiseSeed({
  snippets: snippetsOf('000'),
  database: () => database,
  executed: {
    "Multi-Tenancy: SELECT * FROM events WHERE org_id = 'org-uuid';": async (text) => {
      const own = text.replace('org-uuid', database.tenantA);
      expect(await database.rows<Event>(own)).toMatchObject([{ org_id: database.tenantA, event_type: 'order.created' }]);
      expect(await database.rows(own, database.tenantB)).toEqual([]);
    },
    'Process Pending Events: SELECT * FROM events': async (text) => {
      expect(await database.rows<Event>(text)).toMatchObject([
        { org_id: database.tenantA, event_type: 'order.created', status: 'pending', next_retry_at: null },
      ]);
    },
    [NEXT_JOB]: async (text) => {
      await database.rows(`select public.schedule_job('report', 'later', p_priority := 9), public.schedule_job('report', 'first', p_priority := 1)`);
      await database.rows(`select public.schedule_job('report', 'of another tenant', p_priority := 1)`, database.tenantB);
      await database.as(async (one) => {
        expect(await one.query(text)).toMatchObject([{ job_name: 'first', status: 'pending' }]);
        // A second worker passes over the row that the first one holds, and takes the next.
        await database.as(async (other) => expect(await other.query(text)).toMatchObject([{ job_name: 'later' }]));
      });
    },
    'Audit Trail for Entity: SELECT * FROM audit_logs': async (text) => {
      expect(await database.rows(text)).toMatchObject([{ org_id: database.tenantA, action: 'job.closed', actor_id: 'ann' }]);
    },
    'Alert Conditions: Alert if event queue is backed up (>1000 pending)': async (text) => {
      expect(await database.rows(text)).toEqual([{ count: '1' }]);
    },
    'Alert Conditions: Alert if webhook delivery failures exceed 10%': async (text) => {
      const [row] = await database.rows<Record<string, string>>(text);
      expect(Object.values(row ?? {}).map(Number)).toEqual([25]);
    },
  },
  pending: {
    "Multi-Tenancy: SELECT * FROM notifications WHERE org_id = 'org-uuid' AND user_id = 'user-uuid';": { module: 'notifications', needs: ['notifications'] },
    'Get Unread Notifications: SELECT * FROM notifications': { module: 'notifications', needs: ['notifications'] },
    'Alert Conditions: Alert if email delivery rate drops below 95%': { module: 'email', needs: ['email_logs'] },
  },
});

promiseTables(() => database, ['audit_logs', 'audit_log_retention_policy', 'events', 'event_subscriptions', 'event_delivery_log', 'background_jobs'], {
  notifications: ['notifications'],
  email: ['email_logs', 'email_templates'],
  files: ['file_uploads'],
  engagement: ['engagement_tracking'],
  timeline: ['project_timeline', 'session_metadata'],
  context: ['org_context_cache'],
  payments: ['payment_transactions'],
  sessions: ['user_session_context'],
});

test('the daily, weekly and monthly tasks of the document are scheduled jobs', () => {
  const crons = Object.entries(maintenance.jobs ?? {}).flatMap(([kind, { schedule }]) => (schedule ? [`${kind} ${schedule.cron}`] : []));
  expect(crons).toEqual(['maintenance.daily 0 3 * * *', 'maintenance.weekly 0 4 * * 0', 'maintenance.monthly 0 5 1 * *']);
});

/** Its five steps under "Background Job Pattern", by a worker that has SQL alone. */
test('a job is polled by priority, processed and completed with its result, or tried again until its attempts are used up', async () => {
  interface Job {
    id: string;
    status: string;
    attempts: number;
    error: string | null;
    result: unknown;
  }
  const next = snippetsOf('000').find(({ name }) => name === NEXT_JOB)?.text ?? '';
  const take = (): Promise<string | undefined> =>
    database.as(async (tx) => {
      const [job] = await tx.query<Job>(next);
      if (job) await tx.query(`update background_jobs set status = 'processing', started_at = now() where id = $1`, [job.id]);
      return job?.id;
    });
  const fail = (id?: string) =>
    database.rows(`update background_jobs set attempts = attempts + 1, error = 'boom', status = case when attempts + 1 < max_attempts then 'pending' else 'failed' end,
      finished_at = now() where id = '${id}'`);
  const complete = (id?: string) =>
    database.rows(`update background_jobs set attempts = attempts + 1, status = 'completed', result = '{"rows": 3}', finished_at = now() where id = '${id}'`);
  await database.rows(`select public.cancel_job(id) from background_jobs where status = 'pending'`);
  const jobs = await database.rows<Job>(
    `select public.schedule_job('bulk', 'good', p_priority := 2) as id union all select public.schedule_job('bulk', 'bad', p_priority := 1, p_max_attempts := 2)`,
  );
  const [good, bad] = jobs.map(({ id }) => id);
  for (let attempt = 1; attempt <= 2; attempt++) {
    expect(await take()).toBe(bad);
    await fail(bad);
  }
  expect(await take()).toBe(good);
  await complete(good);
  expect(await take()).toBeUndefined();
  expect(await database.rows<Job>(`select id, status, attempts, error, result from background_jobs where job_type = 'bulk' order by priority`)).toEqual([
    { id: bad, status: 'failed', attempts: 2, error: 'boom', result: null },
    { id: good, status: 'completed', attempts: 1, error: null, result: { rows: 3 } },
  ]);
});

test('what its monitoring asks of jobs: how many are pending; completed ones are kept for 7 days, dead letters apart and for longer', async () => {
  expect(await database.rows(`select count(*) from background_jobs where status = 'pending'`)).toEqual([{ count: '0' }]);
  const { rows } = await database.admin.query(`select keep::text, every from plinth_kernel.retention_kinds where kind = 'jobs.jobs'`);
  expect(rows).toEqual([{ keep: '7 days', every: 'day' }]);
});
