/** Logs for bench/peers/feed-torture.ts, each written to by its own SQL function and read by the way it comes with. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import { consumeOnce } from '../../packages/plinth/src/kernel/feed.ts';
import type { AnyTransaction } from '../../packages/plinth/src/kernel/transaction.ts';
import type { FeedEvent } from '../../packages/plinth/src/kernel/work.ts';
import type { BenchContext } from '../harness.ts';
import { record } from '../torture/readers.ts';
import { emmettLog } from './emmett-consumer.ts';
import type { LogUnderTest } from './feed-torture.ts';
import { EFFECTS } from './feed-torture.ts';
import { messageDbUrl } from './message-db.ts';

export interface OpenLog extends LogUnderTest {
  close(): Promise<void>;
}

const WORK = `insert into torture.work (note) values ('before')`;

async function connected(url: string, setup?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  if (setup) await client.query(setup);
  return client;
}

/** One tenant, so that there is one shard and everything could stand in the way of everything. */
export async function plinthLog({ admin, url, serverUrl, tenantId }: BenchContext): Promise<OpenLog> {
  await admin.query('drop schema if exists torture cascade');
  await admin.query('begin; set local session_replication_role = replica; truncate plinth_events.events, plinth_events.streams, plinth_events.dedup; commit');
  await admin.query(
    `${EFFECTS}; grant usage on schema torture to plinth_app, plinth_worker; grant insert on torture.work to plinth_app; grant insert on torture.effects to plinth_worker`,
  );
  const reader = createPlinth({ database: { url: serverUrl, max: 2 } });
  const truth = await connected(url);
  return {
    name: 'plinth',
    connect: () => connected(serverUrl),
    begin: `begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'`,
    work: WORK,
    async append(client, stream) {
      const { rows } = await client.query<{ id: string }>(`select plinth.append_event('${stream}', 'torture', 'torture.happened') as id`);
      return { id: rows[0]?.id ?? '', written: true };
    },
    async read() {
      let reading = true;
      const consumer = {
        summary: 'counts',
        details: true,
        handle: async (tx: AnyTransaction, events: readonly FeedEvent[]) => void (await record(tx, events)),
      };
      const running = (async () => {
        while (reading) if ((await consumeOnce(reader, 'torture.log', consumer)) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      })();
      return {
        async stop() {
          reading = false;
          await running;
        },
      };
    },
    logSql: 'select id::text from plinth_events.events',
    query: async <Row>(text: string) => (await truth.query(text)).rows as Row[],
    async close() {
      await reader.close();
      await truth.end();
    },
  };
}

/** emmett-postgresql: appended by its emt_append_to_stream in the writer's transaction, read by its consumer with a reactor. */
export async function emmettUnderTest(serverUrl: string): Promise<OpenLog> {
  const log = await emmettLog(serverUrl, 'bench_emmett_torture');
  await log.query(EFFECTS);
  return {
    name: 'emmett-postgresql 0.42',
    connect: () => connected(log.url),
    begin: 'begin',
    work: WORK,
    async append(client, stream) {
      const id = randomUUID();
      const { rows } = await client.query<{ success: boolean }>(
        `select success from emt_append_to_stream(array[$1]::text[], array['{}']::jsonb[], array['{}']::jsonb[], array['1']::text[], array['torture.happened']::text[], array['E']::text[], $2, 'torture', null, 'emt:default')`,
        [id, stream],
      );
      return { id, written: rows[0]?.success === true };
    },
    async read() {
      const following = await log.follow((message, { execute }, SQL) =>
        execute.command(
          SQL`insert into torture.effects (event_id, stream, version) values (${message.metadata.messageId}, ${message.metadata.streamName}, ${message.metadata.streamPosition})`,
        ),
      );
      return { stop: () => following.close() };
    },
    logSql: 'select message_id::text as id from emt_messages',
    query: (text) => log.query(text),
    close: () => log.close(),
  };
}

/** Message DB: one category, read by get_category_messages from the position after the last, which is kept in the transaction of the effects. */
export async function messageDbUnderTest(serverUrl: string): Promise<OpenLog> {
  const { url, admin } = await messageDbUrl(serverUrl, 'bench_message_db_torture');
  const path = 'set search_path = message_store, public';
  const truth = await connected(url, path);
  await truth.query(EFFECTS);
  return {
    name: '@eventide/message-db 1.3',
    connect: () => connected(url, path),
    begin: 'begin',
    work: WORK,
    async append(client, stream) {
      const id = randomUUID();
      await client.query(`select write_message($1, $2, 'happened', '{}', null, null)`, [id, `torture-${stream}`]);
      return { id, written: true };
    },
    async read() {
      const client = await connected(url, path);
      let reading = true;
      let position = 1;
      const running = (async () => {
        while (reading) {
          const { rows } = await client.query<{ next: string | null; n: number }>(
            `with batch as (select * from get_category_messages('torture', $1, 200)),
             written as (insert into torture.effects (event_id, stream, version) select id, stream_name, position from batch order by global_position)
             select max(global_position) + 1 as next, count(*)::int as n from batch`,
            [position],
          );
          position = Number(rows[0]?.next ?? position);
          if ((rows[0]?.n ?? 0) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        }
        await client.end();
      })();
      return {
        async stop() {
          reading = false;
          await running;
        },
      };
    },
    logSql: 'select id::text from message_store.messages',
    query: async <Row>(text: string) => (await truth.query(text)).rows as Row[],
    async close() {
      await truth.end();
      await admin.end();
    },
  };
}
