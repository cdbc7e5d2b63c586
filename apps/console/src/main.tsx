import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { isSignedOut } from './api/client.ts';
import { asProblem } from './api/problem.ts';
import './app.css';
import { ToastProvider } from './parts/toast.tsx';
import { router } from './router.tsx';
import { meQuery } from './session.tsx';
import { ReadyMark } from './shell/ReadyMark.tsx';

/** A session may end at any time, by its age or because its key was revoked: then who is signed in is asked again, and the gate shows the way back in. */
const noticeEnd = (error: unknown, key?: readonly unknown[]): void => {
  const { queryKey } = meQuery;
  if (isSignedOut(error) && key?.[0] !== queryKey[0] && client.getQueryData(queryKey)) void client.invalidateQueries({ queryKey });
};

const client = new QueryClient({
  queryCache: new QueryCache({ onError: (error, query) => noticeEnd(error, query.queryKey) }),
  mutationCache: new MutationCache({ onError: (error) => noticeEnd(error) }),
  defaultOptions: {
    // The server may stand on this machine or beside it: whether there is an internet says nothing.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      // What the server refused stays refused; a server that is away may come back.
      retry: (count, error) => count < 2 && [0, 502, 503, 504].includes(asProblem(error).status),
      retryDelay: (count) => 300 * 2 ** count,
      staleTime: 1000,
      refetchIntervalInBackground: false,
    },
  },
});

const place = document.getElementById('root');
if (!place) throw new Error('index.html has no #root');
createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <ToastProvider>
        <RouterProvider router={router} />
        <ReadyMark />
      </ToastProvider>
    </QueryClientProvider>
  </StrictMode>,
);
