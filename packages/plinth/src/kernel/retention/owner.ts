import { Client, UNLIMITED } from '../database.ts';

/**
 * A way to act as plinth_owner for the few statements that no function can run: DETACH CONCURRENTLY and VACUUM refuse transactions. Given
 * to the worker only, over a connection of its own (PLINTH_MAINTENANCE_URL, or the embedded server's superuser); the login role
 * is a member of plinth_owner, `create role ... login noinherit; grant plinth_owner to ...`. Without it retention detaches
 * plainly, inside a definer function and with a short lock timeout, and leaves VACUUM to autovacuum.
 */
export interface OwnerAccess {
  /** Runs one statement as plinth_owner, outside a transaction. `timeoutMs` bounds it on the server. Errors: as the driver throws them. */
  run(statement: string, timeoutMs: number): Promise<void>;
}

/** One connection a statement: they are rare, and nothing has to be closed. */
export function ownerAccess(url: string): OwnerAccess {
  return {
    async run(statement, timeoutMs) {
      const client = new Client({
        connectionString: url,
        application_name: 'plinth maintain',
        connectionTimeoutMillis: 10_000,
        query_timeout: timeoutMs + 5_000,
        keepAlive: true,
      });
      // A backend that is terminated reports twice: to the statement, which throws, and here.
      client.on('error', () => {});
      await client.connect();
      try {
        await client.query(UNLIMITED);
        await client.query(`set role plinth_owner; set statement_timeout = ${Math.ceil(timeoutMs)}`);
        await client.query(statement);
      } finally {
        await client.end().catch(() => {});
      }
    },
  };
}
