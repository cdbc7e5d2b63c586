import type { Server as HttpServer } from 'node:http';
import { createServer } from 'node:http';
import pg from 'pg';
import { peerPackage } from './queue.ts';

interface Io {
  adapter(adapter: unknown): void;
  emit(event: string, message: object): unknown;
  close(): Promise<void>;
}

/** socket.io as its documentation sets it up for several processes on PostgreSQL. Defaults, but without long polling: every reader has a WebSocket. */
export interface SocketIo {
  readonly port: number;
  /** To all readers of all processes. */
  emit(message: object): void;
  close(): Promise<void>;
}

export async function startSocketIo(url: string, port = 0): Promise<SocketIo> {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  await pool.query('create table if not exists socket_io_attachments (id bigserial unique, created_at timestamptz default now(), payload bytea)');
  const http = createServer();
  const { Server } = await peerPackage<{ Server: new (http: HttpServer, options: object) => Io }>('socket.io');
  const { createAdapter } = await peerPackage<{ createAdapter: (pool: pg.Pool) => unknown }>('@socket.io/postgres-adapter');
  const io = new Server(http, { transports: ['websocket'], serveClient: false });
  io.adapter(createAdapter(pool));
  const { promise, resolve } = Promise.withResolvers<void>();
  http.listen(port, '127.0.0.1', () => resolve());
  await promise;
  const address = http.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    emit: (message) => void io.emit('m', message),
    async close() {
      await io.close();
      await pool.end();
    },
  };
}
