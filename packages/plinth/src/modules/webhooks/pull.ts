import { toPlinthError } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import { DUE } from './consumer.ts';
import { isSealedBody, revealBodies } from './format.ts';
import { loopPart } from './loop-part.ts';

/** Longest wait of what is to be appended when no hint came. */
const EVERY_MS = 1_000;
/** A process that hangs or stands still must not keep what it has locked. */
const LIMITS = { timeoutMs: 30_000, idleMs: 5_000 };

/** Hint that messages were appended to the lane of a pulled subscription. */
export const pulledSignal = (subscriptionId: string): string => `webhooks.pulled:${subscriptionId}`;

/** Appends what waits for pulled subscriptions to their lanes, and tells their readers. */
async function run({ plinth, services, wake }: WorkerRuntime, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    // Asked to be woken before it looks: a hint in between causes the next look.
    const looked = new AbortController();
    const hinted = wake.next([DUE], EVERY_MS, AbortSignal.any([stopping, looked.signal]));
    try {
      const lanes = await plinth.asWorker(LIMITS, async (tx) => {
        const rows = await tx.query<{ subscription_id: string }>('select subscription_id from plinth_webhooks.append_pulled()');
        for (const { subscription_id: id } of rows) tx.signal(pulledSignal(id));
        return rows;
      });
      if (lanes.length > 0) looked.abort();
    } catch (error) {
      const { code, message } = toPlinthError(error);
      services.log.warn({ module: 'webhooks', code, error: message }, 'webhooks: could not append what is to be pulled');
    }
    await hinted;
  }
}

/** The part of the worker that keeps the lanes of pulled subscriptions. */
export const puller = loopPart(run);

/** The messages of one subscription after a position. */
export interface PulledPage {
  /** Position of the last message, or of the last one read if that is later. */
  tail: string;
  messages: PulledMessage[];
}

export interface PulledMessage {
  position: string;
  /** The webhook-id that a push would have. */
  delivery_id: string;
  event_id: string | null;
  event_type: string;
  /** JSON, as a push would send it. */
  body: string;
}

const PAGE_BYTES = 4_194_304;

/**
 * Reads on after a position (`null`: only looks where the end is), at most `limit` messages and about 4 MiB, oldest first. `mayReveal`: personal fields are
 * readable where the subscription has them so. Errors: webhooks_subscription_not_found, webhooks_not_pulled, webhooks_offset_gone, events_key_missing.
 */
export async function readPulled(
  tx: AnyTransaction,
  subscriptionId: string,
  { after, limit, mayReveal }: { after: string | undefined | null; limit: number; mayReveal: boolean },
): Promise<PulledPage> {
  const [lane] = await tx.query<{ tenant_id: string; tail: string; reveal: boolean }>('select * from plinth_webhooks.open_pulled($1, $2)', [
    subscriptionId,
    after ?? null,
  ]);
  const tail = lane?.tail ?? '0';
  if (after === null) return { tail, messages: [] };
  const stored = await tx.query<PulledMessage>('select * from plinth_webhooks.read_pulled($1, $2, $3, $4)', [subscriptionId, after ?? '0', limit, PAGE_BYTES]);
  const messages = mayReveal && lane?.reveal ? await revealed(tx, lane.tenant_id, stored) : stored;
  const last = messages.at(-1)?.position ?? tail;
  // What was appended since the lane was looked at has been read as well.
  return { tail: BigInt(last) > BigInt(tail) ? last : tail, messages };
}

async function revealed(tx: AnyTransaction, tenantId: string, messages: readonly PulledMessage[]): Promise<PulledMessage[]> {
  const sealed = messages.filter((message) => isSealedBody({ format: null, body: message.body }));
  const rows = sealed.map((message) => ({ format: null, tenant_id: tenantId, position: message.position, body: message.body }));
  const shown = await revealBodies(tx, rows, (_row, error) => {
    throw error;
  });
  const bodies = new Map(shown.map(({ position, body }) => [position, body]));
  return messages.map((message) => ({ ...message, body: bodies.get(message.position) ?? message.body }));
}
