import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Outlet, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { isSignedOut } from '../api/client.ts';
import { signIn } from '../api/sign-in.ts';
import { LiveProvider } from '../live.tsx';
import { SignInPage } from '../pages/SignIn.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { allTenants, meQuery, SessionProvider, useSession } from '../session.tsx';
import { ReasonGate } from './Reason.tsx';
import { Shell } from './Shell.tsx';

/** The one-time token of the link, taken out of the address at once so that it is in no history and no screenshot. */
const takeToken = (): string | undefined => {
  const fragment = location.hash.slice(1);
  const token = new URLSearchParams(fragment).get('token') ?? (/^plk_[\w-]+$/.test(fragment) ? fragment : undefined);
  if (token) history.replaceState(history.state, '', location.pathname + location.search);
  return token;
};
let linkToken = takeToken();

/** Uses the token of the link once; `failed` is why it did not work. */
function useLinkToken(): { waiting: boolean; failed: unknown } {
  const [state, setState] = useState<{ waiting: boolean; failed: unknown }>({ waiting: linkToken !== undefined, failed: undefined });
  const client = useQueryClient();
  useEffect(() => {
    const token = linkToken;
    linkToken = undefined;
    if (!token) return;
    signIn({ token })
      .then(() => client.invalidateQueries())
      .then(() => setState({ waiting: false, failed: undefined }))
      .catch((error: unknown) => setState({ waiting: false, failed: error }));
  }, [client]);
  return state;
}

/** Whoever is sent the address of an operator's page sees the same tenant, also where nobody had chosen one. */
function TenantInAddress(): null {
  const { principal, tenant } = useSession();
  const { tenant: named } = useSearch({ from: '__root__' });
  const navigate = useNavigate();
  const missing = principal.operator && named === undefined ? (tenant?.id ?? allTenants) : undefined;
  useEffect(() => {
    if (missing) void navigate({ to: '.', search: (before) => ({ ...before, tenant: missing }), replace: true, resetScroll: false });
  }, [missing, navigate]);
  return null;
}

/** Stands before the page, a form that is half filled among it, until somebody has signed in again. Whoever else it is finds the page as if just opened. */
function SessionEnded(): ReactNode {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog
      ref={ref}
      aria-label="Sign in"
      closedby="none"
      className="m-0 h-dvh max-h-none w-full max-w-none bg-ground"
      onCancel={(event) => event.preventDefault()}
    >
      <SignInPage failed={undefined} ended />
    </dialog>
  );
}

/** Lets in who is signed in. */
export function Gate(): ReactNode {
  const link = useLinkToken();
  const me = useQuery({ ...meQuery, enabled: !link.waiting });
  const { tenant } = useSearch({ from: '__root__' });
  const ended = isSignedOut(me.error);
  if (me.data) {
    return (
      <>
        {ended ? <SessionEnded /> : null}
        <SessionProvider key={JSON.stringify(me.data.principal)} {...me.data} asked={tenant}>
          <TenantInAddress />
          <div className={ended ? 'hidden' : 'contents'}>
            <ReasonGate>
              <LiveProvider on={!ended}>
                <Shell>
                  <Outlet />
                </Shell>
              </LiveProvider>
            </ReasonGate>
          </div>
        </SessionProvider>
      </>
    );
  }
  if (me.isPending || link.waiting) return <p className="p-8 text-soft">Signing in…</p>;
  if (ended) return <SignInPage failed={link.failed} ended={false} />;
  return (
    <main className="mx-auto max-w-xl p-8">
      <Trouble error={me.error} retry={() => void me.refetch()} />
    </main>
  );
}
