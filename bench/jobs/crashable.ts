/** A PostgreSQL that a benchmark crashes, and questions that wait until it is back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startPostgres } from 'plinth-embedded';

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A cluster that can crash and come back at the same address; fsync is on. `programFolder`: another PostgreSQL than the embedded one. */
export async function crashable(programFolder?: string) {
  const dataDir = mkdtempSync(join(tmpdir(), 'plinth-chaos-'));
  const settings = { shared_buffers: '256MB', max_connections: 300, restart_after_crash: true };
  const start = (port: number): Promise<EmbeddedPostgres> => startPostgres({ dataDir, port, settings, ...(programFolder ? { programFolder } : {}) });
  let server = await start(0);
  const { url, port } = server;
  const admin = new pg.Pool({ connectionString: url, max: 2 });
  admin.on('error', () => undefined);
  return {
    url,
    /** What `pg_ctl stop -m immediate` does: every process ends at once, and the next start recovers from the log. */
    async crash(): Promise<void> {
      process.kill(server.pid, 'SIGQUIT');
      await server.exited;
      await server.stop();
      server = await start(port);
      if (server.port !== port) throw new Error(`the server came back on port ${server.port}, not ${port}`);
    },
    async close(): Promise<void> {
      await admin.end();
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export type CrashableCluster = Awaited<ReturnType<typeof crashable>>;

/** Asks until the server is there to answer. Only for questions that change nothing. */
export async function ask<T extends pg.QueryResultRow>(admin: pg.Pool, text: string): Promise<T[]> {
  for (let tries = 0; ; tries++) {
    try {
      return (await admin.query<T>(text)).rows;
    } catch (error) {
      if (tries > 300) throw error;
      await pause(100);
    }
  }
}
