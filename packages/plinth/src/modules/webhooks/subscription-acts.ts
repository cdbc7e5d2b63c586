/** What is done to a subscription from outside: the procedures of the tenant and those of its portal are the same acts under other permissions. */
import { z } from 'zod';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { DUE } from './consumer.ts';
import { KEY_MADE } from './derive-keys.ts';
import { fail } from './errors.ts';
import { asJson, type filter } from './filter.ts';
import { REPLAY } from './replays.ts';

/** Seconds that the old secret or key signs beside the new one: at most 7 days, 24 hours by default. */
export const overlapSeconds = z.number().int().min(0).max(604_800).default(86_400);

const time = z.iso.datetime({ offset: true });
export const resumeInput = z.object({ id: z.guid(), mode: z.enum(['continue', 'skip', 'replay']).default('continue'), since: time.optional() });
export const resumed = z.object({ waiting: z.number().int(), dropped: z.number().int(), replay_id: z.guid().nullable() });

/** Which deliveries to send again, of the subscription `id`. */
export const replayInput = z.object({
  id: z.guid(),
  since: time.optional(),
  until: time.optional(),
  only_failed: z.boolean().default(false),
  patterns: z.array(z.string().max(200)).min(1).max(50).optional().describe('Only of these types'),
  ids: z.array(z.guid()).min(1).max(1000).optional().describe('Only these: ids of events, or webhook-ids'),
});
export const replayRate = z.number().min(0.1).max(100_000).optional().describe('Deliveries a second, at most');
export interface ReplayWish {
  id: string;
  since?: string | undefined;
  until?: string | undefined;
  patterns?: readonly string[] | undefined;
  ids?: readonly string[] | undefined;
  only_failed?: boolean | undefined;
  filter?: z.infer<typeof filter> | null | undefined;
  rate_per_second?: number | undefined;
}

/** A new secret, shown here only; null when an answer is repeated. Errors: webhooks_subscription_not_found, webhooks_secret_invalid. */
export async function rotateSecret(
  tx: AnyTransaction,
  wish: { id: string; overlap_seconds: number; secret?: string | undefined },
): Promise<{ secret: string | null }> {
  const sql = `select plinth.rotate_subscription_secret(p_subscription_id => $1, p_overlap => $2 * interval '1 second', p_secret => $3) as secret`;
  const [made] = await tx.query<{ secret: string }>(sql, [wish.id, wish.overlap_seconds, wish.secret ?? null]);
  return { secret: made?.secret ?? null };
}

/** A new ed25519 key; its public half is derived within seconds. Errors: webhooks_subscription_not_found. */
export async function rotateKey(tx: AnyTransaction, wish: { id: string; overlap_seconds: number }): Promise<{ key_id: string }> {
  const [made] = await tx.query<{ id: string }>(`select plinth.rotate_subscription_key($1, $2 * interval '1 second') as id`, [wish.id, wish.overlap_seconds]);
  tx.signal(KEY_MADE);
  return { key_id: made?.id ?? '' };
}

/** When something is sent to a subscription that has to wait; null when that is at once. */
export const pausedUntil = z.string().nullable().describe('Nothing is sent before; null: at once');
export async function pauseOf(tx: AnyTransaction, id: string): Promise<string | null> {
  const sql = 'select to_jsonb(s.paused_until) as until from plinth.event_subscriptions s where s.tenant_id = plinth_kernel.tenant_id() and s.id = $1';
  const [row] = await tx.query<{ until: string | null }>(sql, [id]);
  return row?.until ?? null;
}

/** Which event: of its type the example of the catalogue is sent. */
export const testInput = z.object({
  id: z.guid(),
  event_type: z.string().min(1).max(200).optional().describe('A registered type with an example; left out: webhooks.test'),
});
/** Sends a test event, before what waits. Errors: webhooks_subscription_not_found, webhooks_subscription_disabled, webhooks_test_type_invalid. */
export const testSent = z.object({ delivery_id: z.guid(), paused_until: pausedUntil });
export async function sendTestEvent(tx: AnyTransaction, { id, event_type }: z.infer<typeof testInput>): Promise<z.infer<typeof testSent>> {
  const [made] = await tx.query<{ id: string }>('select plinth.send_test_event($1, $2) as id', [id, event_type ?? null]);
  tx.signal(DUE);
  return { delivery_id: made?.id ?? '', paused_until: await pauseOf(tx, id) };
}

/** Sends again to a subscription that is disabled or failing. Errors: webhooks_subscription_not_found. */
export async function resumeSubscription(tx: AnyTransaction, wish: z.infer<typeof resumeInput>): Promise<z.infer<typeof resumed>> {
  const [result] = await tx.query<z.infer<typeof resumed>>('select * from plinth.resume_subscription($1, $2, $3)', [wish.id, wish.mode, wish.since ?? null]);
  if (!result) throw fail('subscription_not_found');
  tx.signal(DUE);
  tx.signal(REPLAY);
  return result;
}

const valuesOf = (wish: ReplayWish): unknown[] => [
  wish.id,
  wish.since ?? null,
  wish.until ?? null,
  wish.patterns ?? null,
  wish.ids ?? null,
  wish.only_failed ?? false,
  asJson(wish.filter),
];

/** How many deliveries a replay would add at most. Errors: those of startReplay. */
export async function previewReplay(tx: AnyTransaction, wish: ReplayWish): Promise<{ total: number }> {
  const [row] = await tx.query<{ total: number }>('select plinth.preview_replay($1, $2, $3, $4, $5, $6, p_filter => $7) as total', valuesOf(wish));
  return { total: row?.total ?? 0 };
}

/** Begins a replay, which the worker works off. Errors: webhooks_subscription_not_found, webhooks_replay_invalid, webhooks_replays_busy. */
export async function startReplay(tx: AnyTransaction, wish: ReplayWish): Promise<{ replay_id: string }> {
  const [row] = await tx.query<{ id: string }>('select plinth.start_replay($1, $2, $3, $4, $5, $6, p_filter => $7, p_rate_per_second => $8) as id', [
    ...valuesOf(wish),
    wish.rate_per_second ?? null,
  ]);
  if (!row) throw fail('subscription_not_found');
  tx.signal(REPLAY);
  return { replay_id: row.id };
}

/** Stops a replay; returns how many deliveries it had added, which go out. Errors: webhooks_replay_not_found. */
export async function cancelReplay(tx: AnyTransaction, id: string): Promise<{ added: number }> {
  const [row] = await tx.query<{ added: number }>('select plinth.cancel_replay($1) as added', [id]);
  return { added: row?.added ?? 0 };
}
