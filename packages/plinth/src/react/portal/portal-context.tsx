/** What every part of the portal shares: the client, what the link allows, and how to say a time. */
import { createContext, type ReactNode, type RefObject, use, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { PortalClient, PortalToken, Session } from './client.ts';
import { createPortalClient, problemOf } from './client.ts';
import { keepFocus } from './keep-focus.ts';
import { Busy, Trouble, UsedContext } from './parts.tsx';

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
  /**
   * Token of a link (POST /api/v1/webhooks/portal-links), or a function that gets one from your back end: it is asked once more when the link has expired, so that a
   * page that stays open goes on.
   */
  token?: PortalToken | undefined;
  /** Id of the link whose session this browser has; for the hosted page. */
  session?: string | undefined;
  /** Default: that of the link, else the system's. */
  theme?: 'system' | 'light' | 'dark' | undefined;
  /** How times are written; default: that of the link, else the browser's. */
  locale?: string | undefined;
}

/** A language that browsers do not know, such as `de_DE`, is no reason to show nothing. */
function formatOf(locale: string | undefined): Intl.DateTimeFormat {
  const style = { dateStyle: 'medium', timeStyle: 'medium' } as const;
  try {
    return new Intl.DateTimeFormat(locale, style);
  } catch {
    return new Intl.DateTimeFormat(undefined, style);
  }
}

/** Whether somebody has been in the portal with keyboard or pointer: then the focus is ours to move. Before, it belongs to the page around. */
function useUsed(root: RefObject<HTMLElement | null>): RefObject<boolean> {
  const used = useRef(false);
  useEffect(() => {
    const element = root.current;
    if (!element) return undefined;
    const stop = new AbortController();
    for (const name of ['focusin', 'pointerdown']) {
      element.addEventListener(name, () => void (used.current = true), { signal: stop.signal });
    }
    const letGo = keepFocus(element);
    return () => {
      stop.abort();
      letGo();
    };
  }, [root]);
  return used;
}

/** Opens the portal for the parts in it. Its element has the class `plp`, on which theme variables can be set. */
export function PortalProvider({ baseUrl, token, session: link, theme, locale, children }: PortalAccess & { children: ReactNode }): ReactNode {
  const latest = useRef(token);
  useEffect(() => {
    latest.current = token;
  });
  // A function may be another one with every render: the newest is asked.
  const credential = typeof token === 'function' ? null : token;
  const [session, setSession] = useState<Session>();
  const [error, setError] = useState<unknown>();
  const client = useMemo(() => {
    const ask = (): string | Promise<string> => (typeof latest.current === 'function' ? latest.current() : (latest.current ?? ''));
    // Another link lasts until another time.
    const onRenewed = (): void => void made.get<Session>('/session').then(setSession, () => {});
    // oxlint-disable-next-line react/refs -- asked when calls are made, never while rendering
    const made = createPortalClient({ baseUrl, token: credential === null ? ask : credential, session: link, onRenewed });
    return made;
  }, [baseUrl, credential, link]);
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
    const format = formatOf(locale ?? session.locale ?? undefined);
    const { timeZone: zone } = format.resolvedOptions();
    return { client, session, canManage: session.capabilities === 'manage', time: (iso: string) => format.format(new Date(iso)), zone };
  }, [client, session, locale]);
  const root = useRef<HTMLDivElement>(null);
  const used = useUsed(root);
  return (
    <div ref={root} className="plp" data-theme={theme ?? session?.theme ?? 'system'}>
      <UsedContext value={used}>
        {portal ? <PortalContext value={portal}>{children}</PortalContext> : error ? <Trouble error={problemOf(error)} retry={() => load()} /> : <Busy />}
      </UsedContext>
    </div>
  );
}
