/** What a receiver asks of the database, over any transaction. Visibility is by the clock of the database. */
import type { Queryable } from '#kernel/database.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { queueSignal } from './send.ts';

/** A message that this receiver holds until `visible_until`. */
export interface ReceivedMessage {
  id: string;
  tenant_id: string;
  queue: string;
  payload: unknown;
  headers: Record<string, unknown> | null;
  group_key: string | null;
  /** The fence: every later call shows it. It is lost when the message is received again. */
  receipt: string;
  /** 1 for the first time. */
  receives: number;
  visible_until: Date;
  sent_at: Date;
  correlation_id: string | null;
  causation_id: string | null;
}

/**
 * Receives at most `limit` (1 to 1,000, default 1) messages and hides them for `visibilityMs` (default: that of the queue, 30 s). Let the
 * transaction end at once. As plinth_worker without a tenant it receives from every tenant, each its share.
 * Errors: kernel_tenant_required, queue_receive_invalid.
 */
export const receive = (
  tx: Queryable,
  queue: string,
  options: { limit?: number | undefined; visibilityMs?: number | undefined } = {},
): Promise<ReceivedMessage[]> =>
  tx.query<ReceivedMessage>(`select * from plinth.receive_messages($1, $2, $3 * interval '1 millisecond')`, [
    queue,
    options.limit ?? 1,
    options.visibilityMs ?? null,
  ]);

/** Acknowledges in this transaction: with the work in it, its effects happen exactly once. Errors: queue_receipt_invalid, queue_receipt_lost. */
export async function acknowledge(tx: Queryable, receipt: string): Promise<void> {
  await tx.query('select plinth.acknowledge_message($1)', [receipt]);
}

/** Acknowledges many. Returns the receipts that held; the others had lost their message to another receiver. Errors: queue_receipt_invalid. */
export async function acknowledgeMany(tx: Queryable, receipts: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ receipt: string }>('select acknowledge_messages as receipt from plinth.acknowledge_messages($1)', [receipts]);
  return new Set(rows.map(({ receipt }) => receipt));
}

/** Hides a received message for longer, from now on. Returns until when. Errors: queue_receipt_invalid, queue_receipt_lost, queue_receive_invalid. */
export async function extend(tx: Queryable, receipt: string, visibilityMs?: number): Promise<Date> {
  const [row] = await tx.query<{ until: Date }>(`select plinth.extend_message($1, $2 * interval '1 millisecond') as until`, [receipt, visibilityMs ?? null]);
  return row?.until ?? new Date(0);
}

export interface ReleaseOptions {
  /** It may be received again after this. Default 0. */
  delayMs?: number | undefined;
  /** Why, for people. */
  error?: string | undefined;
  /** True: it becomes a dead letter at once. */
  dead?: boolean | undefined;
  /** False: this receive does not count, for a receiver that shuts down. Default true. */
  counted?: boolean | undefined;
}

/** Gives a received message back. Returns its status. Errors: queue_receipt_invalid, queue_receipt_lost, queue_receive_invalid. */
export async function release(tx: Queryable, receipt: string, options: ReleaseOptions = {}): Promise<'pending' | 'scheduled' | 'failed'> {
  const [row] = await tx.query<{ status: 'pending' | 'scheduled' | 'failed' }>(
    `select plinth.release_message($1, $2 * interval '1 millisecond', $3, $4, $5) as status`,
    [receipt, options.delayMs ?? 0, options.error ?? null, options.dead ?? false, options.counted ?? true],
  );
  return row?.status ?? 'pending';
}

/** True when a receiver of the tenant would probably get something; reads a few index entries and writes nothing. */
export async function hasVisible(tx: AnyTransaction, queue: string): Promise<boolean> {
  const [row] = await tx.query<{ visible: boolean }>('select plinth_queue.has_visible(plinth_kernel.require_tenant(), $1) as visible', [queue]);
  return row?.visible ?? false;
}

/** Over HTTP the queue stands in the address. Errors: queue_receipt_invalid, queue_receipt_not_found. */
export async function requireReceiptsOf(tx: Queryable, queue: string, receipts: readonly string[]): Promise<void> {
  await tx.query('select plinth_queue.require_receipts_of($1, $2)', [queue, receipts]);
}

/** Wakes receivers of the queue after COMMIT. */
export const wakeReceivers = (tx: AnyTransaction, queue: string): void => tx.signal(queueSignal(tx.context.tenantId, queue));
