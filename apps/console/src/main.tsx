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

/**
 * A session may end at any time, by its age or because its key was revoked, and another tab may begin one with another key: then who is signed in is asked
 * again, and the gate shows the way back in.
 */
const noticeEnd = (error: unknown, key?: readonly unknown[]): void => {
  const { queryKey } = meQuery;
  const doubtful = isSignedOut(error) || asProblem(error).status === 403;
  if (doubtful && key?.[0] !== queryKey[0] && client.getQueryData(queryKey)) void client.invalidateQueries({ queryKey });
};

const client = new QueryClient({
  queryCache: new QueryCache({ onError: (error, query) => noticeEnd(error, query.queryKey) }),
  mutationCache: new MutationCache({ onError: (error) => noticeEnd(error) }),
  defaultOptions: {
    // The server may stand on this machine or beside it: whether there is an internet says nothing.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      // What the server refused stays refused; a server that is away may come back. What took too long would take so long again before a word is said.
      retry: (count, error) => count < 2 && [0, 502, 503, 504].includes(asProblem(error).status) && asProblem(error).code !== 'timeout',
      // An answer that is the same is the same object; one that differs is taken whole, because parts of it may be raw JSON, which cannot be copied.
      structuralSharing: (before, next) => (JSON.stringify(before) === JSON.stringify(next) ? before : next),
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
