/** What an enqueue costs the transaction that it is added to, and whether writers begin to wait for each other. */
import type pg from 'pg';
import type { BenchContext } from '../harness.ts';
import { throughput } from '../harness.ts';
import type { Contestant } from '../peers/queue.ts';
import { payloadOf } from '../peers/queue.ts';
import { KIND } from './ours.ts';
import type { Variants } from './rates.ts';

export const WRITERS = 64;

const TABLE = `create table app_orders (id bigint generated always as identity primary key, customer text not null, total_cents bigint not null);
  grant all on app_orders to public`;
const INSERT = `insert into app_orders (customer, total_cents) values ('Ana Lima', 4200)`;

/** Sessions seen waiting for a lock of another, one count a sample and session. */
export interface LockWaits {
  samples: number;
  waits: number;
}

/** Looks every 20 ms, while `body` runs, at who waits for a heavyweight lock. */
async function countingWaits<T>(admin: pg.Pool, into: LockWaits, body: () => Promise<T>): Promise<T> {
  let stopped = false;
  const sampling = (async (): Promise<void> => {
    while (!stopped) {
      const { rows } = await admin.query<{ n: number }>(
        `select count(*)::int as n from pg_catalog.pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      into.samples++;
      into.waits += rows[0]?.n ?? 0;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  try {
    return await body();
  } finally {
    stopped = true;
    await sampling;
  }
}

export interface BusinessVariants {
  variants: Variants;
  waits: Record<string, LockWaits>;
}

export async function businessRates(context: BenchContext, admin: pg.Pool, peers: readonly Contestant[], durationMs: number): Promise<BusinessVariants> {
  const { plinth, tenantId, otherTenantId } = context;
  const waits: Record<string, LockWaits> = {};
  const variants: Variants = {};
  const add = (name: string, pool: pg.Pool, once: () => Promise<unknown>): void => {
    const counted = (waits[name] = { samples: 0, waits: 0 });
    variants[name] = () => countingWaits(pool, counted, () => throughput(WRITERS, durationMs, once));
  };
  await admin.query(TABLE);
  let turn = 0;
  const input = (): { tenantId: string } => ({ tenantId: turn++ % 2 ? tenantId : otherTenantId });
  const payload = { ...payloadOf(0) };
  add('business row', admin, () => plinth.transaction(input(), (tx) => tx.query(INSERT)));
  add('business row + job', admin, () =>
    plinth.transaction(input(), async (tx) => {
      tx.jobs.enqueue(KIND, payload);
      await tx.query(INSERT);
    }),
  );
  add('business row + job + NOTIFY in the transaction', admin, () =>
    plinth.transaction(input(), async (tx) => {
      tx.jobs.enqueue(KIND, payload);
      await tx.query(`with told as (select pg_catalog.pg_notify('bench_jobs', '')) ${INSERT} returning (select count(*) from told)`);
    }),
  );
  const graphile = peers.find((peer) => peer.name === 'graphile-worker')?.admin;
  if (graphile) {
    await graphile.query(TABLE);
    const alone = (statements: readonly string[]) => async (): Promise<void> => {
      const client = await graphile.connect();
      try {
        for (const statement of ['begin', ...statements, 'commit']) await client.query(statement);
      } finally {
        client.release();
      }
    };
    add('graphile-worker: business row', graphile, alone([INSERT]));
    add('graphile-worker: business row + add_job', graphile, alone([INSERT, `select graphile_worker.add_job('noop', '${JSON.stringify(payload)}')`]));
  }
  return { variants, waits };
}
