import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { AuditEffects } from '#modules/audit';
import { fail } from './errors.ts';
import { acknowledgeMany, extend, hasVisible, receive, release, requireReceiptsOf, wakeReceivers } from './receive.ts';
import type { Payload, QueueTransaction } from './send.ts';
import { queueSignal } from './send.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, '1 to 100 letters, digits, dots, dashes and underscores, the first a letter or digit');
const named = z.object({ name });
const receipt = z.string().min(1).max(100);
const visibilityMs = z.int().min(1).max(43_200_000);
const delayMs = z.int().min(0).max(1_209_600_000);
const json = z.record(z.string(), z.unknown());

const message = z.object({
  // Not z.json(): it copies what it reads, and numbers of more digits than JavaScript holds with it.
  payload: z.unknown().refine((value) => value !== undefined && value !== null, 'a message needs a payload'),
  headers: json.optional(),
  group_key: z.string().min(1).max(200).optional(),
  deduplication_key: z.string().min(1).max(500).optional(),
  delay_ms: delayMs.optional(),
});

const received = z
  .object({
    id: z.guid(),
    payload: z.unknown(),
    headers: json.nullable(),
    group_key: z.string().nullable(),
    receipt: z.string(),
    receives: z.number(),
    visible_until: z.date(),
    sent_at: z.date(),
    correlation_id: z.guid().nullable(),
    causation_id: z.guid().nullable(),
  })
  .meta({ title: 'ReceivedMessage' });

const depth = z
  .object({
    queue: z.string(),
    pending: z.number(),
    processing: z.number(),
    scheduled: z.number(),
    failed: z.number(),
    capped: z.boolean(),
    oldest_seconds: z.number().nullable(),
  })
  .meta({ title: 'MessageQueueDepth' });

const receiveInput = named.extend({
  limit: z.int().min(1).max(1000).default(1),
  visibility_ms: visibilityMs.optional(),
  wait_ms: z.int().min(0).max(20_000).default(0),
});

const audited = (tx: AnyTransaction): AuditEffects => (tx as AnyTransaction & { readonly audit: AuditEffects }).audit;

