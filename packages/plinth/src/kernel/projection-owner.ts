import type pg from 'pg';
import type { Queryable } from './database.ts';
import { Client, UNLIMITED } from './database.ts';
import { fail, isLockTimeout } from './errors.ts';

/** The connection that owns the tables of a projection, and how long it waits for others. */

const LOCK_TRIES = 30;
const WAIT = `set local lock_timeout = '1s'`;

export interface Owner extends Queryable {
  /** The connection was lost, and what it had locked others may have. */
  gone(): boolean;
}

export async function withOwner<T>(url: string, body: (owner: Owner) => Promise<T>): Promise<T> {
  const settings = { connectionString: url, application_name: 'plinth projections', connectionTimeoutMillis: 10_000, pipeline: true };
  const client = new Client(settings as pg.ClientConfig);
  let gone = false;
  client.on('error', () => {});
  client.on('end', () => {
    gone = true;
  });
  await client.connect();
  try {
    // It stands still while the log is read, and what it locks first it waits for.
    await client.query(UNLIMITED);
    await client.query('set lock_timeout = 0');
    return await body({
      gone: () => gone,
      query: async <Row>(text: string, values?: readonly unknown[]) => (await client.query(text, values as unknown[])).rows as Row[],
    });
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function inTransaction<T>(owner: Queryable, body: () => Promise<T>): Promise<T> {
  await owner.query('begin');
  try {
    const result = await body();
    await owner.query('commit');
    return result;
  } catch (error) {
    await owner.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * A transaction that waits for no lock longer than a second and is tried again: a transaction of a tenant may have read a table and stay open, and whoever
 * wants the table after us waits for us. What `first` locks it waits for however long it takes. Cursors that are let go for the next try have to look as if nothing
 * had been done to them, hence the savepoint: rolled back, they would be taken for those of a process that ended. Errors: kernel_timeout.
 */
export async function patiently<T>(owner: Queryable, about: string, body: () => Promise<T>, first: () => Promise<unknown> = async () => undefined): Promise<T> {
  for (let tries = 1; ; tries++) {
    const done = await inTransaction(owner, async () => {
      await first();
      await owner.query('savepoint begun');
      await owner.query(WAIT);
      return body().then(
        (result) => ({ result }),
        async (error: unknown) => {
          if (!isLockTimeout(error)) throw error;
          await owner.query('rollback to savepoint begun');
          return { error };
        },
      );
    });
    if ('result' in done) return done.result;
    if (tries >= LOCK_TRIES)
      throw fail('timeout', {
        message: `${about} waits for others that hold its tables, or what they refer to`,
        wayOut: 'Try again when their transactions have ended: pg_stat_activity, pg_blocking_pids.',
        cause: done.error,
      });
    await new Promise((resolve) => setTimeout(resolve, 200 * Math.random() + 100));
  }
}
