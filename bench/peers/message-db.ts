import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Store } from './event-store.ts';
import { DATA } from './event-store.ts';
import { freshDatabase } from './queue.ts';

/** A new database with Message DB, installed by its own script, which needs psql. */
export async function messageDbUrl(serverUrl: string, name: string): Promise<{ url: string; admin: pg.Pool }> {
  const script = fileURLToPath(new URL('node_modules/@eventide/message-db/database/install.sh', import.meta.url));
  if (!existsSync(script)) throw Object.assign(new Error('@eventide/message-db is not installed'), { wayOut: 'npm ci --prefix bench/peers --ignore-scripts' });
  const { url, admin } = await freshDatabase(serverUrl, name, 2);
  const { hostname, port, username, password } = new URL(url);
  execFileSync('bash', [script], {
    env: {
      ...process.env,
      DATABASE_NAME: name,
      CREATE_DATABASE: 'off',
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: decodeURIComponent(username),
      PGPASSWORD: decodeURIComponent(password),
    },
    stdio: 'pipe',
  });
  return { url, admin };
}

/** Message DB. Its streams are those of one category, as a stream's are of an aggregate type with us. */
export async function messageDb(serverUrl: string, clients: number): Promise<Store> {
  const { url, admin } = await messageDbUrl(serverUrl, 'bench_message_db');
  const connected = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('set search_path = message_store, public');
    return client;
  };
  const connections = await Promise.all(Array.from({ length: clients }, connected));
  const holder = await connected();
  const data = JSON.stringify(DATA);
  const write = (client: pg.Client | undefined, stream: string, version: number | null): Promise<unknown> =>
    client?.query({
      name: 'write',
      text: 'select write_message(gen_random_uuid()::varchar, $1, $2, $3, null, $4)',
      values: [`bench-${stream}`, 'appended', data, version],
    }) ?? Promise.reject(new Error('no such client'));
  return {
    name: 'message-db',
    // Its versions begin at 0; -1 is a stream that is not there.
    append: (client, stream, version) => write(connections[client], stream, version - 1),
    async hold(stream) {
      await holder.query('begin');
      await write(holder, stream, null);
      return () => holder.query('commit');
    },
    async close() {
      await Promise.all([...connections, holder].map((client) => client.end()));
      await admin.end();
    },
  };
}