export const api = {
  depths: procedure({ rest: 'GET /queues', permission: 'queue.read', summary: 'How full the queues are, counted up to 10,000' })
    .input(z.object({}))
    .output(z.object({ queues: z.array(depth) }))
    .query(async ({ ctx }) => ({ queues: await ctx.tx.query<z.infer<typeof depth>>('select * from plinth.queue_depth()') })),

  depth: procedure({ rest: 'GET /queues/{name}', permission: 'queue.read', summary: 'How full a queue is, counted up to 10,000' })
    .input(named)
    .output(depth)
    .query(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<z.infer<typeof depth>>('select * from plinth.queue_depth($1)', [input.name]);
      return row ?? { queue: input.name, pending: 0, processing: 0, scheduled: 0, failed: 0, capped: false, oldest_seconds: null };
    }),

  configure: procedure({ rest: 'PUT /queues/{name}', permission: 'queue.admin', summary: 'Makes or changes a queue' })
    .input(
      named.extend({
        visibility_ms: visibilityMs.optional(),
        max_receives: z.int().min(1).max(1000).optional(),
        retention_s: z.int().min(60).max(1_209_600).optional(),
        max_payload_bytes: z.int().min(1).max(1_048_576).optional(),
        deduplication_window_ms: z.int().min(1000).max(86_400_000).optional(),
        fifo: z.boolean().optional(),
      }),
    )
    .output(z.object({ id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      const { name: queue, ...settings } = input;
      const [row] = await ctx.tx.query<{ id: string }>(
        `select plinth.configure_queue($1, $2 * interval '1 millisecond', $3, $4 * interval '1 second', $5, $6 * interval '1 millisecond', $7) as id`,
        [
          queue,
          input.visibility_ms ?? null,
          input.max_receives ?? null,
          input.retention_s ?? null,
          input.max_payload_bytes ?? null,
          input.deduplication_window_ms ?? null,
          input.fifo ?? null,
        ],
      );
      audited(ctx.tx).record({ action: 'queue.configured', entityType: 'queue', entityId: queue, after: settings });
      return { id: row?.id ?? '' };
    }),

  send: procedure({ rest: 'POST /queues/{name}/messages', permission: 'queue.send', summary: 'Sends one message or up to 1,000' })
    .input(named.extend({ messages: z.array(message).min(1).max(1000) }))
    .output(z.object({ ids: z.array(z.guid()) }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as QueueTransaction;
      const ids = tx.queue.sendMany(
        input.name,
        input.messages.map((one) => ({
          payload: one.payload as Payload,
          headers: one.headers,
          groupKey: one.group_key,
          deduplicationKey: one.deduplication_key,
          delayMs: one.delay_ms,
        })),
      );
      const keys = input.messages.map((one) => one.deduplication_key ?? null);
      if (keys.every((key) => key === null)) return { ids };
      await tx.flush();
      const first = await tx.query<{ key: string; message_id: string }>(
        'select key::text, message_id from plinth_queue.deduplication where tenant_id = $1 and queue = $2 and key = any ($3)',
        [tx.context.tenantId, input.name, keys.filter((key) => key !== null)],
      );
      const holder = new Map(first.map((row) => [row.key, row.message_id]));
      return { ids: ids.map((id, index) => holder.get(keys[index] ?? '') ?? id) };
    }),

  receive: procedure({
    rest: 'POST /queues/{name}/receive',
    permission: 'queue.receive',
    exactJson: true,
    summary: 'Receives messages',
    description: 'Answers at once, or within wait_ms when the queue is empty; it may answer early and empty when another receiver was faster.',
    // Looked at before the transaction of the call is opened, so that who waits holds neither a transaction nor a connection.
    waitFor: (input, tenantId) => {
      const asked = receiveInput.safeParse(input);
      if (!asked.success || asked.data.wait_ms === 0) return undefined;
      const queue = asked.data.name;
      return { signals: [queueSignal(tenantId, queue)], timeoutMs: asked.data.wait_ms, ready: (tx) => hasVisible(tx, queue) };
    },
  })
    .input(receiveInput)
    .output(z.object({ messages: z.array(received) }))
    .mutation(async ({ ctx, input }) => ({
      messages: (await receive(ctx.tx, input.name, { limit: input.limit, visibilityMs: input.visibility_ms })).map(
        ({ tenant_id: _tenant, queue: _queue, ...rest }) => rest,
      ),
    })),

  acknowledge: procedure({
    rest: 'POST /queues/{name}/acknowledge',
    permission: 'queue.receive',
    summary: 'Acknowledges messages',
    description: 'lost names the receipts that did not hold their message any more.',
  })
    .input(named.extend({ receipts: z.array(receipt).min(1).max(1000) }))
    .output(z.object({ acknowledged: z.array(z.string()), lost: z.array(z.string()) }))
    .mutation(async ({ ctx, input }) => {
      await requireReceiptsOf(ctx.tx, input.name, input.receipts);
      const held = await acknowledgeMany(ctx.tx, input.receipts);
      // The next of a group may be waiting for this.
      wakeReceivers(ctx.tx, input.name);
      return { acknowledged: input.receipts.filter((one) => held.has(one)), lost: input.receipts.filter((one) => !held.has(one)) };
    }),

  extend: procedure({ rest: 'POST /queues/{name}/extend', permission: 'queue.receive', summary: 'Hides a received message for longer' })
    .input(named.extend({ receipt, visibility_ms: visibilityMs.optional() }))
    .output(z.object({ visible_until: z.date() }))
    .mutation(async ({ ctx, input }) => {
      await requireReceiptsOf(ctx.tx, input.name, [input.receipt]);
      return { visible_until: await extend(ctx.tx, input.receipt, input.visibility_ms) };
    }),

  release: procedure({ rest: 'POST /queues/{name}/release', permission: 'queue.receive', summary: 'Gives a received message back' })
    .input(
      named.extend({
        receipt,
        delay_ms: delayMs.default(0),
        error: z.string().max(10_000).optional(),
        dead: z.boolean().default(false),
        counted: z.boolean().default(true),
      }),
    )
    .output(z.object({ status: z.enum(['pending', 'scheduled', 'failed']) }))
    .mutation(async ({ ctx, input }) => {
      await requireReceiptsOf(ctx.tx, input.name, [input.receipt]);
      const status = await release(ctx.tx, input.receipt, { delayMs: input.delay_ms, error: input.error, dead: input.dead, counted: input.counted });
      wakeReceivers(ctx.tx, input.name);
      return { status };
    }),

  redrive: procedure({ rest: 'POST /queues/{name}/redrive', permission: 'queue.admin', summary: 'Puts dead letters back into their queue' })
    .input(named.extend({ ids: z.array(z.guid()).min(1).max(1000).optional(), limit: z.int().min(1).max(1000).default(1000) }))
    .output(z.object({ ids: z.array(z.guid()) }))
    .mutation(async ({ ctx, input }) => {
      const rows = await ctx.tx.query<{ id: string }>('select redrive_messages as id from plinth.redrive_messages($1, $2, $3)', [
        input.name,
        input.ids ?? null,
        input.limit,
      ]);
      if (rows.length > 0) audited(ctx.tx).record({ action: 'queue.redriven', entityType: 'queue', entityId: input.name, metadata: { messages: rows.length } });
      wakeReceivers(ctx.tx, input.name);
      return { ids: rows.map(({ id }) => id) };
    }),

  redriveOne: procedure({ rest: 'POST /queues/dead-letters/{id}/redrive', permission: 'queue.admin', summary: 'Puts one dead letter back into its queue' })
    .input(z.object({ id: z.guid() }))
    .output(z.object({ id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ queue: string | null }>('select plinth_queue.redrive_one($1) as queue', [input.id]);
      if (!row?.queue) throw fail('dead_letter_not_found', { message: `There is no dead letter ${input.id}` });
      audited(ctx.tx).record({ action: 'queue.redriven', entityType: 'message', entityId: input.id, metadata: { queue: row.queue } });
      wakeReceivers(ctx.tx, row.queue);
      return { id: input.id };
    }),

  purge: procedure({ rest: 'POST /queues/{name}/purge', permission: 'queue.admin', summary: 'Throws away up to 10,000 messages of a queue' })
    .input(named.extend({ limit: z.int().min(1).max(10_000).default(10_000) }))
    .output(z.object({ purged: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ n: number }>('select plinth.purge_queue($1, $2)::int as n', [input.name, input.limit]);
      const purged = row?.n ?? 0;
      if (purged > 0)
        audited(ctx.tx).record({ action: 'queue.purged', entityType: 'queue', entityId: input.name, severity: 'warning', metadata: { messages: purged } });
      return { purged };
    }),
};
