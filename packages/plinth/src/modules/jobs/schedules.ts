/** Jobs that the clock enqueues. The table tells the next tick of each schedule; this works out the ones after it. */
import { PlinthError, raiser } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JobSchedule } from '#kernel/work.ts';
import { nextTick } from './cron.ts';
import { MOST_PAYLOAD_BYTES } from './enqueue.ts';
import { errors } from './errors.ts';
import { faultOfText } from './options.ts';
import { isUnholdable } from './storable.ts';
import type { MissedRuns } from './ticks.ts';
import { nextInWindow } from './ticks.ts';

export { runDueSchedules } from './scheduler.ts';

const fail = raiser('jobs', errors);

/** Tenant of the jobs that serve the whole installation; the same as plinth_jobs.system_tenant(). */
export const SYSTEM_TENANT = '00000000-0000-7000-8000-706c696e7468';

/** Keys that the scheduler adds to the payload: the tick, and the first of several missed ticks that the job makes up. */
export const TICK_KEYS = ['scheduled_for', 'missed_since'] as const;
/** What the two may add to a payload. */
const TICK_KEYS_BYTES = 100;

/** Longest spread of a schedule's jobs, ms. */
export const MOST_JITTER_MS = 3_600_000;
/** Most missed ticks that are made up. */
export const MOST_CATCH_UP = 1000;

export interface ScheduleInput {
  /** Unique in the tenant. */
  name: string;
  cron: string;
  /** Default UTC. */
  timeZone?: string | undefined;
  kind: string;
  payload?: Record<string, unknown> | undefined;
  queue?: string | undefined;
  priority?: number | undefined;
  maxAttempts?: number | undefined;
  enabled?: boolean | undefined;
  /** What becomes of ticks that no scheduler was there for. Default `once`: one job makes up all of them. */
  missedRuns?: MissedRuns | undefined;
  /** With `all`: at most the latest so many missed ticks get their jobs, 1 to 1,000. Default 1,000. */
  catchUpLimit?: number | undefined;
  /** The job may start up to so many ms after the tick, 0 to 3,600,000; always the same for one schedule. Default 0. */
  jitterMs?: number | undefined;
  /** No tick before this moment. */
  startsAt?: Date | undefined;
  /** No tick at this moment or later. */
  endsAt?: Date | undefined;
  /** A tick has no job while the one of an earlier tick has not finished. Default false; not with `all`. */
  skipIfRunning?: boolean | undefined;
}

const within = (value: number | undefined, least: number, most: number): boolean =>
  value === undefined || (Number.isInteger(value) && value >= least && value <= most);

const TEXTS = [
  ['name', 200],
  ['kind', 200],
  ['queue', 100],
] as const;

/** What is wrong with a schedule besides its cron text and time zone. */
function faultOf(input: ScheduleInput): [field: string, sentence: string] | undefined {
  const { startsAt, endsAt } = input;
  const ranges: [string, number | undefined, number, number][] = [
    ['priority', input.priority, 1, 100],
    ['max_attempts', input.maxAttempts, 1, 1000],
    ['jitter_ms', input.jitterMs, 0, MOST_JITTER_MS],
    ['catch_up_limit', input.catchUpLimit, 1, MOST_CATCH_UP],
  ];
  for (const [field, value, least, most] of ranges) {
    if (!within(value, least, most)) return [field, `${field} of a schedule is a whole number from ${least} to ${most}, not ${value}`];
  }
  for (const [field, most] of TEXTS) {
    const fault = faultOfText(`The ${field} of a schedule`, input[field], 1, most);
    if (fault) return [field, fault];
  }
  for (const [field, at] of [
    ['starts_at', startsAt],
    ['ends_at', endsAt],
  ] as const) {
    if (at && Number.isNaN(at.getTime())) return [field, `${field} of a schedule is not a moment`];
  }
  if (startsAt && endsAt && startsAt >= endsAt)
    return ['ends_at', `The schedule ends at ${endsAt.toISOString()}, which is not after its start at ${startsAt.toISOString()}`];
  if (input.skipIfRunning && input.missedRuns === 'all')
    return ['skip_if_running', 'A schedule either makes up all missed ticks or skips those that come while a job runs, not both'];
  const taken = TICK_KEYS.find((key) => Object.hasOwn(input.payload ?? {}, key));
  if (taken) return ['payload', `The payload has the key ${taken}, which the scheduler sets`];
  if (isUnholdable(JSON.stringify(input.payload ?? {})))
    return ['payload', 'The payload has a NUL character or half of a surrogate pair, which the database cannot hold'];
  return undefined;
}

