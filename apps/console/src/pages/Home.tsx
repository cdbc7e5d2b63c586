import { useQueries } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import type { ListMeta, Page } from '../api/types.ts';
import { shortId } from '../format.ts';
import { Demo } from '../home/Demo.tsx';
import { LatestTraces } from '../home/LatestTraces.tsx';
import { latestStories } from '../home/latest.ts';
import { Tile } from '../home/Tile.tsx';
import { useLiveEvery } from '../live.tsx';
import { usualLimit } from '../paging.ts';
import { Trouble } from '../parts/Trouble.tsx';
import { useLists, useSession } from '../session.tsx';
import { useTitle } from '../title.ts';

const liveMs = 10_000;

/** The newest page of every list: what the tiles count and where the latest traces are found. */
function useNewest(lists: readonly ListMeta[]) {
  const { access } = useSession();
  const every = useLiveEvery(liveMs);
  return useQueries({
    queries: lists.map(({ module, list }) => ({
      queryKey: ['newest', access.tenant, module, list],
      queryFn: ({ signal }: { signal: AbortSignal }) => api<Page>(access, `/lists/${module}/${list}?limit=${usualLimit}&count=true`, { signal }),
      refetchInterval: every,
    })),
  });
}

/** Lists that hold something as tiles; the empty ones, which a newcomer has many of, in one line. */
function Records({ metas, newest }: { metas: readonly ListMeta[]; newest: ReturnType<typeof useNewest> }): ReactNode {
  const tiles = metas.map((meta, index) => ({ meta, page: newest[index]?.data, error: newest[index]?.error }));
  const empty = tiles.filter(({ page }) => page?.rows.length === 0);
  const full = tiles.filter(({ page }) => page?.rows.length !== 0);
  return (
    <section aria-labelledby="records" className="mt-6">
      <h2 id="records" className="pb-2 font-semibold">
        Records
      </h2>
      <div className="grid grid-cols-[repeat(auto-fill,minmax(13.5rem,1fr))] gap-3">
        {full.map((tile) => (
          <Tile key={`${tile.meta.module} ${tile.meta.list}`} {...tile} />
        ))}
      </div>
      {empty.length > 0 ? (
        <p className="mt-3 flex flex-wrap gap-x-3 leading-6 text-soft">
          Nothing yet in
          {empty.map(({ meta }) => (
            <Link key={`${meta.module} ${meta.list}`} to="/lists/$module/$list" params={{ module: meta.module, list: meta.list }} className="link underline">
              {meta.title}
            </Link>
          ))}
        </p>
      ) : null}
    </section>
  );
}

/** A demo order is a write of the module demo. */
const mayOrder = (scopes: readonly string[]): boolean => scopes.some((scope) => ['*', '*.write', 'demo.*', 'demo.write'].includes(scope));

export function HomePage(): ReactNode {
  useTitle('Overview');
  const { tenant, principal } = useSession();
  const lists = useLists();
  const metas = lists.data ?? [];
  const newest = useNewest(metas);
  const stories = latestStories(
    metas,
    newest.map((query) => query.data?.rows ?? []),
  );
  const settled = lists.data !== undefined && newest.every((query) => !query.isPending);
  return (
    <>
      <div className="mb-4">
        <h1 className="text-lg font-semibold">Overview</h1>
        <p className="text-soft">
          {tenant ? `Tenant ${tenant.name}` : 'All tenants'}, signed in as {principal.actor.type.replaceAll('_', ' ')} {shortId(principal.actor.id)}
        </p>
      </div>
      {mayOrder(principal.scopes) ? <Demo /> : null}
      {lists.error ? <Trouble error={lists.error} retry={() => void lists.refetch()} /> : null}
      <LatestTraces stories={stories} settled={settled} />
      <Records metas={metas} newest={newest} />
    </>
  );
}
