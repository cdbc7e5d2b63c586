/** Dead letters run again, page by page: no long transaction, however many they are. */
import type { JobDefinition } from '#kernel/work.ts';

export interface RedriveFilter {
  kind?: string | undefined;
  queue?: string | undefined;
  /** Text that stands in the error, in any case. */
  error?: string | undefined;
  failed_after?: string | undefined;
  failed_before?: string | undefined;
}

export interface RedriveRequest {
  filter: RedriveFilter;
  more_attempts?: number | undefined;
  /** Another payload for all of them. */
  payload?: Record<string, unknown> | undefined;
  /** Spreads them over time. Default: all at once. */
  per_second?: number | undefined;
  /** True: cancels them instead. */
  cancel?: boolean | undefined;
}

/** Kind of the job that redrives the dead letters of its tenant; its payload is a RedriveRequest. */
export const REDRIVE = 'jobs.redrive';

interface Page {
  redriven: number;
  skipped: number;
  last_id: string | null;
  next_run_at: string | null;
  more: boolean;
}

const PAGE = `select redriven::int as redriven, skipped::int as skipped, last_id, next_run_at::text as next_run_at, more
  from plinth.redrive_jobs(p_filter := $1, p_after := $2, p_more_attempts := $3, p_payload := $4, p_run_at := $5, p_per_second := $6, p_cancel := $7)`;

export const redriveJob: JobDefinition = {
  summary: 'Runs the dead letters of its tenant that meet a filter again, or cancels them, 1,000 in a transaction.',
  timeoutMs: 3_600_000,
  async handler(run) {
    const request = run.payload as unknown as RedriveRequest;
    const [preview] = await run.transaction((tx) =>
      tx.query<{ n: number }>('select matching::int as n from plinth.preview_redrive($1, 0)', [JSON.stringify(request.filter)]),
    );
    const total = Math.max(1, preview?.n ?? 1);
    const done = { redriven: 0, skipped: 0 };
    let page: Page = { redriven: 0, skipped: 0, last_id: null, next_run_at: null, more: true };
    // Ends: every page begins after the last id of the one before, also when jobs fail again meanwhile.
    while (page.more) {
      run.signal.throwIfAborted();
      const { last_id: after, next_run_at: at } = page;
      const [next] = await run.transaction((tx) =>
        tx.query<Page>(PAGE, [
          JSON.stringify(request.filter),
          after,
          request.more_attempts ?? 3,
          request.payload === undefined ? null : JSON.stringify(request.payload),
          at,
          request.per_second ?? null,
          request.cancel ?? false,
        ]),
      );
      if (!next) break;
      page = next;
      done.redriven += next.redriven;
      done.skipped += next.skipped;
      await run.progress(Math.min(99, Math.floor((100 * (done.redriven + done.skipped)) / total)), `${done.redriven} done, ${done.skipped} skipped`);
    }
    return done;
  },
};
