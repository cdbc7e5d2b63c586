import { keepPreviousData, type QueryClient, queryOptions, useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, use, useCallback, useMemo, useState } from 'react';
import { type Access, api, ask } from './api/client.ts';
import { isAway } from './api/problem.ts';
import type { Explanation, ListMeta, Me, Page, Principal, Row, Tenant, Trace, TraceRow } from './api/types.ts';
import { keepReason, keptReason } from './reason.ts';
import { stored } from './storage.ts';

/** Who is signed in, in which tenant they look, and everything that asks the API in that tenant. */
export interface Session {
  principal: Principal;
  /** Those that may be chosen. */
  tenants: readonly Tenant[];
  /** Undefined for operators who look at all of them. */
  tenant: Tenant | undefined;
  access: Access;
  reason: string;
  setReason(reason: string): void;
}

const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error('useSession outside of a signed-in page');
  return session;
}

const nobody: Access = { tenant: undefined, reason: undefined };

/** Forgets everything that was fetched, but for who is signed in. */
export const forget = (client: QueryClient): void => client.removeQueries({ predicate: (query) => query.queryKey[0] !== 'me' });

const sameCaller = (one: Me, other: Me): boolean => JSON.stringify(one.principal) === JSON.stringify(other.principal);

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: async ({ client, signal }) => {
    const me = await api<Me>(nobody, '/me', { signal });
    const before = client.getQueryData<Me>(['me']);
    // Another tab signed in with another key: the cookie is that of the browser.
    if (before && !sameCaller(before, me)) forget(client);
    return me;
  },
  retry: false,
  staleTime: 60_000,
});

/** Tenants by the beginning of their slug, a part of their name, or their id. For operators. */
export const tenantsQuery = (q: string) =>
  queryOptions({
    queryKey: ['tenants', q],
    queryFn: async ({ signal }) => (await api<{ tenants: readonly Tenant[] }>(nobody, `/tenants?limit=50&q=${encodeURIComponent(q)}`, { signal })).tenants,
    staleTime: 60_000,
  });

/** What stands for all tenants in the URL. */
export const allTenants = 'all';

/** Records of the installation stand under it: no tenant that could be looked into. */
export const noTenant = '00000000-0000-0000-0000-000000000000';

/**
 * The tenant that a link to one record names, for those who look at all of them: ids that an application gives may be the same in two tenants. Nothing
 * where the address names the tenant already.
 */
export function useTenantOf(): (tenantId: unknown) => { tenant: string } | Record<never, never> {
  const { principal, tenant } = useSession();
  const every = principal.operator && tenant === undefined;
  return (tenantId) => (every && typeof tenantId === 'string' && tenantId !== noTenant ? { tenant: tenantId } : {});
}

/** Plinth's own jobs run in it; nobody's records are there. */
const systemSlug = 'plinth-system';

/** Where somebody starts who has chosen nothing: the oldest customer. In development that is the demo's, also after a replay made others. */
export const homeTenant = (tenants: readonly Tenant[]): Tenant | undefined => tenants.findLast(({ slug }) => slug !== systemSlug) ?? tenants[0];

const chooseTenant = (tenants: readonly Tenant[], asked: string | undefined, beyond: Tenant | undefined): Tenant | undefined => {
  for (const id of [asked, stored('tenant')]) {
    if (id === allTenants) return undefined;
    const found = id ? tenants.find((tenant) => tenant.id === id) : undefined;
    if (found) return found;
    // An operator may look into one beyond those that were listed.
    if (id && id === asked) return beyond?.id === id ? beyond : { id, name: id };
  }
  return homeTenant(tenants);
};

interface SessionProviderProps extends Me {
  /** The tenant that the URL names. */
  asked: string | undefined;
  children: ReactNode;
}

/** Gives the session to the pages. */
export function SessionProvider({ principal, tenants, asked, children }: SessionProviderProps): ReactNode {
  const [reason, setReasonState] = useState(keptReason);
  const setReason = useCallback((next: string) => {
    keepReason(next);
    setReasonState(next);
  }, []);
  const unlisted = asked !== undefined && asked !== allTenants && !tenants.some(({ id }) => id === asked);
  const beyond = useQuery({ ...tenantsQuery(asked ?? ''), enabled: principal.operator && unlisted }).data?.find(({ id }) => id === asked);
  const value = useMemo<Session>(() => {
    const tenant = principal.operator ? chooseTenant(tenants, asked, beyond) : tenants[0];
    // A tenant's own key names it too: should the browser have got the session of another tenant meanwhile, that is refused and not shown as this one's.
    const access = principal.operator
      ? { tenant: tenant?.id, reason: reason === '' ? undefined : reason }
      : { tenant: principal.tenant_id ?? undefined, reason: undefined };
    return { principal, tenants, tenant, reason, setReason, access };
  }, [principal, tenants, asked, beyond, reason, setReason]);
  return <SessionContext value={value}>{children}</SessionContext>;
}

