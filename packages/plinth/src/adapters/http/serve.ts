import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import { fail, toProblem } from '#kernel/errors.ts';
import type { DirectBody } from './direct-body.ts';
import { directBodyOf } from './direct-body.ts';

export interface ServeOptions {
  /** Answers a request of a peer. */
  fetch: (request: Request, peer: { ip?: string | undefined }) => Promise<Response>;
  /** Takes a connection that asks to become a WebSocket. Without it such requests are answered like any other. */
  upgrade?: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  /** Default 4400. 0: any free port. */
  port?: number | undefined;
  /** Default 127.0.0.1. */
  host?: string | undefined;
  /** How many ports to try after a taken one. Default 20; 0 fails instead. */
  tries?: number | undefined;
  /** Longest wait at the end for requests that are running, ms. Default 4,000. */
  graceMs?: number | undefined;
}

export interface Serving {
  readonly port: number;
  /** `http://127.0.0.1:4400` */
  readonly origin: string;
  /** The port that was asked for, when it was taken and the next free one is used. */
  readonly taken: number | undefined;
  /** Takes no new connections, waits for what runs (at most graceMs), then hangs up. */
  close(): Promise<void>;
}

/**
 * Connections that wait to be taken. Readers of a server that died come to another one all at once; those that found no room would try again after
 * 1, 2, 4 ... seconds, which is TCP's own pace. The system may cut it (net.core.somaxconn).
 */
const BACKLOG = 4_096;

async function listen(server: HttpServer, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ port, host, backlog: BACKLOG }, () => resolve());
  try {
    await promise;
  } finally {
    server.removeListener('error', reject);
  }
}

const isTaken = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === 'EADDRINUSE';

async function listenNext(server: HttpServer, first: number, host: string, tries: number): Promise<void> {
  for (let port = first; ; port++) {
    try {
      return await listen(server, port, host);
    } catch (error) {
      if (!isTaken(error) || port === 0 || port >= first + tries || port >= 65_535) throw error;
    }
  }
}

/** Sends the head of an answer whose body goes to the connection itself; the end of the connection ends it, so it need not be cut into chunks. */
function writeDirect(response: Response, body: DirectBody, outgoing: ServerResponse): Response {
  const { socket } = outgoing;
  if (!socket || socket.destroyed) {
    body.cancel();
  } else {
    socket.setKeepAlive(true, 30_000);
    outgoing.useChunkedEncodingByDefault = false;
    // The head and what the body writes at once leave together.
    socket.cork();
    outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), connection: 'close' });
    outgoing.flushHeaders();
    body.write(socket as Socket);
    socket.uncork();
  }
  return new Response(null, { headers: { 'x-hono-already-sent': 'true' } });
}

/**
 * How long a connection without a request is kept: longer than proxies and pools of clients keep theirs, for a minute mostly. Were the server first to hang up, a
 * request that crosses it would be lost, and one that is not idempotent must not be sent again.
 */
const IDLE_MS = 75_000;

const refusals = { HPE_HEADER_OVERFLOW: 'headers_too_large', ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout' } as const;

/** What never became a request is answered as everything else that is refused, where Node would send a line without a word. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  // As Node itself looks: an answer that has begun must not have another one in its middle.
  const { _httpMessage: answer } = socket as Duplex & { _httpMessage?: ServerResponse };
  if (!socket.writable || answer?.headersSent || error.code === 'ECONNRESET') return void socket.destroy();
  const problem = toProblem(fail(refusals[error.code as keyof typeof refusals] ?? 'malformed_request'));
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

interface NodeEnv {
  incoming?: IncomingMessage;
  outgoing?: ServerResponse;
}

/** Serves a fetch handler over HTTP/1.1 with Node's own server. Errors: EADDRINUSE when no port was free, EACCES. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const host = options.host ?? '127.0.0.1';
  const wanted = options.port ?? 4400;
  const server = createAdaptorServer({
    fetch: async (request: Request, env: unknown) => {
      const { incoming, outgoing } = env as NodeEnv;
      const response = await options.fetch(request, { ip: incoming?.socket.remoteAddress });
      const direct = directBodyOf(response);
      return direct && outgoing ? writeDirect(response, direct, outgoing) : response;
    },
    // Node's fetch classes stay as they are for the rest of the process.
    overrideGlobalObjects: false,
    serverOptions: { requestTimeout: 60_000, headersTimeout: 15_000, keepAliveTimeout: IDLE_MS, maxHeaderSize: 32_768 },
  }) as HttpServer;
  server.on('clientError', refuse);
  if (options.upgrade) server.on('upgrade', options.upgrade);
  await listenNext(server, wanted, host, options.tries ?? 20);
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : wanted;
  return {
    port,
    origin: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    taken: wanted !== 0 && port !== wanted ? wanted : undefined,
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), options.graceMs ?? 4_000);
      await promise;
      clearTimeout(timer);
    },
  };
}
