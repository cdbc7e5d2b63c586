import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import { Client } from '#kernel/database.ts';
import type { Received } from './child.ts';
import type { Payload } from './payloads.ts';
import { isSubscribed } from './payloads.ts';

/** What must add up when everything has come to rest. */
export interface Verdict {
  payloads: number;
  acknowledged: number;
  /** Rows of the payloads themselves. */
  recorded: number;
  /** Repositories, issues, pull requests and others that the payloads are about: fewer, for several are about the same one. */
  rows: number;
  /** Payloads whose business row is there and has counted every payload about it, once. */
  upserts: number;
  entries: number;
  events: number;
  jobs: number;
  summarised: number;
  attempts: number;
  verified: number;
  /** Acknowledged, and not delivered to the receiver. */
  lost: number;
  /** One event delivered under two webhook ids. */
  twice: number;
  /** Payloads of which some records exist and others do not, or more than one of a kind. */
  halfDone: number;
  /** Payloads whose job took effect in the database more or less than once. */
  notOnce: number;
  badSignatures: number;
  /** Stories to look at. */
  traces: Acknowledged[];
}

/** What came back for a payload. */
export interface Acknowledged {
  correlationId: string;
  tenantId: string;
}

const COUNTS = `
with ids as (select unnest($1::uuid[]) as id),
business as (
  select tenant_id, 'repository' as kind, id, payloads from plinth_github.repositories union all select tenant_id, 'issue', id, payloads from plinth_github.issues
  union all select tenant_id, 'pull_request', id, payloads from plinth_github.pull_requests union all select tenant_id, 'other', id, payloads from plinth_github.others),
told as (select tenant_id, kind, entity_id, count(*) as payloads from plinth_github.deliveries group by 1, 2, 3),
sound as (select t.tenant_id, t.kind, t.entity_id from told t join business b on b.tenant_id = t.tenant_id and b.kind = t.kind and b.id = t.entity_id and b.payloads = t.payloads),
per as (
  select i.id, count(d.id)::int as recorded, count(s.kind)::int as upserts, coalesce(sum(d.summarised), 0)::int as summarised, min(concat_ws(':', s.tenant_id, s.kind, s.entity_id)) as row
  from ids i left join plinth_github.deliveries d on d.id = i.id left join sound s on s.tenant_id = d.tenant_id and s.kind = d.kind and s.entity_id = d.entity_id
  group by i.id),
entries as (select metadata ->> 'delivery_id' as id, count(*)::int as n from plinth.audit_logs where metadata ->> 'delivery_id' = any ($1::text[]) group by 1),
events as (select idempotency_key as id, count(*)::int as n from plinth.event_store where idempotency_key = any ($1::text[]) group by 1),
jobs as (select payload ->> 'delivery_id' as id, count(*)::int as n from plinth.background_jobs where job_type = 'github.summarise' and payload ->> 'delivery_id' = any ($1::text[]) group by 1)
select per.id::text, per.recorded, per.upserts, per.row, per.summarised, coalesce(en.n, 0) as entries, coalesce(ev.n, 0) as events, coalesce(j.n, 0) as jobs
from per left join entries en on en.id = per.id::text left join events ev on ev.id = per.id::text left join jobs j on j.id = per.id::text`;

interface Counted {
  id: string;
  recorded: number;
  upserts: number;
  /** Tenant, kind and id of the business row. */
  row: string;
  summarised: number;
  entries: number;
  events: number;
  jobs: number;
}

const sum = (counted: readonly Counted[], of: (one: Counted) => number): number => counted.reduce((total, one) => total + of(one), 0);

async function withAdmin<T>(url: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'plinth replay' });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

/** How many of the run's jobs have not taken effect yet, and how many of its deliveries are not settled. */
export const unfinished = (adminUrl: string, payloads: readonly Payload[]): Promise<number> =>
  withAdmin(adminUrl, async (client) => {
    const { rows } = await client.query<{ n: number }>(
      `select (select count(*) from plinth_github.deliveries where id = any ($1::uuid[]) and summarised = 0)::int
        + (select count(*) from plinth_webhooks.deliveries d where d.status <> 'failed' and d.event_id in (select id from plinth.event_store where idempotency_key = any ($1::text[])))::int as n`,
      [payloads.map(({ id }) => id)],
    );
    return rows[0]?.n ?? 0;
  });

export const readReceived = async (notes: string): Promise<Received[]> =>
  (await readFile(notes, 'utf8').catch(() => ''))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Received);

/** Counts everything of the run, in the database and at the receiver. */
export async function judge(adminUrl: string, notes: string, payloads: readonly Payload[], acknowledged: ReadonlyMap<string, Acknowledged>): Promise<Verdict> {
  const ids = payloads.map(({ id }) => id);
  const received = await readReceived(notes);
  const webhookIds = new Map<string, Set<string>>();
  for (const { deliveryId, webhookId, verified } of received)
    if (verified) webhookIds.set(deliveryId, (webhookIds.get(deliveryId) ?? new Set()).add(webhookId));
  const wanted = payloads.filter((payload) => isSubscribed(payload) && acknowledged.has(payload.id));
  return withAdmin(adminUrl, async (client) => {
    const { rows: counted } = await client.query<Counted>(COUNTS, [ids]);
    const { rows: attempts } = await client.query<{ n: number }>(
      `select count(*)::int as n from plinth_webhooks.attempts a where a.event_id in (select id from plinth.event_store where idempotency_key = any ($1::text[]))`,
      [ids],
    );
    const whole = (one: Counted): boolean => one.recorded === 1 && one.upserts === 1 && one.entries === 1 && one.events === 1 && one.jobs === 1;
    const nothing = (one: Counted): boolean => one.recorded + one.entries + one.events + one.jobs === 0;
    return {
      payloads: payloads.length,
      acknowledged: acknowledged.size,
      recorded: sum(counted, (one) => one.recorded),
      rows: new Set(counted.flatMap((one) => one.row || [])).size,
      upserts: sum(counted, (one) => one.upserts),
      entries: sum(counted, (one) => one.entries),
      events: sum(counted, (one) => one.events),
      jobs: sum(counted, (one) => one.jobs),
      summarised: sum(counted, (one) => one.summarised),
      attempts: attempts[0]?.n ?? 0,
      verified: webhookIds.size,
      lost: wanted.filter(({ id }) => !webhookIds.has(id)).length + counted.filter((one) => acknowledged.has(one.id) && nothing(one)).length,
      twice: [...webhookIds.values()].filter((set) => set.size > 1).length,
      halfDone: counted.filter((one) => !whole(one) && !nothing(one)).length,
      notOnce: counted.filter((one) => acknowledged.has(one.id) && one.summarised !== 1).length,
      badSignatures: received.filter(({ verified }) => !verified).length,
      traces: [...(wanted.length > 0 ? wanted : payloads)].slice(0, 3).flatMap(({ id }) => acknowledged.get(id) ?? []),
    };
  });
}

/** True when nothing was lost, halved or doubled. */
export const addsUp = (verdict: Verdict): boolean =>
  verdict.acknowledged === verdict.payloads &&
  verdict.recorded === verdict.payloads &&
  verdict.upserts === verdict.payloads &&
  verdict.entries === verdict.payloads &&
  verdict.events === verdict.payloads &&
  verdict.jobs === verdict.payloads &&
  verdict.summarised === verdict.payloads &&
  verdict.lost === 0 &&
  verdict.twice === 0 &&
  verdict.halfDone === 0 &&
  verdict.notOnce === 0 &&
  verdict.badSignatures === 0;