/** Lists of every module, from the cards. */
export function useLists() {
  const { access } = useSession();
  return useQuery({
    queryKey: ['lists', access.tenant],
    queryFn: async ({ signal }) => (await api<{ lists: readonly ListMeta[] }>(access, '/lists', { signal })).lists,
    staleTime: 5 * 60_000,
  });
}

/** What is known of one list; undefined while it loads or when there is no such list. */
export function useList(module: string, list: string): { meta: ListMeta | undefined; pending: boolean; error: Error | null; retry: () => void } {
  const { data, isPending, error, refetch } = useLists();
  const meta = data?.find((each) => each.module === module && each.list === list);
  return { meta, pending: isPending, error, retry: () => void refetch() };
}

export interface PageAsk {
  module: string;
  list: string;
  q: string;
  cursor?: string | undefined;
  limit: number;
}

const pagePath = (ask: PageAsk): string => {
  const search = new URLSearchParams({ limit: String(ask.limit) });
  if (ask.q !== '') search.set('q', ask.q);
  if (ask.cursor) search.set('cursor', ask.cursor);
  return `/lists/${ask.module}/${ask.list}?${search}`;
};

/** One page of a list; asked again every `everyMs` while the tab is looked at. */
export function usePage(ask: PageAsk, everyMs: number | false) {
  const { access } = useSession();
  return useQuery({
    queryKey: ['rows', access.tenant, ask],
    queryFn: ({ signal }) => api<Page>(access, pagePath(ask), { signal }),
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  });
}

export function useItem(module: string, list: string, id: string, everyMs: number | false) {
  const { access } = useSession();
  return useQuery({
    queryKey: ['item', access.tenant, module, list, id],
    queryFn: ({ signal }) => api<Row>(access, `/lists/${module}/${list}/${encodeURIComponent(id)}`, { signal }),
    // What was refused stays so; a server that is away comes back.
    refetchInterval: (query) => (query.state.error && !isAway(query.state.error) ? false : everyMs),
  });
}

/** Looking at all tenants, what is done to a row and asked about it still happens in its tenant, where it has one. */
export const accessTo = (access: Access, row: Row): Access => ({
  ...access,
  tenant: access.tenant ?? (typeof row.tenant_id === 'string' && row.tenant_id !== noTenant ? row.tenant_id : undefined),
});

/** What the module says of a row; nothing is asked without a procedure. */
export function useExplanation(procedure: string | undefined, row: Row, everyMs: number | false) {
  const { access } = useSession();
  return useQuery({
    queryKey: ['explanation', access.tenant, procedure, row.id],
    queryFn: ({ signal }) => ask<Explanation>(accessTo(access, row), procedure ?? '', { id: row.id }, signal),
    enabled: procedure !== undefined,
    refetchInterval: (query) => (query.state.error && !isAway(query.state.error) ? false : everyMs),
  });
}

type Untitled = Omit<Trace, 'rows'> & { rows: readonly (Omit<TraceRow, 'title'> & { title: string | null })[] };

/** The story of one correlation id; asked again after as many milliseconds as `again` says. */
export function useTrace(id: string, again: (trace: Trace) => number | false) {
  const { access } = useSession();
  return useQuery({
    queryKey: ['trace', access.tenant, id],
    queryFn: async ({ signal }): Promise<Trace> => {
      const told = await api<Untitled>(access, `/traces/${encodeURIComponent(id)}`, { signal });
      return { ...told, rows: told.rows.map((row) => ({ ...row, title: row.title ?? row.kind })) };
    },
    refetchInterval: (query) => (query.state.data ? again(query.state.data) : false),
  });
}

/**
 * Tenants with records of a story that is not in the chosen one; empty for those who cannot look across tenants. Asked once: it reads every
 * tenant's part of the log, and is written down as such.
 */
export function useElsewhere(id: string): readonly Tenant[] {
  const { principal, tenant, tenants, access } = useSession();
  const { data } = useQuery({
    queryKey: ['elsewhere', id],
    queryFn: ({ signal }) => api<Untitled>({ ...access, tenant: undefined }, `/traces/${encodeURIComponent(id)}`, { signal }),
    enabled: principal.operator && tenant !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const ids = new Set(data?.rows.map((row) => row.tenant_id));
  return [...ids].filter((each) => each !== tenant?.id).map((each) => tenants.find((known) => known.id === each) ?? { id: each, name: each });
}

/** After a mutation everything on screen may be old. */
export function useRefresh(): () => Promise<void> {
  const client = useQueryClient();
  return useCallback(() => refresh(client), [client]);
}

const refresh = (client: QueryClient): Promise<void> => client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'me' });
