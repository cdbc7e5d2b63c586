/** What the set-up of a run tells the test files, and connections that last one call. */
import pg from 'pg';

export interface TestRun {
  /** Superuser, database `postgres`. */
  readonly adminUrl: string;
  readonly template: string;
  /** Databases of this run start with it. */
  readonly prefix: string;
  readonly serverRole: string;
  readonly serverPassword: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    plinthTestRun: TestRun;
  }
}

/** The same server and user, another database. */
export function databaseUrl(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

/** Connects, runs, and hangs up whatever happens. */
export async function withClient<T>(url: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}
