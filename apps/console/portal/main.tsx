/** The hosted page of the customer portal. The link that led here left a session in a cookie and its id behind the #. */
import { type ReactNode, StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { WebhookPortal } from '../../../packages/plinth/src/react/portal/index.ts';
import '../../../packages/plinth/src/react/portal/portal.css';
import './page.css';

const FAULTS: Record<string, string> = {
  webhooks_portal_link_expired: 'The link has expired.',
  webhooks_portal_link_revoked: 'The link was taken back.',
  webhooks_portal_link_invalid: 'The link is not valid. It may have been cut off where it was copied.',
  access_tenant_suspended: 'The account is suspended.',
};
const OTHERWISE = 'No link has been opened in this window.';
const LINK = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function Closed({ code }: { code: string }): ReactNode {
  const fault = code === 'webhooks_portal_unavailable' ? 'The portal cannot be opened just now. Open the link again in a minute.' : undefined;
  return (
    <div className="plp" data-theme="system">
      <div role="alert" className="plp-trouble">
        <p className="plp-strong">{fault ?? FAULTS[code] ?? OTHERWISE}</p>
        {fault ? null : <p>Go back to where you found the link and open it again, or ask whoever sent it for a new one.</p>}
      </div>
    </div>
  );
}

function Page(): ReactNode {
  // Another link opened in this window changes only what stands behind the #.
  const [told, setTold] = useState(() => location.hash.slice(1));
  useEffect(() => {
    const look = (): void => setTold(location.hash.slice(1));
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return (
    <main className="page">
      <h1>Webhooks</h1>
      {LINK.test(told) ? <WebhookPortal key={told} baseUrl="" session={told} inHistory /> : <Closed code={told} />}
    </main>
  );
}

const root = document.getElementById('root');
if (root)
  createRoot(root).render(
    <StrictMode>
      <Page />
    </StrictMode>,
  );
