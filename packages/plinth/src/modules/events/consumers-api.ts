import { z } from 'zod';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import { procedure } from '#kernel/rpc.ts';

/** `<module>.<name>`. Called id, because the console's buttons send the id of their row. */
const id = z.string().min(1).max(200);
const reason = z.string().min(1).max(1000);
const count = z.coerce.number().int().min(0);

const consumer = z
  .object({
    consumer: z.string(),
    status: z.enum(['paused', 'failing', 'behind', 'current']),
    waiting: count.meta({ description: 'Unread events; at most 1,000 of each of 8 shards are counted' }),
    waiting_capped: z.boolean().meta({ description: 'There are more than `waiting`' }),
    oldest_waiting_at: z.date().nullable(),
    lag_s: z.number().meta({ description: 'Age of the oldest unread event; 0 when there is none' }),
    handled: count,
    failures: z.number().meta({ description: 'Tries in a row that failed, of the shard with the most' }),
    failing_since: z
      .date()
      .nullable()
      .meta({ description: 'When the first of its tries in a row failed; without failures nobody is to blame: what it needs cannot be reached' }),
    failing_shards: z.array(z.number()),
    last_error: z.string().nullable(),
    retry_at: z.date().nullable(),
    parked: count.meta({ description: 'Open parked events; at most 1,000 are counted' }),
    paused_at: z.date().nullable(),
    paused_until: z.date().nullable(),
    pause_reason: z.string().nullable(),
    paused_by: z.string().nullable(),
    rewound_at: z.date().nullable(),
  })
  .meta({ title: 'Consumer' });
type Consumer = z.infer<typeof consumer>;
const CONSUMERS = `select consumer, status, waiting, waiting_capped, oldest_waiting_at, lag_s, handled, failures, failing_since, failing_shards, last_error, retry_at, parked, paused_at, paused_until,
  pause_reason, paused_by, rewound_at from plinth.consumers`;

const done = z.object({ id: z.string() });

