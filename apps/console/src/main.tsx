import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { asProblem } from './api/problem.ts';
import './app.css';
import { ToastProvider } from './parts/toast.tsx';
import { router } from './router.tsx';
import { ReadyMark } from './shell/ReadyMark.tsx';

const client = new QueryClient({
  defaultOptions: {
    queries: {
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
