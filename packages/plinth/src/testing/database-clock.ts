/** A clock of the database that a test sets: what runs from then on reads it as `clock_timestamp()`. Defaults of columns and `now()` keep to the real one. */
import type { EmptyDatabase } from './database.ts';

export interface DatabaseClock {
  readonly now: () => number;
  set(atMs: number): Promise<void>;
}

/**
 * Before any other connection has prepared a statement. Calls that were compiled keep the function that they found, so the real one gives up its name. A sequence,
 * because every transaction sees at once what it says, as it is with a clock.
 */
export async function databaseClock({ admin }: EmptyDatabase, atMs: number): Promise<DatabaseClock> {
  await admin.query(`set allow_system_table_mods = on;
    create sequence public.test_clock;
    grant select on sequence public.test_clock to public;
    alter function pg_catalog.clock_timestamp() rename to real_clock_timestamp;
    create function pg_catalog.clock_timestamp() returns timestamptz language sql volatile parallel safe
      as $$ select timestamptz 'epoch' + last_value * interval '1 millisecond' from public.test_clock $$;
    reset allow_system_table_mods`);
  let now = atMs;
  const set = async (next: number): Promise<void> => {
    await admin.query(`select setval('public.test_clock', $1)`, [next]);
    now = next;
  };
  await set(atMs);
  return { now: () => now, set };
}
