import { FEED_SIGNAL } from '#kernel/feed.ts';
import { allows } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { readStreamPage } from '#modules/events';
import { openStream, readStreamMessages, streamSignal } from '#modules/streams';
import { pulledSignal, readPulled } from '#modules/webhooks';
import { offsetText } from './durable-offset.ts';
import type { Source } from './durable-read.ts';

const PAGE = 1_000;

/** A stream of the module streams. */
export function ownSource(path: string): Source {
  const head = async (tx: AnyTransaction, touch: boolean) => {
    const { id, content_type: contentType, tail, closed, ttl_s: ttl, expires_text: expires } = await openStream(tx, path, touch);
    const headers = { ...(ttl === null ? {} : { 'stream-ttl': ttl }), ...(expires === null ? {} : { 'stream-expires-at': expires }) };
    return { id, contentType, tail, closed, signal: streamSignal(id), headers };
  };
  return {
    head: (tx) => head(tx, false),
    async look(tx, after) {
      const found = await head(tx, true);
      const messages = after === 'now' ? [] : await readStreamMessages(tx, found.id, after ?? '0', PAGE);
      const last = messages.at(-1);
      // What was appended since the stream was looked at has been read as well.
      return { ...found, tail: last && BigInt(last.position) > BigInt(found.tail) ? last.position : found.tail, messages };
    },
  };
}

/** The events of one aggregate as JSON; positions are versions. */
export function eventSource(type: string, id: string): Source {
  const look: Source['look'] = async (tx, after) => {
    const { tail, events } = await readStreamPage(tx, { type, id }, after === 'now' ? null : (after ?? '0'), PAGE);
    return {
      id: `${encodeURIComponent(type)}/${encodeURIComponent(id)}`,
      contentType: 'application/json',
      tail,
      closed: false,
      signal: FEED_SIGNAL,
      headers: {},
      messages: events.map((event) => ({ position: event.version, data: Buffer.from(event.text) })),
    };
  };
  return { look, head: (tx) => look(tx, 'now', []) };
}

/** The messages of a webhook subscription that is pulled, as JSON; the body stands in them as a push would send it. */
export function pulledSource(id: string): Source {
  const look: Source['look'] = async (tx, after, scopes) => {
    const { tail, messages } = await readPulled(tx, id, { after: after === 'now' ? null : after, limit: PAGE, mayReveal: allows(scopes, 'webhooks.reveal') });
    return {
      id,
      contentType: 'application/json',
      tail,
      closed: false,
      signal: pulledSignal(id),
      headers: {},
      messages: messages.map(({ position, delivery_id, event_id, event_type, body }) => {
        const facts = JSON.stringify({ offset: offsetText(position), webhook_id: delivery_id, event_id, event_type });
        return { position, data: Buffer.from(`${facts.slice(0, -1)},"body":${body}}`) };
      }),
    };
  };
  return { look, head: (tx) => look(tx, 'now', []) };
}
