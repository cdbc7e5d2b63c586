/** What every part of the portal shares: the client, what the link allows, and how to say a time. */
import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useState } from 'react';
import type { PortalClient, Session } from './client.ts';
import { createPortalClient, problemOf } from './client.ts';
import { Busy, Trouble } from './parts.tsx';

export interface Portal {
  client: PortalClient;
  session: Session;
  /** False when the link is for reading only. */
  canManage: boolean;
  /** A time of the API in the reader's own words. */
  time(iso: string): string;
  /** The zone of these times: `Europe/Berlin`. */
  zone: string;
}

const PortalContext = createContext<Portal | undefined>(undefined);

/** Errors: an Error outside of PortalProvider. */
export function usePortal(): Portal {
  const portal = use(PortalContext);
  if (!portal) throw new Error('parts of the portal stand inside <PortalProvider>');
  return portal;
}

export interface PortalAccess {
  /** Origin of the Plinth server; empty for the page's own. */
  baseUrl: string;
  /** Token of a link: POST /api/v1/webhooks/portal-links. */
  token?: string | undefined;
  /** Id of the link whose session this browser has; for the hosted page. */
  session?: string | undefined;
  /** Default: that of the link, else the system's. */
  theme?: 'system' | 'light' | 'dark' | undefined;
  /** How times are written; default: that of the link, else the browser's. */
  locale?: string | undefined;
}

/** Opens the portal for the parts in it. Its element has the class `plp`, on which theme variables can be set. */
export function PortalProvider({ baseUrl, token, session: link, theme, locale, children }: PortalAccess & { children: ReactNode }): ReactNode {
  const client = useMemo(() => createPortalClient({ baseUrl, token, session: link }), [baseUrl, token, link]);
  const [session, setSession] = useState<Session>();
  const [error, setError] = useState<unknown>();
  const load = useCallback(
    (signal?: AbortSignal) => {
      client.get<Session>('/session', signal).then(
        (opened) => {
          setSession(opened);
          setError(undefined);
        },
        (fault: unknown) => {
          if (!signal?.aborted) setError(fault);
        },
      );
    },
    [client],
  );
  useEffect(() => {
    const stop = new AbortController();
    load(stop.signal);
    return () => stop.abort();
  }, [load]);
  const portal = useMemo(() => {
    if (!session) return undefined;
    const format = new Intl.DateTimeFormat(locale ?? session.locale ?? undefined, { dateStyle: 'medium', timeStyle: 'medium' });
    const { timeZone: zone } = format.resolvedOptions();
    return { client, session, canManage: session.capabilities === 'manage', time: (iso: string) => format.format(new Date(iso)), zone };
  }, [client, session, locale]);
  return (
    <div className="plp" data-theme={theme ?? session?.theme ?? 'system'}>
      {portal ? <PortalContext value={portal}>{children}</PortalContext> : error ? <Trouble error={problemOf(error)} retry={() => load()} /> : <Busy />}
    </div>
  );
}

export interface Asked<Answer> {
  data: Answer | undefined;
  error: unknown;
  reload(): void;
}

/** One answer of the API; asked again when the path changes. */
export function useAsk<Answer>(path: string): Asked<Answer> {
  const { client } = usePortal();
  const [data, setData] = useState<Answer>();
  const [error, setError] = useState<unknown>();
  const load = useCallback(
    (signal?: AbortSignal) => {
      client.get<Answer>(path, signal).then(
        (answer) => {
          setData(answer);
          setError(undefined);
        },
        (fault: unknown) => {
          if (!signal?.aborted) setError(fault);
        },
      );
    },
    [client, path],
  );
  useEffect(() => {
    const stop = new AbortController();
    load(stop.signal);
    return () => stop.abort();
  }, [load]);
  return { data, error, reload: () => load() };
}

export interface Pages<Row> {
  rows: readonly Row[] | undefined;
  error: unknown;
  busy: boolean;
  /** Undefined on the last page. */
  more: (() => void) | undefined;
  reload(): void;
}

interface Loaded<Row> {
  rows: readonly Row[] | undefined;
  cursor: string | null;
  busy: boolean;
  error: unknown;
}

const withCursor = (path: string, cursor: string): string => `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;

/** Rows of a list, page after page. `field` is the name of the rows in the answer. */
export function usePages<Row>(path: string, field: string): Pages<Row> {
  const { client } = usePortal();
  const [state, setState] = useState<Loaded<Row>>({ rows: undefined, cursor: null, busy: true, error: undefined });
  const load = useCallback(
    (cursor: string | undefined, signal?: AbortSignal) => {
      client.get<Record<string, unknown>>(cursor === undefined ? path : withCursor(path, cursor), signal).then(
        (page) => {
          const rows = page[field] as readonly Row[];
          const next = page.next_cursor as string | null;
          setState((before) => ({ rows: cursor === undefined ? rows : [...(before.rows ?? []), ...rows], cursor: next, busy: false, error: undefined }));
        },
        (error: unknown) => {
          if (!signal?.aborted) setState((before) => ({ ...before, busy: false, error }));
        },
      );
    },
    [client, path, field],
  );
  useEffect(() => {
    const stop = new AbortController();
    load(undefined, stop.signal);
    return () => stop.abort();
  }, [load]);
  const { cursor } = state;
  const again = useCallback(
    (from: string | undefined) => {
      setState((before) => ({ ...before, busy: true, error: undefined }));
      load(from);
    },
    [load],
  );
  // Stable, so that an effect may depend on it.
  const reload = useCallback(() => again(undefined), [again]);
  return { rows: state.rows, busy: state.busy, error: state.error, more: cursor === null ? undefined : () => again(cursor), reload };
}

export interface Act {
  busy: boolean;
  error: unknown;
  run(body: () => Promise<void>): void;
}

/** Something that changes: one at a time, its failure kept to be shown. */
export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  return {
    busy,
    error,
    run(body) {
      setBusy(true);
      setError(undefined);
      body()
        .catch(setError)
        .finally(() => setBusy(false));
    },
  };
}
