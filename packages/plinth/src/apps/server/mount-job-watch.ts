import { z } from 'zod';
import { fail, raiser } from '#kernel/errors.ts';
import type { JobSight } from '#modules/jobs';
import { isOver, jobsErrors, readJobState } from '#modules/jobs';
import { callContext, principalWith } from './call.ts';
import type { StreamEvent } from './event-stream.ts';
import { EVENT_STREAM } from './event-stream.ts';
import type { Exchange, Host, Server } from './host.ts';
import { only } from './host.ts';
import type { JobWatch } from './job-watch.ts';
import { createJobWatch } from './job-watch.ts';
import { callFacts } from './mount-api.ts';

const failJobs = raiser('jobs', jobsErrors);
const uuid = z.guid();
/** So often the credential is looked at again: a key that was revoked sees no more. */
const CHECK_MS = 30_000;
/** A job that is over may have lines on their way: those are waited for. */
const LINES_MS = 1_500;
/** Last-Event-ID of a stream that told the end. */
const END = 'end/';

/**
 * Tenant in which the job may be watched. Nothing stays open after it. Errors: access_*, kernel_unauthenticated, kernel_forbidden,
 * kernel_tenant_required, kernel_reason_required, jobs_job_not_found.
 */
async function allowed(host: Host, request: Request, exchange: Exchange, jobId: string): Promise<string> {
  const facts = { ...(await callFacts(host, request, exchange)), signal: AbortSignal.timeout(host.requestMs) };
  const principal = principalWith(facts, 'jobs.read');
  if (!principal.tenantId) throw fail('tenant_required');
  const call = { type: 'query', path: 'system.jobs.watch', input: { id: jobId }, secretFields: [], operator: false, records: true, exactJson: false } as const;
  const state = await callContext(host.calls, facts).run(call, (tx) => readJobState(tx, jobId));
  if (!state) throw failJobs('job_not_found', { message: `There is no job ${jobId}` });
  return principal.tenantId;
}

/** Status first, then its lines: a reader shows what the job is before what it said. */
function* eventsOf(sight: JobSight, lastLine: string | undefined): Iterable<StreamEvent> {
  yield { event: 'status', id: lastLine, data: sight.state };
  for (const line of sight.lines) yield { event: 'log', id: line.id, data: line };
}

interface Watching {
  tenantId: string;
  jobId: string;
  after: string | undefined;
  /** Throws when the reader may not see the job any more. */
  check: () => Promise<unknown>;
}

async function* watched(watch: JobWatch, { tenantId, jobId, after, check }: Watching, signal: AbortSignal): AsyncGenerator<StreamEvent, void> {
  const watcher = watch.join(tenantId, jobId, after);
  signal.addEventListener('abort', watcher.leave, { once: true });
  let last = after;
  let checkedMs = performance.now();
  let over: unknown;
  try {
    while (!signal.aborted) {
      const sight = await (over === undefined ? watcher.next(CHECK_MS) : watcher.next(LINES_MS, true));
      if (signal.aborted) return;
      if (performance.now() - checkedMs >= CHECK_MS) {
        await check();
        checkedMs = performance.now();
      }
      if (sight?.state) {
        yield* eventsOf(sight, last);
        last = sight.lines.at(-1)?.id ?? last;
        over = isOver(sight.state) ? sight.state.status : undefined;
      } else if (sight) over = 'gone';
      if (over !== undefined && (!sight || over === 'gone')) {
        yield { event: 'end', id: `${END}${last ?? ''}`, data: { status: over } };
        return;
      }
    }
  } finally {
    watcher.leave();
  }
}

/** Where a reader was that comes back. Errors: kernel_header_invalid. */
function resumed(request: Request): { after: string | undefined; ended: boolean } {
  const text = request.headers.get('last-event-id')?.trim() ?? '';
  const ended = text.startsWith(END);
  const after = ended ? text.slice(END.length) : text;
  if (after !== '' && !uuid.safeParse(after).success)
    throw fail('header_invalid', { message: 'Last-Event-ID is not an id of this stream', detail: { header: 'Last-Event-ID' } });
  return { after: after === '' ? undefined : after, ended };
}

/** GET /api/v1/jobs/{id}/watch: status, progress and lines of a job as they come, until it is over. */
export function mountJobWatch(app: Server, host: Host): void {
  if (!host.plinth.modules.jobs) return;
  const watch = createJobWatch(host.plinth, host.log);
  only(app, 'GET', '/api/v1/jobs/:id/watch', async (c) => {
    const request = c.req.raw;
    const exchange = c.env;
    const jobId = c.req.param('id') ?? '';
    if (!uuid.safeParse(jobId).success)
      throw fail('invalid_input', { message: 'The id of a job is a UUID', detail: { issues: [{ field: 'id', message: 'Invalid UUID' }] } });
    const { after, ended } = resumed(request);
    const check = (): Promise<string> => allowed(host, request, exchange, jobId);
    const tenantId = await check();
    // A browser that comes back after the end would do so for ever; this is how the standard says stop.
    if (ended) return new Response(null, { status: 204 });
    // Nobody reads the body of an answer to HEAD, nor ends it.
    if (request.method === 'HEAD') return new Response(null, { headers: EVENT_STREAM });
    return host.streams.open(tenantId, (signal) => watched(watch, { tenantId, jobId, after, check }, signal));
  });
}
