/** Through a relay that hands one session to every connection, as a pooler in transaction mode does while it is quiet. */
import type { Socket } from 'node:net';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client } from '#kernel/database.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { sessionFindings } from './doctor-sessions.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('doctor_sessions');
});
afterAll(() => database.drop());

/** AuthenticationOk, and ReadyForQuery outside of a transaction. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);
const TERMINATE = 'X'.charCodeAt(0);

/** The first connection opens the session; the others are let in and speak on it, one after the other. */
async function sharing(url: URL): Promise<{ url: string; close(): void }> {
  const session = connect(Number(url.port), url.hostname);
  let heard: Socket | undefined;
  session.on('data', (answer) => heard?.write(answer));
  const relay = createServer((socket) => {
    const first = heard === undefined;
    let greeted = first;
    heard ??= socket;
    socket.on('error', () => {});
    socket.on('data', (message) => {
      if (!greeted) {
        greeted = true;
        socket.write(WELCOME);
      } else if (message[0] !== TERMINATE) {
        heard = socket;
        session.write(message);
      } else socket.end();
    });
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const through = new URL(url);
  through.hostname = '127.0.0.1';
  through.port = String((relay.address() as AddressInfo).port);
  return {
    url: through.href,
    close() {
      relay.close();
      session.destroy();
    },
  };
}

async function found(url: string): Promise<Awaited<ReturnType<typeof sessionFindings>>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await sessionFindings(client, url);
  } finally {
    await client.end();
  }
}

test('a pooler that hands sessions on between transactions is told, with the way out; the server itself is as it should be', async () => {
  expect(await found(database.serverUrl)).toMatchObject([{ check: 'sessions', state: 'ok' }]);
  const relay = await sharing(new URL(database.serverUrl));
  try {
    expect(await found(relay.url)).toMatchObject([{ check: 'sessions', state: 'warning', wayOut: expect.stringContaining('by session') }]);
  } finally {
    relay.close();
  }
});
