/** React components of the customer portal of webhooks; put `plinth/react/portal.css` beside them. */
export { AttemptDetail } from './AttemptDetail.tsx';
export { AttemptList } from './AttemptList.tsx';
export type { Attempt, Endpoint, EventType, Exchange, PortalClient, PortalToken, Replay, Session } from './client.ts';
export { createPortalClient, PortalProblem } from './client.ts';
export { EndpointDetail } from './EndpointDetail.tsx';
export { EndpointForm } from './EndpointForm.tsx';
export { EndpointList } from './EndpointList.tsx';
export { EventCatalogue } from './EventCatalogue.tsx';
export type { Portal, PortalAccess } from './portal-context.tsx';
export { PortalProvider, usePortal } from './portal-context.tsx';
export { ReplayList } from './ReplayList.tsx';
export { WebhookPortal } from './WebhookPortal.tsx';
