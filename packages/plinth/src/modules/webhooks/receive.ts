import type { AnyTransaction } from '#kernel/transaction.ts';
import type { EventsTransaction } from '#modules/events';
import type { GenericOptions, InboundMessage, InboundProfile, VerifiedMessage } from './inbound.ts';
import { inboundType, objectOf, verifyInbound } from './inbound.ts';

export interface Receipt extends Omit<InboundMessage, 'now'> {
  /** Whose messages they are: ids are unique below it. Lower-case letters, digits, - and _; it begins the type of the published event. */
  source: string;
  /** Default: the clock of the transaction. */
  now?: Date | undefined;
  /** True: a message that is new is published as an event, `<source>.<its own type>`, with the body as its data. Default false. */
  publish?: boolean | undefined;
}

export interface Received extends VerifiedMessage {
  /** The message was taken before: what it caused has happened, and nothing must happen again. */
  duplicate: boolean;
  /** The event that was published. */
  eventId: string | undefined;
}

/**
 * Verifies a webhook and notes its id in the transaction of the caller: what the message causes and that it was taken commit together, so it
 * takes effect once, however often the provider repeats it. A repetition that comes at the same time waits for the first. Ids are kept for 30
 * days. Errors: those of `verifyInbound`; `webhooks_message_invalid`, `events_event_invalid`.
 *
 * @example
 * const { duplicate, id } = await receiveWebhook(tx, { source: 'billing', profile: 'stripe', secrets, headers, body });
 * if (!duplicate) await tx.query('update invoices set paid = true where ...');
 */
export async function receiveWebhook(tx: EventsTransaction, receipt: Receipt): Promise<Received> {
  const verified = verifyInbound({ ...receipt, now: receipt.now ?? tx.now() });
  const [row] = await tx.query<{ first: boolean }>('select plinth.first_receipt($1, $2) as first', [receipt.source, verified.id]);
  if (!row?.first) return { ...verified, duplicate: true, eventId: undefined };
  return { ...verified, duplicate: false, eventId: receipt.publish ? publish(tx, receipt, verified.id) : undefined };
}

/** What no jsonb holds: NUL and halves of surrogate pairs, which JSON.stringify writes as escapes. */
const UNHOLDABLE = /\\u(?:0000|d[89a-f][0-9a-f]{2})/i;

function publish(tx: EventsTransaction, { source, profile = 'standard', headers, body }: Receipt, messageId: string): string {
  const payload = objectOf(body);
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  // Not a JSON object, such as a form, or not one that the database holds: the text itself.
  const data = payload && !UNHOLDABLE.test(JSON.stringify(payload)) ? payload : { text: text.toWellFormed().replaceAll('\0', '\uFFFD') };
  return tx.events.publish(inboundType(source, profile, headers, payload ?? {}), data, { metadata: { inbound_source: source, message_id: messageId } });
}

/** A configured provider, with the secrets that count now. */
export interface InboundSource {
  tenant_id: string;
  name: string;
  profile: InboundProfile;
  options: GenericOptions;
  tolerance_seconds: number;
  enabled: boolean;
  secrets: string[];
}

/** The source with this id, of any tenant; in a transaction of the worker role. */
export async function findSource(tx: AnyTransaction, id: string): Promise<InboundSource | undefined> {
  return (await tx.query<InboundSource>('select * from plinth_webhooks.inbound_source($1)', [id]))[0];
}
