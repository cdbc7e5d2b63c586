/** Procedures about how deliveries go out: policy, schedules, resuming and replaying. */
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import { DUE } from './consumer.ts';
import { filter } from './filter.ts';
import { cancelReplay, previewReplay, replayInput, replayRate, resumed, resumeInput, resumeSubscription, startReplay } from './subscription-acts.ts';

const READ = 'webhooks.read';
const WRITE = 'webhooks.write';
const RETRY = 'webhooks.retry';

const id = z.object({ id: z.guid() });
const retrySeconds = z.array(z.number().int().min(1).max(604_800)).min(1).max(50);
const retrySchedule = z.enum(['standard', 'short', 'long', 'none', 'custom']);

const policyFields = {
  ordering: z.enum(['parallel', 'fifo', 'fifo_by_key']),
  order_key: z.string().max(500).describe('path into the payload such as $.customer.id, for fifo_by_key; empty: the stream of the event'),
  poison: z.enum(['skip', 'block']),
  retry_schedule: retrySchedule,
  retry_seconds: retrySeconds,
  max_in_flight: z.number().int().min(1).max(1000),
  rate_per_second: z.number().min(0).max(100_000).describe('0: no limit'),
  disable_after_failures: z.number().int().min(1).max(1_000_000),
  disable_after_seconds: z.number().int().min(0).max(31_536_000),
};
type PolicyField = keyof typeof policyFields;

const setPolicy = procedure({
  rest: 'PATCH /webhooks/subscriptions/{id}/policy',
  permission: WRITE,
  summary: 'Change order, retries, throttles and when to disable; what is left out stays',
})
  .input(z.object(policyFields).partial().extend(id.shape))
  .output(id)
  .mutation(async ({ ctx, input }) => {
    const value = (field: PolicyField): unknown => input[field] ?? null;
    await ctx.tx.query(`select plinth.set_delivery_policy($1, $2, $3, $4, $5, $6, $7, $8, $9, $10 * interval '1 second')`, [
      input.id,
      ...(Object.keys(policyFields) as PolicyField[]).map(value),
    ]);
    ctx.tx.signal(DUE);
    return { id: input.id };
  });

const previewSchedule = procedure({
  rest: 'POST /webhooks/retry-schedules/preview',
  permission: READ,
  summary: 'When a delivery that keeps failing would be tried',
})
  .input(z.object({ schedule: retrySchedule.default('standard'), seconds: retrySeconds.optional() }))
  .output(
    z.array(
      z.object({ attempt: z.number().int(), wait_seconds: z.number(), after_seconds: z.number(), earliest_seconds: z.number(), latest_seconds: z.number() }),
    ),
  )
  .query(({ ctx, input }) =>
    ctx.tx.query(
      'select attempt, wait_seconds, after_seconds::float8 as after_seconds, earliest_seconds, latest_seconds from plinth.preview_retry_schedule($1, $2) order by attempt',
      [input.schedule, input.seconds ?? null],
    ),
  );

const resume = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/resume',
  permission: WRITE,
  summary: 'Send again to a subscription that is disabled or failing',
  description: 'continue: with what waits; skip: what waits is dropped; replay: what waits, and every event since `since`.',
})
  .input(resumeInput)
  .output(resumed)
  .mutation(({ ctx, input }) => resumeSubscription(ctx.tx, input));

const skip = procedure({ rest: 'POST /webhooks/deliveries/{id}/skip', permission: RETRY, summary: 'Give up the delivery that blocks an ordered lane' })
  .input(id)
  .output(z.object({ delivery_id: z.guid() }))
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.skip_delivery($1)', [input.id]);
    ctx.tx.signal(DUE);
    return { delivery_id: input.id };
  });

const what = replayInput.extend({
  filter: filter.nullish().describe('Only what this lets through as well: a jsonpath, or filters of CloudEvents'),
  rate_per_second: replayRate,
});

const preview = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/replays/preview',
  permission: RETRY,
  summary: 'How many deliveries a replay would add at most',
  description: 'With the input of the replay. Counted to the first 100,000 events; filters are judged of the first 10,000. What waits anyway is not counted.',
})
  .input(what)
  .output(z.object({ total: z.number().int() }))
  .mutation(({ ctx, input }) => previewReplay(ctx.tx, input));

const replay = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/replays',
  permission: RETRY,
  summary: 'Send again: a range of time, some ids, or what was given up, narrowed by type and filter',
  description:
    'What was sent before has its webhook-id again. GET /lists/webhooks/replays shows how far it is: added, and left_out by a filter or because it waits anyway.',
})
  .input(what)
  .output(z.object({ replay_id: z.guid() }))
  .mutation(({ ctx, input }) => startReplay(ctx.tx, input));

const cancel = procedure({ rest: 'POST /webhooks/replays/{id}/cancel', permission: RETRY, summary: 'Stop a replay; what it has added goes out' })
  .input(id)
  .output(z.object({ added: z.number().int() }))
  .mutation(({ ctx, input }) => cancelReplay(ctx.tx, input.id));

export const policyApi = { setPolicy, previewSchedule, resume, skip, previewReplay: preview, replay, cancelReplay: cancel };
