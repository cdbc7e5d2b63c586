/** What `plinth doctor` finds of the work that there is: whether somebody does it, and what waits. When it is too long is said by the alerts of docs/runbook.md. */
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { queueDepths, schedulerHealth } from '#modules/jobs';
import { maintenanceHealth, partitionWarnings } from '#modules/maintenance';
import { messageDepths } from '#modules/queue';
import { failingLanes } from '#modules/webhooks';
import { type Finding, ok, warning } from './doctor-finding.ts';

const LONGEST_MS = 10_000;
const LATE_S = 120;
const LONG_WAIT_MS = 300_000;
const FAILING_LANES = 10;
const OLD_MAINTENANCE_S = 172_800;
/** Queues that are named, of those that the metrics tell. */
const [NAMED, READ] = [3, 100];

const PAUSES = `select coalesce(job_type, queue, concurrency_key, 'everything') as what, reason from plinth.job_pauses
  where status = 'active' and tenant_id = '00000000-0000-0000-0000-000000000000' order by paused_at limit 5`;

async function jobs(tx: AnyTransaction): Promise<Finding[]> {
  const { workers, lateS } = await schedulerHealth(tx);
  const paused = await tx.query<{ what: string; reason: string | null }>(PAUSES);
  return [
    workers > 0
      ? ok('workers', `${workers} give signs of life`)
      : warning(
          'workers',
          'none gives signs of life: no job, schedule or webhook runs',
          'Start one: plinth worker. Where one runs, its log says what keeps it from the database.',
        ),
    ...(workers > 0 && lateS > LATE_S
      ? [warning('schedules', `the first that is due is ${Math.round(lateS)} s late`, 'See what workers log of their loop schedule.')]
      : []),
    ...paused.map(({ what, reason }) =>
      warning(
        'pauses',
        `${what} is paused for every tenant: ${reason ?? 'no reason'}`,
        'plinth.resume_jobs(id) takes it back, with the id in plinth.job_pauses.',
      ),
    ),
  ];
}

const webhooks = async (tx: AnyTransaction): Promise<Finding[]> => {
  const failing = await failingLanes(tx);
  if (failing <= FAILING_LANES) return [];
  return [
    warning(
      'webhooks',
      `${failing} subscriptions fail`,
      'Their errors are in plinth.event_delivery_log: where they are alike, our way out is at fault (egress policy, proxy, DNS).',
    ),
  ];
};

async function maintenance(tx: AnyTransaction): Promise<Finding[]> {
  const { partitions, ageS = 0 } = await maintenanceHealth(tx);
  return [
    ...partitionWarnings(partitions).map((text) => {
      const [seen = '', ...way] = text.split(': ');
      return warning('maintenance', seen, way.join(': '));
    }),
    ...(ageS > OLD_MAINTENANCE_S
      ? [
          warning(
            'maintenance',
            `was completed ${Math.round(ageS / 3_600)} hours ago`,
            'plinth.maintenance_runs and plinth.maintenance_steps have the error; plinth maintain daily runs it now.',
          ),
        ]
      : []),
  ];
}

const waiting = (check: string, wayOut: string, depths: readonly { queue: string; waiting: number; oldest_wait_ms: number }[]): Finding[] =>
  depths
    .filter(({ oldest_wait_ms }) => oldest_wait_ms > LONG_WAIT_MS)
    .sort((a, b) => b.oldest_wait_ms - a.oldest_wait_ms)
    .slice(0, NAMED)
    .map(({ queue, waiting: n, oldest_wait_ms }) =>
      warning(`${check} ${queue}`, `${n.toLocaleString('en')} wait, the oldest for ${Math.round(oldest_wait_ms / 1_000)} s`, wayOut),
    );

/** Of the modules that the application has. */
export async function workFindings(plinth: Plinth<ModuleMap>): Promise<Finding[]> {
  const { modules } = plinth;
  const seen = await plinth.asReader({ timeoutMs: LONGEST_MS }, async (tx) => [
    ...(modules.jobs ? await jobs(tx) : []),
    ...(modules.webhooks ? await webhooks(tx) : []),
    ...(modules.maintenance ? await maintenance(tx) : []),
  ]);
  const waits = await plinth.asWorker({ readOnly: true, timeoutMs: LONGEST_MS }, async (tx) => [
    ...(modules.jobs
      ? waiting('queue', 'plinth.explain_job(id) says for one of plinth.background_jobs why; otherwise add workers or slots.', await queueDepths(tx, READ))
      : []),
    ...(modules.queue ? waiting('message queue', 'Nobody receives from it, or too slowly.', await messageDepths(tx, READ)) : []),
  ]);
  return [...seen, ...waits];
}
