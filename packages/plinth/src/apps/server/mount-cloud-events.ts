import { fail } from '#kernel/errors.ts';
import { cloudEventBatch, cloudEventMode, readCloudEvents } from '#modules/events';
import { json } from './answer.ts';
import { parseJson, readJsonBody, readText } from './body.ts';
import { callContext } from './call.ts';
import type { Host, Server } from './host.ts';
import { callFacts } from './mount-api.ts';
import { callRoute, matchRoute } from './rest.ts';

const ADDRESS = '/api/v1/events/cloudevents';
const ROUTE = ADDRESS.slice('/api/v1'.length);
const BATCH = /application\/cloudevents-batch\+json/i;

/** What the procedure takes, out of a request in one of the modes of the HTTP binding, or as plain JSON. */
async function ingested(request: Request, url: URL, mostBytes: number): Promise<unknown> {
  if (cloudEventMode(request.headers) === undefined) return readJsonBody(request, mostBytes);
  const text = await readText(request, mostBytes);
  return { ...Object.fromEntries(url.searchParams), events: readCloudEvents(request.headers, text.trim() === '' ? undefined : parseJson(text)) };
}

interface Page {
  events: Parameters<typeof cloudEventBatch>[0];
  next: string | null;
}

/** A page as a batch; the next one in Link (RFC 8288). */
function batch(page: Page, url: URL): Response {
  const { headers, body } = cloudEventBatch(page.events);
  const query = new URLSearchParams(url.searchParams);
  query.set('after', page.next ?? '');
  return new Response(body, { headers: { ...headers, ...(page.next === null ? {} : { link: `<${ADDRESS}?${query.toString()}>; rel="next"` }) } });
}

/** CloudEvents over HTTP: the procedures of the address with what an address of plain JSON cannot do, headers and types of content. */
export function mountCloudEvents(app: Server, host: Host): void {
  if (!host.routes.some((route) => route.template === ROUTE)) return;
  app.on(['GET', 'HEAD', 'POST'], ADDRESS, async (c) => {
    const request = c.req.raw;
    const url = new URL(request.url);
    c.env.note({ 'http.route': ADDRESS });
    const match = matchRoute(host.routes, request.method === 'POST' ? 'POST' : 'GET', ROUTE);
    const facts = await callFacts(host, request, c.env);
    if (!facts.credential.principal) throw fail('unauthenticated');
    const body = request.method === 'POST' ? await ingested(request, url, host.bodyBytes) : undefined;
    const answer = await callRoute(host.router, match, callContext(host.calls, facts), url.searchParams, body);
    return request.method !== 'POST' && BATCH.test(request.headers.get('accept') ?? '') ? batch(answer as Page, url) : json(answer);
  });
}
