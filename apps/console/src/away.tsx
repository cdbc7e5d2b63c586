import { type Query, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useSyncExternalStore } from 'react';
import { isAway, Problem } from './api/problem.ts';
import { absolute } from './format.ts';
import { Icon } from './parts/icons.tsx';
import { useRefresh } from './session.tsx';

/** When the newest answer came (0: none ever did), if the server has been away since; undefined while it answers. A refusal is an answer. */
function awaySince(queries: readonly Query[]): number | undefined {
  let answered = 0;
  let missed = 0;
  for (const { state } of queries) {
    answered = Math.max(answered, state.dataUpdatedAt, state.error && !isAway(state.error) ? state.errorUpdatedAt : 0);
    if (isAway(state.error)) missed = Math.max(missed, state.errorUpdatedAt);
  }
  return missed > answered ? answered : undefined;
}

export function useAway(): number | undefined {
  const cache = useQueryClient().getQueryCache();
  return useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () => awaySince(cache.getAll()),
  );
}

async function knock({ signal }: { signal: AbortSignal }): Promise<true> {
  const { ok, status } = await fetch('/readyz', { signal });
  if (!ok) throw new Problem({ title: 'The server is not ready', status, code: 'unready', wayOut: 'Wait, or look at /readyz.' });
  return true;
}

const knockMs = 2_000;

/** Stands above every page while the server is away: what is shown may be old. It knocks until there is an answer, and then everything is asked again. */
export function AwayBanner(): ReactNode {
  const since = useAway();
  const away = since !== undefined;
  const refresh = useRefresh();
  useQuery({ queryKey: ['away'], queryFn: knock, enabled: away, refetchInterval: knockMs, refetchIntervalInBackground: true, retry: false, gcTime: 0 });
  useEffect(() => (away ? () => void refresh() : undefined), [away, refresh]);
  return (
    <output className="sticky top-12 z-10 block">
      {away ? (
        <span className="flex items-start gap-2 border-b border-bad bg-bad-soft px-3 py-2 text-bad sm:px-6">
          <span className="pt-0.5">
            <Icon name="alert" />
          </span>
          <span>
            <strong className="font-semibold">The server does not answer.</strong>{' '}
            {since > 0 ? `What is shown is as of ${absolute(new Date(since)).slice(11, 19)}. ` : ''}This page goes on by itself when it is back.
          </span>
        </span>
      ) : null}
    </output>
  );
}
