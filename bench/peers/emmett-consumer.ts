import { DATA } from './event-store.ts';
import { freshDatabase, peerPackage } from './queue.ts';

/** What a processor's handler is given to write with, in the transaction that also stores its checkpoint. */
export interface EmmettContext {
  execute: { command(sql: unknown): Promise<unknown> };
}
export interface EmmettMessage {
  type: string;
  data: Record<string, unknown>;
  metadata: { messageId: string; streamName: string; streamPosition: bigint; globalPosition: bigint };
}
interface Processor {
  processorId: string;
  startFrom: 'BEGINNING';
  eachMessage: (message: EmmettMessage, context: EmmettContext) => Promise<void>;
}
interface Consumer {
  reactor(processor: Processor): unknown;
  start(): Promise<void>;
  close(): Promise<void>;
}
interface EmmettPackage {
  getPostgreSQLEventStore: (url: string) => {
    appendToStream(stream: string, events: object[]): Promise<unknown>;
    schema: { migrate(): Promise<unknown> };
    close(): Promise<void>;
  };
  postgreSQLEventStoreConsumer: (options: {
    connectionString: string;
    pulling?: { batchSize?: number; pullingFrequencyInMs?: number };
    stopWhen?: { noMessagesLeft: boolean };
  }) => Consumer;
}
interface DumboPackage {
  SQL: (text: TemplateStringsArray, ...values: unknown[]) => unknown;
}

export interface EmmettLog {
  url: string;
  /** Appends events, a hundred a stream. */
  fill(events: number): Promise<void>;
  /** Reads all from the beginning with a processor that was never seen before, and ends when none is left. */
  catchUp(options: {
    batchSize?: number;
    pullingFrequencyInMs?: number;
    each: (message: EmmettMessage, context: EmmettContext, SQL: DumboPackage['SQL']) => Promise<unknown>;
  }): Promise<void>;
  /** A consumer that reads on until it is closed. */
  follow(each: (message: EmmettMessage, context: EmmettContext, SQL: DumboPackage['SQL']) => Promise<unknown>): Promise<{ close(): Promise<void> }>;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** The log of emmett-postgresql and its consumer, whose reactor stores a checkpoint after each message in the transaction of the batch. */
export async function emmettLog(serverUrl: string, database = 'bench_emmett_log'): Promise<EmmettLog> {
  const { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } = await peerPackage<EmmettPackage>('@event-driven-io/emmett-postgresql');
  const { SQL } = await peerPackage<DumboPackage>('@event-driven-io/dumbo');
  const { url, admin } = await freshDatabase(serverUrl, database, 4);
  const store = getPostgreSQLEventStore(url);
  await store.schema.migrate();
  let processors = 0;
  return {
    url,
    async fill(events) {
      for (let n = 0; n < events; n += 100)
        await store.appendToStream(
          `bench-${n / 100}`,
          Array.from({ length: Math.min(100, events - n) }, () => ({ type: 'bench.appended', data: DATA })),
        );
    },
    async catchUp({ each, ...pulling }) {
      const consumer = postgreSQLEventStoreConsumer({ connectionString: url, pulling, stopWhen: { noMessagesLeft: true } });
      consumer.reactor({
        processorId: `bench-${processors++}`,
        startFrom: 'BEGINNING',
        eachMessage: async (message, context) => void (await each(message, context, SQL)),
      });
      await consumer.start();
      await consumer.close();
    },
    async follow(each) {
      const consumer = postgreSQLEventStoreConsumer({ connectionString: url });
      consumer.reactor({
        processorId: `bench-${processors++}`,
        startFrom: 'BEGINNING',
        eachMessage: async (message, context) => void (await each(message, context, SQL)),
      });
      const running = consumer.start();
      return {
        async close() {
          await consumer.close();
          await running.catch(() => undefined);
        },
      };
    },
    query: async <Row>(text: string, values?: unknown[]) => (await admin.query(text, values)).rows as Row[],
    async close() {
      await store.close();
      await admin.end();
    },
  };
}
