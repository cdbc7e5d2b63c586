import { type ReactNode, useEffect, useState } from 'react';
import { AttemptList } from './AttemptList.tsx';
import { EndpointDetail } from './EndpointDetail.tsx';
import { EndpointList } from './EndpointList.tsx';
import { EventCatalogue } from './EventCatalogue.tsx';
import { Title } from './parts.tsx';
import type { PortalAccess } from './portal-context.tsx';
import { PortalProvider, usePortal } from './portal-context.tsx';

type Tab = 'endpoints' | 'events' | 'attempts';
interface Place {
  tab: Tab;
  endpoint?: string | undefined;
}
const START: Place = { tab: 'endpoints' };
const TABS = [
  ['endpoints', 'Endpoints'],
  ['events', 'Events'],
  ['attempts', 'Attempts'],
] as const;

const placeIn = (state: unknown): Place => (state as { plinthPortal?: Place } | null)?.plinthPortal ?? START;

/** Where the reader is; kept in the history of the browser when it is ours, so that its back button works. */
function usePlace(inHistory: boolean): [Place, (place: Place) => void] {
  const [place, setPlace] = useState<Place>(() => (inHistory ? placeIn(history.state) : START));
  useEffect(() => {
    if (!inHistory) return undefined;
    const restore = (event: PopStateEvent): void => setPlace(placeIn(event.state));
    addEventListener('popstate', restore);
    return () => removeEventListener('popstate', restore);
  }, [inHistory]);
  const go = (next: Place): void => {
    if (inHistory) history.pushState({ plinthPortal: next }, '');
    setPlace(next);
  };
  return [place, go];
}

/** The whole portal: endpoints, event catalogue, attempts. */
export function WebhookPortal({ inHistory = false, ...access }: PortalAccess & { inHistory?: boolean }): ReactNode {
  return (
    <PortalProvider {...access}>
      <Pages inHistory={inHistory} />
    </PortalProvider>
  );
}

function Pages({ inHistory }: { inHistory: boolean }): ReactNode {
  const [place, go] = usePlace(inHistory);
  const { session, canManage, time, zone } = usePortal();
  return (
    <>
      <nav aria-label="Webhooks" className="plp-tabs">
        {TABS.map(([tab, label]) => (
          <button key={tab} type="button" className="plp-tab" aria-current={place.tab === tab ? 'page' : undefined} onClick={() => go({ tab })}>
            {label}
          </button>
        ))}
      </nav>
      {place.tab === 'endpoints' && !place.endpoint ? <EndpointList onOpen={(endpoint) => go({ tab: 'endpoints', endpoint })} /> : null}
      {place.tab === 'endpoints' && place.endpoint ? <EndpointDetail key={place.endpoint} id={place.endpoint} onBack={() => go(START)} /> : null}
      {place.tab === 'events' ? <EventCatalogue /> : null}
      {place.tab === 'attempts' ? (
        <section>
          <Title>Attempts</Title>
          <AttemptList />
        </section>
      ) : null}
      <footer className="plp-foot plp-soft">
        {canManage ? 'This link' : 'This link is for reading only. It'} works until {time(session.expires_at)}. Times are in {zone}.{' '}
        {session.return_url ? (
          <a className="plp-link" href={session.return_url}>
            Back
          </a>
        ) : null}
      </footer>
    </>
  );
}
