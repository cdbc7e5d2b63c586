import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Outlet, useSearch } from '@tanstack/react-router';
import { type ReactNode, useEffect, useState } from 'react';
import { isSignedOut } from '../api/client.ts';
import { signIn } from '../api/sign-in.ts';
import { LiveProvider } from '../live.tsx';
import { SignInPage } from '../pages/SignIn.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { meQuery, SessionProvider } from '../session.tsx';
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

/** Lets in who is signed in. */
export function Gate(): ReactNode {
  const link = useLinkToken();
  const me = useQuery({ ...meQuery, enabled: !link.waiting });
  const { tenant } = useSearch({ from: '__root__' });
  if (me.data && !isSignedOut(me.error)) {
    return (
      <SessionProvider {...me.data} asked={tenant}>
        <ReasonGate>
          <LiveProvider>
            <Shell>
              <Outlet />
            </Shell>
          </LiveProvider>
        </ReasonGate>
      </SessionProvider>
    );
  }
  if (me.isPending || link.waiting) return <p className="p-8 text-soft">Signing in…</p>;
  if (isSignedOut(me.error)) return <SignInPage failed={link.failed} ended={me.data !== undefined} />;
  return (
    <main className="mx-auto max-w-xl p-8">
      <Trouble error={me.error} retry={() => void me.refetch()} />
    </main>
  );
}
