/** What a network does that forgets a connection: for tests of what waits for an answer that never comes. */
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface SwallowingProxy extends AsyncDisposable {
  /** Of the database, by way of the proxy. */
  readonly url: string;
  /** From now on nothing gets through on the connections that are open: no byte, no end. With `alsoNew` neither on those that follow. */
  swallow(options?: { alsoNew?: boolean }): void;
}

interface Passing {
  swallowed: boolean;
  ends: readonly Socket[];
}

function pass(caller: Socket, server: Socket, passing: Passing): void {
  for (const [from, to] of [
    [caller, server],
    [server, caller],
  ] as const) {
    from.on('data', (bytes) => void (passing.swallowed || to.write(bytes)));
    from.on('close', () => void (passing.swallowed || to.destroy()));
    from.on('error', () => {});
  }
}

export async function swallowingProxy(databaseUrl: string): Promise<SwallowingProxy> {
  const target = new URL(databaseUrl);
  const open = new Set<Passing>();
  let swallowsNew = false;
  const server = createServer((caller) => {
    const there = connect(Number(target.port), target.hostname);
    const passing = { swallowed: swallowsNew, ends: [caller, there] };
    open.add(passing);
    pass(caller, there, passing);
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  return {
    url: url.href,
    swallow({ alsoNew = false } = {}) {
      swallowsNew = alsoNew;
      for (const one of open) one.swallowed = true;
    },
    async [Symbol.asyncDispose]() {
      for (const { ends } of open) for (const end of ends) end.destroy();
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      await promise;
    },
  };
}
