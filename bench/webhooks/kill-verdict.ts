import type pg from 'pg';
import { ask } from '../jobs/crashable.ts';
import type { Subscription } from './kill.ts';
import type { KillSink } from './kill-sink.ts';

export interface KillVerdict {
  events: number;
  arrivals: number;
  /** Committed events that did not arrive at a subscription. */
  lost: number;
  /** Arrivals of events that were never committed, or are another tenant's. */
  ghosts: number;
  /** Events whose commit was confirmed and that are not there. */
  unkept: number;
  unverified: number;
  /** Arrivals of an event at a subscription beyond the first. */
  duplicates: number;
  /** Of these, with another webhook-id than the first. */
  renamed: number;
  /** Of these, more than the window after the delivery was written down as delivered: nobody had it in flight any more. */
  late: number;
  /** Deliveries that were written down as delivered more than once. */
  settledTwice: number;
  /** First arrivals at the ordered subscription that came before an earlier one of their stream. */
  inverted: number;
  /** Some of what was late: ms from its settlement to each of its arrivals. */
  examples: string[];
}

interface CommittedEvent extends Record<string, unknown> {
  tenant_id: string;
  n: number;
  stream: string | null;
  version: number | null;
}

export const committedEvents = (admin: pg.Pool): Promise<CommittedEvent[]> =>
  ask<CommittedEvent>(
    admin,
    `select tenant_id, (payload ->> 'n')::int as n, aggregate_id as stream, version::int from plinth_events.events where type = 'kill.happened' order by id`,
  );

const SETTLED = `select delivery_id, count(*)::int as times, extract(epoch from min(created_at))::float8 * 1000 as at
  from plinth_webhooks.attempts where status = 'delivered' group by delivery_id`;

/** Holds what arrived against what was committed. */
export async function judge(given: {
  admin: pg.Pool;
  sink: KillSink;
  subscriptions: readonly Subscription[];
  confirmed: ReadonlySet<number>;
  windowMs: number;
}): Promise<KillVerdict> {
  const { admin, sink, subscriptions, confirmed, windowMs } = given;
  const events = await committedEvents(admin);
  const byNumber = new Map(events.map((event) => [event.n, event]));
  const settled = new Map((await ask<{ delivery_id: string; times: number; at: number }>(admin, SETTLED)).map((row) => [row.delivery_id, row]));
  const verdict: KillVerdict = {
    events: events.length,
    arrivals: sink.arrivals.length,
    lost: 0,
    ghosts: 0,
    unkept: [...confirmed].filter((n) => !byNumber.has(n)).length,
    unverified: sink.unverified,
    duplicates: 0,
    renamed: 0,
    late: 0,
    settledTwice: [...settled.values()].filter(({ times }) => times > 1).length,
    inverted: 0,
    examples: [],
  };
  for (const { id, tenantId, ordered } of subscriptions) {
    const firsts = new Map<number, string>();
    const versions = new Map<string, number>();
    for (const arrival of sink.arrivals) {
      if (arrival.subscription !== id) continue;
      const event = byNumber.get(arrival.n);
      if (event?.tenant_id !== tenantId) {
        verdict.ghosts++;
        continue;
      }
      const first = firsts.get(arrival.n);
      if (first !== undefined) {
        verdict.duplicates++;
        if (first !== arrival.webhookId) verdict.renamed++;
        const settledAt = settled.get(arrival.webhookId)?.at ?? Number.POSITIVE_INFINITY;
        if (arrival.at > settledAt + windowMs) {
          verdict.late++;
          const all = sink.arrivals.filter((one) => one.subscription === id && one.n === arrival.n).map(({ at }) => Math.round(at - settledAt));
          if (verdict.examples.length < 10)
            verdict.examples.push(`event ${arrival.n}: ${all.join(', ')} ms after it was settled at ${new Date(settledAt).toISOString()}`);
        }
        continue;
      }
      firsts.set(arrival.n, arrival.webhookId);
      if (!ordered || event.stream === null || event.version === null) continue;
      if (event.version < (versions.get(event.stream) ?? 0)) verdict.inverted++;
      versions.set(event.stream, Math.max(event.version, versions.get(event.stream) ?? 0));
    }
    verdict.lost += events.filter((event) => event.tenant_id === tenantId && !firsts.has(event.n)).length;
  }
  return verdict;
}
