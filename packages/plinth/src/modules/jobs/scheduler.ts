/** One turn of the scheduler: what is due is read, worked out and written by one call, from any number of processes. */
import { PlinthError } from '#kernel/errors.ts';
import { messageOf } from '#kernel/thrown.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { MissedRuns, TickPlan } from './ticks.ts';
import { MISSED_AFTER_MS, planTicks } from './ticks.ts';

/** Schedules of a turn: they stay locked until it commits. */
const BATCH = 500;
/** Jobs of a turn; one schedule that makes up all its ticks may fill it. */
const MOST_JOBS = 1000;

interface DueSchedule {
  tenant_id: string;
  id: string;
  cron: string;
  time_zone: string;
  missed_runs: MissedRuns;
  catch_up_limit: number;
  starts_at: Date | null;
  ends_at: Date | null;
  last_run_at: Date | null;
  tick: string | null;
}

/** The expression that the index schedules_due is over; a schedule whose next tick is not known yet is due at once. */
const NEXT = `coalesce(s.next_run_at, '-infinity'::timestamptz)`;

const DUE = `select s.tenant_id, s.id, s.cron, s.time_zone, s.missed_runs, s.catch_up_limit, s.starts_at, s.ends_at, s.last_run_at, s.next_run_at::text as tick
  from plinth_jobs.schedules s
  where s.enabled and s.error is null and ${NEXT} > $1::timestamptz and ${NEXT} <= $2::timestamptz
  order by ${NEXT} limit $3 for update skip locked`;

/** The first schedule to come: one entry of the index. Null ms: none. The clock is that of the database. */
const FIRST = `select c.now::text as now, (c.now - $1 * interval '1 millisecond')::text as late,
    (select extract(epoch from greatest(${NEXT}, c.now) - c.now)::float8 * 1000
     from plinth_jobs.schedules s where s.enabled and s.error is null and ${NEXT} < 'infinity' order by ${NEXT} limit 1) as ms
  from (select clock_timestamp() as now offset 0) as c`;

const first = async (tx: AnyTransaction): Promise<{ now: string; late: string; ms: number | null }> => {
  const [row] = await tx.query<{ now: string; late: string; ms: number | null }>(FIRST, [MISSED_AFTER_MS]);
  if (!row) throw new Error('the clock of the database did not answer');
  return row;
};

/**
 * Enqueues the jobs of schedules that are due, as their policies say; at most 1,000 jobs and 500 schedules a turn. Ticks that are in
 * time come before those that were missed, so that an outage that is made up holds up nobody. Safe from any number of processes.
 * Returns the jobs enqueued and the ms until the next tick of any schedule (0: more is due now; undefined: none).
 */
export async function runDueSchedules(tx: AnyTransaction): Promise<{ jobIds: string[]; nextInMs: number | undefined }> {
  const { now, late, ms } = await first(tx);
  if (ms === null || ms > 0) return { jobIds: [], nextInMs: ms ?? undefined };
  const inTime = await tx.query<DueSchedule>(DUE, [late, now, BATCH]);
  const missed = inTime.length < BATCH ? await tx.query<DueSchedule>(DUE.replace('> $1', '>= $1'), ['-infinity', late, BATCH - inTime.length]) : [];
  const due = [...inTime, ...missed];
  const { rows, postponed } = planBatch(due, new Date(now), () => tx.newId());
  const enqueued = await tx.query<{ id: string }>('select r as id from plinth_jobs.run_schedules($1::text::jsonb) as r', [JSON.stringify(rows)]);
  const jobIds = enqueued.map(({ id }) => id);
  if (postponed || due.length === BATCH) return { jobIds, nextInMs: 0 };
  return { jobIds, nextInMs: (await first(tx)).ms ?? undefined };
}

/** What plinth_jobs.run_schedules is given. */
interface BatchRow {
  tenant_id: string;
  id: string;
  tick: string | null;
  next?: Date | 'infinity';
  error?: string;
  note?: string | undefined;
  runs: (TickPlan['runs'][number] & { id: string })[];
}

function planBatch(due: readonly DueSchedule[], now: Date, newId: () => string): { rows: BatchRow[]; postponed: boolean } {
  const rows: BatchRow[] = [];
  // A thousand tenants have the same midnight: it is worked out once.
  const plans = new Map<string, TickPlan | string>();
  let jobs = 0;
  let postponed = false;
  for (const schedule of due) {
    const { tenant_id, id, ...timing } = schedule;
    const { tick } = timing;
    const key = JSON.stringify(tick === null ? timing : { ...timing, last_run_at: null });
    const plan = plans.get(key) ?? planOne(schedule, now);
    plans.set(key, plan);
    if (typeof plan === 'string') {
      rows.push({ tenant_id, id, tick, error: plan, runs: [] });
      continue;
    }
    if (jobs > 0 && jobs + plan.runs.length > MOST_JOBS) {
      // The rest is not worked out in vain: a thousand ticks of one schedule take 50 ms, and the process does nothing else meanwhile.
      postponed = true;
      break;
    }
    jobs += plan.runs.length;
    rows.push({ tenant_id, id, tick, next: plan.next ?? 'infinity', note: plan.note, runs: plan.runs.map((run) => ({ id: newId(), ...run })) });
  }
  return { rows, postponed };
}

/**
 * The plan, or the sentence that says why the schedule has to stop: SQL may have written cron text that is not valid, or a start at infinity. Whatever is
 * thrown follows from this row alone, and must not keep those of others from being run.
 */
function planOne(schedule: DueSchedule, now: Date): TickPlan | string {
  const endsAt = schedule.ends_at ?? undefined;
  try {
    const plan = planTicks(
      {
        cron: schedule.cron,
        timeZone: schedule.time_zone,
        startsAt: schedule.starts_at ?? undefined,
        endsAt,
        missedRuns: schedule.missed_runs,
        catchUpLimit: schedule.catch_up_limit,
        tick: schedule.tick,
        lastRunAt: schedule.last_run_at,
      },
      now,
    );
    if (plan.next) return plan;
    if (endsAt) return { ...plan, note: plan.note ?? `no tick is to come: it ends at ${endsAt.toISOString()}` };
    return plan.runs.length > 0 ? plan : 'the cron text names no moment to come';
  } catch (error) {
    return error instanceof PlinthError ? error.message : `its next tick cannot be worked out: ${messageOf(error)}`;
  }
}
