/** What may not be found in the database of a crashing world once everything has been worked off. */
import { setTimeout as pause } from 'node:timers/promises';
import type { CrashingWorld } from './crash.fixture.ts';

/** Tries until it worked, however often the database goes away: the truth is in the table. */
export async function insist(body: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await body();
      return;
    } catch (error) {
      const code = String((error as { code?: unknown }).code);
      if (
        !['kernel_unavailable', 'kernel_timeout', 'kernel_read_only', '25006'].includes(code) &&
        !/^(57P|08|53|ECONN)/.test(code) &&
        !/Connection terminated|ECONN/.test(String(error))
      )
        throw error;
      await pause(20);
    }
  }
}

/** Before the next order: longer where the last one took long, so that a busy machine has fewer to work off in the end. */
export const breath = (beganMs: number, leastMs: number, over: AbortSignal): Promise<void> =>
  pause(Math.min(2_000, leastMs + 8 * (performance.now() - beganMs)), undefined, { signal: over }).catch(() => {});

/** What is not as it has to be, by name: each a query that finds nothing when all is well. */
const FAULTS = {
  'orders without their event, or with two': `select o.*, count(e.id) from shop.orders o left join plinth_events.events e on e.tenant_id = o.tenant_id and e.type = 'order.placed' and e.payload->>'key' = o.key and (e.payload->>'n')::int = o.n group by 1, 2, 3 having count(e.id) <> 1`,
  'orders without their audit entry, or with two': `select o.*, count(e.id) from shop.orders o left join plinth_audit.entries e on e.tenant_id = o.tenant_id and e.action = 'order.placed' and e.entity_id = o.key || ' ' || o.n group by 1, 2, 3 having count(e.id) <> 1`,
  'orders without one of their nine jobs, or with more': `select o.*, count(j.id) from shop.orders o left join plinth_jobs.jobs j on j.tenant_id = o.tenant_id and j.kind like 'crash.%' and j.payload->>'key' = o.key and (j.payload->>'n')::int = o.n group by 1, 2, 3 having count(j.id) <> 9`,
  'what is there of orders that are not': `select * from (select tenant_id, 'event' as what, payload->>'key' as key, (payload->>'n')::int as n from plinth_events.events where type = 'order.placed'
    union all select tenant_id, 'entry', split_part(entity_id, ' ', 1), split_part(entity_id, ' ', 2)::int from plinth_audit.entries where action = 'order.placed'
    union all select tenant_id, kind, payload->>'key', (payload->>'n')::int from plinth_jobs.jobs where kind like 'crash.%' and payload ? 'key'
    union all select tenant_id, what, id, n from shop.took where what in ('message', 'read')) x where not exists (select from shop.orders o where (o.tenant_id, o.key, o.n) = (x.tenant_id, x.key, x.n))`,
  'jobs that took effect not once': `select j.tenant_id, j.id, j.kind, j.status, count(t.id) from plinth_jobs.jobs j left join shop.took t on t.id = j.id::text where j.kind like 'crash.%' and j.kind not in ('crash.tick', 'crash.loose') group by 1, 2, 3, 4 having count(t.id) <> 1 or j.status <> 'completed'`,
  // An attempt that was under way in a restore may have lost what it wrote, and its outcome is taken all the same.
  'loose jobs that took no effect': `select j.id, j.status from plinth_jobs.jobs j where j.kind = 'crash.loose' and (j.status <> 'completed' or (not exists (select from shop.took t where t.id = j.id::text) and not (j.started_at < :moment and j.finished_at > :moment)))`,
  'batches without their callback, or with two': `select b.id, b.status, count(t.id) from plinth.job_batches b left join plinth_jobs.jobs j on j.kind = 'crash.published' and j.payload->'batch'->>'id' = b.id::text left join shop.took t on t.id = j.id::text group by 1, 2 having count(t.id) <> 1`,
  'flows out of order': `select l.n from shop.took l where l.what in ('second', 'last') and not exists (select from shop.took b where b.tenant_id = l.tenant_id and b.n = l.n and b.what = case l.what when 'last' then 'second' else 'first' end and b.at < l.at)`,
  'messages that took effect not once': `select o.*, count(t.id) from shop.orders o left join shop.took t on t.what = 'message' and (t.tenant_id, t.id, t.n) = (o.tenant_id, o.key, o.n) group by 1, 2, 3 having count(t.id) <> 1`,
  'messages out of the order of their group': `select * from (select t.*, lag(t.n) over (partition by t.tenant_id, t.id order by t.at) as before from shop.took t where t.what = 'message') m where m.before > m.n`,
  'messages that are left': `select tenant_id, status, error from plinth.message_queue where status <> 'completed'`,
  'orders that the consumer read not once': `select o.*, count(t.id) from shop.orders o left join shop.took t on t.what = 'read' and (t.tenant_id, t.id, t.n) = (o.tenant_id, o.key, o.n) group by 1, 2, 3 having count(t.id) <> 1`,
  'ticks that had two jobs': `select causation_id, payload->>'scheduled_for' from plinth_jobs.jobs where kind = 'crash.tick' group by 1, 2 having count(*) > 1`,
  'ticks that took effect not once': `select j.id, j.status, count(t.id) from plinth_jobs.jobs j left join shop.took t on t.what = 'tick' and t.tenant_id = j.tenant_id and t.id = (j.payload->>'schedule') || ' ' || (j.payload->>'scheduled_for') where j.kind = 'crash.tick' group by 1, 2 having count(t.id) <> 1 or j.status <> 'completed'`,
  'schedules with ticks that have no job': `select s.name, count(j.id), min(j.payload->>'scheduled_for') from plinth_jobs.schedules s left join plinth_jobs.jobs j on j.causation_id = s.id where s.kind = 'crash.tick' group by s.id, s.tenant_id, s.name, s.next_run_at having count(j.id) < 6 or count(j.id) <> extract(epoch from s.next_run_at - min((j.payload->>'scheduled_for')::timestamptz)) / 60`,
  'an inline projection that counts wrong': `select * from (select tenant_id, key, count(*) as n from shop.orders group by 1, 2) o full join shop.live l using (tenant_id, key) where o.n is distinct from l.n`,
  'an async projection that counts wrong': `select * from (select tenant_id, key, count(*) as n from shop.orders group by 1, 2) o full join shop.later l using (tenant_id, key) where o.n is distinct from l.n`,
  'deliveries that are left': `select id, status, attempts, last_error from plinth_webhooks.deliveries`,
  'jobs that are left': `select id, kind, status, error from plinth_jobs.jobs where status not in ('completed') and kind like 'crash.%'`,
};

