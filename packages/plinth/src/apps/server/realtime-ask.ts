import { fail } from '#kernel/errors.ts';
import { noteAccess, principalWith } from './call.ts';
import type { Exchange, Host } from './host.ts';
import { callFacts } from './mount-api.ts';
import type { Ask } from './realtime-hub.ts';
import { readOffset } from './realtime-offset.ts';
import { parseTopics } from './realtime-topics.ts';

/** Topics are events: who may read events may hear them. */
export const PERMISSION = 'events.read';

/**
 * Tenant whose events the credential may hear. Nothing stays open after it. Errors: access_*, kernel_unauthenticated, kernel_forbidden,
 * kernel_tenant_required, kernel_reason_required.
 */
async function allowed(host: Host, request: Request, exchange: Exchange): Promise<string> {
  const facts = { ...(await callFacts(host, request, exchange)), signal: AbortSignal.timeout(host.requestMs) };
  const principal = principalWith(facts, PERMISSION);
  if (!principal.tenantId) throw fail('tenant_required');
  if (principal.operator) await noteAccess(host.calls, facts, principal);
  return principal.tenantId;
}

/** Errors: kernel_offset_invalid. */
function offsetOf(request: Request, query: URLSearchParams): Ask['offset'] {
  // The header goes before: a browser that comes back sends it beside the address it began with. It sends what it was told, by another version maybe, and gives up for good
  // when it is refused; who wrote an address can correct it.
  const last = request.headers.get('last-event-id')?.trim();
  if (last) return readOffset(last) ?? 'unreadable';
  const text = query.get('offset') || undefined;
  if (text === undefined) return undefined;
  const offset = readOffset(text);
  if (!offset) throw fail('offset_invalid');
  return offset;
}

/** What a request asks to hear, when it may. Errors: kernel_topic_invalid, kernel_offset_invalid, and those of its credential. */
export async function askOf(host: Host, request: Request, exchange: Exchange): Promise<Ask> {
  const query = new URL(request.url).searchParams;
  const tenantId = await allowed(host, request, exchange);
  const topics = parseTopics(query.getAll('topic'));
  const check = async (): Promise<void> => {
    if ((await allowed(host, request, exchange)) !== tenantId) throw fail('forbidden', { message: 'The credential belongs to another tenant now' });
  };
  return { tenantId, topics, offset: offsetOf(request, query), check };
}
