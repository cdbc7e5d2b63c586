import { type Query, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useSyncExternalStore } from 'react';
import { asProblem, isAway, Problem } from './api/problem.ts';
import { absolute } from './format.ts';
import { Icon } from './parts/icons.tsx';
import { useRefresh } from './session.tsx';

interface Away {
  /** When the newest answer came; 0: none ever did. */
  since: number;
  /** Why, as far as somebody said. */
  why: string;
}

/** What a proxy answers, or nobody, says nothing of the reason. */
const whyOf = (error: unknown): string => {
  const { code, message } = asProblem(error);
  return ['unreachable', 'unknown', 'unready'].includes(code) ? 'The server does not answer' : message;
};

/** Undefined while the server answers. A refusal is an answer. */
function awayNow(queries: readonly Query[]): Away | undefined {
  let answered = 0;
  let missed = 0;
  let why = '';
  for (const { state, queryKey } of queries) {
    answered = Math.max(answered, state.dataUpdatedAt, state.error && !isAway(state.error) ? state.errorUpdatedAt : 0);
    if (!isAway(state.error)) continue;
    missed = Math.max(missed, state.errorUpdatedAt);
    if (why === '' || queryKey[0] !== knockKey) why = whyOf(state.error);
  }
  return missed > answered ? { since: answered, why } : undefined;
}

export function useAway(): Away | undefined {
  const cache = useQueryClient().getQueryCache();
  const told = useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () => JSON.stringify(awayNow(cache.getAll())),
  );
  return told === undefined ? undefined : (JSON.parse(told) as Away);
}

const knockKey = 'away';

/** A connection that is dropped on the way would be waited for for minutes. */
const longestKnockMs = 5_000;

async function knock({ signal }: { signal: AbortSignal }): Promise<true> {
  const { ok, status } = await fetch('/readyz', { signal: AbortSignal.any([signal, AbortSignal.timeout(longestKnockMs)]) });
  if (!ok) throw new Problem({ title: 'The server is not ready', status, code: 'unready', wayOut: 'Wait, or look at /readyz.' });
  return true;
}

const knockMs = 2_000;

/** Stands above every page while the server is away: what is shown may be old. It knocks until there is an answer, and then everything is asked again. */
export function AwayBanner(): ReactNode {
  const told = useAway();
  const away = told !== undefined;
  const refresh = useRefresh();
  useQuery({ queryKey: [knockKey], queryFn: knock, enabled: away, refetchInterval: knockMs, refetchIntervalInBackground: true, retry: false, gcTime: 0 });
  useEffect(() => (away ? () => void refresh() : undefined), [away, refresh]);
  return (
    <output className="sticky top-12 z-10 block">
      {away ? (
        <span className="flex items-start gap-2 border-b border-bad bg-bad-soft px-3 py-2 text-bad sm:px-6">
          <span className="pt-0.5">
            <Icon name="alert" />
          </span>
          <span>
            <strong className="font-semibold">{told.why}.</strong>{' '}
            {told.since > 0 ? `What is shown is as of ${absolute(new Date(told.since)).slice(11, 19)}. ` : ''}This page goes on by itself when it is back.
          </span>
        </span>
      ) : null}
    </output>
  );
}