/** Errors: jobs_schedule_invalid, jobs_payload_too_large. */
function check(input: ScheduleInput): void {
  const fault = faultOf(input);
  if (fault) throw fail('schedule_invalid', { message: fault[1], detail: { field: fault[0] }, wayOut: 'Correct the field that is named and send it again.' });
  const sizeBytes = Buffer.byteLength(JSON.stringify(input.payload ?? {}));
  const limitBytes = MOST_PAYLOAD_BYTES - TICK_KEYS_BYTES;
  if (sizeBytes > limitBytes) {
    throw fail('payload_too_large', {
      message: `The payload of schedule ${JSON.stringify(input.name)} has ${sizeBytes} bytes; the limit is ${limitBytes}`,
      detail: { limit_bytes: limitBytes, size_bytes: sizeBytes },
    });
  }
}

/** After which a schedule may tick: now, or its last tick where the clock was set back since. */
const beginOf = ({ now, last_run_at: lastRunAt }: { now: Date; last_run_at: Date | null }): Date => (lastRunAt && lastRunAt > now ? lastRunAt : now);

/** The next tick as SQL takes it, and a note when there is none. Errors: jobs_schedule_invalid, also for cron text that never ticks. */
function firstTick(input: ScheduleInput, timeZone: string, now: Date): { next: Date | 'infinity'; note?: string } {
  const next = nextInWindow({ ...input, timeZone }, now);
  if (next) return { next };
  if (!nextTick(input.cron, timeZone, now))
    throw fail('schedule_invalid', { message: `The cron text ${JSON.stringify(input.cron)} names no moment to come`, detail: { field: 'cron' } });
  return { next: 'infinity', note: `no tick is to come: it ends at ${input.endsAt?.toISOString()}` };
}

/** The sentence that would refuse a schedule that stands in code, if it is not valid. */
export function faultOfSchedule(kind: string, schedule: JobSchedule | undefined): string | undefined {
  if (!schedule) return undefined;
  const input = { name: kind, kind, ...schedule };
  try {
    check(input);
    // Text that names a moment to come has named one before, but for what comes once in many years.
    firstTick(input, schedule.timeZone ?? 'UTC', new Date(0));
    return undefined;
  } catch (error) {
    if (error instanceof PlinthError) return error.message;
    throw error;
  }
}

/**
 * Makes or changes the schedule of that name in the tenant of the transaction; what is left out gets its default. Returns its id.
 * A tick that was due and not run yet keeps its job, with what the edit says. Errors: jobs_schedule_invalid, jobs_payload_too_large.
 */
export async function putSchedule(tx: AnyTransaction, input: ScheduleInput, source: { tenantId?: string; source?: 'card' } = {}): Promise<string> {
  check(input);
  const timeZone = input.timeZone ?? 'UTC';
  const [clock] = await tx.query<{ now: Date; last_run_at: Date | null }>(
    `select clock_timestamp() as now, (select s.last_run_at from plinth_jobs.schedules s where s.tenant_id = $1 and s.name = $2) as last_run_at`,
    [source.tenantId ?? tx.context.tenantId, input.name],
  );
  const { next, note } = firstTick(input, timeZone, clock ? beginOf(clock) : tx.now());
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
      missed_runs: input.missedRuns,
      catch_up_limit: input.catchUpLimit,
      jitter_ms: input.jitterMs,
      starts_at: input.startsAt,
      ends_at: input.endsAt,
      skip_if_running: input.skipIfRunning,
      next_run_at: next,
      note,
    }),
  ]);
  return row?.id ?? '';
}

interface SwitchedSchedule {
  cron: string;
  time_zone: string;
  starts_at: Date | null;
  ends_at: Date | null;
  last_run_at: Date | null;
  now: Date;
}

/**
 * Pauses a schedule or lets it go on, from now: what it missed meanwhile it does not owe, what comes after it does, whether a scheduler is up or not. One that runs keeps the
 * tick that it awaits. False: there is none.
 */
export async function switchSchedule(tx: AnyTransaction, scheduleId: string, enabled: boolean): Promise<boolean> {
  const key = [tx.context.tenantId, scheduleId];
  const [found] = await tx.query<SwitchedSchedule>(
    'select cron, time_zone, starts_at, ends_at, last_run_at, clock_timestamp() as now from plinth_jobs.schedules where tenant_id = $1 and id = $2 for update',
    key,
  );
  if (!found) return false;
  await tx.query(
    `update plinth_jobs.schedules set enabled = $3, next_run_at = case when $3 then case when enabled and error is null then next_run_at else $4 end end, error = null,
       updated_at = clock_timestamp() where tenant_id = $1 and id = $2`,
    [...key, enabled, enabled ? resumedAt(found) : null],
  );
  return true;
}

/** Null: SQL wrote what cannot be worked out, and the scheduler will say so. */
function resumedAt(found: SwitchedSchedule): Date | null {
  try {
    const timing = { cron: found.cron, timeZone: found.time_zone, startsAt: found.starts_at ?? undefined, endsAt: found.ends_at ?? undefined };
    return nextInWindow(timing, beginOf(found)) ?? null;
  } catch {
    return null;
  }
}
