/** Jobs that the clock enqueues. The table tells the next tick of each schedule; this works out the one after it. */
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JobDefinition } from '#kernel/work.ts';
import { nextTick } from './cron.ts';

/** Tenant of the jobs that serve the whole installation; the same as plinth_jobs.system_tenant(). */
export const SYSTEM_TENANT = '00000000-0000-7000-8000-706c696e7468';

export interface ScheduleInput {
  /** Unique in the tenant. */
  name: string;
  cron: string;
  timeZone?: string | undefined;
  kind: string;
  payload?: Record<string, unknown> | undefined;
  queue?: string | undefined;
  priority?: number | undefined;
  maxAttempts?: number | undefined;
  enabled?: boolean | undefined;
}

/** Makes or changes the schedule of that name in the tenant of the transaction. Returns its id. Errors: jobs_schedule_invalid. */
export async function putSchedule(tx: AnyTransaction, input: ScheduleInput, source: { tenantId?: string; source?: 'card' } = {}): Promise<string> {
  const timeZone = input.timeZone ?? 'UTC';
  const [at] = await tx.query<{ now: Date }>('select clock_timestamp() as now');
  const next = nextTick(input.cron, timeZone, at?.now ?? tx.now());
  const [row] = await tx.query<{ id: string }>('select plinth_jobs.put_schedule($1) as id', [
    JSON.stringify({
      tenant_id: source.tenantId,
      source: source.source,
      name: input.name,
      cron: input.cron,
      time_zone: timeZone,
      kind: input.kind,
      payload: input.payload,
      queue: input.queue,
      priority: input.priority,
      max_attempts: input.maxAttempts,
      enabled: input.enabled,
      next_run_at: next,
    }),
  ]);
  return row?.id ?? '';
}

/** Makes the schedules of the cards' jobs those of the table; schedules whose card is gone are deleted. */
export async function syncCardSchedules(tx: AnyTransaction, definitions: Readonly<Record<string, JobDefinition>>): Promise<void> {
  const scheduled = Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1));
  const names: string[] = [];
  for (const [kind, { schedule }] of scheduled) {
    if (!schedule) continue;
    names.push(kind);
    await putSchedule(tx, { name: kind, kind, ...schedule }, { tenantId: SYSTEM_TENANT, source: 'card' });
  }
  await tx.query(`delete from plinth_jobs.schedules where tenant_id = $1 and source = 'card' and name <> all ($2)`, [SYSTEM_TENANT, names]);
}

interface DueSchedule {
  tenant_id: string;
  id: string;
  cron: string;
  time_zone: string;
  /** Text, because a Date would lose its microseconds, and the tick is compared. */
  tick: string | null;
  now: Date;
}

/** Schedules looked at in one transaction. */
const BATCH = 100;

/**
 * Enqueues the jobs of every schedule that is due, one job a tick: of ticks that were missed only one is made up. Safe from
 * any number of processes. Returns the jobs enqueued and the ms until the next tick of any schedule (undefined: none).
 */
export async function runDueSchedules(tx: AnyTransaction): Promise<{ jobIds: string[]; nextInMs: number | undefined }> {
  const due = await tx.query<DueSchedule>(
    `select tenant_id, id, cron, time_zone, next_run_at::text as tick, clock_timestamp() as now from plinth_jobs.schedules
     where enabled and (next_run_at is null or next_run_at <= (select clock_timestamp())) and error is null
     order by next_run_at nulls first limit ${BATCH} for update skip locked`,
  );
  const jobIds: string[] = [];
  for (const schedule of due) {
    const jobId = await runOne(tx, schedule);
    if (jobId) jobIds.push(jobId);
  }
  const [wait] = await tx.query<{ ms: number | null }>(
    `select extract(epoch from min(next_run_at) - clock_timestamp())::float8 * 1000 as ms from plinth_jobs.schedules where enabled and error is null`,
  );
  return { jobIds, nextInMs: due.length === BATCH ? 0 : (wait?.ms ?? undefined) };
}

async function runOne(tx: AnyTransaction, schedule: DueSchedule): Promise<string | undefined> {
  let next: Date | undefined;
  try {
    next = nextTick(schedule.cron, schedule.time_zone, schedule.now);
  } catch (error) {
    // Written by SQL with bad cron text: it stops, visibly, until it is corrected.
    await tx.query('update plinth_jobs.schedules set error = $3 where tenant_id = $1 and id = $2', [
      schedule.tenant_id,
      schedule.id,
      (error as Error).message.slice(0, 1000),
    ]);
    return undefined;
  }
  if (!schedule.tick) {
    await tx.query('update plinth_jobs.schedules set next_run_at = $3, error = $4 where tenant_id = $1 and id = $2', [
      schedule.tenant_id,
      schedule.id,
      next ?? null,
      next ? null : 'the cron text names no moment to come',
    ]);
    return undefined;
  }
  const [row] = await tx.query<{ id: string | null }>('select plinth_jobs.run_schedule($1, $2, $3, $4, $5) as id', [
    schedule.tenant_id,
    schedule.id,
    schedule.tick,
    next ?? 'infinity',
    tx.newId(),
  ]);
  return row?.id ?? undefined;
}