/** Operators run the consumers; whoever has events.retry deals with the parked events of a tenant. */
export const consumersApi = {
  consumers: procedure({ rest: 'GET /events/consumers', permission: 'events.read', operator: true, summary: 'Consumers of the feed: lag, failures, pauses' })
    .output(z.object({ consumers: z.array(consumer) }))
    .query(async ({ ctx }) => ({ consumers: await ctx.tx.query<Consumer>(`${CONSUMERS} order by consumer limit 1000`) })),

  pauseConsumer: procedure({
    rest: 'POST /events/consumers/{id}/pause',
    permission: 'events.admin',
    operator: true,
    summary: 'Gives a consumer no more events',
    description: 'For `for_ms`, or until it is resumed. A batch that it is handling is finished; what it has not read is kept.',
  })
    .input(z.object({ id, reason: reason.default('paused in the console'), for_ms: z.int().min(1).max(31_536_000_000).optional() }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query(`select plinth.pause_consumer($1, $2, $3::float8 * interval '1 millisecond')`, [input.id, input.reason, input.for_ms ?? null]);
      return { id: input.id };
    }),

  resumeConsumer: procedure({ rest: 'POST /events/consumers/{id}/resume', permission: 'events.admin', operator: true, summary: 'Lets a consumer go on' })
    .input(z.object({ id, reason: reason.optional() }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.resume_consumer($1, $2)', [input.id, input.reason ?? null]);
      ctx.tx.signal(FEED_SIGNAL);
      return { id: input.id };
    }),

  rewindConsumer: procedure({
    rest: 'POST /events/consumers/{id}/rewind',
    permission: 'events.admin',
    operator: true,
    summary: 'Makes a consumer read again, or pass over what it has not read',
    description:
      'Exactly one of `to` (beginning: everything that is kept; now: nothing that was committed so far), `position` (what lies behind it) and `at` (what was written since, give or take a second). ' +
      'The handler gets those events a second time. Open parked events that it reads again are superseded. A place ahead of what it has read is refused unless `forward`.',
  })
    .input(
      z.object({
        id,
        reason,
        to: z.enum(['beginning', 'now']).optional(),
        position: z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
        at: z.iso.datetime({ offset: true }).optional(),
        forward: z.boolean().default(false).meta({ description: 'Go there also where that passes over events that it has not read' }),
      }),
    )
    .output(z.object({ shards: z.array(z.object({ shard: z.number(), after_position: count.nullable() })) }))
    .mutation(async ({ ctx, input }) => {
      const shards = await ctx.tx.query<{ shard: number; after_position: number | null }>(
        'select shard, after_position from plinth.rewind_consumer($1, $2, $3, $4, $5, $6)',
        [input.id, input.reason, input.to ?? null, input.position ?? null, input.at ?? null, input.forward],
      );
      ctx.tx.signal(FEED_SIGNAL);
      return { shards };
    }),

  parkNext: procedure({
    rest: 'POST /events/consumers/{id}/park',
    permission: 'events.admin',
    operator: true,
    summary: 'Parks the event of a shard that the consumer fails on, or else the next unread one',
  })
    .input(z.object({ id, shard: z.int().min(0).max(7), reason }))
    .output(z.object({ parked_id: z.guid().nullable() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ id: string | null }>('select plinth.park_next_event($1, $2, $3) as id', [input.id, input.shard, input.reason]);
      ctx.tx.signal(FEED_SIGNAL);
      return { parked_id: row?.id ?? null };
    }),

  forgetConsumer: procedure({
    rest: 'POST /events/consumers/{id}/forget',
    permission: 'events.admin',
    operator: true,
    summary: 'Forgets a consumer that is gone for good',
    description: 'What it has not read no longer holds back retention; what was put aside for it is discarded. One that runs again begins anew.',
  })
    .input(z.object({ id, reason }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.forget_consumer($1, $2)', [input.id, input.reason]);
      return { id: input.id };
    }),

  parkFailing: procedure({
    rest: 'POST /events/parked/{id}/park',
    permission: 'events.retry',
    summary: 'Lets a tenant go on without an event that fails',
    description: 'The event is parked: later events of its tenant no longer wait for it, and it can be tried again.',
  })
    .input(z.object({ id: z.guid(), reason: reason.default('parked in the console') }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.park_failing_event($1, $2)', [input.id, input.reason]);
      ctx.tx.signal(FEED_SIGNAL);
      return { id: input.id };
    }),

  retryParked: procedure({ rest: 'POST /events/parked/{id}/retry', permission: 'events.retry', summary: 'Has a parked or failing event tried again' })
    .input(z.object({ id: z.guid() }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.retry_parked_events(p_id := $1)', [input.id]);
      ctx.tx.signal(FEED_SIGNAL);
      return { id: input.id };
    }),

  retryAllParked: procedure({
    rest: 'POST /events/parked/retry',
    permission: 'events.retry',
    summary: 'Has parked events of a consumer tried again',
    description: 'Those of the tenant, by position, at most 10,000 at a time.',
  })
    .input(z.object({ consumer: id, limit: z.int().min(1).max(10_000).default(1000) }))
    .output(z.object({ count }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ count: number }>('select plinth.retry_parked_events(p_consumer := $1, p_limit := $2) as count', [
        input.consumer,
        input.limit,
      ]);
      ctx.tx.signal(FEED_SIGNAL);
      return { count: row?.count ?? 0 };
    }),

  discardParked: procedure({
    rest: 'POST /events/parked/{id}/discard',
    permission: 'events.retry',
    summary: 'Gives a parked event up',
    description: 'Its consumer never handles it.',
  })
    .input(z.object({ id: z.guid(), reason: reason.default('given up in the console') }))
    .output(done)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.discard_parked_event($1, $2)', [input.id, input.reason]);
      return { id: input.id };
    }),
};
