import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { WebSocketServer } from 'ws';
import { z } from 'zod';
import { fail, raiser, toPlinthError } from '#kernel/errors.ts';
import { accessErrors } from '#modules/access';
import { problem } from './answer.ts';
import type { Exchange, Host } from './host.ts';
import { askOf } from './realtime-ask.ts';
import type { Connection } from './realtime-connection.ts';
import { frame } from './realtime-frames.ts';
import type { Place } from './realtime-hub.ts';
import { socketSink } from './realtime-sinks.ts';
import { parseTopics } from './realtime-topics.ts';
import { readTraffic } from './traffic.ts';

/**
 * Takes a connection that asks to become a WebSocket. What does not is answered like any other request; one for another address is left to who else listens
 * to `upgrade`, and refused where nobody does.
 */
export type Upgrade = (incoming: IncomingMessage, socket: Duplex, head: Buffer) => void;

const failAccess = raiser('access', accessErrors);
/** Protocols of the handshake: ours, and beside it `plinth.bearer.<token>` for browsers, which cannot send headers there. */
const PROTOCOL = 'plinth.realtime';
const BEARER = 'plinth.bearer.';
const REALTIME = /^\/realtime(\?|$)/;
const LONGEST_MESSAGE = 16_384;
const ALIVE_MS = 30_000;
/** RFC 6455, 7.4.1. */
const GOING_AWAY = 1001;

const message = z.union([
  z.strictObject({ subscribe: z.array(z.string().max(2_000)).min(1).max(100) }),
  z.strictObject({ unsubscribe: z.array(z.string().max(2_000)).min(1).max(100) }),
]);

/** The handshake as a fetch Request, so that credentials are read in one place. */
function requestOf(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  const token = (headers.get('sec-websocket-protocol') ?? '')
    .split(',')
    .map((one) => one.trim())
    .find((one) => one.startsWith(BEARER))
    ?.slice(BEARER.length);
  if (token && !headers.has('authorization')) headers.set('authorization', `Bearer ${token}`);
  return new Request(`http://${incoming.headers.host ?? 'localhost'}${incoming.url ?? '/'}`, { headers });
}

/**
 * A page of another site can open a WebSocket here, and the browser sends our cookie with it: a session counts only when the page was ours.
 * Errors: access_cross_site.
 */
function checkOrigin(request: Request): void {
  if (request.headers.has('authorization') || !request.headers.has('cookie')) return;
  const origin = request.headers.get('origin') ?? '';
  if (!URL.canParse(origin) || new URL(origin).host !== request.headers.get('host')) throw failAccess('cross_site');
}

const isWebSocket = (incoming: IncomingMessage): boolean => incoming.headers.upgrade?.toLowerCase() === 'websocket';
const serverOf = (socket: Duplex): HttpServer | undefined => (socket as Duplex & { server?: HttpServer }).server;

/**
 * Java's HttpClient offers HTTP/2 (`Upgrade: h2c`) with its requests, Apache's TLS; a server that takes no notice answers as ever. Node hands all of them to whoever
 * listens to `upgrade`: such a request is read once more, without its offer.
 */
function readAnew(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = incoming;
  const lines = rawHeaders.flatMap((name, at) => (at % 2 === 1 || name.toLowerCase() === 'upgrade' ? [] : [`${name}: ${rawHeaders[at + 1]}`]));
  socket.unshift(Buffer.concat([Buffer.from(`${[`${method} ${url} HTTP/${httpVersion}`, ...lines].join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  serverOf(socket)?.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket);
}

/** Answers in plain HTTP what did not become a WebSocket. */
async function decline(socket: Duplex, error: unknown, correlationId: string): Promise<void> {
  const response = problem(toPlinthError(error), correlationId);
  const text = await response.text();
  const headers = {
    ...Object.fromEntries(response.headers),
    'content-length': String(Buffer.byteLength(text)),
    connection: 'close',
    'x-correlation-id': correlationId,
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${response.status} ${response.statusText || 'Refused'}\r\n${head.join('')}\r\n${text}`);
}

/** Changes what a connection hears. What it may not be told is told as a frame, and the connection stays. */
function heard(host: Host, connection: Connection, text: string): void {
  try {
    const read = message.safeParse(JSON.parse(text));
    if (!read.success) throw fail('invalid_input', { message: 'A message is {"subscribe": [topics]} or {"unsubscribe": [topics]}' });
    const now = connection.topics.map((topic) => topic.text);
    const topics =
      'subscribe' in read.data
        ? parseTopics([...now, ...read.data.subscribe])
        : parseTopics(now.filter((one) => !(read.data as { unsubscribe: string[] }).unsubscribe.includes(one)));
    host.realtime.setTopics(connection, topics);
  } catch (error) {
    const fault = error instanceof SyntaxError ? fail('malformed_body') : toPlinthError(error);
    const { code, status, message: sentence, wayOut } = fault;
    connection.send(frame('socket', 'failure', undefined, JSON.stringify({ code, status, message: sentence, way_out: wayOut })));
  }
}

function talk(host: Host, place: Place, socket: WebSocket, raw: Socket): void {
  raw.setNoDelay(true);
  // Frames of events are made once for all connections and go to the connection itself, whole; ws writes only its own control frames beside them.
  const sink = socketSink(raw, { end: () => socket.close(GOING_AWAY) });
  const connection = place.attach('socket', sink);
  let alive = true;
  const ping = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, ALIVE_MS).unref();
  socket.on('pong', () => void (alive = true));
  socket.on('message', (data, binary) => (binary ? socket.close(1003) : heard(host, connection, String(data))));
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    clearInterval(ping);
    place.leave();
  });
}

export function createUpgrade(host: Host): Upgrade {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: LONGEST_MESSAGE,
    handleProtocols: (protocols) => (protocols.has(PROTOCOL) ? PROTOCOL : false),
  });
  const begin = async (incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const request = requestOf(incoming);
    const { traffic, fault } = readTraffic(request, { ip: incoming.socket.remoteAddress }, host.trustProxy, host.plinth.newId);
    const exchange: Exchange = { traffic, signal: AbortSignal.timeout(host.requestMs), note: () => {} };
    try {
      if (fault) throw fault;
      if (new URL(request.url).pathname !== '/realtime' || !host.plinth.modules.events) throw fail('unknown_route');
      checkOrigin(request);
      const place = await host.realtime.take(await askOf(host, request, exchange));
      // Until it is a WebSocket, the end of the connection gives the place back; it may have ended while the credential was looked at.
      if (socket.destroyed) return place.leave();
      socket.once('close', place.leave);
      server.handleUpgrade(incoming, socket, head, (opened) => talk(host, place, opened, socket as Socket));
    } catch (error) {
      await decline(socket, error, traffic.correlationId);
    }
  };
  return (incoming, socket, head) => {
    if (!isWebSocket(incoming)) return readAnew(incoming, socket, head);
    if (!REALTIME.test(incoming.url ?? '') && (serverOf(socket)?.listenerCount('upgrade') ?? 0) > 1) return;
    socket.on('error', () => socket.destroy());
    begin(incoming, socket, head).catch((error: unknown) => {
      host.log.warn({ err: error }, 'a WebSocket could not be opened');
      socket.destroy();
    });
  };
}
