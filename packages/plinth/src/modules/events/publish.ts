import type { EffectSink, JsonObject } from '#kernel/effects.ts';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { Append, AppendOptions, NewEvent } from './append.ts';
import { appendEffect, labelOf } from './append.ts';
import type { ExpectedVersion, PublishOptions, Stream } from './row.ts';
import { refuse, rowOf, streamRow } from './row.ts';

/** `tx.events`: events are written with the transaction, or not at all. */
export const eventsEffects = (sink: EffectSink) => ({
  /**
   * Publishes an event and returns its id at once; the row is written before COMMIT, after its data were checked against the
   * schema of its type. When the idempotency key was used before, nothing is written and the id is not taken: `firstId` tells the
   * first one. Errors: events_event_invalid here; events_payload_rejected, events_version_conflict, events_idempotency_conflict when it is written.
   */
  publish(type: string, data: JsonObject, options: PublishOptions = {}): string {
    const id = sink.newId();
    sink.push(`events.publish(${JSON.stringify(type)})`, rowOf(id, type, data, options));
    sink.afterCommit(FEED_SIGNAL);
    return id;
  },

  /**
   * Appends events to a stream and returns their ids at once; they get the next versions, in their order, when they are written before
   * COMMIT. `expectedVersion` is that before the first of them. `appendNow` tells the versions. Errors as those of `publish`.
   *
   * @example
   * tx.events.append({ type: 'order', id: '4711' }, [{ type: 'order.paid', data: { cents: 4200 } }], { expectedVersion: 3 });
   */
  append(stream: Stream, events: readonly NewEvent[], options: AppendOptions & { expectedVersion?: ExpectedVersion | undefined } = {}): string[] {
    return this.appendAll([{ stream, events, expectedVersion: options.expectedVersion }], options);
  },

  /**
   * Appends to several streams, all or nothing. A stream without events is only checked: what was expected of it holds until the transaction ends.
   * An idempotency key stands for all of them together.
   */
  appendAll(appends: readonly Append[], options: AppendOptions = {}): string[] {
    const { row, rows, ids } = appendEffect(sink.newId, appends, options);
    sink.push(labelOf(appends), row, rows);
    sink.afterCommit(FEED_SIGNAL);
    return ids;
  },

  /** Ends the transaction with events_version_conflict unless the stream is at this version; it then stays there until the transaction ends. */
  expect(stream: Stream, expectedVersion: Exclude<ExpectedVersion, 'any'>): void {
    if ((expectedVersion as ExpectedVersion | undefined) === undefined || (expectedVersion as ExpectedVersion) === 'any')
      throw refuse('expectedVersion', 'Name the version that is expected');
    sink.push(`events.expect(${JSON.stringify(`${stream.type}:${stream.id}`)})`, streamRow(stream, expectedVersion));
  },
});

/** A transaction of an installation that has this module. */
export type EventsTransaction = AnyTransaction & { readonly events: ReturnType<typeof eventsEffects> };
