import { withDirectBody } from '#adapters/http/direct-body.ts';
import { ACCESS_SIGNAL } from './call.ts';
import { EVENT_STREAM } from './event-stream.ts';
import type { Host, Server } from './host.ts';
import { only } from './host.ts';
import { askOf } from './realtime-ask.ts';
import type { Place } from './realtime-hub.ts';
import { byBytes, socketSink, streamSink } from './realtime-sinks.ts';

/** Readers of a server that went away come back between these, so that the next one does not meet all of them at once, ms. */
const RETRY_FROM_MS = 200;
const RETRY_TO_MS = 1_500;

const opening = (): Buffer => Buffer.from(`retry: ${Math.floor(RETRY_FROM_MS + Math.random() * (RETRY_TO_MS - RETRY_FROM_MS))}\n\n`);

/** Server-Sent Events (HTML Standard, 9.2), written to the connection itself where that can be reached. */
function eventStream(place: Place): Response {
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (begun) return;
        begun = true;
        controller.enqueue(opening());
        place.attach('sse', streamSink(controller, place.leave));
      },
      cancel: place.leave,
    },
    byBytes,
  );
  let begun = false;
  return withDirectBody(new Response(body, { headers: EVENT_STREAM }), {
    write(socket) {
      socket.on('close', place.leave);
      socket.on('error', place.leave);
      socket.setNoDelay(true);
      socket.write(opening());
      place.attach('sse', socketSink(socket, { end: () => socket.end() }));
    },
    cancel: place.leave,
  });
}

/** Pages of other sites may listen with a token of theirs, as over a WebSocket. Browsers send no cookie to where `*` may read the answer. */
const SHARED = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'x-correlation-id' };
const PREFLIGHT = {
  ...SHARED,
  'access-control-allow-methods': 'GET',
  'access-control-allow-headers': 'authorization, last-event-id, x-correlation-id, x-plinth-tenant, x-plinth-reason',
  'access-control-max-age': '600',
};

/** GET /realtime: events of the tenant as they are committed, from an offset on. The same address takes WebSockets (realtime-upgrade.ts). */
export function mountRealtime(app: Server, host: Host): void {
  if (!host.plinth.modules.events) return;
  host.plinth.wake.on(ACCESS_SIGNAL, host.calls.authenticator.forget);
  app.use('/realtime', async (c, next) => {
    if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method')) return new Response(null, { status: 204, headers: PREFLIGHT });
    await next();
    for (const [name, value] of Object.entries(SHARED)) c.res.headers.set(name, value);
    return undefined;
  });
  only(app, 'GET', '/realtime', async (c) => {
    const ask = await askOf(host, c.req.raw, c.env);
    if (c.req.raw.method === 'HEAD') return new Response(null, { headers: EVENT_STREAM });
    return eventStream(await host.realtime.take(ask));
  });
}
