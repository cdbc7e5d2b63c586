import pg from 'pg';
import type { Store } from './event-store.ts';
import { DATA } from './event-store.ts';
import { freshDatabase, peerPackage } from './queue.ts';

interface EventStore {
  appendToStream(stream: string, events: object[], options: { expectedStreamVersion: bigint | string }): Promise<unknown>;
  schema: { migrate(): Promise<unknown> };
  close(): Promise<void>;
}

/** emmett-postgresql, with as many connections as there are clients. It offers no open transaction to append in, so nothing is held. */
export async function emmett(serverUrl: string, clients: number): Promise<Store> {
  const { getPostgreSQLEventStore } = await peerPackage<{ getPostgreSQLEventStore: (url: string, options?: object) => EventStore }>(
    '@event-driven-io/emmett-postgresql',
  );
  const { url, admin } = await freshDatabase(serverUrl, 'bench_emmett', 2);
  const pool = new pg.Pool({ connectionString: url, max: clients });
  pool.on('error', () => undefined);
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
  await store.schema.migrate();
  return {
    name: 'emmett-postgresql',
    append: (_client, stream, version) =>
      store.appendToStream(stream, [{ type: 'bench.appended', data: DATA }], {
        expectedStreamVersion: version === 0 ? 'STREAM_DOES_NOT_EXIST' : BigInt(version),
      }),
    hold: () => Promise.reject(new Error('emmett-postgresql appends in transactions of its own')),
    async close() {
      await store.close();
      await pool.end();
      await admin.end();
    },
  };
}