export async function faults(world: CrashingWorld): Promise<Record<string, unknown[]>> {
  const found: Record<string, unknown[]> = {};
  for (const [name, text] of Object.entries(FAULTS)) {
    const some = (await world.admin.query(text.replaceAll(':moment', `timestamptz '${world.moment}'`))).rows;
    if (some.length > 0) found[name] = [some.length, ...some.slice(0, 3)];
  }
  return found;
}

/** What else is known when something is left: what the schedules, jobs, feeds and workers stand at, and what the workers said. */
const STATE = {
  schedules: 'select name, next_run_at, last_run_at, error, note from plinth_jobs.schedules where error is not null or next_run_at < clock_timestamp()',
  jobs: `select kind, status, count(*), min(run_at), max(attempts) from plinth_jobs.jobs where status <> 'completed' group by 1, 2`,
  'messages of the queue': `select tenant_id, status, count(*) from plinth.message_queue group by 1, 2`,
  workers: 'select to_jsonb(w) as worker from plinth_jobs.workers w',
  feeds: 'select to_jsonb(c) as cursor from plinth_kernel.feed_cursors c where c.failures > 0 or c.lost > 0 or c.aside or c.s2 is not null',
  sessions: `select application_name, state, wait_event, clock_timestamp() - state_change as since, left(query, 200) as query from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`,
};

/** The faults that are left when everything was worked off, or after two minutes, and then with what they stand in. */
export async function faultsInTheEnd(world: CrashingWorld): Promise<Record<string, unknown[]>> {
  const end = performance.now() + 120_000;
  for (;;) {
    const found = await faults(world);
    if (Object.keys(found).length === 0) return found;
    if (performance.now() > end) {
      const state: Record<string, unknown[]> = { 'what the workers said': world.log.slice(-30) };
      for (const [name, text] of Object.entries(STATE)) state[name] = (await world.admin.query(text)).rows;
      console.error(JSON.stringify({ ...found, ...state }, null, 1));
      return found;
    }
    await pause(300);
  }
}
